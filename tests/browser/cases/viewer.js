// Who may only look sees everything and is told what a decision takes.
import assert from "node:assert/strict";
import { noErrors, openPage, person } from "../browser.js";
import { batchPage } from "../steps.js";

export default async function ({ browser, tokens }) {
	const context = await person(browser, tokens.eve);
	const page = await openPage(context, "/batches/B1");
	await batchPage(page, "B1");
	await page
		.getByText("Your token may look, but not release or discard: log in with one that has the role operator")
		.waitFor();
	const decisions = page.getByRole("button", { name: /…$/ });
	assert.equal(await decisions.count(), 0);
	for (const key of ["r", "d", "p"]) await page.keyboard.press(key);
	assert.equal(await page.getByRole("dialog").count(), 0);
	for (const where of ["/", "/alerts", "/environments/production", "/audit", "/settings"]) {
		await page.goto(where);
		await page.getByRole("heading", { level: 1 }).waitFor();
		await page.locator(".loading").first().waitFor({ state: "detached" });
		assert.equal(await decisions.count(), 0, where);
		assert.equal(await page.getByRole("button", { name: /test/i }).count(), 0, where);
	}
	noErrors(page);
}
