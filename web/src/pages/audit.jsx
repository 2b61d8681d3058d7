/* Who did what and why, newest first, as the audit log has it. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { many, words } from "../format.js";
import { match, set_query } from "../router.js";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Loading, Notice, State } from "../ui/notice.jsx";
import { Search } from "../ui/search.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { Time } from "../ui/time.jsx";
import { use_get, use_settled } from "../use.js";

const PAGE = 100;
const KEPT = 5000;
const AGAIN_MS = 10_000;

/* What a row is about, as a link where the console has a page of it. */
function About({ object }) {
	const href = /^B\d+$/.test(object) ? `/batches/${object}` : /^[0-9A-HJKMNP-TV-Z]{10,}$/.test(object) ? `/messages/${object}` : null;
	if (href === null || match(href).page === "missing") return <Text value={object} most={80} />;
	return (
		<a href={href} data-item>
			<Text value={object} most={80} />
		</a>
	);
}

const columns = [
	{ head: "Time", main: true, cell: (r) => <Time at={r.at} /> },
	{ head: "Who", cell: (r) => <Text value={r.who} most={80} /> },
	{
		head: "What",
		cell: (r) => (
			<>
				{words(r.action)} {r.malformed && <State value="not written by mailfuse" tone="bad" />}
			</>
		),
	},
	{ head: "About", cell: (r) => <About object={r.object} /> },
	{ head: "Why", cell: (r) => <Text value={r.reason} most={400} /> },
	{ head: "Detail", cell: (r) => <span class="faint"><Text value={r.detail} most={600} /></span> },
];

/* The newest rows, read again now and then, and older ones as they are asked for. */
function use_rows(object) {
	const query = { last: PAGE, object };
	const newest = use_get("/v1/audit", query, { every: AGAIN_MS });
	const [older, set_older] = useState({ rows: [], end: false, busy: false, problem: null });
	useEffect(() => set_older({ rows: [], end: false, busy: false, problem: null }), [object]);
	const known = new Map([...older.rows, ...(newest.data?.items ?? [])].map((r) => [r.id, r]));
	const rows = [...known.values()].sort((a, b) => b.id - a.id);
	const more = async () => {
		set_older((old) => ({ ...old, busy: true, problem: null }));
		try {
			const page = await get("/v1/audit", { ...query, before: rows.at(-1).id });
			// What is on the first page now may not be there when it is read again.
			set_older({ rows: [...rows, ...page.items], end: page.items.length < PAGE, busy: false, problem: null });
		} catch (problem) {
			set_older((old) => ({ ...old, busy: false, problem }));
		}
	};
	const end = older.rows.length > 0 ? older.end : rows.length < PAGE;
	return { ...newest, problem: newest.problem ?? older.problem, rows, more, busy: older.busy, end: end || rows.length >= KEPT };
}

export function Audit({ query }) {
	const [object, set_object] = useState(query.object ?? "");
	const settled = use_settled(object.trim());
	const list = use_rows(settled);
	useEffect(() => set_query({ object: settled }), [settled]);
	return (
		<>
			<Heading text="Audit">
				{list.data?.head && (
					<span class="faint">
						head {list.data.head.id}:<code title={list.data.head.hash}>{String(list.data.head.hash).slice(0, 16)}</code>
					</span>
				)}
			</Heading>
			<form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
				<Search label="About" hint="B17, a message, an environment" value={object} onChange={set_object} />
			</form>
			<Failed problem={list.problem} retry={list.reload} />
			{!list.data && list.loading && <Loading />}
			{list.rows.some((r) => r.malformed) && (
				<Notice tone="bad">Rows that mailfuse did not write are in the log: run mailfuse audit verify.</Notice>
			)}
			{list.data && list.rows.length === 0 && <Empty>{settled ? "Nothing is recorded about that." : "Nothing is recorded yet."}</Empty>}
			{list.rows.length > 0 && (
				<section class="panel" aria-label="Audit rows">
					<Table caption="Audit log, newest first" columns={columns} rows={list.rows} row_key={(r) => r.id} />
					<p class="more">
						<span class="faint">{many(list.rows.length, "row")} shown</span>
						{!list.end && (
							<button type="button" onClick={list.more} disabled={list.busy}>
								{list.busy ? "Loading…" : "Show older"}
							</button>
						)}
					</p>
				</section>
			)}
		</>
	);
}
