/*
 * The words and bodies of decisions: what a form asks for, what its dry run says, what a 409 says
 * has changed. Pure; called by batch/decide.jsx.
 */
import { parse_rings } from "./rings.js";

/* In the order in which the buttons stand. */
export const verbs = {
	approve: { label: "Approve", role: "approver", danger: false },
	resume: { label: "Resume", role: "operator", danger: false },
	pause: { label: "Pause", role: "operator", danger: false },
	release: { label: "Release", role: "operator", danger: false },
	restore: { label: "Restore", role: "operator", danger: false },
	discard: { label: "Discard", role: "operator", danger: true },
	purge: { label: "Purge", role: "operator", danger: true },
};

/*
 * What can be done now, as the gate says in the command lines of `story.next`: whether the
 * environment has an upstream, whether rings run, is the gate's knowledge, not the console's.
 */
export function offered_verbs(story) {
	const found = new Set();
	for (const line of story?.next || []) {
		const verb = /^mailfuse ([a-z]+)/.exec(line)?.[1];
		if (verb && Object.hasOwn(verbs, verb)) found.add(verb);
	}
	return Object.keys(verbs).filter((verb) => found.has(verb));
}

/* Why there is no button for `verbs`, and what to do about it. */
export function why_barred(barred) {
	const list = barred.map((verb) => verbs[verb].label.toLowerCase());
	const last = list.pop();
	const all = list.length > 0 ? `${list.join(", ")} or ${last}` : last;
	return `Your token may look, but not ${all}: log in with one that has the role operator, or ask somebody who has it.`;
}

/* Whether `session` may approve the plan, or the sentence that says why not. */
export function why_not_approve(plan, session) {
	if (session.roles && !session.roles.includes("approver")) return "Your token has no role approver.";
	if (is_me(plan.who, session)) return "You asked for it: another person has to approve.";
	if ((plan.approved_by || []).some((who) => is_me(who, session))) return "You have approved it already.";
	return null;
}

/* People by token stand as token:NAME in the log; a session's name may be either. */
function is_me(who, session) {
	return Boolean(who) && (who === session.name || who === `token:${session.name}`);
}

/*
 * What the batch was when its numbers were shown: where one differs by then, the gate refuses.
 * What a decision does not depend on is left out: while rings run, counts move by themselves.
 */
export function seen_of(verb, batch) {
	const plan = { plan: batch.plan ? batch.plan.id : null };
	if (verb === "pause") return plan;
	if (verb === "approve") return { state: batch.state, ...plan };
	if (verb === "resume") return { state: batch.state, ...plan, ring: batch.plan?.ring ?? null };
	return {
		state: batch.state,
		held: batch.held,
		released: batch.released,
		discarded: batch.discarded,
		...plan,
	};
}

export const empty_form = {
	how: "first", // first | percent | rings | all
	first: "10",
	percent: "5",
	rings: "10, 100, 1000, all",
	wait: "10m",
	stop_on_text: "2",
	rate: "",
	stream: "",
	reason: "",
};

function whole(text, most, what) {
	const trimmed = String(text).trim();
	if (!/^[0-9]{1,12}$/.test(trimmed) || Number(trimmed) < 1 || Number(trimmed) > most)
		throw new Error(`${what}: write a whole number from 1.`);
	return Number(trimmed);
}

function share(text, what, least) {
	const trimmed = String(text).trim().replace(/%$/, "");
	const number = Number(trimmed);
	if (
		trimmed === "" ||
		!Number.isFinite(number) ||
		number < least ||
		number > 100 ||
		(least === 0 ? false : number <= 0)
	)
		throw new Error(`${what}: write a number ${least === 0 ? "from 0" : "over 0"}, at most 100.`);
	return number;
}

/*
 * The body of the call, without reason, seen and dry_run. Throws a sentence for the person where a
 * field cannot be read; the rest is the gate's to refuse.
 */
export function decision_body(verb, batch, form) {
	const body = { ids: [batch.id] };
	if (verb === "approve" && batch.plan) body.plan = batch.plan.id;
	if (verb === "resume" && form.rate.trim()) body.rate = form.rate.trim();
	if (verb === "discard" && form.stream.trim()) body.stream = form.stream.trim();
	if (verb !== "release") return body;
	if (form.how === "first") body.first = whole(form.first, 1e12, "The number of recipients");
	if (form.how === "percent") body.percent = share(form.percent, "The share", Number.MIN_VALUE);
	if (form.how === "rings") {
		body.rings = parse_rings(form.rings);
		if (form.wait.trim()) body.wait = form.wait.trim();
		if (form.stop_on_text.trim() !== "") body.stop_on = share(form.stop_on_text, "The stop limit", 0);
	}
	if (form.rate.trim()) body.rate = form.rate.trim();
	if (form.stream.trim() && (form.how === "all" || form.how === "rings")) body.stream = form.stream.trim();
	return body;
}

/* How a new release form begins: by the size of what is held, as the gate's own advice does. */
export function form_for(batch, how) {
	const rings = batch.held > 1000 ? "10, 100, 1000, all" : batch.held > 100 ? "10, 100, all" : "10, all";
	return { ...empty_form, how: how || "first", rings };
}

const people = (n, count) => (n === 1 ? "1 recipient" : `${count(n)} recipients`);

