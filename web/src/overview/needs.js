/* What needs a person, out of GET /v1/status: [{tone, text, href, link}], the worst first. Pure. */
import { lasting, many } from "../format.js";

/* Where the sentences of `warnings` repeat what stands here anyway. */
function is_told(sentence, status) {
	if (status.held.batches > 0 && /batch(es)? (is|are|wait|hold)/i.test(sentence) && /B\d+/.test(sentence)) return false;
	return (status.upstreams ?? []).some((u) => !u.up && sentence.includes(`upstream ${u.name} `));
}

function hold_text(hold, now) {
	const where = hold.scope === "everything" ? "Everything" : `${hold.scope} ${hold.name}`;
	const why = hold.reason ? `: ${hold.reason}` : "";
	return `${where} is stopped by the panic button ${lasting(hold.since, now)} (${hold.who})${why}.`;
}

/* The batch itself where it is the only one: one step less. */
function way_to(batches) {
	const held = (batches ?? []).filter((b) => b.held > 0);
	return held.length === 1 ? `/batches/${encodeURIComponent(held[0].id)}` : "#held";
}

/* `batches`: the list that the page shows, where it is there. */
export function needs(status, now, batches = null) {
	const list = [];
	const bad = (text, href, link) => list.push({ tone: "bad", text, href, link });
	const warn = (text, href, link) => list.push({ tone: "warn", text, href, link });

	if (status.store && !status.store.room) bad(`The gate takes no mail: ${status.store.why || "the store has no room"}.`);
	if (status.held.batches > 0)
		bad(
			`${many(status.held.batches, "batch", "batches")} with ${many(status.held.recipients, "recipient")} ` +
				`${status.held.batches === 1 ? "waits" : "wait"} for a decision.`,
			status.held.batches === 1 ? way_to(batches) : "#held",
			status.held.batches === 1 ? "Look at it" : "Look at them",
		);
	for (const hold of status.holds ?? []) bad(hold_text(hold, now));
	for (const u of status.upstreams ?? [])
		if (!u.up) bad(`Upstream ${u.name} is down ${lasting(u.since, now)}${u.why ? `: ${u.why}` : ""}. Its mail waits in the queue.`);
	if (status.alerts?.failed > 0)
		warn(`${many(status.alerts.failed, "alert")} could not be delivered.`, "/alerts", "Alerts");
	for (const sentence of [...(status.warnings ?? []), ...(status.policy_warnings ?? [])])
		if (!is_told(sentence, status)) warn(sentence.charAt(0).toUpperCase() + sentence.slice(1));
	return list;
}
