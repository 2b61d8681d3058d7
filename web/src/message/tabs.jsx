/* The views of one message. What is cut short says so. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { get_bytes } from "../api.js";
import { bytes, count } from "../format.js";
import { Empty, Failed, Loading, Notice } from "../ui/notice.jsx";
import { Table } from "../ui/table.jsx";
import { Text } from "../ui/text.jsx";
import { header_rows } from "./header.js";
import { limits } from "./limits.js";

function html_url(id) {
	return `/v1/messages/${encodeURIComponent(id)}/html`;
}

/* Whether the gate finds HTML in it: asked first, so that no error stands in the frame. */
export function use_html(id) {
	const [state, set] = useState({ there: null, problem: null });
	const url = html_url(id);
	useEffect(() => {
		const abort = new AbortController();
		get_bytes(url, 1, abort.signal)
			.then(() => set({ there: true, problem: null }))
			.catch((problem) => {
				if (problem.name === "AbortError") return;
				set(problem.status === 404 ? { there: false, problem: null } : { there: null, problem });
			});
		return () => abort.abort();
	}, [url]);
	return state;
}

export function Html({ id, html }) {
	const { there, problem } = html;
	if (problem) return <Failed problem={problem} />;
	if (there === null) return <Loading what="Looking for HTML" />;
	if (!there) return <Empty>This message has no HTML that can be read; see Text or Source.</Empty>;
	return (
		<>
			<p class="hint">
				Shown without anything from elsewhere: remote images, scripts, forms and links do nothing
				here.
			</p>
			<iframe
				class="mail-frame"
				sandbox=""
				referrerpolicy="no-referrer"
				src={html_url(id)}
				title="The HTML of the message"
			/>
		</>
	);
}

export function Plain({ message }) {
	if (!message.text) return <Empty>This message has no text.</Empty>;
	return (
		<>
			<pre class="mail-text" tabIndex={0} aria-label="Text">
				<Text value={message.text} lines most={limits.text_characters} />
			</pre>
			{message.text_cut && <p class="hint">There is more of it: see Source.</p>}
		</>
	);
}

export function Source({ id, raw }) {
	if (!raw) return <Loading what="Reading the source" />;
	if (raw.problem) return <Failed problem={raw.problem} />;
	return (
		<>
			<p class="row">
				<span class="faint">
					{raw.cut
						? `The first ${bytes(limits.source_bytes)} of it, as it would leave.`
						: `As it would leave, ${bytes(raw.bytes)}.`}
				</span>
				<a href={`/v1/messages/${encodeURIComponent(id)}/raw`} download={`${id}.eml`}>
					Save as a file
				</a>
			</p>
			<pre class="mail-text" tabIndex={0} aria-label="Source">
				<Text value={raw.text} lines most={limits.source_bytes} />
			</pre>
		</>
	);
}

export function Headers({ text }) {
	const { rows, more } = useMemo(() => header_rows(text), [text]);
	if (rows.length === 0) return <Empty>It has no header.</Empty>;
	return (
		<>
			<Table
				caption="Headers"
				rows={rows}
				columns={[
					{
						head: "Name",
						main: true,
						cell: (row) => <Text value={row.name} most={200} empty="(none)" />,
					},
					{
						head: "Value",
						cell: (row) => (
							<>
								<Text value={row.value} most={limits.header_characters} empty="" />
								{row.decoded !== null && (
									<div class="decoded">
										<Text value={row.decoded} most={limits.header_characters} />
									</div>
								)}
							</>
						),
					},
				]}
			/>
			{more > 0 && <p class="hint">{count(more)} more: see Source.</p>}
		</>
	);
}

export function Attachments({ raw }) {
	if (!raw) return <Loading what="Reading the message" />;
	if (raw.problem) return <Failed problem={raw.problem} />;
	if (raw.parts_problem)
		return (
			<Notice tone="warn" title="Its attachments cannot be listed.">
				<Text value={raw.parts_problem.message} most={300} /> See Source.
			</Notice>
		);
	if (!raw.parts) return <Loading what="Taking it apart" />;
	const { attachments, more } = raw.parts;
	if (attachments.length === 0) return <Empty>It has no attachments.</Empty>;
	return (
		<>
			<Table
				caption="Attachments"
				rows={attachments}
				columns={[
					{
						head: "Name",
						main: true,
						cell: (row) => <Text value={row.name} most={300} empty="(no name)" />,
					},
					{ head: "Type", cell: (row) => <Text value={row.type} most={120} /> },
					{ head: "Size", number: true, cell: (row) => bytes(row.bytes) },
					{ head: "Place", cell: (row) => (row.inline ? "within the text" : "attached") },
				]}
			/>
			{more > 0 && <p class="hint">{count(more)} more are not listed.</p>}
		</>
	);
}
