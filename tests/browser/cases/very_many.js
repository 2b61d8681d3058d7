// The page of a message with many recipients: the first of them, then a page at a time.
import assert from "node:assert/strict";
import { noErrors, openPage, person } from "../browser.js";

export default async function ({ browser, tokens, ask }) {
	const context = await person(browser, tokens.eve);
	const page = await openPage(context, `/messages/${await ask("message")}`);
	const rows = page.getByRole("table", { name: "Recipients" }).locator("tbody tr");
	await page.getByText("50 of 500 recipients shown").waitFor();
	assert.equal(await rows.count(), 50);
	for (const shown of [200, 400]) {
		await page.getByRole("button", { name: "Show more" }).click();
		await page.getByText(`${shown} recipients shown; there are more`).waitFor();
		assert.equal(await rows.count(), shown);
	}
	await page.getByRole("button", { name: "Show more" }).click();
	await page.getByText("500 recipients shown", { exact: true }).waitFor();
	assert.equal(await rows.count(), 500);
	assert.equal(await page.getByRole("button", { name: "Show more" }).count(), 0);
	noErrors(page);
}
