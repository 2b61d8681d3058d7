/*
 * How a release goes, as rings with numbers: pure, so that it is tested without a browser.
 * Read by batch/plan.jsx and by the questions of batch/questions.js.
 */

/*
 * The sizes that the rings asked for come to when `total` recipients are decided on:
 * [10, 100, "all"] of 500 is [10, 100, 390], and of 60 it is [10, 50].
 */
export function ring_sizes(rings, total) {
	const sizes = [];
	let left = Math.max(0, total);
	for (const ring of rings) {
		const size = ring === "all" ? left : Math.min(ring, left);
		if (size <= 0) break;
		sizes.push(size);
		left -= size;
	}
	return sizes;
}

/*
 * One row a ring: its number, its size, how many of it were sent and failed for good, and
 * whether it is `done`, `now`, `paused`, `asked`, `to come` or `left out`.
 * Counts of rings before the present one are not kept apart: they are done, all of them.
 */
export function ring_rows(plan) {
	const sizes = ring_sizes(plan.rings, plan.total);
	return sizes.map((size, i) => {
		const number = i + 1;
		const present = number === plan.ring;
		const row = { number, size, sent: 0, failed: 0, state: "to come" };
		if (number < plan.ring) {
			row.state = "done";
			row.sent = size;
		} else if (present) {
			row.size = plan.ring_size || size;
			row.sent = plan.sent;
			row.failed = plan.failed;
			row.state = present_state(plan);
		} else if (plan.state === "ended") {
			row.state = "left out";
		}
		if (plan.state === "asked") row.state = "asked";
		return row;
	});
}

function present_state(plan) {
	if (plan.state === "done") return "done";
	if (plan.state === "paused") return "paused";
	if (plan.state === "ended") return "ended";
	return plan.ring_size > 0 && plan.sent + plan.failed >= plan.ring_size ? "done" : "now";
}

/* The share of a ring that is over, 0 to 100. */
export function ring_percent(row) {
	if (row.size <= 0) return 0;
	return Math.min(100, Math.round(((row.sent + row.failed) / row.size) * 100));
}

export function is_over(plan) {
	return plan.state === "done" || plan.state === "ended";
}

/* "10, 100, 1000, all" as people write it; throws what to write instead. */
export function parse_rings(text) {
	const words = text.split(/[\s,;]+/).filter(Boolean);
	if (words.length === 0) throw new Error("Write the sizes of the rings, such as 10, 100, all.");
	if (words.length > 20) throw new Error("At most 20 rings.");
	return words.map((word, i) => {
		if (word.toLowerCase() === "all") {
			if (i + 1 < words.length) throw new Error("“all” can only be the last ring.");
			return "all";
		}
		if (!/^[0-9]{1,10}$/.test(word) || Number(word) < 1)
			throw new Error(
				`“${word.slice(0, 20)}” is no size of a ring: write a whole number from 1, or “all”.`,
			);
		return Number(word);
	});
}
