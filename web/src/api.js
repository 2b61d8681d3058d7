/*
 * Calls to /v1 of the gate that served us, and to nothing else. get() and post() give the answer's
 * JSON or throw a Problem, whose message is a sentence for people. A 401 ends the session, so that
 * the login page comes up; a gate that does not answer sets `online`, which the banner shows.
 */
import { state } from "./state.js";

/* False while the gate does not answer. */
export const online = state(true);

/* What GET /v1/session says: {name, roles, csrf, expires_at}; null: not logged in; undefined: not known yet. */
export const session = state(undefined);

/* True after the gate has ended a session that was there: the login page says so. */
export const session_over = state(false);

/* An error answer (RFC 9457) or none at all (status 0). `changed` is there where a 409 says what is not as it was seen. */
export class Problem extends Error {
	constructor(status, body = {}) {
		super(explain(status, body));
		this.name = "Problem";
		this.status = status;
		this.title = body.title ?? "";
		this.changed = body.changed ?? null;
		this.body = body;
	}
}

const words = {
	0: "The gate does not answer. Look whether mailfused runs, and whether its machine can be reached from here.",
	401: "The session is over: log in again.",
	403: "You may not do that.",
	404: "There is no such thing.",
	409: "It is not in a state for that.",
	413: "The request is too large.",
	421: "The gate does not serve this name: add it to hosts in the section http.",
	429: "Too many wrong tokens: wait a minute.",
	503: "The store of the gate cannot answer now.",
};

/* The sentence for an error: the gate's own words where it gave some. */
export function explain(status, body) {
	if (typeof body?.detail === "string" && body.detail !== "") return body.detail;
	if (words[status]) return words[status];
	const title = typeof body?.title === "string" && body.title !== "" ? `: ${body.title}` : "";
	return status >= 500 ? `The gate failed to answer (${status}${title}).` : `The gate refused that (${status}${title}).`;
}

/* "/v1/..." with a query; fields that are empty, null or false are left out. Nothing but /v1 passes. */
export function address(path, query = {}) {
	if (!/^\/v1\/[\w./@%~:+=-]*$/.test(path) || path.split("/").includes("..")) throw new Error(`${path} is no call of the API`);
	const search = new URLSearchParams();
	for (const [name, value] of Object.entries(query))
		if (value !== undefined && value !== null && value !== "" && value !== false) search.append(name, value);
	const text = search.toString();
	return text === "" ? path : `${path}?${text}`;
}

async function body_of(response) {
	const type = response.headers.get("content-type") ?? "";
	if (!/^application\/(problem\+)?json/.test(type)) return {};
	try {
		return await response.json();
	} catch {
		return {};
	}
}

async function ask(method, path, { query, body, signal } = {}) {
	const headers = { accept: "application/json" };
	if (method !== "GET") {
		headers["content-type"] = "application/json";
		if (session.get()?.csrf) headers["x-mailfuse-csrf"] = session.get().csrf;
	}
	let response;
	try {
		response = await fetch(address(path, query), {
			method,
			headers,
			signal,
			body: body === undefined ? undefined : JSON.stringify(body),
			credentials: "same-origin",
			redirect: "error",
			cache: "no-store",
		});
	} catch (error) {
		if (error.name === "AbortError") throw error;
		online.set(false);
		throw new Problem(0);
	}
	online.set(true);
	if (response.ok) return response;
	const problem = new Problem(response.status, await body_of(response));
	if (response.status === 401 && session.get()) {
		session_over.set(true);
		session.set(null);
	}
	throw problem;
}

async function json_of(response) {
	if (response.status === 204) return null;
	try {
		return await response.json();
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Problem(response.status, { detail: "The gate's answer cannot be read: is another program on its port?" });
	}
}

export async function get(path, query, signal) {
	return json_of(await ask("GET", path, { query, signal }));
}

/* The answer's bytes, at most `most` of them, for what is no JSON: {bytes, cut}. */
export async function get_bytes(path, most, signal) {
	const response = await ask("GET", path, { signal });
	const reader = response.body.getReader();
	const parts = [];
	let size = 0;
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		parts.push(value);
		size += value.length;
		if (size >= most) {
			await reader.cancel();
			break;
		}
	}
	const bytes = new Uint8Array(Math.min(size, most));
	let at = 0;
	for (const part of parts) {
		bytes.set(part.subarray(0, bytes.length - at), at);
		at = Math.min(at + part.length, bytes.length);
	}
	return { bytes, cut: size >= most };
}

export async function post(path, body) {
	return json_of(await ask("POST", path, { body }));
}

/* ---- the session */

/* Who we are; null where nobody is logged in. */
export async function session_look() {
	try {
		session.set(await get("/v1/session"));
	} catch (error) {
		if (error.status !== 401 && error.status !== 403) throw error;
		session.set(null);
	}
	return session.get();
}

/* Throws a Problem where the token is wrong. */
export async function session_begin(token) {
	session.set(await post("/v1/session", { token }));
	session_over.set(false);
}

export async function session_end() {
	try {
		await ask("DELETE", "/v1/session");
	} finally {
		session.set(null);
	}
}

/* Whether the caller has the role; the gate decides again. Any role may look. */
export function may(role) {
	const roles = session.get()?.roles ?? [];
	return role === "viewer" ? roles.length > 0 : roles.includes(role);
}
