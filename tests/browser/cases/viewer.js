// Who may only look sees everything and is told what a decision takes.
import assert from "node:assert/strict";
import { noErrors, openPage, person } from "../browser.js";
import { batchPage } from "../steps.js";

export default async function ({ browser, tokens }) {
	const context = await person(browser, tokens.eve);
	const page = await openPage(context, "/batches/B1");
	await batchPage(page, "B1");
	await page.getByText("You may look: release, discard takes the role operator.").waitFor();
	assert.equal(await page.getByRole("button", { name: /^(Release|Discard)/ }).count(), 0);
	await page.keyboard.press("r");
	assert.equal(await page.getByRole("dialog").count(), 0);
	noErrors(page);
}
