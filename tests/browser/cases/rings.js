// A release in rings: two rings wait for the upstream, and are watched until the last is done.
import assert from "node:assert/strict";
import { noErrors, screenshot } from "../browser.js";
import { decide, figure, heldBatch } from "../steps.js";

export default async function (t) {
	const { tokens, ask } = t;
	const page = await heldBatch(t, tokens.ann, 40);
	await page.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = page.getByRole("dialog");
	assert.ok(await dialog.getByLabel("In rings").isChecked());
	await dialog.getByLabel("Rings", { exact: true }).fill("5, 10, all");
	await dialog.getByLabel("Wait after each").fill("1s");
	await dialog.getByText("in 3 rings of 5, 10, 25").waitFor();
	await decide(page, "the text is right");
	const ring = (n) => page.locator(".ring").nth(n - 1);
	await ring(1).getByText("2 sent").waitFor();
	assert.equal(await page.locator(".ring").count(), 3);
	assert.equal(await ring(1).getByRole("progressbar").getAttribute("value"), "40");
	assert.ok(await ring(3).getByText("to come").isVisible());
	await screenshot(page, "batch-rings", { fullPage: true });
	await ask("open");
	await page.getByRole("heading", { name: "Release done" }).waitFor();
	for (const n of [1, 2, 3]) assert.ok(await ring(n).getByText("done").isVisible(), `ring ${n}`);
	await figure(page, "Sent", "40");
	await figure(page, "Held", "0");
	noErrors(page);
}
