/* The pure parts of the batch page: rings, arrivals, questions. */
import test from "node:test";
import assert from "node:assert/strict";
import { is_over, parse_rings, ring_percent, ring_rows, ring_sizes } from "../src/batch/rings.js";
import { arrival_series, describe_arrivals, limit_rate } from "../src/batch/series.js";
import * as q from "../src/batch/questions.js";

const words = {
	count: (n) => n.toLocaleString("en"),
	duration: (s) => `${s} s`,
	rate: (n) => String(n),
	time: (s) => new Date(s * 1000).toISOString().slice(11, 19),
	dateTime: (iso) => iso,
};

const plan = (more) => ({
	id: 3,
	state: "running",
	rings: [10, 100, "all"],
	total: 500,
	released: 110,
	ring: 2,
	ring_size: 100,
	ring_released: 100,
	sent: 40,
	failed: 10,
	who: "token:ann",
	approved_by: [],
	...more,
});
const batch = (more) => ({
	id: "B17",
	state: "held",
	environment: "production",
	held: 312,
	released: 0,
	discarded: 0,
	limit: 500,
	window: 600,
	plan: null,
	collecting: true,
	...more,
});

test("rings divide what was decided on", () => {
	for (const [rings, total, wanted] of [
		[[10, 100, "all"], 500, [10, 100, 390]],
		[[10, 100, "all"], 60, [10, 50]],
		[[10, 100], 500, [10, 100]],
		[["all"], 0, []],
		[["all"], 7, [7]],
		[[5, 5, "all"], 10, [5, 5]],
	])
		assert.deepEqual(ring_sizes(rings, total), wanted, `${rings} of ${total}`);
});

test("a row a ring: done, now, to come", () => {
	const rows = ring_rows(plan());
	assert.deepEqual(
		rows.map((row) => row.state),
		["done", "now", "to come"],
	);
	assert.deepEqual(rows.map(ring_percent), [100, 50, 0]);
	assert.deepEqual(
		ring_rows(plan({ state: "paused" })).map((row) => row.state),
		["done", "paused", "to come"],
	);
	assert.deepEqual(
		ring_rows(plan({ state: "ended" })).map((row) => row.state),
		["done", "ended", "left out"],
	);
	assert.deepEqual(
		ring_rows(plan({ state: "asked", ring: 0 })).map((row) => row.state),
		["asked", "asked", "asked"],
	);
	assert.equal(ring_rows(plan({ sent: 90 }))[1].state, "done", "a ring that is over waits for the next");
	assert.ok(is_over(plan({ state: "done" })) && !is_over(plan()));
});

test("rings as people write them", () => {
	assert.deepEqual(parse_rings("10, 100,1000 all"), [10, 100, 1000, "all"]);
	assert.deepEqual(parse_rings("ALL"), ["all"]);
	for (const wrong of [
		"",
		" , ",
		"0",
		"-1",
		"1.5",
		"all, 10",
		"ten",
		"1e3",
		"99999999999",
		"<b>",
		"1 ".repeat(21),
	])
		assert.throws(() => parse_rings(wrong), /./, `"${wrong}"`);
});

test("arrivals: empty steps are there", () => {
	const at = (s) => new Date(s * 1000).toISOString();
	const series = arrival_series({
		step_seconds: 10,
		arrivals: [
			{ at: at(1000), count: 50 },
			{ at: at(1030), count: 20 },
		],
	});
	assert.deepEqual(series.at, [1000, 1010, 1020, 1030]);
	assert.deepEqual(series.rate, [5, 0, 0, 2]);
	assert.equal(series.most, 5);
	assert.match(
		describe_arrivals(series, words),
		/^70 recipients in 40 s; the most were 5 a second at 00:16:40\.$/,
	);
});

test("arrivals: nothing, nonsense, a clock that was set back", () => {
	assert.deepEqual(arrival_series(undefined).at, []);
	assert.deepEqual(arrival_series({ arrivals: [{ at: "soon", count: 1 }] }).at, []);
	assert.equal(describe_arrivals(arrival_series({}), words), "No arrivals are known.");
	const wide = arrival_series({
		step_seconds: 1,
		arrivals: [
			{ at: "2026-01-02T00:00:00Z", count: 1 },
			{ at: "1970-01-01T00:00:00Z", count: 2 },
		],
	});
	assert.ok(wide.at.length <= 200);
	assert.equal(
		wide.count.reduce((a, b) => a + b),
		3,
		"nobody is left out",
	);
});

test("the limit as a rate", () => {
	assert.equal(limit_rate(batch()), 500 / 600);
	for (const none of [{ limit: null }, { limit: 0 }, { window: 0 }, { limit: "x" }])
		assert.equal(limit_rate(batch(none)), null, JSON.stringify(none));
});

test("what is offered is what the gate says", () => {
	const next = [
		"mailfuse release B17 --first 10 --reason TEXT",
		"mailfuse discard B17 --reason TEXT",
		"mailfuse messages B17",
		"mailfuse constructor B17",
		"rm -rf",
	];
	assert.deepEqual(q.offered_verbs({ next }), ["release", "discard"]);
	assert.deepEqual(q.offered_verbs(undefined), []);
	assert.deepEqual(q.offered_verbs({ next: ["mailfuse restore B1 ..", "mailfuse purge B1 .."] }), ["restore", "purge"]);
});

