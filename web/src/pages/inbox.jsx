/*
 * The mail of one non-production environment as an inbox: what would have been sent, to whom, and
 * where it went instead. The newest first; a search asks the gate, which looks at a bounded number of
 * rows a call, so a page without a find may have a next.
 */
import { useEffect, useState } from "preact/hooks";
import { Rewritten } from "../batch/samples.jsx";
import { go, path, set_query } from "../router.js";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Loading, State } from "../ui/notice.jsx";
import { Search } from "../ui/search.jsx";
import { More, Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { Ago } from "../ui/time.jsx";
import { use_get, use_list, use_settled } from "../use.js";

const PAGE = 50;
const POLL_MS = 5000;

const states = [
	["", "all"],
	["held", "held"],
	["dropped", "dropped"],
	["queued", "queued"],
	["sent", "sent"],
	["failed", "failed"],
	["discarded", "discarded"],
];

const columns = [
	{
		head: "Subject",
		main: true,
		cell: (row) => <Text value={row.subject} most={200} empty="(no subject)" />,
	},
	{ head: "To", cell: (row) => <Rewritten row={row} /> },
	{ head: "From", cell: (row) => <Text value={row.sender} most={200} empty="<>" /> },
	{
		head: "State",
		cell: (row) => <State value={row.state} tone={row.state === "held" ? "plain" : undefined} />,
	},
	{ head: "When", cell: (row) => <Ago at={row.accepted_at} /> },
];

/* New mail comes in by itself as long as only the first page is there. */
function use_fresh(list) {
	const quiet = list.items.length <= PAGE;
	useEffect(() => {
		if (!quiet) return undefined;
		const timer = setInterval(() => document.hidden || list.reload(), POLL_MS);
		return () => clearInterval(timer);
	}, [quiet, list.reload]);
}

function Mail({ environment, q, state }) {
	const list = use_list("/v1/deliveries", { environment, q, state, order: "newest", limit: PAGE });
	use_fresh(list);
	if (list.items.length === 0)
		return (
			<>
				<Failed problem={list.problem} retry={list.reload} />
				{list.loading ? <Loading what="Reading the inbox" /> : <Nothing list={list} q={q} />}
			</>
		);
	return (
		<section class="panel" aria-label="Mail">
			<Failed problem={list.problem} retry={list.reload} />
			<Table
				caption={`Mail of ${environment}`}
				rows={list.items}
				row_key={(row) => row.id}
				href={(row) => path("/messages/:id", { id: row.message })}
				columns={columns}
			/>
			<More list={list} what="recipients" />
		</section>
	);
}

function Nothing({ list, q }) {
	if (list.problem) return null;
	if (list.next)
		return (
			<p class="more">
				<span>Nothing in the newest part.</span>
				<button type="button" onClick={list.more} disabled={list.busy}>
					Look further back
				</button>
			</p>
		);
	return <Empty>{q ? "No mail fits." : "No mail yet."}</Empty>;
}

function Filters({ environments, environment, query }) {
	const [text, set_text] = useState(query.q ?? "");
	const q = use_settled(text.trim());
	useEffect(() => {
		if (q !== (query.q ?? "")) set_query({ q });
	}, [q]);
	return (
		<form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
			<label>
				Environment
				<select
					value={environment}
					onChange={(e) =>
						go(path("/inbox/:environment", { environment: e.currentTarget.value }, query))
					}
				>
					{environments.map((name) => (
						<option key={name}>{name}</option>
					))}
				</select>
			</label>
			<Search value={text} onChange={set_text} />
			<label>
				State
				<select
					value={query.state ?? ""}
					onChange={(e) => set_query({ state: e.currentTarget.value })}
				>
					{states.map(([value, label]) => (
						<option key={value} value={value}>
							{label}
						</option>
					))}
				</select>
			</label>
		</form>
	);
}

export function Inbox({ params, query }) {
	const { data, problem, reload } = use_get("/v1/environments");
	if (!data)
		return (
			<>
				<Heading text="Inbox" />
				{problem ? <Failed problem={problem} retry={reload} /> : <Loading />}
			</>
		);
	const names = data.items.filter((e) => !e.production).map((e) => e.name);
	const environment = params.environment ?? names[0];
	return (
		<>
			<Heading text="Inbox" title={environment ? `Inbox of ${environment}` : "Inbox"} />
			<Failed problem={problem} retry={reload} />
			{environment === undefined ? (
				<Empty>The configuration has no environment besides production.</Empty>
			) : (
				<>
					<Filters
						environments={names.includes(environment) ? names : [environment, ...names]}
						environment={environment}
						query={query}
					/>
					<Mail
						key={`${environment} ${query.q ?? ""} ${query.state ?? ""}`}
						environment={environment}
						q={query.q}
						state={query.state}
					/>
				</>
			)}
		</>
	);
}
