// Somebody discards the batch while the dialog is open: the release is refused, and says what changed.
import assert from "node:assert/strict";
import { noErrors, screenshot } from "../browser.js";
import { counted, decide, heldBatch, releaseAll } from "../steps.js";

export default async function (t) {
	const { tokens, ask } = t;
	const page = await heldBatch(t, tokens.ann, 30);

	// It grows: a release of all of it is counted again.
	const dialog = await releaseAll(page);
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
