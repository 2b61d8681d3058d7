/* One environment: the last day with its numbers, its rules, and how mail is told to be of it. */
import { count } from "../format.js";
import { Protection, day_lines, use_day } from "../overview/environment_row.jsx";
import { day_summary } from "../overview/day.js";
import { path } from "../router.js";
import { Chart } from "../ui/chart.jsx";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Figure, Loading } from "../ui/notice.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { use_get } from "../use.js";

const list = (values) => (values && values.length > 0 ? values.join(", ") : "");

function rule_text(r) {
	if (r.kind === "burst") {
		const head = r.head ? `, the first ${r.head} at once` : "";
		const declared = r.declared ? `, declared campaigns ${r.declared}` : "";
		return `${r.limit} per ${list(r.per)}${head}${declared}`;
	}
	return `${r.part === "header" ? r.header : r.part} matches ${r.match}${r.above ? `, above ${r.above} per ${list(r.per)}` : ""}`;
}

const columns = [
	{ head: "Rule", main: true, cell: (r) => <Text value={`${r.kind} ${r.name}`} most={80} /> },
	{ head: "What it says", cell: (r) => <Text value={rule_text(r)} most={400} /> },
	{ head: "Then", cell: (r) => (r.action === "alert" ? "tells only" : r.action) },
	{ head: "Batches", number: true, cell: (r) => count(r.tripped) },
	{ head: "Last", cell: (r) => (r.last_batch ? <LastBatch batch={r.last_batch} /> : <span class="faint">never</span>) },
];

function LastBatch({ batch }) {
	const id = typeof batch === "string" ? batch : batch.id;
	return <a href={path("/batches/:id", { id })}>{id}</a>;
}

function Matches({ matches }) {
	if (!matches || matches.length === 0) return <span class="faint">only what no other environment takes</span>;
	return matches.map((m, i) => (
		<div key={i}>
			<Text
				value={[
					m.listeners && `listener ${list(m.listeners)}`,
					m.networks && `network ${list(m.networks)}`,
					m.users && `user ${list(m.users)}`,
					m.tls_names && `certificate ${list(m.tls_names)}`,
				]
					.filter(Boolean)
					.join(" and ")}
			/>
		</div>
	));
}

function Facts({ e }) {
	return (
		<dl class="facts">
			<dt>Mail of it</dt>
			<dd>
				<Matches matches={e.matches} />
			</dd>
			<dt>Upstream</dt>
			<dd>{e.captures ? "none: its mail is captured" : <Text value={e.upstream} empty="none: all its mail is held" />}</dd>
			{!e.production && (
				<>
					<dt>May reach</dt>
					<dd>
						<Text value={list(e.allow)} empty="nobody" />
					</dd>
					<dt>All others</dt>
					<dd>
						<Text value={e.others === "rewrite" ? `rewritten to ${e.rewrite_to}` : e.others} />
					</dd>
				</>
			)}
			{e.subject_prefix && (
				<>
					<dt>Subject begins</dt>
					<dd>
						<Text value={e.subject_prefix} />
					</dd>
				</>
			)}
		</dl>
	);
}

export function Environment({ params }) {
	const detail = use_get(`/v1/environments/${encodeURIComponent(params.name)}`, {}, { every: 15_000 });
	const rules = use_get("/v1/rules", { environment: params.name });
	const series = use_day(detail.data);
	const e = detail.data;
	return (
		<>
			<Heading text={<Text value={params.name} most={80} />} title={params.name}>
				{e && <Protection environment={e} />}
				{e && !e.production && <a href={path("/inbox/:environment", { environment: e.name })}>Its mail as an inbox</a>}
			</Heading>
			<Failed problem={detail.problem} retry={detail.reload} />
			{!e && detail.loading && <Loading />}
			{e && (
				<section class="panel" aria-label="Traffic">
					<div class="figures">
						<Figure value={count(e.counts.held)} label="held" tone={e.counts.held > 0 ? "bad" : ""} />
						<Figure value={count(e.counts.queued + e.counts.waiting)} label="queued" />
						<Figure value={count(e.counts.sent)} label="sent" />
						<Figure value={count(e.counts.dropped)} label="dropped" />
						<Figure value={count(e.counts.failed)} label="failed" />
						<Figure value={count(e.rates.minute.recipients)} label="last minute" />
						<Figure value={count(e.rates.hour.recipients)} label="last hour" />
						<Figure value={count(e.rates.day.recipients)} label="last day" />
					</div>
					{series && (
						<Chart label="Recipients in the last day" summary={day_summary(series)} data={series} series={day_lines} height={200} stack />
					)}
				</section>
			)}
			{e && (
				<section class="panel" aria-labelledby="rules">
					<h2 id="rules">Rules</h2>
					<Failed problem={rules.problem} retry={rules.reload} />
					{rules.data?.items.length === 0 && <Empty>It has no rule: nothing here stops a blast.</Empty>}
					{rules.data?.items.length > 0 && (
						<Table caption={`Rules of ${e.name}`} columns={columns} rows={rules.data.items} row_key={(r) => r.kind + r.name} />
					)}
				</section>
			)}
			{e?.configured && (
				<section class="panel" aria-labelledby="policy">
					<h2 id="policy">Where its mail goes</h2>
					<Facts e={e} />
				</section>
			)}
		</>
	);
}
