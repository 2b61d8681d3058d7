/*
 * What changes on the gate, as it changes: one EventSource on /v1/events for the page. on(name, fn)
 * listens to `batch`, `status`, `alert`, and to `reload`, which says that something may have been
 * missed: after a break, or where the gate had too much to tell. Whoever shows a list reads it again then.
 *
 * A hidden page gives its connection back after a while, because a browser has only six for one
 * host and the gate 32 in all; it reads everything again when it is looked at.
 */
import { state } from "./state.js";

const HIDDEN_MS = 30_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
const NAMES = ["batch", "status", "alert", "reload"];
/* Told here, not by the gate: the stream was answered with an error, perhaps because the session is over. */
const REFUSED = "refused";

/* "off", "connecting", "on". */
export const live = state("off");

/* The newest `status` event; null before the first. */
export const live_status = state(null);

const listeners = new Map([...NAMES, REFUSED].map((name) => [name, new Set()]));
let source = null;
let retry = FIRST_RETRY_MS;
let timer = null;
let wanted = false;
let broken = false;

/* Returns what ends it. */
export function on(name, listener) {
	listeners.get(name).add(listener);
	return () => listeners.get(name).delete(listener);
}

function tell(name, data) {
	for (const listener of [...listeners.get(name)]) listener(data);
}

function take(name, event) {
	let data = null;
	try {
		data = JSON.parse(event.data);
	} catch {
		if (name !== "reload") return;
	}
	if (name === "status") live_status.set(data);
	tell(name, data);
}

function close() {
	clearTimeout(timer);
	source?.close();
	source = null;
}

function lost() {
	broken = true;
	live.set("connecting");
	// The browser tries again by itself, but not after an answer that is an error.
	if (source?.readyState !== EventSource.CLOSED) return;
	close();
	tell(REFUSED, null);
	timer = setTimeout(open, retry);
	retry = Math.min(retry * 2, LAST_RETRY_MS);
}

function opened() {
	retry = FIRST_RETRY_MS;
	live.set("on");
	if (broken) tell("reload", null);
	broken = false;
}

function open() {
	if (!wanted || source) return;
	live.set("connecting");
	source = new EventSource("/v1/events");
	source.onopen = opened;
	source.onerror = lost;
	for (const name of NAMES) source.addEventListener(name, (event) => take(name, event));
}

function visibility() {
	clearTimeout(timer);
	if (!wanted) return;
	if (document.hidden) {
		timer = setTimeout(() => {
			close();
			broken = true;
			live.set("off");
		}, HIDDEN_MS);
	} else if (!source) open();
}

export function live_start() {
	if (wanted) return;
	wanted = true;
	document.addEventListener("visibilitychange", visibility);
	open();
}

export function live_stop() {
	wanted = false;
	document.removeEventListener("visibilitychange", visibility);
	close();
	broken = false;
	retry = FIRST_RETRY_MS;
	live_status.set(null);
	live.set("off");
}
