/* Times, with the exact one in UTC as the title. */
import { ago, time, utc } from "../format.js";
import { use_now } from "../use.js";

/* "04:12:07", with the date where that is not today. */
export function Time({ at }) {
	const now = use_now();
	if (!at) return <span class="faint">-</span>;
	return (
		<time datetime={utc(at)} title={utc(at)}>
			{time(at, now)}
		</time>
	);
}

/* "3 min ago". */
export function Ago({ at, never = "never" }) {
	const now = use_now();
	if (!at) return <span class="faint">{never}</span>;
	return (
		<time datetime={utc(at)} title={`${time(at, now)} (${utc(at)})`}>
			{ago(at, Math.max(now, Date.now()))}
		</time>
	);
}
