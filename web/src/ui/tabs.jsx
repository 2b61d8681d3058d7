/* Tabs by the ARIA pattern: arrows, Home and End go between them; one panel is there at a time. */
import { useId, useRef } from "preact/hooks";

/* `tabs`: [{id, label, content()}]; `chosen` and `onChoose` are the caller's. */
export function Tabs({ label, tabs, chosen, onChoose }) {
	const base = useId();
	const list = useRef(null);
	const current = tabs.find((t) => t.id === chosen) ?? tabs[0];
	const press = (event) => {
		const i = tabs.indexOf(current);
		const to = {
			ArrowRight: (i + 1) % tabs.length,
			ArrowLeft: (i + tabs.length - 1) % tabs.length,
			Home: 0,
			End: tabs.length - 1,
		}[event.key];
		if (to === undefined) return;
		event.preventDefault();
		onChoose(tabs[to].id);
		list.current.children[to].focus();
	};
	return (
		<div class="tabs">
			<div class="tab-list" role="tablist" aria-label={label} ref={list} onKeyDown={press}>
				{tabs.map((t) => (
					<button
						key={t.id}
						type="button"
						role="tab"
						id={`${base}-${t.id}`}
						aria-selected={t === current}
						aria-controls={t === current ? `${base}-panel` : undefined}
						tabIndex={t === current ? 0 : -1}
						onClick={() => onChoose(t.id)}
					>
						{t.label}
					</button>
				))}
			</div>
			<div class="tab-panel" role="tabpanel" id={`${base}-panel`} aria-labelledby={`${base}-${current.id}`} tabIndex={0}>
				{current.content()}
			</div>
		</div>
	);
}
