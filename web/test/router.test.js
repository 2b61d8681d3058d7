import assert from "node:assert/strict";
import { test } from "node:test";
import { match, path, safe_next, set_query } from "../src/router.js";

test("each page has its path", () => {
	const cases = [
		["/", "overview", {}],
		["/batches/B17", "batch", { id: "B17" }],
		["/messages/01JD0", "message", { id: "01JD0" }],
		["/environments/a%20b%2Fc", "environment", { name: "a b/c" }],
		["/inbox", "inbox", {}],
		["/inbox/", "inbox", {}],
		["/inbox/staging", "inbox", { environment: "staging" }],
		["/audit", "audit", {}],
		["/settings", "settings", {}],
		["/alerts", "alerts", {}],
		["/login", "login", {}],
	];
	for (const [at, page, params] of cases) assert.deepEqual(match(at), { page, params }, at);
});

test("what is no page is said to be missing", () => {
	for (const at of ["/batches", "/batches/", "/batches/B1/x", "/nothing", "//evil.example", "/Audit", "/batches/%E0%A4%A", ""])
		assert.equal(match(at).page, "missing", at);
});

test("a path of ours has its parts encoded, and goes there and back", () => {
	for (const name of ["staging", "a/b", "?x=1#y", "..", "%41", "ünïcode", "\u202e"]) {
		const at = path("/environments/:name", { name });
		assert.ok(!/[?#]/.test(at), at);
		assert.deepEqual(match(at), { page: "environment", params: { name } });
	}
	assert.equal(path("/audit", {}, { object: "B1", last: "", none: null }), "/audit?object=B1");
	assert.equal(path("/audit", {}, { object: "a&b=c" }), "/audit?object=a%26b%3Dc");
});

test("after a login one goes to a page of ours only", () => {
	for (const good of ["/", "/batches/B17", "/audit?object=B1", "/inbox/staging?q=anna"]) assert.equal(safe_next(good), good);
	for (const bad of [undefined, null, "", "//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/nothing", "/login", "/login?next=/login", "/v1/session", 5])
		assert.equal(safe_next(bad), "/", String(bad));
});

test("a filter goes into the address, whatever else stands in it", () => {
	const went = [];
	globalThis.location = { pathname: "/inbox/team:a", search: "" };
	globalThis.history = { replaceState: (_, __, to) => went.push(to) };
	set_query({ q: "a:b&c", state: "" });
	assert.deepEqual(went, ["/inbox/team:a?q=a%3Ab%26c"]);
});
