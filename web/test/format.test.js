import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../src/format.js";

const NOW = Date.parse("2026-11-22T04:00:00Z");

test("numbers have separators, and what is not known is a dash", () => {
	for (const [n, text] of [[0, "0"], [5000, "5,000"], [1234567, "1,234,567"], [null, "-"], [undefined, "-"], [NaN, "-"], ["5", "-"]])
		assert.equal(format.count(n), text);
});

test("a noun follows its number", () => {
	assert.equal(format.many(1, "recipient"), "1 recipient");
	assert.equal(format.many(0, "recipient"), "0 recipients");
	assert.equal(format.many(5000, "batch", "batches"), "5,000 batches");
});

test("an axis has short numbers", () => {
	for (const [n, text] of [[0, "0"], [0.25, "0.25"], [950, "950"], [1000, "1k"], [1250, "1.3k"], [3e6, "3M"], [2.5e9, "2.5G"]])
		assert.equal(format.short(n), text);
});

test("sizes are powers of 1000, as in the configuration", () => {
	for (const [n, text] of [[0, "0 bytes"], [1, "1 byte"], [999, "999 bytes"], [1500, "1.5 kB"], [12e6, "12 MB"], [5e9, "5.0 GB"], [-1, "-1 bytes"], [null, "-"]])
		assert.equal(format.bytes(n), text);
});

test("durations have two units at most, next to each other", () => {
	const cases = [
		[0, "0 s"], [0.25, "250 ms"], [1, "1 s"], [59, "59 s"], [60, "1 min"], [125, "2 min 5 s"], [3600, "1 h"], [3605, "1 h"],
		[3660, "1 h 1 min"], [86400, "1 d"], [90000, "1 d 1 h"], [-65, "-1 min 5 s"], [Infinity, "-"], [null, "-"],
	];
	for (const [seconds, text] of cases) assert.equal(format.duration(seconds), text, `${seconds}`);
});

test("spans are what the API takes back", () => {
	for (const [seconds, text] of [[10, "10s"], [60, "1m"], [90, "90s"], [600, "10m"], [3600, "1h"], [86400, "1d"]])
		assert.equal(format.span(seconds), text);
});

test("how long ago has one unit", () => {
	const at = (seconds) => new Date(NOW - seconds * 1000).toISOString();
	const cases = [[0, "just now"], [4, "just now"], [5, "5 s ago"], [59, "59 s ago"], [60, "1 min ago"], [3599, "59 min ago"], [7200, "2 h ago"], [200000, "2 d ago"], [-300, "in 5 min"]];
	for (const [seconds, text] of cases) assert.equal(format.ago(at(seconds), NOW), text);
	for (const none of [null, undefined, "", "no time"]) assert.equal(format.ago(none, NOW), "never");
});

test("what goes on is told for how long", () => {
	assert.equal(format.lasting("2026-11-22T03:57:00Z", NOW), "for 3 min");
	assert.equal(format.lasting("2026-11-22T03:59:59Z", NOW), "since a moment");
	// A gate whose clock is ahead of the reader's.
	assert.equal(format.lasting("2026-11-22T04:05:00Z", NOW), "since a moment");
	assert.equal(format.lasting(null, NOW), "");
});

test("a time of another day has its date", () => {
	const noon = new Date(2026, 10, 22, 12, 0, 0).getTime();
	assert.equal(format.time(new Date(2026, 10, 22, 4, 12, 7).toISOString(), noon), "04:12:07");
	assert.equal(format.time(new Date(2026, 10, 21, 23, 59, 59).toISOString(), noon), "2026-11-21 23:59:59");
	assert.equal(format.time("nonsense", noon), "-");
	assert.equal(format.utc("2026-11-22T04:12:07.123Z"), "2026-11-22T04:12:07.123Z");
	assert.equal(format.utc("nonsense"), "");
});

test("rates", () => {
	for (const [n, text] of [[0, "0/min"], [0.42, "0.4/min"], [12.6, "13/min"], [1500, "1,500/min"], [null, "-"]]) assert.equal(format.rate(n), text);
	assert.equal(format.words("batch.opened"), "batch opened");
	assert.equal(format.words(null), "");
});
