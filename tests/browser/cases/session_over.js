// The session ends under an open page, in the middle of a decision: nothing is done, the page says so,
// and after a login one is back at the batch.
import assert from "node:assert/strict";
import { noErrors, screenshot } from "../browser.js";
import { batchPage, counted, decide, figure, heldBatch } from "../steps.js";

async function backIn(page, token) {
	await page.getByText("Your session is over. Log in, and you are back where you were.").waitFor();
	assert.match(page.url(), /\/login\?next=%2Fbatches%2FB1$/);
	await page.getByLabel(/token/i).fill(token);
	await page.getByRole("button", { name: "Log in" }).click();
	await batchPage(page, "B1");
}

export default async function (t) {
	const { tokens, ask } = t;
	const page = await heldBatch(t, tokens.ann, 30, { viewport: { width: 360, height: 740 } });
	await page.getByRole("button", { name: "Release first 10…" }).click();
	await counted(page, "Release 10 recipients");

	// Whoever runs the gate takes the token away, and gives it back.
	await ask("revoke");
	await page.getByRole("dialog").getByLabel(/^Reason/).fill("looks right").catch(() => {});
	await page.getByRole("button", { name: "Release 10 recipients" }).click({ timeout: 5000 }).catch(() => {});
	await page.getByText("Your session is over.").waitFor();
	await screenshot(page, "session-over");
	assert.equal(await ask("arrived"), 0);
	await ask("give_back");
	await backIn(page, tokens.ann);
	assert.equal(await page.getByRole("dialog").count(), 0);

	// A page that only listens hears of it too.
	await ask("revoke");
	await page.getByText("Your session is over.").waitFor();
	await ask("give_back");
	await backIn(page, tokens.ann);
	await page.getByRole("button", { name: "Release first 10…" }).click();
	await decide(page, "looks right");
	await figure(page, "Sent", "10");
	noErrors(page);
}
