// From the login to ten released, without a mouse; where the focus is can always be seen.
import assert from "node:assert/strict";
import { noErrors, openPage, person } from "../browser.js";
import { counted, figure } from "../steps.js";

// What has the focus, as a reader would say it, and whether it can be seen there.
function focus(page) {
	return page.evaluate(() => {
		const element = document.activeElement;
		const style = getComputedStyle(element);
		return {
			name: (
				element.getAttribute("aria-label") ||
				element.innerText ||
				element.labels?.[0]?.innerText ||
				""
			).trim(),
			tag: element.tagName,
			seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
		};
	});
}

// Tab until the focus is on what is called so; everything on the way must be seen.
async function tabTo(page, name, most = 60) {
	for (let i = 0; i < most; i++) {
		await page.keyboard.press("Tab");
		const at = await focus(page);
		if (at.tag === "BODY") continue;
		assert.ok(at.seen, `the focus on ${at.tag} “${at.name}” cannot be seen`);
		if (name.test(at.name)) return at;
	}
	throw new Error(`Tab never comes to ${name}`);
}

export default async function ({ browser, tokens }) {
	const context = await person(browser, null);
	const page = await openPage(context, "/batches/B1");
	await page.getByLabel(/token/i).waitFor();
	assert.match(page.url(), /\/login\?next=/);
	if ((await focus(page)).tag !== "INPUT") await tabTo(page, /token/i);
	await page.keyboard.type(tokens.ann);
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { level: 1, name: "Batch B1" }).waitFor();
	await figure(page, "Held", "30");

	await page.keyboard.press("?");
	await page.getByRole("dialog", { name: "Keys" }).waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });

	// The dialog has the focus, Esc gives it back, the letter opens it too.
	await tabTo(page, /^Release first 10/);
	await page.keyboard.press("Enter");
	const dialog = page.getByRole("dialog", { name: "Release B1" });
	await dialog.waitFor();
	assert.ok(await page.evaluate(() => document.activeElement.closest("dialog") !== null));
	await page.keyboard.press("Escape");
	await dialog.waitFor({ state: "detached" });
	assert.match((await focus(page)).name, /^Release first 10/);
	await page.keyboard.press("d");
	await page.getByRole("dialog", { name: "Discard B1" }).waitFor();
	await page.keyboard.press("Escape");
	await page.keyboard.press("r");
	await dialog.waitFor();
	assert.ok(await dialog.getByLabel("In rings").isChecked());
	await page.keyboard.press("Escape");
	await dialog.waitFor({ state: "detached" });

	await tabTo(page, /^Release first 10/);
	await page.keyboard.press("Enter");
	await counted(page, "Release 10 recipients");
	await tabTo(page, /^Reason/);
	await page.keyboard.type("by keyboard");
	await tabTo(page, /^Release 10 recipients/);
	await page.keyboard.press("Enter");
	await dialog.waitFor({ state: "detached" });
	await figure(page, "Sent", "10");

	// j and k go through the sample messages, Enter opens one; tabs by arrows.
	await page.keyboard.press("j");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { level: 1, name: "Sale today" }).waitFor();
	// It has no HTML, so its text is there at once.
	await page.getByLabel("Text", { exact: true }).last().waitFor();
	await tabTo(page, /^Text$/);
	await page.keyboard.press("ArrowRight");
	assert.equal((await focus(page)).name, "Source");
	await page.getByLabel("Source", { exact: true }).last().waitFor();
	await page.keyboard.press("g");
	await page.keyboard.press("o");
	await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
	noErrors(page);
}
