/*
 * A chart of numbers over time by uPlot, and the same numbers as a table for who cannot see it.
 * Colours are those of style.css, read again when the theme changes; nothing moves by itself.
 */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { count, short, time } from "../format.js";
import { use_media } from "../use.js";
import { Table } from "./table.jsx";

function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/* `lines`: {y, label, tone} a limit, {x, label, tone} a moment (seconds since 1970). */
function draw_lines(u, lines) {
	const { ctx, bbox } = u;
	ctx.save();
	ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
	ctx.lineWidth = 1.5 * devicePixelRatio;
	for (const line of lines) {
		ctx.strokeStyle = ctx.fillStyle = colour(line.tone ?? "bad");
		ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
		ctx.beginPath();
		if (line.y !== undefined) draw_across(u, ctx, bbox, line);
		else draw_down(u, ctx, bbox, line);
		ctx.stroke();
	}
	ctx.restore();
}

function draw_across(u, ctx, bbox, line) {
	const y = Math.round(u.valToPos(line.y, "y", true));
	if (y < bbox.top - 1 || y > bbox.top + bbox.height) return;
	ctx.moveTo(bbox.left, y);
	ctx.lineTo(bbox.left + bbox.width, y);
	ctx.textAlign = "left";
	ctx.textBaseline = y - bbox.top < 16 * devicePixelRatio ? "top" : "bottom";
	ctx.fillText(line.label, bbox.left + 4 * devicePixelRatio, y);
}

function draw_down(u, ctx, bbox, line) {
	const x = Math.round(u.valToPos(line.x, "x", true));
	if (x < bbox.left || x > bbox.left + bbox.width) return;
	ctx.moveTo(x, bbox.top);
	ctx.lineTo(x, bbox.top + bbox.height);
	const right = x > bbox.left + bbox.width / 2;
	ctx.textAlign = right ? "right" : "left";
	ctx.textBaseline = "top";
	ctx.fillText(line.label, x + (right ? -4 : 4) * devicePixelRatio, bbox.top + 2 * devicePixelRatio);
}

/* Labels of the time axis: hours of a day, seconds where that is all there is; the day where it changes. */
function clock_labels(ticks) {
	const span = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
	return ticks.map((t) => {
		const d = new Date(t * 1000);
		const two = (n) => String(n).padStart(2, "0");
		const clock = `${two(d.getHours())}:${two(d.getMinutes())}${span < 60 ? `:${two(d.getSeconds())}` : ""}`;
		return span >= 86400 ? `${d.getMonth() + 1}/${d.getDate()}` : clock;
	});
}

/* Each series on top of those behind it: what is drawn, not what is told. */
function stacked(data) {
	const result = [...data];
	for (let i = data.length - 2; i > 0; i--) result[i] = data[i].map((v, k) => v + result[i + 1][k]);
	return result;
}

function axes(small) {
	const stroke = colour("faint");
	const grid = { stroke: colour("line"), width: 1 };
	const font = "11px system-ui, sans-serif";
	return [
		{ stroke, grid: { show: false }, ticks: { ...grid, size: 4 }, font, size: 24, space: small ? 60 : 80, values: (_, ticks) => clock_labels(ticks) },
		{
			stroke,
			grid,
			ticks: { show: false },
			font,
			size: small ? 38 : 48,
			space: small ? 24 : 32,
			values: (_, ticks) => ticks.map((v) => short(v)),
		},
	];
}

/* A bar stands behind its time, so the last one needs a step of its own: it is what happens now. */
function bar_range(u, low, high) {
	const [first, second] = u.data[0];
	return [low, high + (second - first || 0)];
}

function options({ width, height, series, lines, top, small, stack }) {
	return {
		width,
		height,
		cursor: { y: false, points: { size: 5 }, drag: { x: false, y: false } },
		legend: { show: false },
		scales: {
			x: stack ? { time: true, range: bar_range } : { time: true },
			y: { range: (_, low, high) => [0, Math.max(high ?? 0, top ?? 0, 1) * 1.08] },
		},
		axes: axes(small),
		series: [
			{},
			...series.map((s) => ({
				label: s.label,
				stroke: colour(s.tone ?? "accent"),
				fill: s.fill === false ? undefined : `${colour(s.tone ?? "accent")}${stack ? "" : "33"}`,
				width: stack ? 0 : 1.5,
				points: { show: false },
				paths: stack ? uPlot.paths.bars({ size: [0.9], align: 1 }) : uPlot.paths.stepped({ align: 1 }),
			})),
		],
		hooks: { draw: [(u) => draw_lines(u, lines)] },
	};
}

function Numbers({ label, data, series }) {
	const rows = data[0].map((_, i) => i).filter((i) => series.some((__, s) => data[s + 1][i] > 0));
	const columns = [
		{ head: "Time", main: true, cell: (i) => time(data[0][i] * 1000) },
		...series.map((s, n) => ({ head: s.label, number: true, cell: (i) => count(data[n + 1][i]) })),
	];
	if (rows.length === 0) return <p>No mail in this time.</p>;
	return <Table caption={label} columns={columns} rows={rows} row_key={(i) => data[0][i]} />;
}

/*
 * `data`: [times in seconds, values, ...] as uPlot takes it, one array for each of `series`
 * ({label, tone, fill}). `summary`: a sentence that says what is to be seen, for a screen reader.
 * `lines`: see draw_lines(). `quiet`: without the table, where the page has one already. `stack`: bars,
 * one series on the other.
 */
export function Chart({ label, summary, data, series, lines = [], height = 180, quiet = false, stack = false }) {
	const box = useRef(null);
	const plot = useRef(null);
	const dark = use_media("(prefers-color-scheme: dark)");
	const drawn = useRef(null);
	drawn.current = stack ? stacked(data) : data;
	const top = Math.max(0, ...lines.map((l) => l.y ?? 0));
	const shape = JSON.stringify([series, lines, height, dark, stack]);
	useEffect(() => {
		const width = Math.max(box.current.clientWidth, 120);
		plot.current = new uPlot(options({ width, height, series, lines, top, small: height < 120, stack }), drawn.current, box.current);
		const watch = new ResizeObserver(() =>
			plot.current?.setSize({ width: Math.max(box.current.clientWidth, 120), height }),
		);
		watch.observe(box.current);
		return () => {
			watch.disconnect();
			plot.current.destroy();
			plot.current = null;
		};
	}, [shape]);
	useEffect(() => plot.current?.setData(drawn.current), [data]);
	return (
		<figure class="chart">
			<div ref={box} class="chart-box" role="img" aria-label={summary ? `${label}: ${summary}` : label} />
			{!quiet && (
				<details class="chart-numbers">
					<summary>{label} as numbers</summary>
					<Numbers label={label} data={data} series={series} />
				</details>
			)}
		</figure>
	);
}
