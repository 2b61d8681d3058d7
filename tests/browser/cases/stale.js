// Somebody discards the batch while the dialog is open: the release is refused, and says what changed.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage, counted, decide } from "../steps.js";

export default async function ({ browser, tokens, ask }) {
	await ask("blast", { count: 30 });
	const context = await person(browser, tokens.ann);
	const page = await openPage(context, "/batches/B1");
	await batchPage(page, "B1");

	// It grows: a release of all of it is counted again.
	await page.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("All at once").check();
	await dialog.getByLabel("Reason").fill("fine");
	await counted(page, "Release 30 recipients");
	await ask("blast", { count: 5 });
	await dialog.getByRole("button", { name: "Release 30 recipients" }).click();
	const changed = dialog.getByRole("alert");
	await changed.getByText("The batch has changed since you looked.").waitFor();
	assert.match(await changed.innerText(), /Held: 30.*35/s);
	await screenshot(page, "stale");
	assert.ok(await dialog.locator("button[type=submit]").isDisabled(), "not before one has looked");
	await dialog.getByRole("button", { name: "Look again" }).click();
	await counted(page, "Release 35 recipients");

	// Somebody else discards it.
	await ask("post", { call: "discard", body: { reason: "another person" } });
	await dialog.getByRole("button", { name: "Release 35 recipients" }).click();
	await changed.getByText("The batch has changed since you looked.").waitFor();
	assert.match(await changed.innerText(), /State: held.*discarded/s);
	await page.keyboard.press("Escape");
	await dialog.waitFor({ state: "detached" });

	// A discard of a batch that fills is never refused for that.
	await ask("post", { call: "restore", body: { reason: "back" } });
	await page.getByRole("button", { name: "Discard…" }).click();
	await counted(page, "Discard 35 recipients");
	await ask("blast", { count: 5 });
	await decide(page, "stop it");
	assert.equal((await ask("row")).held, 0);
	noErrors(page);
}
