// The pictures of README.md: a blast on the overview, and its batch while rings of it are released. Numbers of
// mail are the gate's own; the day before it, the drill and its channel are made up, since a gate of a test has none.
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage, decide } from "../steps.js";

const STEP = 600;

// A day of mail: little at night, most in the afternoon, then what the gate has seen itself.
function day(environment) {
	const now = Math.floor(Date.now() / 1000 / STEP) * STEP;
	const most = environment.production ? 420 : 60;
	const before = [];
	for (let i = 144; i > 0; i--) {
		const at = now - i * STEP;
		const wave = Math.max(0, Math.sin(((i + 20) / 144) * Math.PI * 2 - 1.1));
		const passed = Math.round(most * (0.08 + wave) * (0.8 + 0.2 * Math.sin(i * 2.7)));
		before.push({ at: new Date(at * 1000).toISOString(), passed, waited: 0, held: 0, dropped: 0 });
	}
	return before;
}

// Put before what the gate has seen itself, in the chart and in the sums; nothing knows of the others.
function withDay(environment) {
	if (!["production", "staging"].includes(environment.name)) return;
	const before = day(environment);
	const sum = (list) => list.reduce((all, step) => all + step.passed, 0);
	environment.rates.hour.recipients += sum(before.slice(-6));
	environment.rates.day.recipients += sum(before);
	if (environment.traffic) environment.traffic = [...before, ...environment.traffic.slice(-1)];
}

async function rewrite(context, where, change) {
	await context.route(where, async (route) => {
		const response = await route.fetch();
		const json = await response.json();
		change(json);
		await route.fulfill({ response, json });
	});
}

async function madeUp(context) {
	await rewrite(context, /\/v1\/environments\/[a-z]+$/, withDay);
	await rewrite(context, /\/v1\/environments\?/, (list) => list.items.forEach(withDay));
	await rewrite(context, /\/v1\/status$/, (status) => {
		const at = new Date(Date.now() - 9 * 3600e3).toISOString();
		status.last_drill = { ...status.last_drill, passed: true, at, passed_at: at };
		status.warnings = [];
		for (const u of status.upstreams) u.address = "smtp.example.com:587";
	});
}

export default async function ({ browser, tokens, ask }) {
	const context = await person(browser, tokens.ann, { viewport: { width: 1120, height: 740 }, deviceScaleFactor: 1.25 });
	await madeUp(context);
	const page = await openPage(context, "/");
	await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
	for (const count of [110, 160, 210, 180, 120]) {
		await ask("wave", { count });
		await new Promise((resolve) => setTimeout(resolve, 1000)); // for the shape of the chart only
	}
	await page.getByText(/1 batch with 7\d\d recipients/).waitFor();
	// The traffic of the last minute follows a little later.
	const minute = page.locator(".environment").first().locator(".figure").nth(1);
	await minute.filter({ hasText: "780" }).waitFor({ timeout: 200000 });
	await page.reload();
	await page.locator(".environment-chart canvas").nth(2).waitFor();
	await page.locator(".loading").first().waitFor({ state: "detached" });
	await screenshot(page, "overview");

	await page.setViewportSize({ width: 1120, height: 1010 });
	await page.getByRole("link", { name: "Look at it" }).click();
	await batchPage(page, "B1");
	await page.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("Rings", { exact: true }).fill("10, 100, all");
	await dialog.getByLabel("Wait after each").fill("1s");
	await decide(page, "text and list checked with the shop team");
	await page.locator(".ring").nth(1).getByText(/^4\d sent/).waitFor();
	await screenshot(page, "batch");
	noErrors(page);
	await ask("open");
}
