/*
 * Which page a path is, and how the application goes from one to the next. Pages write plain links,
 * <a href="/batches/B17">; app-wide one listener takes those of our own paths. The daemon answers
 * these paths, and no others, with index.html.
 */
import { state } from "./state.js";

const routes = [
	["/", "overview"],
	["/batches/:id", "batch"],
	["/messages/:id", "message"],
	["/environments/:name", "environment"],
	["/inbox", "inbox"],
	["/inbox/:environment", "inbox"],
	["/audit", "audit"],
	["/settings", "settings"],
	["/alerts", "alerts"],
	["/login", "login"],
];

function decode(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return null;
	}
}

/* {page, params} of a path; page is "missing" for what there is not. */
export function match(path) {
	const parts = path.split("/").slice(1);
	if (parts.length > 1 && parts.at(-1) === "") parts.pop();
	for (const [pattern, page] of routes) {
		const wanted = pattern.split("/").slice(1);
		if (wanted.length !== parts.length) continue;
		const params = {};
		const fits = wanted.every((name, i) => {
			if (!name.startsWith(":")) return name === parts[i];
			const value = decode(parts[i]);
			if (value === null || value === "") return false;
			params[name.slice(1)] = value;
			return true;
		});
		if (fits) return { page, params };
	}
	return { page: "missing", params: {} };
}

function with_query(base, query) {
	const search = new URLSearchParams(
		Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== ""),
	).toString();
	return search === "" ? base : `${base}?${search}`;
}

/* A path of ours with its parts encoded: path("/batches/:id", {id}). */
export function path(pattern, params = {}, query = {}) {
	return with_query(pattern.replace(/:(\w+)/g, (_, name) => encodeURIComponent(params[name])), query);
}

/* Where to go after a login: a path of ours, never another site ("//evil.example", "/\evil"). */
export function safe_next(next) {
	return typeof next === "string" && /^\/(?![/\\])/.test(next) && match(next.split(/[?#]/)[0]).page !== "missing" &&
		!next.startsWith("/login")
		? next
		: "/";
}

function here() {
	if (typeof location === "undefined") return { page: "overview", params: {}, query: {}, path: "/" };
	return {
		...match(location.pathname),
		query: Object.fromEntries(new URLSearchParams(location.search)),
		path: location.pathname + location.search,
	};
}

/* {page, params, query, path} of now. */
export const route = state(here());

/* Goes to a path of ours. `replace`: Back does not return here; also for a changed filter. */
export function go(to, { replace = false, keep = false } = {}) {
	history[replace ? "replaceState" : "pushState"](null, "", to);
	route.set(here());
	if (!keep) scrollTo(0, 0);
}

/* The query of the present page with some fields changed; "" and null drop one. */
export function set_query(change) {
	go(with_query(location.pathname, { ...route.get().query, ...change }), { replace: true, keep: true });
}

function take_click(event) {
	if (event.defaultPrevented || event.button !== 0) return;
	if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
	const link = event.target.closest?.("a[href]");
	if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
	if (match(link.pathname).page === "missing") return;
	if (link.hash && link.pathname === location.pathname) return;
	event.preventDefault();
	go(link.pathname + link.search);
}

/* Once, when the application starts. */
export function route_start() {
	addEventListener("popstate", () => route.set(here()));
	document.addEventListener("click", take_click);
}
