/* What a page says beside its data. */
import { Text } from "./text.jsx";

/* tone: "info", "good", "warn" or "bad"; `bad` is for what needs a person now, and is read out at once. */
export function Notice({ tone = "info", title, children, action }) {
	return (
		<div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
			<div>
				{title && <strong>{title} </strong>}
				{children}
			</div>
			{action && <div class="notice-action">{action}</div>}
		</div>
	);
}

/* What went wrong with a call, and a way to try again. */
export function Failed({ problem, retry }) {
	if (!problem) return null;
	return (
		<Notice
			tone="bad"
			action={
				retry && (
					<button type="button" onClick={retry}>
						Try again
					</button>
				)
			}
		>
			<Text value={problem.message} />
		</Notice>
	);
}

/* A place where something will be; said to a screen reader once. */
export function Loading({ what = "Loading" }) {
	return (
		<p class="loading" role="status">
			{what}…
		</p>
	);
}

export function Empty({ children }) {
	return <p class="empty">{children}</p>;
}

const tones = {
	held: "bad",
	filling: "bad",
	asked: "bad",
	paused: "bad",
	failed: "bad",
	down: "bad",
	running: "accent",
	released: "good",
	sent: "good",
	delivered: "good",
	up: "good",
	enforce: "good",
	observe: "warn",
	pending: "warn",
	suspect: "warn",
	lapsed: "warn",
};

/* A state as a word in a box; the colour only repeats it. */
export function State({ value, tone }) {
	return <span class={`state ${tone ?? tones[value] ?? "plain"}`}>{String(value ?? "-")}</span>;
}

/* A number with its name under it. */
export function Figure({ value, label, tone, title }) {
	return (
		<div class={`figure ${tone ?? ""}`} title={title}>
			<span class="figure-value number">{value}</span>
			<span class="figure-label">{label}</span>
		</div>
	);
}
