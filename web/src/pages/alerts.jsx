/* The channels by which people are told, whether they work, and what was told. */
import { useState } from "preact/hooks";
import { may, post } from "../api.js";
import { count, words } from "../format.js";
import { path } from "../router.js";
import { say } from "../say.js";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Loading, Notice, State } from "../ui/notice.jsx";
import { More, Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { Ago, Time } from "../ui/time.jsx";
import { use_list, use_live } from "../use.js";

const healths = { ok: ["works", "good"], failing: ["failing", "bad"], untried: ["not tried yet", "plain"] };

/* A test alert through one channel, marked as a test: what came of it. */
function Test({ channel, onDone }) {
	const [busy, set_busy] = useState(false);
	if (!may("operator")) return null;
	const run = async () => {
		set_busy(true);
		try {
			const answer = await post("/v1/alerts/test", { channel });
			onDone({ tone: "good", text: `${channel}: a test alert is on its way${answer?.id ? ` (alert ${answer.id})` : ""}.` });
		} catch (problem) {
			onDone({ tone: "bad", text: `${channel}: ${problem.message}` });
		}
		set_busy(false);
	};
	return (
		<button type="button" onClick={run} disabled={busy} aria-label={`Send a test alert to ${channel}`}>
			{busy ? "Sending…" : "Test"}
		</button>
	);
}

function channel_columns(onDone) {
	return [
		{ head: "Channel", main: true, cell: (c) => <Text value={c.name} most={80} /> },
		{ head: "Type", cell: (c) => c.type },
		{ head: "Health", cell: (c) => <State value={healths[c.health]?.[0] ?? c.health} tone={healths[c.health]?.[1]} /> },
		{ head: "Waiting", number: true, cell: (c) => count(c.pending) },
		{ head: "Given up", number: true, cell: (c) => count(c.failed) },
		{ head: "Last answer", cell: (c) => <Ago at={c.last_at} /> },
		{ head: "Last error", cell: (c) => <Text value={c.last_error} most={300} /> },
		{ head: "Tells", cell: (c) => <Text value={c.events.join(", ")} most={300} /> },
		{ head: "Try it", cell: (c) => <Test channel={c.name} onDone={onDone} /> },
	];
}

function fate(a) {
	if (a.fate === "pending") return a.tries > 0 ? `trying, ${a.tries} times so far` : "on its way";
	return a.fate === "failed" ? "given up" : a.fate;
}

const fates = { pending: "warn", failed: "bad", delivered: "good" };

const columns = [
	{ head: "Time", main: true, cell: (a) => <Time at={a.at} /> },
	{ head: "Event", cell: (a) => words(a.event) },
	{
		head: "Text",
		cell: (a) => (
			<>
				<Text value={a.text} most={500} />{" "}
				{a.batch && (
					<a href={path("/batches/:id", { id: a.batch })} data-item>
						Open {a.batch}
					</a>
				)}
			</>
		),
	},
	{ head: "Channel", cell: (a) => <Text value={a.channel} most={80} empty="none wants it" /> },
	{
		head: "Fate",
		cell: (a) => (
			<>
				<State value={fate(a)} tone={fates[a.fate]} />{" "}
				{a.error && (
					<span class="faint">
						<Text value={a.error} most={200} />
					</span>
				)}
			</>
		),
	},
];

export function Alerts() {
	const list = use_list("/v1/alerts", {});
	const [done, set_done] = useState(null);
	const finish = (result) => {
		set_done(result);
		say(result.text);
		list.reload();
	};
	use_live("alert", list.reload);
	const channels = list.data?.channels ?? [];
	return (
		<>
			<Heading text="Alerts" />
			<Failed problem={list.problem} retry={list.reload} />
			{!list.data && list.loading && <Loading />}
			{list.data && channels.length === 0 && (
				<Notice tone="warn">No channel is configured: nobody is told when a batch is held. Write a section alert.</Notice>
			)}
			{done && (
				<Notice tone={done.tone}>
					<Text value={done.text} />
				</Notice>
			)}
			{channels.length > 0 && (
				<section class="panel" aria-labelledby="channels">
					<h2 id="channels">Channels</h2>
					<Table caption="Channels" columns={channel_columns(finish)} rows={channels} row_key={(c) => c.name} row_class={(c) => (c.health === "failing" ? "bad" : "")} />
				</section>
			)}
			{list.data && (
				<section class="panel" aria-labelledby="told">
					<h2 id="told">What was told</h2>
					{list.items.length === 0 && <Empty>Nothing yet.</Empty>}
					{list.items.length > 0 && (
						<Table caption="Alerts, newest first" columns={columns} rows={list.items} row_key={(a) => `${a.id} ${a.channel} ${a.at}`} />
					)}
					<More list={list} what="alerts" />
				</section>
			)}
		</>
	);
}
