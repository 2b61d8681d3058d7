/* The configuration in force, a section at a time; secrets are not told. */
import { useEffect, useState } from "preact/hooks";
import { sections } from "../settings/sections.js";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Loading, State } from "../ui/notice.jsx";
import { Search } from "../ui/search.jsx";
import { Table, More } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { use_list } from "../use.js";

const columns = [
	{ head: "Setting", main: true, cell: (s) => <code><Text value={s.name} /></code> },
	{
		head: "Value",
		cell: (s) => (
			<>
				<code>
					<Text value={s.value} most={1000} empty="(none)" />
				</code>{" "}
				{s.changed && <State value="changed" tone="accent" />}
			</>
		),
	},
	{ head: "Default", cell: (s) => <code class="faint"><Text value={s.default} empty="(none)" /></code> },
	{
		head: "What it is",
		cell: (s) => (
			<span class="faint">
				<Text value={s.help} />
				{s.restart && " A change needs a restart."}
			</span>
		),
	},
];

/* All pages, one after another: a person looks for a word in all of it. */
function use_all() {
	const list = use_list("/v1/settings", {});
	useEffect(() => {
		if (list.next !== null && !list.busy && !list.problem && list.items.length < 5000) list.more();
	}, [list.next, list.busy, list.problem]);
	return list;
}

export function Settings() {
	const list = use_all();
	const [word, set_word] = useState("");
	// On a phone all of them are a hundred screens.
	const [only, set_only] = useState(() => matchMedia("(max-width: 720px)").matches);
	const shown = sections(list.items, { word, changed: only });
	return (
		<>
			<Heading text="Settings in force">
				{list.data?.config && (
					<span class="faint">
						out of <code><Text value={list.data.config} /></code>
					</span>
				)}
			</Heading>
			<form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
				<Search label="Search" value={word} onChange={set_word} />
				<label class="check">
					<input type="checkbox" checked={only} onChange={(e) => set_only(e.currentTarget.checked)} /> Only what is not the default
				</label>
			</form>
			<Failed problem={list.problem} retry={list.reload} />
			{!list.data && list.loading && <Loading />}
			{list.data && shown.length === 0 && <Empty>No setting has that.</Empty>}
			{shown.map((s) => (
				<section key={s.key} class="panel" aria-label={s.name}>
					<h2>
						<Text value={s.name} most={200} />
					</h2>
					<Table caption={s.name} columns={columns} rows={s.rows} row_key={(r) => r.name} kind="settings" />
				</section>
			))}
			{list.next && <More list={list} what="settings" />}
		</>
	);
}
