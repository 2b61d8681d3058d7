/*
 * What a person who was just woken has to know: what needs somebody now, what is held, and whether the
 * gate is proven to work. Numbers come live; the charts of the last day are read once a minute.
 */
import { useEffect, useRef } from "preact/hooks";
import { EnvironmentRow } from "../overview/environment_row.jsx";
import { HeldBatches } from "../overview/held.jsx";
import { needs } from "../overview/needs.js";
import { Proof } from "../overview/proof.jsx";
import { say } from "../say.js";
import { Heading } from "../ui/heading.jsx";
import { Empty, Failed, Loading, Notice } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { use_get, use_live, use_now, use_throttled } from "../use.js";
import { merge_batch } from "../overview/merge.js";

const STATUS_MS = 15_000;
const ENVIRONMENTS_MS = 5_000;
/* Each chart is a call of its own, once a minute. */
const CHARTS_MAX = 12;

function Needs({ status, batches, now }) {
	const list = needs(status, now, batches);
	if (list.length === 0)
		return <Notice tone="good">Nothing needs a person now.</Notice>;
	return (
		<section aria-label="What needs a person" class="stack">
			{list.map((n) => (
				<Notice key={n.text} tone={n.tone} action={n.href && <a href={n.href}>{n.link}</a>}>
					<Text value={n.text} />
				</Notice>
			))}
		</section>
	);
}

/* A screen reader hears of a batch that is new, once. */
function use_announced(batches) {
	const known = useRef(null);
	useEffect(() => {
		if (!batches) return;
		const fresh = known.current === null ? [] : batches.filter((b) => !known.current.has(b.id));
		if (fresh.length > 0) say(`New batch held: ${fresh.map((b) => b.id).join(", ")}`);
		known.current = new Set([...(known.current ?? []), ...batches.map((b) => b.id)]);
	}, [batches]);
}

export function Overview() {
	const status = use_get("/v1/status", {}, { every: STATUS_MS });
	const batches = use_get("/v1/batches", { limit: 50 });
	const environments = use_get("/v1/environments", { limit: 100 }, { every: ENVIRONMENTS_MS });
	const again = use_throttled(() => {
		status.reload();
		environments.reload();
	}, 1000);
	const batches_again = use_throttled(batches.reload, 1000);
	const now = use_now();
	use_live("status", again);
	use_live("batch", (batch) => {
		const merged = merge_batch(batches.data, batch);
		if (merged) batches.set(merged);
		else batches_again();
	});
	use_announced(batches.data?.items);
	if (!status.data)
		return (
			<>
				<Heading text="Overview" />
				{status.problem ? <Failed problem={status.problem} retry={status.reload} /> : <Loading />}
			</>
		);
	return (
		<>
			<Heading text="Overview">
				<span class="faint">
					<Text value={status.data.hostname} most={80} />
				</span>
			</Heading>
			<Failed problem={status.problem} retry={status.reload} />
			<Needs status={status.data} batches={batches.data?.items} now={now} />
			<HeldBatches list={batches} />
			<section class="panel" aria-labelledby="environments">
				<h2 id="environments">Environments</h2>
				<Failed problem={environments.problem} retry={environments.reload} />
				{environments.data?.items.map((e, i) => (
					<EnvironmentRow key={e.name} environment={e} chart={i < CHARTS_MAX} />
				))}
				{environments.data?.items.length === 0 && <Empty>No environment is configured: all mail is held.</Empty>}
				{environments.data?.next && <p class="faint">The first {environments.data.items.length} are shown.</p>}
			</section>
			<Proof status={status.data} now={now} />
		</>
	);
}
