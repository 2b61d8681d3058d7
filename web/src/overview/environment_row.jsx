/* One environment at a glance: is it guarded, what goes through it, what is held. */
import { useEffect, useRef, useState } from "preact/hooks";
import { count, short } from "../format.js";
import { path } from "../router.js";
import { Chart } from "../ui/chart.jsx";
import { Figure, State } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { use_get, use_throttled } from "../use.js";
import { day_series, day_summary } from "./day.js";

const DAY_MS = 60_000;
const BLAST_MS = 10_000;
export const day_lines = [
	{ label: "passed", tone: "accent" },
	{ label: "held or dropped", tone: "bad" },
];

/* The series changes only when its answer does: uPlot draws again for each new one. */
export function use_day(environment) {
	const [series, set] = useState(null);
	useEffect(() => {
		if (environment) set(day_series(environment));
	}, [environment]);
	return series;
}

/* A blast is in the chart soon, not only after its minute. */
function use_blast(held, reload) {
	const before = useRef(held);
	const again = use_throttled(reload, BLAST_MS);
	useEffect(() => {
		if (held > before.current) again();
		before.current = held;
	}, [held]);
}

function kind(e) {
	if (!e.configured) return "not configured any more";
	if (e.name === "unknown" && e.others === "hold") return "no environment matches: all is held";
	const where = e.captures ? "captured, nothing leaves" : e.upstream === null ? "no upstream: all is held" : `to ${e.upstream}`;
	return `${e.production ? "production" : "not production"}, ${where}`;
}

export function Protection({ environment }) {
	if (environment.policy === "observe")
		return <State value="observes only" tone="warn" />;
	if (environment.policy === "enforce") return <State value="protected" tone="good" />;
	return <State value="no policy" tone="plain" />;
}

/* Of recipients; one that is too long for its column is short, and whole in its title. */
function Count({ value, label, tone }) {
	return (
		<Figure value={value > 99_999 ? short(value) : count(value)} label={label} tone={tone} title={`${count(value)} recipients`} />
	);
}

/* `chart`: with the last day, which takes a call of its own. */
export function EnvironmentRow({ environment: e, chart }) {
	const detail = use_get(chart ? `/v1/environments/${encodeURIComponent(e.name)}` : null, {}, { every: DAY_MS });
	const series = use_day(detail.data);
	use_blast(e.counts.held, detail.reload);
	return (
		<article class="environment">
			<div class="environment-name">
				<h3>
					<a href={path("/environments/:name", { name: e.name })} data-item>
						<Text value={e.name} most={60} />
					</a>
				</h3>
				<Protection environment={e} />
				<span class="faint">
					<Text value={kind(e)} most={120} />
				</span>
			</div>
			<div class="figures">
				<Count value={e.counts.held} label="held" tone={e.counts.held > 0 ? "bad" : ""} />
				<Count value={e.rates.minute.recipients} label="last minute" />
				<Count value={e.rates.hour.recipients} label="last hour" />
				<Count value={e.rates.day.recipients} label="last day" />
				<Count value={e.counts.queued + e.counts.waiting} label="queued" />
			</div>
			<div class="environment-chart">
				{series && (
					<Chart
						label={`Recipients of ${e.name} in the last day`}
						summary={day_summary(series)}
						data={series}
						series={day_lines}
						height={84}
						stack
						quiet
					/>
				)}
			</div>
		</article>
	);
}
