/* The pure parts of the message page: headers as rows, a message taken apart within limits. */
import test from "node:test";
import assert from "node:assert/strict";
import { header_rows } from "../src/message/header.js";
import { take_apart } from "../src/message/take_apart.js";
import { limits } from "../src/message/limits.js";

const bytes = (text) => new TextEncoder().encode(text.replace(/\n/g, "\r\n"));

test("headers: unfolded, with encoded words beside their text", () => {
	const { rows, more } = header_rows(
		"Subject: =?utf-8?B?w6TDtg==?=\r\nTo: a@x.test,\r\n\tb@x.test\r\nodd line\r\n\r\nBody: no",
	);
	assert.deepEqual(rows, [
		{ name: "Subject", value: "=?utf-8?B?w6TDtg==?=", decoded: "äö" },
		{ name: "To", value: "a@x.test, b@x.test", decoded: null },
		{ name: "", value: "odd line", decoded: null },
	]);
	assert.equal(more, 0);
});

test("headers: bounded", () => {
	const { rows, more } = header_rows("X: y\n".repeat(limits.headers + 7));
	assert.equal(rows.length, limits.headers);
	assert.equal(more, 7);
	assert.ok(header_rows(`X: ${"y".repeat(1e6)}`).rows[0].value.length <= limits.header_characters + 1);
});

test("attachments by name, type and size", async () => {
	const parts = await take_apart(
		bytes(`Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p>hello
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="a<b>.pdf"
Content-Transfer-Encoding: base64

AAECAw==
--b
Content-Type: message/rfc822

Subject: inner
Content-Type: text/plain

x
--b--
`),
	);
	assert.equal(parts.html, true);
	assert.deepEqual(parts.attachments[0], {
		name: "a<b>.pdf",
		type: "application/pdf",
		bytes: 4,
		inline: false,
	});
	assert.equal(parts.attachments[1].type, "message/rfc822");
	assert.equal(parts.more, 0);
});

test("10,000 parts within parts are refused, 1,000 beside each other are counted", async () => {
	let deep = "";
	for (let i = 0; i < 10000; i++) deep += `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`;
	await assert.rejects(take_apart(bytes(deep)), /nesting/);
	const wide = `Content-Type: multipart/mixed; boundary=b\n\n${"--b\nContent-Type: image/png\n\nx\n".repeat(1000)}--b--\n`;
	const parts = await take_apart(bytes(wide));
	assert.equal(parts.attachments.length, limits.attachments);
	assert.equal(parts.more, 1000 - limits.attachments);
});

test("what is no message does no harm", async () => {
	for (const odd of ["", "\0\0\0", "Content-Type: multipart/mixed\n\n--\n", "a".repeat(100000)])
		assert.deepEqual((await take_apart(bytes(odd))).attachments, [], JSON.stringify(odd.slice(0, 20)));
});
