/* Text that came out of mail: isolated, so that it cannot turn what stands beside it around, with its
 * control characters as signs. All of a message's data is shown through this. */
import { pieces, shorten } from "../text.js";

/* `most`: cut there, with an ellipsis. `lines`: keeps line feeds and tabs. `empty`: said where there is nothing. */
export function Text({ value, most = 2000, lines = false, empty = "-" }) {
	if (value === null || value === undefined || value === "") return <span class="faint">{empty}</span>;
	const { text, cut } = shorten(value, most);
	return (
		<bdi class={lines ? "data lines" : "data"}>
			{pieces(text, lines).map((p) =>
				p.sign ? (
					<span class="sign" title={p.title}>
						{p.sign}
					</span>
				) : (
					p.text
				),
			)}
			{cut && <span class="faint">…</span>}
		</bdi>
	);
}
