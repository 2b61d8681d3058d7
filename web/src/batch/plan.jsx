/* How the release of a batch goes on: its rings with their progress, what was refused, what it waits for. */
import { count, many } from "../format.js";
import { Notice, State } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { Ago, Time } from "../ui/time.jsx";
import { is_over, ring_percent, ring_rows } from "./rings.js";
import { plan_terms } from "./words.js";

function Ring({ row }) {
	const percent = ring_percent(row);
	const label = `Ring ${row.number}: ${count(row.size)}`;
	return (
		<li class="ring" data-state={row.state}>
			<span class="ring-name">
				{label}{" "}
				<State value={row.state} tone={{ done: "good", now: "accent", paused: "bad" }[row.state]} />
			</span>
			<progress max="100" value={percent} aria-label={label}>
				{percent} %
			</progress>
			<span class="ring-count number">
				{row.state === "now" || row.state === "paused" || row.state === "ended"
					? `${count(row.sent)} sent${row.failed > 0 ? `, ${count(row.failed)} failed` : ""}`
					: `${percent} %`}
			</span>
		</li>
	);
}

function Refusals({ plan }) {
	if (!plan.refused && !(plan.refusals?.length > 0)) return null;
	return (
		<>
			<p>
				Refused in this ring: {count(plan.deferred)} for now (4xx), {count(plan.failed)} for good
				(5xx).
			</p>
			<ul class="plain-list">
				{(plan.refusals ?? []).slice(0, 20).map((refusal) => (
					<li key={refusal.reply}>
						{many(refusal.count, "time")}: <Text value={refusal.reply} most={400} />
					</li>
				))}
			</ul>
		</>
	);
}

function Asked({ plan, session, why_not }) {
	const missing = plan.approvals_missing;
	return (
		<Notice
			tone="warn"
			title={`Waits for ${missing === 1 ? "one more person" : `${count(missing)} more people`}.`}
		>
			<Text value={plan.who} most={80} /> asked <Ago at={plan.created_at} />
			{plan.approved_by?.length > 0 && (
				<>
					; approved by <Text value={plan.approved_by.join(", ")} most={400} />
				</>
			)}
			. Anybody else with the role approver may approve until <Time at={plan.expires_at} />; then the
			request lapses. {why_not ?? `You (${session?.name ?? "?"}) may approve.`}
		</Notice>
	);
}

export function Plan({ plan, session, why_not }) {
	const terms = plan_terms(plan);
	return (
		<section class="panel" aria-labelledby="plan-title">
			<div class="panel-head">
				<h2 id="plan-title">
					Release <State value={plan.state} tone={plan.state === "done" ? "good" : undefined} />
				</h2>
				<span class="faint number">
					{count(plan.released)} of {many(plan.total, "recipient")} released
				</span>
			</div>
			{plan.state === "asked" && <Asked plan={plan} session={session} why_not={why_not} />}
			{plan.why && (plan.state === "paused" || plan.state === "ended") && (
				<Notice
					tone={plan.state === "paused" ? "bad" : "info"}
					title={plan.state === "paused" ? "Paused:" : "Ended:"}
				>
					<Text value={plan.why} most={600} />
				</Notice>
			)}
			<p class="faint">
				By <Text value={plan.who} most={80} />, <Ago at={plan.created_at} />:{" "}
				<Text value={plan.reason} most={400} />
				{terms && ` (${terms})`}
			</p>
			<ol class="rings" aria-label="Rings">
				{ring_rows(plan).map((row) => (
					<Ring key={row.number} row={row} />
				))}
			</ol>
			{plan.next_ring_at && !is_over(plan) && (
				<p>
					Next ring at <Time at={plan.next_ring_at} /> (<Ago at={plan.next_ring_at} />
					).
				</p>
			)}
			<Refusals plan={plan} />
		</section>
	);
}
