/* What a batch is: what stopped it, where it comes from, whether it still comes, who knows of it. */
import { bytes, duration, instant, many } from "../format.js";
import { Figure } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { Ago, Time } from "../ui/time.jsx";
import { use_now } from "../use.js";
import { stopped_by } from "./words.js";

function Fact({ name, children }) {
	return (
		<>
			<dt>{name}</dt>
			<dd>{children}</dd>
		</>
	);
}

/* "yes, 120 recipients in the last 10 min". */
function Sending({ batch }) {
	const now = use_now();
	const sending = batch.sending;
	if (sending && now < instant(sending.quiet_at))
		return (
			<>
				<strong>yes</strong>
				{sending.window >= 10 &&
					`, ${many(sending.recipients, "recipient")} in the last ${duration(sending.window)}`}
				, the last <Ago at={sending.last_at} />
			</>
		);
	return (
		<>
			no, nothing since <Time at={sending?.last_at ?? batch.last_at} />
		</>
	);
}

function Decided({ batch }) {
	if (!batch.decided_by) return null;
	return (
		<Fact name="Decided">
			<Ago at={batch.decided_at} /> by <Text value={batch.decided_by} most={80} />:{" "}
			<Text value={batch.decided_reason} most={400} />
		</Fact>
	);
}

function Follows({ batch }) {
	if (batch.ruling)
		return (
			<Fact name="What follows">
				{batch.ruling.goes === "discard" ? "is discarded" : "passes"} until{" "}
				<Time at={batch.ruling.until} />
			</Fact>
		);
	return batch.collecting ? <Fact name="What follows">joins this batch and is held</Fact> : null;
}

export function Facts({ batch }) {
	return (
		<dl class="facts two">
			<Fact name="Stopped by">
				<Text value={stopped_by(batch)} most={400} />
			</Fact>
			<Fact name="Counted per">
				<Text value={batch.key} most={400} />
			</Fact>
			<Fact name="From">
				<Text value={batch.source} most={200} />
				{batch.sender && (
					<>
						, sender <Text value={batch.sender} most={320} />
					</>
				)}
			</Fact>
			<Fact name="Subject">
				<Text value={batch.subject} most={400} />
			</Fact>
			<Fact name="Opened">
				<Time at={batch.opened_at} /> (<Ago at={batch.opened_at} />
				), last mail <Ago at={batch.last_at} />
			</Fact>
			<Fact name="Still sending">
				<Sending batch={batch} />
			</Fact>
			<Follows batch={batch} />
			<Fact name="Size">
				{many(batch.messages, "message")} to {batch.sampled ? "about " : ""}
				{many(batch.distinct_recipients, "different recipient")}, {bytes(batch.bytes)}
			</Fact>
			<Fact name="Seen by">
				{batch.seen_by ? (
					<>
						<Text value={batch.seen_by} most={80} />, <Ago at={batch.seen_at} />
					</>
				) : (
					"nobody yet"
				)}
			</Fact>
			<Decided batch={batch} />
		</dl>
	);
}

/* The numbers, each of recipients. */
export function Figures({ batch }) {
	const shown = [
		["held", "Held", batch.held > 0 ? "bad" : ""],
		["recipients", "Recipients in all"],
		["leaked", "Left before it tripped", batch.leaked > 0 ? "bad" : ""],
		["released", "Released"],
		["sent", "Sent"],
		["failed", "Failed"],
		["discarded", "Discarded"],
		["purged", "Purged"],
	];
	return (
		<div class="figures">
			{shown
				.filter(([field], i) => i < 3 || batch[field] > 0)
				.map(([field, label, tone]) => (
					<Figure
						key={field}
						label={label}
						tone={tone}
						value={(batch[field] ?? 0).toLocaleString("en-US")}
					/>
				))}
		</div>
	);
}