/* The question above the reason: what happens, to how many people. `dry` is the answer of the dry run. */
export function question(verb, batch, body, dry, { count }) {
	const n = people(dry.recipients, count);
	const to = batch.environment ? `${batch.environment}’s upstream` : "the upstream of its environment";
	switch (verb) {
		case "release": {
			const asks = dry.state === "asked";
			const rings =
				dry.rings && dry.rings.length > 1
					? ` in ${dry.rings.length} rings of ${dry.rings.map(count).join(", ")}`
					: "";
			return `${asks ? "Ask for the release of" : "Release"} ${n} of ${batch.id} to ${to}${rings}${body.rate ? `, at ${body.rate}` : ""}?`;
		}
		case "discard":
			return `Discard ${n} of ${batch.id}, so that nothing of it is sent? Restore brings them back.`;
		case "restore":
			return `Restore ${n} of ${batch.id}, so that they are held again? Nothing is sent by it.`;
		case "purge":
			return `Purge ${n} of ${batch.id}? Their mail is deleted for good: nobody can restore it.`;
		case "approve":
			return dry.approvals_missing > 0
				? `Approve the release of ${people(dry.recipients + (dry.left || 0), count)} of ${batch.id}? After you ${count(dry.approvals_missing)} more must approve.`
				: `Approve the release of ${batch.id}? ${n} ${dry.recipients === 1 ? "leaves" : "leave"} at once, to ${to}.`;
		case "pause":
			return `Pause the release of ${batch.id}? ${n} that no upstream has yet ${dry.recipients === 1 ? "is" : "are"} held again.`;
		default:
			return `Resume the release of ${batch.id}? ${n} ${dry.recipients === 1 ? "leaves" : "leave"}, to ${to}.`;
	}
}

/* What follows from it, a sentence each. */
export function consequences(verb, batch, body, dry, { count, dateTime }) {
	const lines = [];
	if (verb === "release" && dry.state === "asked") {
		const missing =
			dry.approvals_missing === 1
				? "a second person has"
				: `${count(dry.approvals_missing)} more people have`;
		lines.push(
			`Nothing is sent before ${missing} approved it${dry.expires_at ? `, until ${dateTime(dry.expires_at)}` : ""}.`,
		);
	} else if (verb === "release") {
		if (dry.rings && dry.rings.length > 1)
			lines.push(
				`${people(dry.released, count)} ${dry.released === 1 ? "leaves" : "leave"} at once; each ring waits for the one before it.`,
			);
		lines.push(dry.left > 0 ? `${count(dry.left)} ${dry.left === 1 ? "stays" : "stay"} held then.` : "None stays held then.");
	}
	if (verb === "release" && body.stop_on !== undefined)
		lines.push(
			body.stop_on > 0
				? `It pauses by itself when more than ${body.stop_on}\u00a0% of a ring are refused.`
				: "It pauses by itself at the first refusal.",
		);
	if (verb === "release" && batch.plan && batch.plan.state === "paused")
		lines.push(
			`The release that is paused in ring ${batch.plan.ring} is replaced by this one; Resume would go on with it.`,
		);
	if (verb === "release" && batch.plan && batch.plan.state === "asked")
		lines.push("The release that waits for approval is replaced by this one.");
	if (body.stream)
		lines.push(`Mail that follows ${verb === "release" ? "passes" : "is discarded"} for ${body.stream}.`);
	if (verb === "discard" && !body.stream && batch.collecting)
		lines.push("Mail that follows goes on being held.");
	return lines;
}

/* The button that does it says the number again. */
export function do_label(verb, dry, { count }) {
	const label =
		verb === "release" && dry && dry.state === "asked" ? "Ask for release of" : verbs[verb].label;
	return dry && Number.isFinite(dry.recipients) && !(verb === "approve" && dry.approvals_missing > 0)
		? `${label} ${people(dry.recipients, count)}`
		: label;
}

const field_words = {
	state: "State",
	held: "Held",
	released: "Released",
	discarded: "Discarded",
	plan: "Release plan",
	ring: "Ring",
};

/* Rows [{name, before, now}] of a 409's `changed`; empty where it says none. */
export function changed_rows(problem, { count }) {
	const show = (value) =>
		value === null || value === undefined
			? "none"
			: typeof value === "number"
				? count(value)
				: String(value);
	const changed = problem && typeof problem.changed === "object" && problem.changed ? problem.changed : {};
	return Object.entries(changed)
		.filter(([, pair]) => Array.isArray(pair) && pair.length === 2)
		.map(([field, [before, now]]) => ({
			name: field_words[field] || field,
			before: show(before),
			now: show(now),
		}));
}

/* What was done, for the status line above the batch. */
export function done(verb, batch, answer, { count }) {
	const n = people(answer.recipients, count);
	if (verb === "release" && answer.state === "asked")
		return `Asked for the release of ${n}: another person has to approve.`;
	if (verb === "release" && answer.state === "running")
		return `Released ${count(answer.released)} of ${n}; the other rings follow.`;
	if (verb === "approve" && answer.approvals_missing > 0)
		return `Approved; ${count(answer.approvals_missing)} more must approve.`;
	const words = {
		release: `Released ${n}.`,
		discard: `Discarded ${n}; Restore brings them back.`,
		restore: `Restored ${n}: held again.`,
		purge: `Purged ${n}: deleted for good.`,
		approve: `Approved: ${n} released.`,
		pause: `Paused: ${n} held again.`,
		resume: `Resumed: ${n} released.`,
	};
	return words[verb];
}
