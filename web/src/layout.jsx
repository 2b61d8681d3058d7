/* What is around every page: skip link, navigation, banners of the connection, the list of keys, the live region. */
import { useEffect, useRef, useState } from "preact/hooks";
import { online, session, session_end } from "./api.js";
import { common, help_open, keys_extra, keys_on, keys_turn } from "./keys.js";
import { count } from "./format.js";
import { live, live_status } from "./live.js";
import { route } from "./router.js";
import { said } from "./say.js";
import { Dialog } from "./ui/dialog.jsx";
import { Text } from "./ui/text.jsx";
import { use_state } from "./use.js";

const places = [
	["/", "Overview", ["overview", "batch", "environment"]],
	["/inbox", "Inbox", ["inbox", "message"]],
	["/alerts", "Alerts", ["alerts"]],
	["/audit", "Audit", ["audit"]],
	["/settings", "Settings", ["settings"]],
];

function Navigation({ page }) {
	const held = use_state(live_status)?.held?.batches ?? 0;
	return (
		<nav aria-label="Console">
			<ul>
				{places.map(([href, name, of]) => (
					<li key={href}>
						<a href={href} aria-current={of.includes(page) ? "page" : undefined}>
							{name}
							{href === "/" && held > 0 && (
								<span class="badge">
									{count(held)}
									<span class="wide-only"> held</span>
								</span>
							)}
						</a>
					</li>
				))}
			</ul>
		</nav>
	);
}

function Who() {
	const who = use_state(session);
	if (!who) return null;
	return (
		<div class="who">
			<span title={`Roles: ${who.roles.join(", ")}`}>
				<Text value={who.name} most={40} />
			</span>
			<button type="button" class="quiet" onClick={() => session_end().catch(() => {})}>
				Log out
			</button>
		</div>
	);
}

/* Whether what is shown is what is so. */
function Connection() {
	const connected = use_state(online);
	const stream = use_state(live);
	const [late, set_late] = useState(false);
	useEffect(() => {
		if (stream === "on") return set_late(false);
		const timer = setTimeout(() => set_late(true), 4000);
		return () => clearTimeout(timer);
	}, [stream]);
	if (!connected)
		return (
			<div class="offline" role="alert">
				The gate does not answer. What you see may be old; this page tries again by itself.
			</div>
		);
	if (late && stream !== "on")
		return (
			<div class="offline mild" role="status">
				Not live at the moment: reload the page for the newest numbers. Trying to connect again…
			</div>
		);
	return null;
}

function Keys() {
	const on = use_state(keys_on);
	const rows = [...keys_extra(), ...common];
	return (
		<Dialog title="Keys" onClose={() => help_open.set(false)}>
			<dl class="keys">
				{rows.map(([key, help]) => (
					<div key={key}>
						<dt>
							{key.split(" ").map((k) => (
								<kbd key={k}>{k}</kbd>
							))}
						</dt>
						<dd>{help}</dd>
					</div>
				))}
			</dl>
			<label class="check">
				<input type="checkbox" checked={on} onChange={(e) => keys_turn(e.currentTarget.checked)} />
				Single keys do something
			</label>
		</Dialog>
	);
}

/* After a change of page the focus is on its heading, so that a screen reader says where one is. */
function use_heading_focus() {
	const place = use_state(route);
	const first = useRef(true);
	const key = place.page + JSON.stringify(place.params);
	useEffect(() => {
		if (first.current) {
			first.current = false;
			return;
		}
		document.querySelector("main h1")?.focus({ preventScroll: true });
	}, [key]);
}

export function Layout({ page, children }) {
	const help = use_state(help_open);
	const spoken = use_state(said);
	use_heading_focus();
	return (
		<>
			<a class="skip" href="#main">
				Skip to content
			</a>
			<header class="top">
				<a class="brand" href="/">
					mailfuse
				</a>
				<Navigation page={page} />
				<button type="button" class="quiet keys-button" onClick={() => help_open.set(true)} aria-label="Keys">
					?
				</button>
				<Who />
			</header>
			<Connection />
			<main id="main" tabIndex={-1}>
				{children}
			</main>
			<footer>
				<span>mailfuse</span> <a href="/licences.txt" target="_blank" rel="noreferrer">Licences</a>
			</footer>
			<div class="hidden" aria-live="polite">
				{spoken}
			</div>
			{help && <Keys />}
		</>
	);
}
