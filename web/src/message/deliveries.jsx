/* The recipients of one message: the verdict of each, and the rule that gave it. */
import { useState } from "preact/hooks";
import { Rewritten } from "../batch/samples.jsx";
import { count, many } from "../format.js";
import { Failed, Loading, State } from "../ui/notice.jsx";
import { More, Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { use_list } from "../use.js";

const FIRST = 50;
const PAGE = 200;

function Why({ row }) {
	return (
		<>
			{row.rule && <Text value={row.rule} most={120} />}
			{row.rule && row.reason && ": "}
			{row.reason && <Text value={row.reason} most={400} />}
			{!row.rule && !row.reason && <span class="faint">passed all rules</span>}
			{row.reply && (
				<>
					{" "}
					<span class="faint">
						upstream: <Text value={row.reply} most={400} />
					</span>
				</>
			)}
		</>
	);
}

function Recipients({ rows }) {
	return (
		<Table
			caption="Recipients"
			rows={rows}
			row_key={(row) => row.id}
			columns={[
				{ head: "Recipient", main: true, cell: (row) => <Rewritten row={row} /> },
				{ head: "State", cell: (row) => <State value={row.state} /> },
				{ head: "Why", cell: (row) => <Why row={row} /> },
			]}
		/>
	);
}

/* All of them, a page at a time. */
function Whole({ message, first }) {
	const list = use_list("/v1/deliveries", { message: message.id, limit: PAGE });
	return (
		<>
			<Failed problem={list.problem} retry={list.reload} />
			<Recipients rows={list.items.length > 0 ? list.items : first} />
			{list.loading && list.items.length === 0 ? <Loading /> : <More list={list} what="recipients" />}
		</>
	);
}

export function Deliveries({ message }) {
	const [whole, set_whole] = useState(false);
	const first = message.deliveries.slice(0, FIRST);
	if (whole) return <Whole message={message} first={first} />;
	return (
		<>
			<Recipients rows={first} />
			{message.deliveries.length > FIRST && (
				<p class="more">
					<span class="faint">
						{count(FIRST)} of {message.deliveries_cut && "more than "}
						{many(message.deliveries.length, "recipient")} shown
					</span>
					<button type="button" onClick={() => set_whole(true)}>
						Show more
					</button>
				</p>
			)}
		</>
	);
}
