// The gate ends and starts again under an open page: a banner says that what is shown may be old, then
// the login (sessions live in the gate's memory), then the page as it was, live.
import assert from "node:assert/strict";
import { screenshot } from "../browser.js";
import { batchPage, figure, heldBatch } from "../steps.js";

export default async function (t) {
	const { tokens, ask } = t;
	const page = await heldBatch(t, tokens.ann, 30);
	await ask("stop");
	const banner = page.getByText("The gate does not answer. What you see may be old");
	await banner.waitFor();
	await figure(page, "Held", "30");
	await page.getByRole("button", { name: "Discard…" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByText("The gate does not answer.").waitFor();
	assert.ok(await dialog.locator("button[type=submit]").isDisabled(), "without a count nothing is decided");
	await screenshot(page, "gate-away");
	await page.keyboard.press("Escape");

	await ask("start");
	await page.getByText("Your session is over.").waitFor();
	await page.getByLabel(/token/i).fill(tokens.ann);
	await page.keyboard.press("Enter");
	await batchPage(page, "B1");
	await banner.waitFor({ state: "detached" });
	await ask("blast", { count: 5 });
	await figure(page, "Held", "35");
	assert.deepEqual(page.noted.errors, []);
}
