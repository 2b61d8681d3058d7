/* How the mail of a batch came in: recipients a second, the rule's limit, the moment of the trip. */
import { Empty } from "../ui/notice.jsx";
import { Chart } from "../ui/chart.jsx";
import { count, duration, short, time } from "../format.js";
import { arrival_series, describe_arrivals, limit_rate } from "./series.js";
import { useMemo } from "preact/hooks";

const words = { count, duration, rate: short, time: (seconds) => time(seconds * 1000) };

/*
 * At least LEAST steps wide, so that a blast of a second is seen as one: the batch had no mail before
 * its trip. One step behind the last ends it.
 */
const LEAST = 24;

function chart_data(series, tripped) {
	const last = series.at.at(-1) + series.step;
	const first = Math.min(series.at[0], tripped);
	const before = Math.min(first - 2 * series.step, last - LEAST * series.step);
	return [
		[before, ...series.at, last],
		[0, ...series.rate, 0],
	];
}

export function Arrivals({ batch }) {
	const { arrivals, step_seconds } = batch.story;
	const key = JSON.stringify([arrivals, step_seconds]);
	const tripped = Date.parse(batch.opened_at) / 1000;
	const series = useMemo(() => arrival_series({ arrivals, step_seconds }), [key]);
	const data = useMemo(
		() => (series.at.length > 0 ? chart_data(series, tripped) : null),
		[series, tripped],
	);
	const limit = limit_rate(batch);
	if (!data) return <Empty>No arrivals are known.</Empty>;
	const lines = [{ x: tripped, label: "tripped", tone: "bad" }];
	if (limit !== null) lines.push({ y: limit, label: `limit ${short(limit)}/s`, tone: "warn" });
	return (
		<>
			<p class="hint">
				Recipients a second, {duration(series.step)} a step
				{batch.sampled ? "; an estimate out of a sample" : ""}
				{limit === null ? "" : `; the limit is ${count(batch.limit)} in ${duration(batch.window)}`}.
			</p>
			<Chart
				label="Arrivals"
				summary={`${describe_arrivals(series, words)} The rule tripped at ${time(batch.opened_at)}.`}
				data={data}
				series={[{ label: "recipients a second" }]}
				lines={lines}
				quiet
			/>
			<details class="chart-numbers">
				<summary>Arrivals as numbers</summary>
				<ArrivalNumbers series={series} />
			</details>
		</>
	);
}

function ArrivalNumbers({ series }) {
	return (
		<div class="table-frame">
			<table>
				<caption class="hidden">Arrivals</caption>
				<thead>
					<tr>
						<th scope="col">From</th>
						<th scope="col" class="number">
							Recipients
						</th>
						<th scope="col" class="number">
							A second
						</th>
					</tr>
				</thead>
				<tbody>
					{series.at.map((at, i) =>
						series.count[i] > 0 ? (
							<tr key={at}>
								<th scope="row" data-label="From">
									{time(at * 1000)}
								</th>
								<td class="number" data-label="Recipients">
									{count(series.count[i])}
								</td>
								<td class="number" data-label="A second">
									{short(series.rate[i])}
								</td>
							</tr>
						) : null,
					)}
				</tbody>
			</table>
		</div>
	);
}
