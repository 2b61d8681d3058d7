// Discarded, so that nothing leaves, and brought back; discarded again, and deleted for good.
import assert from "node:assert/strict";
import { noErrors, screenshot } from "../browser.js";
import { counted, decide, figure, heldBatch } from "../steps.js";

export default async function (t) {
	const page = await heldBatch(t, t.tokens.ann, 30);
	await page.getByRole("button", { name: "Discard…" }).click();
	await page.getByText("Discard 30 recipients of B1, so that nothing of it is sent?").waitFor();
	await decide(page, "sent by mistake");
	await figure(page, "Held", "0");
	await figure(page, "Discarded", "30");
	await page.getByRole("button", { name: "Restore…" }).click();
	await page.getByText("Restore 30 recipients of B1, so that they are held again?").waitFor();
	await decide(page, "the wrong batch");
	await figure(page, "Held", "30");

	assert.equal(await page.getByRole("button", { name: "Purge…" }).count(), 0, "what is held is not purged");
	await page.getByRole("button", { name: "Discard…" }).click();
	await decide(page, "by mistake after all");
	await figure(page, "Discarded", "30");
	const purge = page.getByRole("button", { name: "Purge…" });
	await purge.click();
	const dialog = page.getByRole("dialog");
	await dialog.getByText("Purge 30 recipients of B1? Their mail is deleted for good: nobody can restore it.").waitFor();
	await counted(page, "Purge 30 recipients");
	await dialog.locator("button[type=submit]").click();
	await dialog.getByText("Say why").waitFor();
	await screenshot(page, "purge-dialog");
	await decide(page, "a copy of real customers");
	await figure(page, "Purged", "30");
	await purge.waitFor({ state: "detached" });
	assert.equal(await page.getByRole("button", { name: "Restore…" }).count(), 0);
	noErrors(page);
}
