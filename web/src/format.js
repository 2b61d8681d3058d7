/*
 * Numbers, times and sizes in words. English, like all of mailfuse, so that the console, the
 * command line and the log say the same; times are the reader's own, with UTC in the title.
 */

const integers = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/* "5,000"; "-" for what is not known. */
export function count(n) {
	return typeof n === "number" && Number.isFinite(n) ? integers.format(n) : "-";
}

/* "1 recipient", "5,000 recipients". */
export function many(n, one, more = `${one}s`) {
	return `${count(n)} ${n === 1 ? one : more}`;
}

/* For a chart's axis: "950", "1.2k", "3M". */
export function short(n) {
	for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]])
		if (Math.abs(n) >= size) return `${Number((n / size).toFixed(1))}${unit}`;
	return `${Number(n.toFixed(2))}`;
}

/* "12 MB" as the configuration writes sizes (powers of 1000). */
export function bytes(n) {
	if (typeof n !== "number" || !Number.isFinite(n)) return "-";
	for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
		if (n >= size) return `${(n / size).toFixed(n / size < 10 ? 1 : 0)} ${unit}`;
	return many(n, "byte");
}

const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/* "2 min 5 s", of at most two units; below a second in milliseconds. */
export function duration(seconds) {
	if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "-";
	if (seconds > 0 && seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	let left = Math.round(Math.abs(seconds));
	const parts = [];
	for (const [unit, size] of steps) {
		const n = Math.floor(left / size);
		left -= n * size;
		if (n > 0) parts.push(`${n} ${unit}`);
		if (parts.length === 2 || (parts.length === 1 && n === 0)) break;
	}
	return (seconds < 0 ? "-" : "") + (parts.join(" ") || "0 s");
}

/* "10m" as the configuration and the API write it. */
export function span(seconds) {
	for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]])
		if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
	return `${seconds}s`;
}

/* Milliseconds since 1970 out of RFC 3339, or null. */
export function instant(at) {
	if (at === null || at === undefined || at === "") return null;
	const ms = typeof at === "number" ? at : Date.parse(at);
	return Number.isFinite(ms) ? ms : null;
}

/* "just now", "3 min ago", "in 5 min". Only one unit: it is read at a glance. */
export function ago(at, now = Date.now()) {
	const ms = instant(at);
	if (ms === null) return "never";
	const seconds = Math.round((now - ms) / 1000);
	if (Math.abs(seconds) < 5) return "just now";
	const size = steps.find(([, s]) => Math.abs(seconds) >= s) ?? steps[3];
	const text = `${Math.floor(Math.abs(seconds) / size[1])} ${size[0]}`;
	return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/* "for 3 min", of something that goes on. */
export function lasting(at, now = Date.now()) {
	const ms = instant(at);
	if (ms === null) return "";
	const text = ago(ms, Math.max(now, ms));
	return text === "just now" ? "since a moment" : `for ${text.replace(/ ago$/, "")}`;
}

const two = (n) => String(n).padStart(2, "0");

/* "2026-11-22" of the reader's day. */
export function day(at) {
	const d = new Date(instant(at));
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/* "04:12:07", with the date before it where that is not today. */
export function time(at, now = Date.now()) {
	const ms = instant(at);
	if (ms === null) return "-";
	const d = new Date(ms);
	const clock = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
	return day(ms) === day(now) ? clock : `${day(ms)} ${clock}`;
}

/* The exact time, for a title: "2026-11-22T04:12:07.123Z". */
export function utc(at) {
	const ms = instant(at);
	return ms === null ? "" : new Date(ms).toISOString();
}

/* A rate of recipients: "12/min", "0.4/min". */
export function rate(n, unit = "min") {
	if (typeof n !== "number" || !Number.isFinite(n)) return "-";
	return `${n >= 10 || Number.isInteger(n) ? count(n) : Number(n.toFixed(1))}/${unit}`;
}

/* "batch.opened" as words: "batch opened". */
export function words(name) {
	return String(name ?? "").replace(/[._]/g, " ");
}
