import assert from "node:assert/strict";
import { test } from "node:test";
import { day_series, day_summary } from "../src/overview/day.js";
import { merge_batch } from "../src/overview/merge.js";
import { needs } from "../src/overview/needs.js";
import { sections } from "../src/settings/sections.js";

const NOW = Date.parse("2026-11-22T04:00:00Z");
const well = { held: { batches: 0, recipients: 0 }, holds: [], upstreams: [{ name: "smarthost", up: true }], store: { room: true, why: "" }, alerts: { failed: 0 }, warnings: [], policy_warnings: [] };
const texts = (status) => needs({ ...well, ...status }, NOW).map((n) => `${n.tone}: ${n.text}`);

test("a gate that is well needs nobody", () => {
	assert.deepEqual(needs(well, NOW), []);
});

test("what needs a person says what, and how many", () => {
	assert.deepEqual(texts({ held: { batches: 1, recipients: 1 } }), ["bad: 1 batch with 1 recipient waits for a decision."]);
	assert.deepEqual(texts({ held: { batches: 2, recipients: 5000 } }), ["bad: 2 batches with 5,000 recipients wait for a decision."]);
	assert.deepEqual(texts({ store: { room: false, why: "the disk has 0 MB left" } }), ["bad: The gate takes no mail: the disk has 0 MB left."]);
	assert.deepEqual(texts({ holds: [{ scope: "environment", name: "shop", reason: "wrong list", who: "token:anna", since: "2026-11-22T03:50:00Z" }] }), [
		"bad: environment shop is stopped by the panic button for 10 min (token:anna): wrong list.",
	]);
	assert.deepEqual(texts({ holds: [{ scope: "everything", name: "", reason: "", who: "ben", since: "2026-11-22T03:50:00Z" }] }), [
		"bad: Everything is stopped by the panic button for 10 min (ben).",
	]);
	assert.deepEqual(texts({ alerts: { failed: 3 } }), ["warn: 3 alerts could not be delivered."]);
});

test("one batch is led to at once, several to their list", () => {
	const href = (held, batches) => needs({ ...well, held }, NOW, batches)[0].href;
	const [one, done, two] = [{ id: "B7", held: 5 }, { id: "B6", held: 0 }, { id: "B8", held: 1 }];
	assert.equal(href({ batches: 1, recipients: 5 }, [one, done]), "/batches/B7");
	assert.equal(href({ batches: 2, recipients: 6 }, [one, two]), "#held");
	assert.equal(href({ batches: 1, recipients: 5 }, null), "#held");
});

test("an upstream that is down is told once", () => {
	const down = { upstreams: [{ name: "smarthost", up: false, since: "2026-11-22T03:58:00Z", why: "connection refused" }] };
	assert.deepEqual(texts({ ...down, warnings: ["upstream smarthost is down: connection refused."] }), [
		"bad: Upstream smarthost is down for 2 min: connection refused. Its mail waits in the queue.",
	]);
});

test("the gate's own warnings are told, beginning with a capital", () => {
	assert.deepEqual(texts({ warnings: ["no drill has ever passed: mailfuse drill."], policy_warnings: ["x"] }), ["warn: No drill has ever passed: mailfuse drill.", "warn: X"]);
});

test("a batch's event changes its row, and nothing else", () => {
	const page = { items: [{ id: "B2", state: "held", held: 1, subject: "a" }, { id: "B1", state: "held", held: 5 }], next: null };
	const merged = merge_batch(page, { id: "B2", state: "held", held: 7 });
	assert.deepEqual(merged.items[0], { id: "B2", state: "held", held: 7, subject: "a" });
	assert.equal(merged.items[1], page.items[1]);
	assert.equal(page.items[0].held, 1);
});

test("a batch that is new or has another state makes the list be read again", () => {
	const page = { items: [{ id: "B1", state: "held" }], next: null };
	assert.equal(merge_batch(page, { id: "B2", state: "held" }), null);
	assert.equal(merge_batch(page, { id: "B1", state: "discarded" }), null);
	assert.equal(merge_batch(null, { id: "B1" }), null);
	assert.equal(merge_batch(page, null), null);
});

test("a day has all its steps, and what is outside of it is left out", () => {
	const row = (at, passed, held) => ({ at, passed, waited: 1, held, dropped: 2 });
	const traffic = [row("2026-11-20T00:00:00Z", 99, 99), row("2026-11-22T03:50:00Z", 10, 3), row("2026-11-22T05:00:00Z", 99, 99), row("no time", 1, 1)];
	const series = day_series({ step_seconds: 600, traffic }, NOW);
	assert.deepEqual(series.map((s) => s.length), [145, 145, 145]);
	assert.equal(series[0].at(-1), NOW / 1000);
	assert.deepEqual([series[1].at(-2), series[2].at(-2)], [11, 5]);
	assert.equal(series[1].reduce((a, b) => a + b), 11);
	assert.match(day_summary(series), /11 recipients passed and 5 were held/);
	assert.equal(day_series({}, NOW)[0].length, 145);
});

const settings = [
	{ section: "", title: "", within: "", name: "hostname", value: "gate.example", default: "", help: "its name" },
	{ section: "burst", title: "volume", within: "environment \"shop\"", name: "limit", value: "500/10m", default: "500/10m", help: "how many" },
	{ section: "burst", title: "volume", within: "environment \"web\"", name: "limit", value: "9/10m", default: "500/10m", help: "how many" },
	{ section: "http", title: "", within: "", name: "key", value: null, default: "", help: "a file" },
];

test("settings stand by section", () => {
	assert.deepEqual(sections(settings).map((s) => s.name), ["General", 'environment "shop": burst "volume"', 'environment "web": burst "volume"', "http"]);
	assert.deepEqual(sections(settings, { changed: true }).map((s) => s.rows[0].value), ["gate.example", "9/10m"]);
	assert.deepEqual(sections(settings, { word: "VOLUME" }).length, 2);
	assert.deepEqual(sections(settings, { word: "a file" }).map((s) => s.name), ["http"]);
	assert.deepEqual(sections(settings, { word: "nothing has this" }), []);
});
