/*
 * One batch: what stopped it, how it came in, whom it is for, what was decided and how that goes on,
 * and the decisions. Live by the events of the batch; its story is read again at most every two
 * seconds, since it costs the gate more than the numbers do.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { session } from "../api.js";
import { Arrivals } from "../batch/arrivals.jsx";
import { Buttons, Decide } from "../batch/decide.jsx";
import { Facts, Figures } from "../batch/facts.jsx";
import { Plan } from "../batch/plan.jsx";
import { offered_verbs, why_not_approve } from "../batch/questions.js";
import { Deliveries, Domains, Fates, Subjects } from "../batch/samples.jsx";
import { Whole } from "../batch/whole.jsx";
import { count } from "../format.js";
import { use_keys } from "../keys.js";
import { live } from "../live.js";
import { say } from "../say.js";
import { Heading } from "../ui/heading.jsx";
import { Failed, Loading, Notice, State } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { use_get, use_live, use_state, use_throttled } from "../use.js";

const STORY_MS = 2000;
const POLL_MS = 5000;

/* The batch as it is: {batch, problem, reload}. The numbers of an event stand before the story is read again. */
function use_batch(id) {
	const stream = use_state(live);
	const asked = use_get(
		`/v1/batches/${encodeURIComponent(id)}`,
		{},
		{ every: stream === "on" ? 0 : POLL_MS },
	);
	const [newer, set_newer] = useState(null);
	const soon = use_throttled(asked.reload, STORY_MS);
	useEffect(() => set_newer(null), [asked.data]);
	use_live("batch", (event) => {
		if (event?.id !== id) return;
		set_newer(event);
		soon();
	});
	return { ...asked, batch: asked.data && newer ? { ...asked.data, ...newer } : asked.data };
}

/* Reads out a change of state, not each number. */
function use_spoken(batch) {
	const before = useRef(null);
	useEffect(() => {
		if (!batch) return;
		const now = `${batch.state} ${batch.plan?.state ?? ""} ${batch.plan?.ring ?? ""}`;
		if (before.current !== null && before.current !== now)
			say(
				`${batch.id} is ${batch.state}, ${count(batch.held)} held${batch.plan ? `; release ${batch.plan.state}, ring ${batch.plan.ring}` : ""}`,
			);
		before.current = now;
	}, [batch]);
}

function Panel({ title, children, id }) {
	return (
		<section class="panel" aria-labelledby={id}>
			<h2 id={id}>{title}</h2>
			{children}
		</section>
	);
}

function Next({ lines }) {
	return (
		<details class="next">
			<summary>The same on the command line</summary>
			<ul class="plain-list">
				{lines.map((line) => (
					<li key={line}>
						<code>{line}</code>
					</li>
				))}
			</ul>
		</details>
	);
}

function Body({ batch }) {
	return (
		<>
			<Panel title="Arrivals" id="arrivals-title">
				<Arrivals batch={batch} />
			</Panel>
			<div class="columns">
				<Panel title="Top domains" id="domains-title">
					<Domains batch={batch} />
				</Panel>
				<Panel title="Sample subjects" id="subjects-title">
					<Subjects subjects={batch.story.subjects} />
				</Panel>
			</div>
			<Panel title="Sample messages" id="messages-title">
				<Deliveries caption="Sample messages" rows={batch.story.first_messages} />
				<Whole batch={batch} />
			</Panel>
		</>
	);
}

function Alerts({ id, state }) {
	const { data, problem, reload } = use_get(`/v1/batches/${encodeURIComponent(id)}/alerts`, { limit: 20 });
	use_live("alert", reload);
	useEffect(() => {
		if (data) reload();
	}, [state]);
	return (
		<Panel title="Its alerts" id="alerts-title">
			<Failed problem={problem} retry={reload} />
			{data && <Fates alerts={data.items} />}
		</Panel>
	);
}

function use_decision_keys(verbs, onChoose) {
	const choose = (verb, how) => () => verbs.includes(verb) && onChoose({ verb, how });
	use_keys({
		r: { help: "release", run: choose("release", "rings") },
		p: { help: "pause", run: choose("pause") },
		d: { help: "discard", run: choose("discard") },
	});
}

export function Batch({ params }) {
	const { batch, problem, reload } = use_batch(params.id);
	const who = use_state(session);
	const [choice, set_choice] = useState(null);
	const [done, set_done] = useState(null);
	use_spoken(batch);
	const verbs = offered_verbs(batch?.story);
	use_decision_keys(who?.roles?.includes("operator") ? verbs : [], set_choice);
	if (!batch)
		return (
			<>
				<Heading text={`Batch ${params.id}`} />
				{problem ? <Failed problem={problem} retry={reload} /> : <Loading what="Reading the batch" />}
			</>
		);
	const why_not = batch.plan && who ? why_not_approve(batch.plan, who) : null;
	const finish = (sentence) => {
		set_choice(null);
		set_done(sentence);
		reload();
	};
	return (
		<>
			<Heading text={`Batch ${batch.id}`}>
				<State value={batch.state} />
				<Text value={batch.environment} most={80} empty="several environments" />
			</Heading>
			<Failed problem={problem} retry={reload} />
			{done && <Notice tone="good">{done}</Notice>}
			<section class="panel" aria-label="What it is and what can be done">
				<Figures batch={batch} />
				<Buttons verbs={verbs} batch={batch} why_not_approve={why_not} onChoose={set_choice} />
				<Next lines={batch.story.next} />
				<Facts batch={batch} />
			</section>
			{batch.plan && <Plan plan={batch.plan} session={who} why_not={why_not} />}
			<Body batch={batch} />
			<Alerts id={params.id} state={batch.state} />
			{choice && (
				<Decide
					key={`${choice.verb} ${choice.how}`}
					verb={choice.verb}
					how={choice.how}
					batch={batch}
					onClose={() => set_choice(null)}
					onDone={finish}
				/>
			)}
		</>
	);
}
