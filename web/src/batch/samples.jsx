/* Whom it was for and what it says: top domains, subjects, the first messages, the fate of its alerts. */
import { count, words } from "../format.js";
import { Empty, State } from "../ui/notice.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { Ago, Time } from "../ui/time.jsx";
import { path } from "../router.js";

function share(part, all) {
	const percent = all > 0 ? (part / all) * 100 : 0;
	return percent > 0 && percent < 1 ? "<1 %" : `${Math.round(percent)} %`;
}

export function Domains({ batch }) {
	const rows = batch.story.top_domains;
	if (rows.length === 0) return <Empty>None.</Empty>;
	return (
		<Table
			caption="Top domains"
			rows={rows}
			row_key={(row) => row.value}
			columns={[
				{ head: "Domain", main: true, cell: (row) => <Text value={row.value} most={120} /> },
				{ head: "Recipients", number: true, cell: (row) => count(row.count) },
				{ head: "Share", number: true, cell: (row) => share(row.count, batch.recipients) },
			]}
		/>
	);
}

export function Subjects({ subjects }) {
	if (subjects.length === 0) return <Empty>None.</Empty>;
	return (
		<ul class="plain-list">
			{subjects.map((subject, i) => (
				<li key={i}>
					<Text value={subject.value ?? subject} most={300} empty="(no subject)" />{" "}
					{subject.count !== undefined && <span class="faint number">{count(subject.count)}</span>}
				</li>
			))}
		</ul>
	);
}

/* Deliveries as rows that lead to their messages; also the inbox's and the batch's whole list. */
export function Deliveries({ caption, rows }) {
	return (
		<Table
			caption={caption}
			rows={rows}
			row_key={(row) => row.id}
			href={(row) => path("/messages/:id", { id: row.message })}
			columns={[
				{ head: "Recipient", main: true, cell: (row) => <Rewritten row={row} /> },
				{
					head: "Subject",
					cell: (row) => <Text value={row.subject} most={200} empty="(no subject)" />,
				},
				{
					head: "State",
					cell: (row) => (
						<State value={row.state} tone={row.state === "held" ? "plain" : undefined} />
					),
				},
				{ head: "Accepted", cell: (row) => <Time at={row.accepted_at} /> },
			]}
		/>
	);
}

/* The original recipient, and whom it was rewritten to where that is somebody else. */
export function Rewritten({ row }) {
	return (
		<span class="rewritten">
			<Text value={row.recipient} most={320} />
			{row.final && row.final !== row.recipient && (
				<span class="rewritten-to">
					<span aria-hidden="true">→&nbsp;</span>
					<span class="hidden">rewritten to </span>
					<Text value={row.final} most={320} />
				</span>
			)}
		</span>
	);
}

export function Fates({ alerts }) {
	if (alerts.length === 0) return <Empty>No alert of this batch yet.</Empty>;
	return (
		<Table
			caption="Alerts of this batch"
			rows={alerts}
			row_key={(row) => `${row.id} ${row.channel}`}
			columns={[
				{ head: "Event", main: true, cell: (row) => words(row.event) },
				{
					head: "Channel",
					cell: (row) => <Text value={row.channel} most={80} empty="none wanted it" />,
				},
				{ head: "Fate", cell: (row) => <State value={row.fate} /> },
				{ head: "When", cell: (row) => <Ago at={row.done_at ?? row.at} /> },
				{ head: "Error", cell: (row) => <Text value={row.error} most={200} empty="" /> },
			]}
		/>
	);
}
