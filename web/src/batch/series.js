/*
 * The arrivals of a batch as the series of a chart and as the rows of its table: pure.
 * `story.arrivals` leaves out empty steps; a chart that joined what is left would show mail where
 * none came.
 */

/* Of the server's at most 60 steps, with a clock that was set back in between: a chart stays small. */
const POINTS_MOST = 200;

/* {at: [unix seconds], rate: [recipients a second], count: [recipients], step, most} */
export function arrival_series(story) {
	const step = Math.max(1, story?.step_seconds || 1);
	const points = (story?.arrivals || [])
		.map(({ at, count }) => ({ at: Date.parse(at) / 1000, count }))
		.filter(({ at }) => Number.isFinite(at))
		.sort((a, b) => a.at - b.at);
	const series = { at: [], rate: [], count: [], step, most: 0 };
	if (points.length === 0) return series;
	const start = points[0].at;
	const steps = Math.min(POINTS_MOST, Math.floor((points.at(-1).at - start) / step) + 1);
	const counts = new Array(steps).fill(0);
	for (const { at, count } of points) counts[Math.min(steps - 1, Math.floor((at - start) / step))] += count;
	counts.forEach((count, i) => {
		series.at.push(start + i * step);
		series.count.push(count);
		series.rate.push(count / step);
		series.most = Math.max(series.most, count / step);
	});
	return series;
}

/*
 * The rule's limit as a rate, which is what the chart's axis shows: null where it counts nothing.
 * A limit of 500 in 10 minutes is drawn at 0.83 a second.
 */
export function limit_rate(batch) {
	const limit = Number(batch.limit);
	if (!Number.isFinite(limit) || limit <= 0 || !(batch.window > 0)) return null;
	return limit / batch.window;
}

/* One sentence that says what the chart shows, for who cannot see it. */
export function describe_arrivals(series, words) {
	if (series.at.length === 0) return "No arrivals are known.";
	const total = series.count.reduce((a, b) => a + b, 0);
	const peak = series.rate.indexOf(series.most);
	return (
		`${words.count(total)} recipients in ${words.duration(series.at.length * series.step)}; ` +
		`the most were ${words.rate(series.most)} a second at ${words.time(series.at[peak])}.`
	);
}
