/* Sentences about a batch, as the command line says them. Pure. */
import { duration, many } from "../format.js";

const builtin = {
	panic: "the panic button",
	unknown: "its source, which belongs to no environment",
	recipients: "others = hold",
	capture: "upstream = none",
};

/* "burst volume: more than 500 recipients in 10 min, in production". */
export function stopped_by(batch) {
	const where = batch.environment ? `, in ${batch.environment}` : "";
	if (Object.hasOwn(builtin, batch.rule)) return builtin[batch.rule] + where;
	if (batch.rule === "restored" || batch.rule === "imported") return `brought back (${batch.rule})${where}`;
	if (batch.rule === "audience")
		return `audience: more than the ${many(batch.limit, "recipient")} that it declared${where}`;
	if (batch.limit > 0 && batch.window > 0)
		return `${batch.rule}: more than ${many(batch.limit, "recipient")} in ${duration(batch.window)}${where}`;
	return batch.rule + where;
}

/* How a release was asked for: "in rings, 10 min after each, paused when more than 2 % are refused, at 100/1m". */
export function plan_terms(plan) {
	const terms = [];
	if (plan.wait > 0 && plan.rings.length > 1) terms.push(`${duration(plan.wait)} after each ring`);
	if (plan.stop_on !== null && plan.stop_on !== undefined)
		terms.push(
			plan.stop_on > 0
				? `paused when more than ${plan.stop_on} % of a ring are refused`
				: "paused at the first refusal",
		);
	if (plan.rate) terms.push(`at ${plan.rate}`);
	if (plan.stream > 0) terms.push(`mail that follows passes for ${duration(plan.stream)}`);
	return terms.join("; ");
}
