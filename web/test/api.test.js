import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Problem, address, explain, get, get_bytes, may, online, post, session, session_begin, session_end, session_look } from "../src/api.js";

let calls = [];
let answer = () => new Response("{}");

function json(status, body, type = status < 400 ? "application/json" : "application/problem+json") {
	return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers: { "content-type": type } });
}

beforeEach(() => {
	calls = [];
	session.set(undefined);
	online.set(true);
	globalThis.fetch = async (url, options) => {
		calls.push({ url, ...options });
		return answer(url, options);
	};
});

test("only calls of the API are made, whatever is in an id", () => {
	assert.equal(address("/v1/batches", { state: "held", after: null, limit: 0, all: false, q: "" }), "/v1/batches?state=held&limit=0");
	assert.equal(address("/v1/messages/01%2F..%2Fx", { q: "a&b=c d" }), "/v1/messages/01%2F..%2Fx?q=a%26b%3Dc+d");
	for (const bad of ["https://evil.example/v1/x", "//evil.example/v1/", "/v2/x", "/v1/../metrics", "/v1/a?b", "/v1/a#b", "/v1/a b", "v1/x", "/v1"])
		assert.throws(() => address(bad), bad);
});

test("a reading call has no token of change, a deciding one has it, and is JSON of ours", async () => {
	session.set({ name: "anna", roles: ["operator"], csrf: "c5rf" });
	answer = () => json(200, { ok: true });
	assert.deepEqual(await get("/v1/status"), { ok: true });
	await post("/v1/release", { ids: ["B1"] });
	assert.equal(calls[0].headers["x-mailfuse-csrf"], undefined);
	assert.equal(calls[1].headers["x-mailfuse-csrf"], "c5rf");
	assert.equal(calls[1].headers["content-type"], "application/json");
	assert.equal(calls[1].body, '{"ids":["B1"]}');
	for (const call of calls) {
		assert.equal(call.credentials, "same-origin");
		assert.equal(call.redirect, "error");
	}
});

test("the gate's own words are what a person reads", async () => {
	answer = () => json(409, { title: "Conflict", detail: "held was 312, is 5,000 now", changed: { held: [312, 5000] } });
	await assert.rejects(post("/v1/release", {}), (p) => {
		assert.ok(p instanceof Problem);
		assert.deepEqual([p.status, p.message, p.changed, p.title], [409, "held was 312, is 5,000 now", { held: [312, 5000] }, "Conflict"]);
		return true;
	});
});

test("an error without words of the gate is a sentence all the same", () => {
	assert.match(explain(0, {}), /does not answer/);
	assert.match(explain(401, {}), /log in/);
	assert.match(explain(421, {}), /hosts/);
	assert.match(explain(500, { title: "Internal" }), /500: Internal/);
	assert.match(explain(418, null), /refused that \(418\)/);
	assert.match(explain(404, { detail: 5 }), /no such thing/);
});

test("answers that are no JSON are told, not thrown about", async () => {
	answer = () => json(502, "<html>bad gateway</html>", "text/html");
	await assert.rejects(get("/v1/status"), /failed to answer \(502\)/);
	answer = () => json(500, "{half", "application/problem+json");
	await assert.rejects(get("/v1/status"), /failed to answer \(500\)/);
	answer = () => json(200, "<html>another program</html>");
	await assert.rejects(get("/v1/status"), /another program on its port/);
});

test("a gate that does not answer is told once for all, until it answers", async () => {
	answer = () => {
		throw new TypeError("fetch failed");
	};
	await assert.rejects(get("/v1/status"), (p) => p instanceof Problem && p.status === 0);
	assert.equal(online.get(), false);
	answer = () => json(503, {});
	await assert.rejects(get("/v1/status"), /store/);
	assert.equal(online.get(), true);
});

test("a call that was given up is no gate that does not answer", async () => {
	answer = () => {
		throw new DOMException("aborted", "AbortError");
	};
	await assert.rejects(get("/v1/status"), { name: "AbortError" });
	assert.equal(online.get(), true);
});

test("401 ends the session, 403 does not", async () => {
	session.set({ name: "anna", roles: ["viewer"] });
	answer = () => json(403, { detail: "discard takes the role operator" });
	await assert.rejects(post("/v1/discard", {}), /takes the role operator/);
	assert.equal(session.get().name, "anna");
	answer = () => json(401, {});
	await assert.rejects(get("/v1/status"));
	assert.equal(session.get(), null);
});

test("a session begins, is looked at, and ends", async () => {
	answer = () => json(200, { name: "anna", roles: ["viewer", "approver"], csrf: "x" });
	await session_begin("mf_token");
	assert.equal(calls[0].url, "/v1/session");
	assert.equal(calls[0].body, '{"token":"mf_token"}');
	assert.deepEqual([may("viewer"), may("approver"), may("operator")], [true, true, false]);
	answer = () => new Response(null, { status: 204 });
	await session_end();
	assert.equal(calls[1].method, "DELETE");
	assert.equal(calls[1].headers["x-mailfuse-csrf"], "x");
	assert.equal(session.get(), null);
	assert.equal(may("viewer"), false);
});

test("who is not logged in is told apart from a gate that is away", async () => {
	answer = () => json(401, {});
	assert.equal(await session_look(), null);
	session.set(undefined);
	answer = () => {
		throw new TypeError("fetch failed");
	};
	await assert.rejects(session_look());
	assert.equal(session.get(), undefined);
});

test("bytes are read up to a bound", async () => {
	answer = () => new Response(new Uint8Array(1000).fill(7));
	assert.deepEqual(await get_bytes("/v1/messages/x/raw", 10), { bytes: new Uint8Array(10).fill(7), cut: true });
	const all = await get_bytes("/v1/messages/x/raw", 2000);
	assert.deepEqual([all.bytes.length, all.cut], [1000, false]);
});
