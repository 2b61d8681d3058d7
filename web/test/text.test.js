import assert from "node:assert/strict";
import { test } from "node:test";
import { pieces, plain, shorten } from "../src/text.js";

test("plain text is one run, markup is only text", () => {
	for (const text of ["Hello", "Grüße, 世界 👍🏽", "<script>alert(1)</script>", "مرحبا", 'a "b" & c'])
		assert.deepEqual(pieces(text), [{ text }]);
	for (const none of ["", null, undefined]) assert.deepEqual(pieces(none), []);
	assert.deepEqual(pieces(42), [{ text: "42" }]);
});

test("control characters are pictures", () => {
	assert.equal(plain("a\0b\x07c\x1b[31md\x7f"), "a␀b␇c␛[31md␡");
	assert.equal(plain("a\r\nb\tc"), "a␍␊b␉c");
	assert.equal(plain("\u0085\u009b"), "[U+0085][U+009B]");
});

test("what turns or hides text is shown by its number, with its name", () => {
	assert.equal(plain("invoice\u202efdp.exe"), "invoice[U+202E]fdp.exe");
	assert.deepEqual(pieces("\u202e"), [{ sign: "U+202E", title: "U+202E right-to-left override" }]);
	const hidden = ["\u200b", "\u200e", "\u200f", "\u2028", "\u2029", "\u2066", "\u2069", "\u2060", "\ufeff", "\u00ad", "\u061c", "\u3164", "\u115f", "\u034f", "\u{e0041}", "\u{1d173}"];
	for (const c of hidden) {
		assert.equal(pieces(`a${c}b`).length, 3, `U+${c.codePointAt(0).toString(16)}`);
		assert.ok(!plain(`a${c}b`).includes(c));
	}
});

test("joiners that a script or an emoji needs stay, others are shown", () => {
	for (const text of ["👩‍👩‍👧", "❤️‍🔥", "می‌خواهم", "क्‍ष"]) assert.deepEqual(pieces(text), [{ text }]);
	assert.equal(plain("pay\u200dpal"), "pay[U+200D]pal");
	assert.equal(plain("\u200dab"), "[U+200D]ab");
	assert.equal(plain("ab\u200c"), "ab[U+200C]");
});

test("half a surrogate pair is shown, not sent to the page", () => {
	assert.equal(plain("a\ud800b"), "a[U+D800]b");
	assert.equal(plain("\udfff"), "[U+DFFF]");
});

test("text with lines keeps these and tabs, and nothing else", () => {
	assert.deepEqual(pieces("a\r\nb\tc\n", true), [{ text: "a\nb\tc\n" }]);
	assert.deepEqual(pieces("a\rb", true).map((p) => p.text ?? p.sign), ["a", "␍", "b"]);
	assert.deepEqual(pieces("a\u2028b", true).map((p) => p.text ?? p.sign), ["a", "U+2028", "b"]);
});

test("a text is cut between characters", () => {
	assert.deepEqual(shorten("abc", 3), { text: "abc", cut: false });
	assert.deepEqual(shorten("abcd", 3), { text: "abc", cut: true });
	assert.deepEqual(shorten("ab😀", 3), { text: "ab", cut: true });
	assert.deepEqual(shorten(null, 3), { text: "", cut: false });
});

test("nothing is lost, whatever comes", () => {
	for (let code = 0; code < 0x3100; code++) {
		const c = String.fromCodePoint(code);
		const shown = pieces(`x${c}y`);
		const whole = shown.map((p) => p.text ?? c).join("");
		assert.equal(whole, `x${c}y`, `U+${code.toString(16)}`);
	}
});
