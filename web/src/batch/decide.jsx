/*
 * The dialog of a decision. It reads the batch anew, asks the gate by a dry run how many people the
 * decision touches, and says that number in the question and on the button. What it has shown goes
 * with the decision as `seen`: where the batch is another by then, the gate refuses, and the dialog
 * says what changed.
 */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, post, session } from "../api.js";
import { count, time } from "../format.js";
import { say } from "../say.js";
import { Dialog, Field } from "../ui/dialog.jsx";
import { Failed, Loading, Notice } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { use_settled } from "../use.js";
import { ReleaseFields, StreamField, RateField } from "./fields.jsx";
import * as ask from "./questions.js";

const words = { count, dateTime: (at) => time(at) };
const DRY_REASON = "dry run of the console";

/* {snapshot, dry, body, problem, busy, recount} for the form as it stands. */
function use_dry_run(verb, batch, form) {
	const { reason: _, ...rest } = form;
	const settled = use_settled(JSON.stringify(rest), 250);
	const [state, set] = useState({ snapshot: batch, dry: null, body: null, problem: null, of: null });
	const turn = useRef(0);
	const recount = useCallback(async () => {
		const mine = ++turn.current;
		try {
			const snapshot = await get(`/v1/batches/${batch.id}`);
			const body = ask.decision_body(verb, snapshot, JSON.parse(settled));
			const dry = await post(`/v1/${verb}`, { ...body, reason: DRY_REASON, dry_run: true });
			if (mine === turn.current) set({ snapshot, dry, body, problem: null, of: settled });
		} catch (problem) {
			if (mine === turn.current) set((old) => ({ ...old, dry: null, problem, of: settled }));
		}
	}, [verb, batch.id, settled]);
	useEffect(() => {
		recount();
		return () => turn.current++;
	}, [recount]);
	return { ...state, busy: state.of !== JSON.stringify(rest), recount };
}

function Changed({ problem, again }) {
	const rows = ask.changed_rows(problem, words);
	return (
		<Notice
			tone="bad"
			title={rows.length > 0 ? "The batch has changed since you looked." : "The gate refused it."}
			action={
				<button type="button" onClick={again}>
					Look again
				</button>
			}
		>
			{rows.length > 0 ? (
				<ul class="plain-list changes">
					{rows.map((row) => (
						<li key={row.name}>
							{row.name}: {row.before} <span aria-hidden="true">→</span>
							<span class="hidden"> is now </span> <strong>{row.now}</strong>
						</li>
					))}
				</ul>
			) : (
				<Text value={problem.message} most={600} />
			)}
		</Notice>
	);
}

function Question({ verb, run }) {
	if (run.problem)
		return (
			<Failed
				problem={run.problem}
				retry={run.problem.status === undefined ? undefined : run.recount}
			/>
		);
	if (!run.dry)
		return (
			<div class="question">
				<Loading what="Counting the people it touches" />
			</div>
		);
	return (
		<div class="question" aria-live="polite" aria-busy={run.busy}>
			<p>
				<strong>
					<Text value={ask.question(verb, run.snapshot, run.body, run.dry, words)} most={600} />
				</strong>
			</p>
			{ask.consequences(verb, run.snapshot, run.body, run.dry, words).map((line) => (
				<p key={line}>{line}</p>
			))}
		</div>
	);
}

function Reason({ verb, value, error, onInput, field }) {
	const optional = verb === "approve";
	return (
		<Field
			label={optional ? "Reason (optional)" : "Reason"}
			hint="It stands in the audit log with your name."
			error={error}
		>
			{(props) => (
				<textarea
					{...props}
					ref={field}
					name="reason"
					rows="2"
					maxLength={1000}
					required={!optional}
					value={value}
					onInput={(e) => onInput(e.currentTarget.value)}
				/>
			)}
		</Field>
	);
}

