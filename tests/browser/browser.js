// Debian's Chromium for the cases: one browser, any number of people (contexts with a session each).
// Whatever a page asks for is written down; the browser itself keeps a log of its network, which
// rig/browser.py reads when it has ended.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

export const url = process.env.CONSOLE_URL;
const screens = process.env.CONSOLE_SCREENS;
export const taken = Boolean(screens); // whether pictures are
const axeSource = fs.readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// Hang guards: nothing is waited for by time.
const DEADLINE = Number(process.env.CONSOLE_DEADLINE_MS || 60000);

export async function startBrowser() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
		args: [
			"--disable-component-update",
			"--disable-background-networking",
			// Names other than the gate's lead nowhere, so a test never leaves the machine.
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
			...(process.env.CONSOLE_NET_LOG ? [`--log-net-log=${process.env.CONSOLE_NET_LOG}`] : []),
		],
	});
}

// A person with a session: `token` as rig/people.py makes them; null stays logged out.
export async function person(browser, token, options = {}) {
	const context = await browser.newContext({
		baseURL: url,
		viewport: { width: 1280, height: 900 },
		reducedMotion: "reduce",
		locale: "en-GB",
		timezoneId: "UTC",
		...options,
	});
	context.setDefaultTimeout(DEADLINE);
	if (token) {
		const answer = await context.request.post("/v1/session", {
			data: { token },
			headers: { Origin: url },
		});
		assert.equal(answer.status(), 200, `a session: ${await answer.text()}`);
	}
	return context;
}

// A page whose errors fail the case. `noted` has what a hostile message would have brought about.
export async function openPage(context, where) {
	const page = await context.newPage();
	const noted = {
		requests: [],
		blocked: [],
		failed: [],
		dialogs: [],
		errors: [],
		popups: [],
		downloads: [],
		violations: [],
	};
	page.on("request", (request) => noted.requests.push(request.url()));
	// What the page's or the message's policy forbids is told of, and is never sent.
	page.on("requestfailed", (request) => {
		const why = request.failure()?.errorText ?? "";
		if (!/^(csp|origin)$|ERR_BLOCKED_BY_CSP/.test(why)) return noted.failed.push(`${request.url()}: ${why}`);
		noted.blocked.push(request.url());
		noted.requests.splice(noted.requests.indexOf(request.url()), 1);
	});
	page.on("dialog", (dialog) => {
		noted.dialogs.push(dialog.message());
		dialog.dismiss();
	});
	page.on("pageerror", (error) => noted.errors.push(String(error)));
	page.on("popup", (popup) => noted.popups.push(popup.url()));
	page.on("download", (download) => noted.downloads.push(download.url()));
	page.on("console", (message) => {
		if (message.type() === "error") noted.violations.push(message.text());
	});
	page.noted = noted;
	if (where) await page.goto(where);
	return page;
}

export function noErrors(page) {
	assert.deepEqual(page.noted.errors, [], "no error of a script in the page");
	assert.deepEqual(page.noted.dialogs, [], "no alert(), confirm() or prompt()");
	for (const asked of page.noted.requests)
		assert.ok(asked.startsWith(`${url}/`) || /^(data|blob|about):/.test(asked), `asked for ${asked}`);
}

const wcag = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] };
// What another theme can change.
export const colours = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

// axe-core's rules for WCAG 2.1 A and AA; what is serious or critical fails.
export async function accessible(page, name, rules = wcag) {
	if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axeSource);
	const results = await page.evaluate(
		(runOnly) => globalThis.axe.run(document, { runOnly, iframes: false, resultTypes: ["violations"] }),
		rules,
	);
	const bad = results.violations
		.filter((found) => found.impact === "serious" || found.impact === "critical")
		.map(
			(found) =>
				`${found.id} (${found.impact}): ${found.help}\n    ` +
				found.nodes
					.slice(0, 5)
					.map((node) => `${node.target} ${node.failureSummary}`)
					.join("\n    "),
		);
	assert.equal(bad.length, 0, `${name}: axe-core found\n  ${bad.join("\n  ")}`);
}

export async function screenshot(page, name, options = {}) {
	if (!screens) return;
	fs.mkdirSync(screens, { recursive: true });
	await page.screenshot({ path: path.join(screens, `${name}.png`), ...options });
}

// Nothing is wider than the window: a narrow screen never scrolls sideways.
export async function fitsWidth(page, name) {
	const [scroll, client] = await page.evaluate(() => {
		const root = document.documentElement;
		return [root.scrollWidth, root.clientWidth];
	});
	assert.ok(scroll <= client, `${name}: ${scroll} pixels wide in a window of ${client}`);
}
