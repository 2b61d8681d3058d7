import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bundle } from "../build.mjs";

const source = fileURLToPath(new URL("../src", import.meta.url));
const program = fileURLToPath(new URL("../dev/server.mjs", import.meta.url));
let server;
let base;

before(async () => {
	server = spawn(process.execPath, [program, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
	const [line] = await once(server.stdout, "data");
	base = /^(http:\S+),/.exec(line)[1];
});

after(() => server.kill());

test("the page is complete, and has nothing that its policy refuses", async () => {
	const files = await bundle();
	const page = files[0].data.toString();
	assert.equal(files[0].path, "/index.html");
	const named = [...page.matchAll(/(?:href|src)="([^"]+)"/g)].map((m) => m[1]);
	assert.equal(named.length, 3);
	for (const name of named) assert.ok(files.some((f) => f.path === name), name);
	assert.ok(!/<script(?![^>]*src=)|<style| style=| on\w+=/.test(page));
});

test("names change with their content, and only these are kept for ever", async () => {
	for (const f of await bundle())
		assert.equal(f.immutable, /-[0-9A-Za-z]{8}\.(js|css|svg)$/.test(f.path), f.path);
});

test("nothing in it is fetched from another host", async () => {
	for (const f of await bundle()) {
		const text = f.data.toString();
		if (f.path.endsWith(".css")) assert.ok(!/url\(|@import/.test(text), f.path);
		if (!f.path.endsWith(".js")) continue;
		const hosts = [...text.matchAll(/https?:\/\/([^/"'`\s]+)/g)].map((m) => m[1]);
		assert.deepEqual(hosts.filter((h) => h !== "www.w3.org" && !h.includes("$")), [], f.path);
		assert.ok(!/\beval\(|new Function\(/.test(text), f.path);
	}
});

test("no page makes HTML out of text", async () => {
	const files = (await readdir(source, { recursive: true })).filter((f) => /\.jsx?$/.test(f));
	assert.ok(files.length > 30);
	for (const f of files) {
		const text = await readFile(path.join(source, f), "utf8");
		assert.ok(!/innerHTML|insertAdjacentHTML|document\.write|srcdoc|javascript:/i.test(text), f);
	}
});

test("licences of what is bundled go with it", async () => {
	const text = (await bundle()).find((f) => f.path === "/licences.txt").data.toString();
	for (const name of ["preact", "uplot", "postal-mime"]) assert.match(text, new RegExp(`^${name} \\d`, "m"));
	assert.equal(text.match(/permission/gi)?.length >= 3, true);
});

test("the server for developers answers as the daemon does", async () => {
	const page = await fetch(`${base}/batches/B2`);
	assert.match(page.headers.get("content-security-policy"), /^default-src 'none'; script-src 'self';/);
	assert.match(await page.text(), /<div id="app">/);
	const status = await fetch(`${base}/v1/status`);
	assert.equal(status.headers.get("content-type"), "application/json");
	assert.ok((await status.json()).held.batches >= 0);
	for (const path of ["/v1/nothing", "/v1/..%2f..%2fpackage", "/v1/%00"]) {
		const none = await fetch(base + path);
		assert.equal(none.status, 404, path);
		assert.equal(none.headers.get("content-type"), "application/problem+json");
	}
});
