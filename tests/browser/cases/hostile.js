// The corpus of hostile mail, each letter in every view: no request leaves, no script runs, no
// download, window or dialog opens. What the browser's network did is read by the test afterwards.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot, url } from "../browser.js";

const shots = ["script", "remote images", "text rtl", "text controls", "nested"];

// What a script would have left behind. A frame that is gone meanwhile, or whose document is, has
// nothing to ask; one that does not answer is a fault.
async function traces(frame) {
	let timer;
	const silence = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`no answer from the frame at ${frame.url()}`)), 120_000);
	});
	const asked = frame
		.evaluate(() => [globalThis.ran, document.title === "ran"])
		.catch((error) => {
			if (/detached|destroyed|navigation/i.test(error.message)) return [undefined, false];
			throw error;
		});
	try {
		return await Promise.race([asked, silence]);
	} finally {
		clearTimeout(timer);
	}
}

async function nothingRan(page, name) {
	for (const frame of page.frames()) {
		assert.deepEqual(await traces(frame), [undefined, false], `${name}: a script ran in ${frame.url()}`);
		assert.ok(
			new URL(frame.url() || "about:blank").origin === url || /^(about:|chrome-error:|$)/.test(frame.url()),
			`${name}: a frame is at ${frame.url()}`,
		);
	}
}

// The frame's own links and buttons, pressed as a careless person would; returns how many were.
async function press(page, name) {
	const frame = page.frameLocator("iframe.mail-frame");
	const targets = frame.locator("a, area, button, input[type=submit], input[type=image]");
	const many = Math.min(await targets.count(), 5);
	let pressed = 0;
	for (let i = 0; i < many; i++) {
		// What cannot be seen cannot be pressed, and a press may have led the frame away.
		await targets
			.nth(i)
			.click({ force: true, timeout: 3000 })
			.then(() => pressed++)
			.catch(() => {});
		await nothingRan(page, `${name}, pressed ${i}`);
	}
	return pressed;
}

async function look(page, id, name, pressing) {
	await page.goto(`/messages/${id}`);
	await page.getByRole("tab", { name: "HTML" }).waitFor();
	await page.locator(".loading").first().waitFor({ state: "detached" });
	const frame = page.locator("iframe.mail-frame");
	if (await frame.count()) {
		assert.equal(await frame.getAttribute("sandbox"), "", name);
		await page.frameLocator("iframe.mail-frame").locator(":root").waitFor();
	}
	await nothingRan(page, name);
	const pressed = pressing ? await press(page, name) : 0;
	if (shots.includes(name)) await screenshot(page, `hostile-${name.replace(/ /g, "-")}`);
	for (const tab of ["Text", "Headers", "Source", "Attachments"]) {
		await page.getByRole("tab", { name: tab }).click();
		await page.locator(".loading").first().waitFor({ state: "detached" });
		await nothingRan(page, `${name}, ${tab}`);
	}
	if (name === "nested") await page.getByText("Its attachments cannot be listed.").waitFor();
	if (name === "beside") await page.getByText(/9,8\d\d more are not listed|It takes too long to take apart/).waitFor();
	if (name === "attachments") assert.equal(await page.locator("main .tab-panel tbody tr").count(), 7);
	return pressed;
}

export default async function ({ browser, tokens, ask }) {
	const names = await ask("ids");
	const canary = await ask("canary");
	const pressing = await ask("pressing");
	const context = await person(browser, tokens.ann);
	const page = await openPage(context);
	let pressed = 0;
	for (const [id, name] of Object.entries(names)) {
		const began = Date.now();
		pressed += await look(page, id, name, pressing);
		console.error(`${name}: ${Date.now() - began} ms`);
		const asked = page.noted.requests.filter((where) => where.includes(canary.slice(7)));
		assert.deepEqual(asked, [], `${name} asked the canary`);
		assert.deepEqual([page.noted.popups, page.noted.downloads], [[], []], name);
		assert.equal(context.pages().length, 1, `${name} opened a window`);
	}
	assert.ok(page.noted.blocked.length > 10, "the corpus has tried");
	assert.ok(!pressing || pressed > 5, `only ${pressed} were pressed`);
	noErrors(page);
}
