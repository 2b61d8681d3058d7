/* A page's heading: takes the focus after a change of page, and names the browser's tab. */
import { useEffect } from "preact/hooks";
import { live_status } from "../live.js";
import { plain } from "../text.js";
import { use_state } from "../use.js";

/* `title` for the tab where the heading is more than a text; `children`: what stands beside it. */
export function Heading({ text, title, children }) {
	const held = use_state(live_status)?.held?.batches ?? 0;
	const name = title ?? (typeof text === "string" ? text : "");
	useEffect(() => {
		document.title = `${held > 0 ? `(${held} held) ` : ""}${plain(name)} - mailfuse`;
	}, [name, held]);
	return (
		<div class="heading">
			<h1 tabIndex={-1}>{text}</h1>
			{children && <div class="heading-side">{children}</div>}
		</div>
	);
}
