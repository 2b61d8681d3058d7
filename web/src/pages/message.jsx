/*
 * One message: to whom, what the gate thinks of it and why, and what is in it. Its HTML stands in a
 * frame with sandbox="" that the gate serves with a policy of its own: nothing runs in it, nothing is
 * loaded. The rest of it is text, shown by ui/text.jsx.
 */
import { useState } from "preact/hooks";
import { Deliveries } from "../message/deliveries.jsx";
import { Attachments, Headers, Html, Plain, Source, use_html } from "../message/tabs.jsx";
import { use_raw } from "../message/raw.js";
import { bytes } from "../format.js";
import { use_keys } from "../keys.js";
import { path } from "../router.js";
import { plain } from "../text.js";
import { Heading } from "../ui/heading.jsx";
import { Failed, Loading } from "../ui/notice.jsx";
import { Tabs } from "../ui/tabs.jsx";
import { Text } from "../ui/text.jsx";
import { Ago, Time } from "../ui/time.jsx";
import { use_get } from "../use.js";

function Envelope({ message }) {
	const batches = [...new Set(message.deliveries.map((d) => d.batch).filter(Boolean))];
	return (
		<section class="panel" aria-labelledby="envelope-title">
			<h2 id="envelope-title">Envelope</h2>
			<dl class="facts">
				<dt>From</dt>
				<dd>
					<Text value={message.sender} most={320} empty="<> (a report)" />
				</dd>
				<dt>Source</dt>
				<dd>
					<Text value={message.source} most={200} /> in{" "}
					<Text value={message.environment} most={80} />
				</dd>
				<dt>Accepted</dt>
				<dd>
					<Time at={message.accepted_at} /> (<Ago at={message.accepted_at} />)
				</dd>
				<dt>Size</dt>
				<dd>{bytes(message.bytes)}</dd>
				{batches.length > 0 && (
					<>
						<dt>Batch</dt>
						<dd>
							{batches.slice(0, 10).map((id) => (
								<a key={id} href={path("/batches/:id", { id })}>
									{id}
								</a>
							))}
						</dd>
					</>
				)}
			</dl>
			<Deliveries message={message} />
		</section>
	);
}

function Content({ message }) {
	const [chosen, set_tab] = useState(null);
	const html = use_html(message.id);
	const tab = chosen ?? (html.there === false && message.text ? "text" : "html");
	const raw = use_raw(message.id, tab === "source" || tab === "attachments");
	const shown = [
		{ id: "html", label: "HTML", content: () => <Html id={message.id} html={html} /> },
		{ id: "text", label: "Text", content: () => <Plain message={message} /> },
		{ id: "source", label: "Source", content: () => <Source id={message.id} raw={raw} /> },
		{ id: "headers", label: "Headers", content: () => <Headers text={message.header ?? ""} /> },
		{ id: "attachments", label: "Attachments", content: () => <Attachments raw={raw} /> },
	];
	const choose = (id, help) => ({ help, run: () => set_tab(id) });
	use_keys({
		h: choose("html", "HTML"),
		t: choose("text", "text"),
		s: choose("source", "source"),
		e: choose("headers", "headers"),
		a: choose("attachments", "attachments"),
	});
	return (
		<section class="panel" aria-label="Content">
			<Tabs label="Views of the message" tabs={shown} chosen={tab} onChoose={set_tab} />
		</section>
	);
}

export function Message({ params }) {
	const { data, problem, reload } = use_get(`/v1/messages/${encodeURIComponent(params.id)}`);
	if (!data)
		return (
			<>
				<Heading text={`Message ${plain(params.id)}`} />
				{problem ? (
					<Failed problem={problem} retry={reload} />
				) : (
					<Loading what="Reading the message" />
				)}
			</>
		);
	return (
		<>
			<Heading
				text={<Text value={data.subject} most={300} empty="(no subject)" />}
				title={data.subject || "(no subject)"}
			/>
			<Failed problem={problem} retry={reload} />
			<Envelope message={data} />
			<Content message={data} />
		</>
	);
}
