/*
 * The console while one works on it: node dev/server.mjs [--port N] [--gate HOST:PORT]. Builds src/
 * anew for each page that is loaded, and sends the headers that mailfused sends, so that what the
 * Content-Security-Policy refuses is refused here too. /v1 is a gate's, or without --gate the files of
 * fixtures/, where a decision answers but changes nothing. For one's own machine: it listens on
 * 127.0.0.1 only.
 */
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundle } from "../build.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({ options: { port: { type: "string", default: "8026" }, gate: { type: "string" } } });

const policy =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"frame-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

let files = [];
let signed_in = true;

function send(response, status, type, body, headers = {}) {
	response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", ...headers });
	response.end(body);
}

function send_json(response, status, body) {
	send(response, status, status < 400 ? "application/json" : "application/problem+json", JSON.stringify(body));
}

function problem(response, status, detail) {
	send_json(response, status, { type: "about:blank", title: http.STATUS_CODES[status], status, detail });
}

/* ---- the gate's calls, by a gate or by files */

function forward(request, response) {
	const [host, port] = values.gate.split(":");
	const headers = { ...request.headers, host: values.gate };
	if (headers.origin) headers.origin = `http://${values.gate}`;
	const call = http.request({ host, port, method: request.method, path: request.url, headers }, (answer) => {
		response.writeHead(answer.statusCode, answer.headers);
		answer.pipe(response);
	});
	call.on("error", () => problem(response, 502, `no gate answers at ${values.gate}`));
	response.on("close", () => call.destroy());
	request.pipe(call);
}

const session = { name: "anna", roles: ["viewer", "approver", "operator"], csrf: "dev", expires_at: null };

function session_call(request, response) {
	if (request.method === "POST") signed_in = true;
	if (request.method === "DELETE") signed_in = false;
	if (request.method === "DELETE") send_json(response, 200, { ended: true });
	else if (signed_in) send_json(response, 200, session);
	else problem(response, 401, "log in first");
}

function events(response) {
	response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
	const say = async () => {
		const { held, holds, warnings } = JSON.parse(await readFile(path.join(here, "fixtures/status.json"), "utf8"));
		response.write(`event: status\ndata: ${JSON.stringify({ held, holds, warnings: warnings.length })}\n\n`);
	};
	say();
	const timer = setInterval(say, 5000);
	response.on("close", () => clearInterval(timer));
}

/* /v1/batches/B2 is fixtures/batches.B2.json. */
async function fixture(request, response, pathname) {
	if (pathname === "/v1/session") return session_call(request, response);
	if (!signed_in) return problem(response, 401, "log in first");
	if (pathname === "/v1/events") return events(response);
	if (request.method === "POST") return send_json(response, 200, { recipients: 1490, messages: 1490, left: 1490, dry_run: true, batches: [], state: "released" });
	const name = pathname.slice("/v1/".length).split("/").map((part) => decodeURIComponent(part)).join(".");
	if (!/^[\w.-]+$/.test(name)) return problem(response, 404, "no fixture has that name");
	const text = await readFile(path.join(here, "fixtures", `${name}.json`), "utf8").catch(() => null);
	if (text === null) return problem(response, 404, `there is no fixtures/${name}.json`);
	return send(response, 200, "application/json", text);
}

/* ---- the page */

async function page(response, pathname) {
	let found = files.find((f) => f.path === pathname);
	if (!found) {
		files = await bundle();
		found = files.find((f) => f.path === pathname) ?? files[0];
	}
	send(response, 200, found.type, found.data, { "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer" });
}

const server = http.createServer((request, response) => {
	const { pathname } = new URL(request.url, "http://localhost");
	const api = pathname.startsWith("/v1/") || pathname === "/livez";
	const answer = async () => {
		if (api && values.gate) return forward(request, response);
		if (pathname === "/livez") return send(response, 200, "text/plain", "ok\n");
		if (api) return fixture(request, response, pathname);
		return page(response, pathname);
	};
	answer().catch((error) => {
		console.error(error.message);
		if (!response.headersSent) send(response, 500, "text/plain; charset=utf-8", `${error.message}\n`);
	});
});
server.listen(Number(values.port), "127.0.0.1", () => {
	const from = values.gate ? `the gate at ${values.gate}` : "fixtures";
	console.log(`http://127.0.0.1:${server.address().port}, data of ${from}`);
});
