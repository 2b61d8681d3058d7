/*
 * Keys of the whole console. key_press() is the one listener; pages add theirs with use_keys().
 * Single letters can be turned off (a person who dictates may need that, WCAG 2.1.4), and do nothing
 * in a field or while a dialog is open.
 */
import { useEffect, useRef } from "preact/hooks";
import { go } from "./router.js";
import { state } from "./state.js";

const STORED = "mailfuse.keys";

function stored() {
	try {
		return localStorage.getItem(STORED) !== "off";
	} catch {
		return true;
	}
}

export const keys_on = state(stored());
export const help_open = state(false);

export function keys_turn(on) {
	try {
		localStorage.setItem(STORED, on ? "on" : "off");
	} catch {
		// A browser without storage asks again next time.
	}
	keys_on.set(on);
}

/* key -> {help, run}, of the pages that are shown now; the last one counts. */
const extra = [];

export const common = [
	["j", "next row"],
	["k", "previous row"],
	["Enter", "open it"],
	["/", "search"],
	["g o", "overview"],
	["g i", "inbox"],
	["g a", "audit"],
	["g l", "alerts"],
	["g s", "settings"],
	["Esc", "close a dialog, leave a field"],
	["?", "this list"],
];

const places = { o: "/", i: "/inbox", a: "/audit", l: "/alerts", s: "/settings" };
const GO_MS = 1500;
let go_since = 0;

/* What the pages of now add: [[key, help]]. */
export function keys_extra() {
	return extra.flatMap((table) => Object.entries(table.current).map(([key, { help }]) => [key, help]));
}

/* table: {key: {help, run}}. */
export function use_keys(table) {
	const latest = useRef(table);
	latest.current = table;
	useEffect(() => {
		extra.push(latest);
		return () => extra.splice(extra.indexOf(latest), 1);
	}, []);
}

function is_field(element) {
	return element?.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]") != null;
}

function move(by) {
	const items = [...document.querySelectorAll("main [data-item]")].filter((e) => e.getClientRects().length > 0);
	if (items.length === 0) return;
	const at = items.indexOf(document.activeElement);
	const to = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1);
	items[to].focus();
	items[to].scrollIntoView({ block: "nearest" });
}

function focus_search() {
	const field = document.querySelector("main [data-search]");
	field?.focus();
	field?.select?.();
}

const built_in = {
	j: () => move(1),
	k: () => move(-1),
	"/": focus_search,
	"?": () => help_open.set(true),
	g: () => {
		go_since = Date.now();
	},
};

function find(key) {
	if (Date.now() - go_since < GO_MS && places[key]) return () => go(places[key]);
	for (const table of [...extra].reverse()) if (table.current[key]) return table.current[key].run;
	return built_in[key];
}

export function key_press(event) {
	if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
	if (event.key === "Escape" && is_field(event.target) && !event.target.closest("dialog")) {
		event.target.blur();
		return;
	}
	if (is_field(event.target) || document.querySelector("dialog[open]")) return;
	if (!keys_on.get() && event.key !== "?") return;
	const run = find(event.key);
	if (event.key !== "g") go_since = 0;
	if (!run) return;
	event.preventDefault();
	run();
}
