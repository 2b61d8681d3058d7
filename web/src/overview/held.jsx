/* The batches that wait for somebody, and those whose release goes on. */
import { count, duration } from "../format.js";
import { path } from "../router.js";
import { Empty, Failed, State } from "../ui/notice.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { Ago } from "../ui/time.jsx";

function limit(batch) {
	return batch.limit ? `${count(batch.limit)} in ${duration(batch.window)}` : "";
}

const columns = [
	{
		head: "Batch",
		main: true,
		cell: (b) => (
			<>
				{b.id} <Text value={b.subject || `from ${b.source || b.sender || "everywhere"}`} most={80} />
			</>
		),
	},
	{ head: "State", cell: (b) => <State value={b.plan ? b.plan.state : b.state} tone={b.held > 0 ? undefined : "plain"} /> },
	{ head: "Held", number: true, cell: (b) => <strong>{count(b.held)}</strong> },
	{ head: "Left before", number: true, cell: (b) => count(b.leaked) },
	{
		head: "Stopped by",
		cell: (b) => (
			<>
				<Text value={b.rule} most={60} /> <span class="faint">{limit(b)}</span>
			</>
		),
	},
	{ head: "Environment", cell: (b) => <Text value={b.environment} most={60} /> },
	{ head: "Began", cell: (b) => <Ago at={b.opened_at} /> },
	{ head: "Last mail", cell: (b) => <Ago at={b.last_at} /> },
];

export function HeldBatches({ list }) {
	const items = list.data?.items ?? [];
	return (
		<section class="panel" aria-labelledby="held">
			<h2 id="held" tabIndex={-1}>
				Batches
			</h2>
			<Failed problem={list.problem} retry={list.reload} />
			{list.data && items.length === 0 && <Empty>No batch waits for a decision.</Empty>}
			{items.length > 0 && (
				<Table
					caption="Batches that wait for a decision or are being released"
					columns={columns}
					rows={items}
					row_key={(b) => b.id}
					href={(b) => path("/batches/:id", { id: b.id })}
					row_class={(b) => (b.held > 0 ? "bad" : "")}
				/>
			)}
			{list.data?.next && <p class="faint">The newest {items.length} are shown; mailfuse batches lists all.</p>}
		</section>
	);
}