test("who may not decide is told what, and what to do", () => {
	assert.match(q.why_barred(["release"]), /but not release: log in with one that has the role operator/);
	assert.match(q.why_barred(["resume", "restore", "discard"]), /but not resume, restore or discard: /);
});

test("who may approve", () => {
	const asked = plan({ state: "asked", approved_by: ["token:cat"] });
	const as = (name, roles = ["viewer", "approver"]) => q.why_not_approve(asked, { name, roles });
	assert.match(as("ann"), /asked/);
	assert.match(as("token:ann"), /asked/);
	assert.match(as("cat"), /already/);
	assert.match(as("ben", ["viewer", "operator"]), /role approver/);
	assert.equal(as("ben"), null);
});

test("what was seen goes with a decision", () => {
	const of = (verb) => q.seen_of(verb, batch({ plan: plan() }));
	assert.deepEqual(of("release"), { state: "held", held: 312, released: 0, discarded: 0, plan: 3 });
	assert.deepEqual(of("discard"), of("release"));
	assert.deepEqual(of("pause"), { plan: 3 }, "counts move while a release runs");
	assert.deepEqual(of("resume"), { state: "held", plan: 3, ring: 2 });
	assert.equal(q.seen_of("release", batch()).plan, null);
});

test("bodies of decisions", () => {
	const form = (more) => ({ ...q.empty_form, ...more });
	const release = (more) => q.decision_body("release", batch(), form(more));
	assert.deepEqual(release({}), { ids: ["B17"], first: 10 });
	assert.deepEqual(release({ how: "percent", percent: "5%" }), { ids: ["B17"], percent: 5 });
	assert.deepEqual(release({ how: "all", rate: " 100/1m " }), { ids: ["B17"], rate: "100/1m" });
	assert.deepEqual(release({ how: "rings", rings: "10,all", stop_on_text: "0" }), {
		ids: ["B17"],
		rings: [10, "all"],
		wait: "10m",
		stop_on: 0,
	});
	assert.deepEqual(
		release({ how: "first", stream: "1h" }),
		{ ids: ["B17"], first: 10 },
		"a part has no stream",
	);
	assert.deepEqual(q.decision_body("discard", batch(), form({ stream: "1h", rate: "1/1s" })), {
		ids: ["B17"],
		stream: "1h",
	});
	assert.deepEqual(q.decision_body("approve", batch({ plan: plan() }), form()), { ids: ["B17"], plan: 3 });
	for (const wrong of [
		{ first: "" },
		{ first: "0" },
		{ first: "1.5" },
		{ first: "-3" },
		{ how: "percent", percent: "0" },
		{ how: "percent", percent: "101" },
		{ how: "percent", percent: "" },
		{ how: "rings", rings: "" },
		{ how: "rings", stop_on_text: "-1" },
		{ how: "rings", stop_on_text: "x" },
	])
		assert.throws(() => release(wrong), Error, JSON.stringify(wrong));
});

test("each question says the number of people", () => {
	const dry = { recipients: 312, left: 5000, released: 10, approvals_missing: 0, rings: [10, 302] };
	for (const verb of Object.keys(q.verbs)) {
		assert.match(q.question(verb, batch({ plan: plan() }), {}, dry, words), /312 recipients/, verb);
		assert.match(q.do_label(verb, dry, words), /312 recipients$/, verb);
	}
	assert.match(
		q.question("release", batch(), { rate: "100/1m" }, dry, words),
		/in 2 rings of 10, 302, at 100\/1m\?/,
	);
	assert.match(
		q.question("release", batch(), {}, { ...dry, state: "asked" }, words),
		/^Ask for the release/,
	);
	assert.match(
		q.consequences("release", batch(), {}, { ...dry, state: "asked", approvals_missing: 1 }, words)[0],
		/second person/,
	);
	assert.match(q.question("discard", batch(), {}, { recipients: 1 }, words), /1 recipient of/);
	assert.match(q.question("purge", batch(), {}, dry, words), /for good/);
	const stays = (left) => q.consequences("release", batch(), {}, { recipients: 5, left }, words).join(" ");
	assert.match(stays(0), /None stays held/);
	assert.match(stays(1), /1 stays held/);
	assert.match(stays(2), /2 stay held/);
});

test("a stale page is told what changed", () => {
	assert.deepEqual(
		q.changed_rows(
			{ changed: { held: [312, 5000], state: ["held", "released"], plan: [null, 4] } },
			words,
		),
		[
			{ name: "Held", before: "312", now: "5,000" },
			{ name: "State", before: "held", now: "released" },
			{ name: "Release plan", before: "none", now: "4" },
		],
	);
	for (const none of [undefined, {}, { changed: null }, { changed: "x" }, { changed: { held: 3 } }])
		assert.deepEqual(q.changed_rows(none, words), []);
});
