/* Hooks that the pages share. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, online } from "./api.js";
import { on } from "./live.js";
import { state } from "./state.js";

/* The value of a state() now, and again when it changes. */
export function use_state(shared) {
	const [value, set] = useState(shared.get());
	useEffect(() => {
		set(shared.get());
		return shared.subscribe((v) => set(() => v));
	}, [shared]);
	return value;
}

/* Calls `listener` for a live event as long as the component is there. */
export function use_live(name, listener) {
	const latest = useRef(listener);
	latest.current = listener;
	useEffect(() => on(name, (data) => latest.current(data)), [name]);
}

/*
 * The answer of GET path: {data, problem, loading, reload, set}. Asked again when path or query
 * change, on a live `reload`, when the gate is back, and every `every` ms. The old data stays until
 * the new is there; `path` null asks nothing.
 */
export function use_get(path, query = {}, { every = 0 } = {}) {
	const [result, set_result] = useState({ data: null, problem: null, loading: path !== null, of: null });
	const key = path === null ? null : JSON.stringify([path, query]);
	const running = useRef(null);
	const load = useCallback(async () => {
		if (key === null) return;
		running.current?.abort();
		const abort = new AbortController();
		running.current = abort;
		try {
			const data = await get(path, query, abort.signal);
			set_result({ data, problem: null, loading: false, of: key });
		} catch (problem) {
			if (problem.name === "AbortError") return;
			set_result((old) => ({ data: old.of === key ? old.data : null, problem, loading: false, of: key }));
		}
	}, [key]);
	useEffect(() => {
		if (key !== null) set_result((old) => (old.of === key ? old : { ...old, loading: true }));
		load();
		return () => running.current?.abort();
	}, [load]);
	useEffect(() => {
		if (!every) return undefined;
		const timer = setInterval(() => document.hidden || load(), every);
		return () => clearInterval(timer);
	}, [load, every]);
	useEffect(() => online.subscribe((is) => is && load()), [load]);
	use_live("reload", load);
	// The data of another question (the batch looked at before) is not this one's.
	const mine = result.of === key;
	return {
		data: mine ? result.data : null,
		problem: mine ? result.problem : null,
		loading: !mine || result.loading,
		reload: load,
		set: (data) => set_result({ data, problem: null, loading: false, of: key }),
	};
}

/*
 * A list with a cursor: {items, next, more, problem, loading, reload}; more() reads the next page.
 * At most 5,000 rows are kept, so that a page left open does not grow for ever.
 */
export function use_list(path, query = {}) {
	const first = use_get(path, query);
	const [rest, set_rest] = useState({ of: null, items: [], next: null, busy: false, problem: null });
	const mine = rest.of === first.data;
	const items = [...(first.data?.items ?? []), ...(mine ? rest.items : [])];
	const next = mine ? rest.next : (first.data?.next ?? null);
	const more = async () => {
		const of = first.data;
		if (next === null || (mine && rest.busy) || items.length >= 5000) return;
		set_rest((old) => ({ ...(old.of === of ? old : { of, items: [], next }), busy: true, problem: null }));
		try {
			const page = await get(path, { ...query, after: next });
			set_rest((old) => ({ of, items: [...old.items, ...page.items], next: page.next, busy: false, problem: null }));
		} catch (problem) {
			set_rest((old) => ({ ...old, busy: false, problem }));
		}
	};
	return { ...first, items, next, more, busy: mine && rest.busy, problem: first.problem ?? (mine ? rest.problem : null) };
}

/* The time now, every ten seconds, for all who show how long ago something was. */
const clock = state(Date.now());
let ticking = null;
export function use_now() {
	if (ticking === null && typeof document !== "undefined")
		ticking = setInterval(() => document.hidden || clock.set(Date.now()), 10_000);
	return use_state(clock);
}

/* Calls `run` at once, then at most every `ms`, with one last call after the last ask. */
export function use_throttled(run, ms) {
	const state = useRef({ timer: null, last: 0 });
	const latest = useRef(run);
	latest.current = run;
	useEffect(() => () => clearTimeout(state.current.timer), []);
	return () => {
		if (state.current.timer !== null) return;
		state.current.timer = setTimeout(
			() => {
				state.current = { timer: null, last: Date.now() };
				latest.current();
			},
			Math.max(0, state.current.last + ms - Date.now()),
		);
	};
}

/* The value after it has not changed for `ms`: for a search field. */
export function use_settled(value, ms = 250) {
	const [settled, set] = useState(value);
	useEffect(() => {
		const timer = setTimeout(() => set(value), ms);
		return () => clearTimeout(timer);
	}, [value, ms]);
	return settled;
}

/* True while a CSS media query holds. */
export function use_media(query) {
	const [is, set] = useState(() => matchMedia(query).matches);
	useEffect(() => {
		const list = matchMedia(query);
		const change = () => set(list.matches);
		change();
		list.addEventListener("change", change);
		return () => list.removeEventListener("change", change);
	}, [query]);
	return is;
}
