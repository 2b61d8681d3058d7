/* The recipients of one message: the verdict of each, and the rule that gave it. */
import { useState } from "preact/hooks";
import { Rewritten } from "../batch/samples.jsx";
import { count } from "../format.js";
import { State } from "../ui/notice.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";

const FIRST = 50;

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

export function Deliveries({ rows }) {
	const [all, set_all] = useState(false);
	const shown = all ? rows : rows.slice(0, FIRST);
	return (
		<>
			<Table
				caption="Recipients"
				rows={shown}
				row_key={(row) => row.id}
				columns={[
					{ head: "Recipient", main: true, cell: (row) => <Rewritten row={row} /> },
					{ head: "State", cell: (row) => <State value={row.state} /> },
					{ head: "Why", cell: (row) => <Why row={row} /> },
				]}
			/>
			{shown.length < rows.length && (
				<button type="button" onClick={() => set_all(true)}>
					Show all {count(rows.length)} recipients
				</button>
			)}
		</>
	);
}
