/*
 * The last day of one environment as arrays for uPlot, out of `traffic` of GET /v1/environments/NAME,
 * which leaves empty steps out. Pure.
 */
export function day_series(environment, now = Date.now()) {
	const step = environment.step_seconds || 600;
	const last = Math.floor(now / 1000 / step) * step;
	const first = last - 86400;
	const length = Math.round(86400 / step) + 1;
	const times = Array.from({ length }, (_, i) => first + i * step);
	const passed = new Array(length).fill(0);
	const stopped = new Array(length).fill(0);
	for (const s of environment.traffic ?? []) {
		const i = Math.floor((Date.parse(s.at) / 1000 - first) / step);
		if (i < 0 || i >= length) continue;
		passed[i] += s.passed + s.waited;
		stopped[i] += s.held + s.dropped;
	}
	return [times, passed, stopped];
}

/* What a chart shows, in a sentence. */
export function day_summary([, passed, stopped]) {
	const sum = (list) => list.reduce((a, b) => a + b, 0);
	return `${sum(passed)} recipients passed and ${sum(stopped)} were held or dropped in the last day`;
}