/* The form, and what came of sending it: {form, change, run, submit, again, busy, missing, refused}. */
function use_decision({ verb, batch, how, reason, onDone }) {
	const [form, set_form] = useState(() => ask.form_for(batch, how));
	const [refused, set_refused] = useState(null);
	const [busy, set_busy] = useState(false);
	const [missing, set_missing] = useState(null);
	const run = use_dry_run(verb, batch, form);
	const change = (part) => {
		if ("reason" in part) set_missing(null);
		set_form((old) => ({ ...old, ...part }));
	};
	const again = () => {
		set_refused(null);
		run.recount();
	};
	const submit = async () => {
		const text = form.reason.trim();
		if (verb !== "approve" && text === "") {
			set_missing("Say why: whoever looks at this later will ask.");
			reason.current.focus();
			return;
		}
		if (!run.dry || run.busy) return;
		set_busy(true);
		set_refused(null);
		try {
			const seen = ask.seen_of(verb, run.snapshot);
			const answer = await post(`/v1/${verb}`, { ...run.body, ...(text ? { reason: text } : {}), seen });
			const sentence = ask.done(verb, batch, answer, words);
			say(sentence);
			onDone(sentence);
		} catch (problem) {
			set_refused(problem);
			set_busy(false);
		}
	};
	return { form, change, run, submit, again, busy, missing, refused };
}

function DecisionFields({ verb, batch, form, change }) {
	if (verb === "release") return <ReleaseFields form={form} change={change} batch={batch} />;
	if (verb === "resume") return <RateField form={form} change={change} />;
	if (verb !== "discard") return null;
	return (
		<details>
			<summary>What follows</summary>
			<div class="fields">
				<StreamField form={form} change={change} what="is discarded" />
			</div>
		</details>
	);
}

/* `how`: which part a release begins with; `onDone(sentence)` after it is done. */
export function Decide({ verb, batch, how, onClose, onDone }) {
	const reason = useRef(null);
	const { form, change, run, submit, again, busy, missing, refused } = use_decision({ verb, batch, how, reason, onDone });
	const { label, danger } = ask.verbs[verb];
	return (
		<Dialog
			title={`${label} ${batch.id}`}
			onClose={onClose}
			onSubmit={submit}
			busy={busy}
			wide={verb === "release"}
			actions={
				<button
					type="submit"
					class={danger ? "primary danger" : "primary"}
					disabled={busy || run.busy || !run.dry || refused !== null}
				>
					{busy ? "Working…" : ask.do_label(verb, run.dry, words)}
				</button>
			}
		>
			<DecisionFields verb={verb} batch={batch} form={form} change={change} />
			<Question verb={verb} run={run} />
			<Reason
				verb={verb}
				value={form.reason}
				error={missing}
				field={reason}
				onInput={(value) => change({ reason: value })}
			/>
			{refused && <Changed problem={refused} again={again} />}
		</Dialog>
	);
}

/* The buttons of one verb: [{key, label, kind, verb, how}]; a large batch can be released in part. */
function choices_of(verb, batch) {
	const { label, danger } = ask.verbs[verb];
	if (verb !== "release")
		return [{ key: verb, label: `${label}…`, kind: danger ? "danger" : verb === "approve" ? "primary" : "", verb }];
	if (batch.held <= 10) return [{ key: verb, label: "Release…", kind: "", verb, how: "all" }];
	return [
		{ key: "first", label: "Release first 10…", kind: "primary", verb, how: "first" },
		{ key: verb, label: "Release in rings or all…", kind: "", verb, how: "rings" },
	];
}

/* Buttons for what the gate offers now; `onChoose({verb, how})`. */
export function Buttons({ verbs, batch, why_not_approve, onChoose }) {
	const who = session.get();
	const may = (verb) => who?.roles?.includes(ask.verbs[verb].role);
	const shown = verbs.filter((verb) => may(verb) || verb === "approve");
	const barred = verbs.filter((verb) => !may(verb) && verb !== "approve");
	return (
		<div class="decisions">
			<div class="actions">
				{shown.flatMap((verb) => choices_of(verb, batch)).map(({ key, label, kind, verb, how }) => (
					<button
						key={key}
						type="button"
						class={kind}
						disabled={verb === "approve" && why_not_approve !== null}
						onClick={() => onChoose({ verb, how })}
					>
						{label}
					</button>
				))}
			</div>
			{barred.length > 0 && <p class="hint">{ask.why_barred(barred)}</p>}
		</div>
	);
}
