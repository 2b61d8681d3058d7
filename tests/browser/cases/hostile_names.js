// Hostile subjects and addresses where operators look: overview, batch, dialog, audit.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage } from "../steps.js";

// No letter of the data that turns what stands around it, none that is not shown.
async function plainOnly(page, name) {
	const text = await page.evaluate(() => document.body.innerText);
	const odd = text.match(
		/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u,
	);
	assert.equal(odd, null, `${name} shows U+${odd?.[0].codePointAt(0).toString(16)}`);
	assert.equal(
		await page.evaluate(
			() => document.querySelectorAll("main script, main svg[onload], main img").length,
		),
		0,
		name,
	);
}

export default async function ({ browser, tokens, ask }) {
	const context = await person(browser, tokens.ann);
	const page = await openPage(context);
	const batches = await ask("batches");
	assert.ok(batches.length > 0);
	for (const id of batches) {
		await page.goto(`/batches/${id}`);
		await batchPage(page, id);
		await plainOnly(page, id);
		await page.getByText("All recipients").click();
		await page.locator(".whole tbody tr").first().waitFor();
		await plainOnly(page, `${id}, all recipients`);
		await page.getByRole("button", { name: "Discard…" }).click();
		await page.getByRole("dialog").locator("button[type=submit]:not([disabled])").waitFor();
		await plainOnly(page, `${id}, discard`);
	}
	await screenshot(page, "hostile-batch", { fullPage: true });
	for (const where of ["/", "/audit", "/alerts", "/settings"]) {
		await page.goto(where);
		await page.getByRole("heading", { level: 1 }).waitFor();
		await plainOnly(page, where);
	}
	noErrors(page);
}
