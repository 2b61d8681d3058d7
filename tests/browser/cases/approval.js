// A large release takes two people: one asks, and cannot approve; the other sees it and does.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage, counted, decide, figure, heldBatch, releaseAll } from "../steps.js";

// Runs in the page, with its session.
async function approve() {
	const { csrf } = await (await fetch("/v1/session")).json();
	const answer = await fetch("/v1/approve", {
		method: "POST",
		headers: { "content-type": "application/json", "x-mailfuse-csrf": csrf },
		body: JSON.stringify({ ids: ["B1"] }),
	});
	return [answer.status, (await answer.json()).detail];
}

export default async function (t) {
	const { tokens, ask } = t;
	const one = await heldBatch(t, tokens.ann, 30);
	const two = await openPage(await person(t.browser, tokens.ben), "/batches/B1");
	await batchPage(two, "B1");
	const dialog = await releaseAll(one);
	await dialog.getByText("Nothing is sent before a second person has approved it").waitFor();
	await counted(one, "Ask for release of 30 recipients");
	await decide(one, "checked the text");
	await one.getByText("You asked for it: another person has to approve.").waitFor();
	assert.ok(await one.getByRole("button", { name: "Approve…" }).isDisabled());
	// Not by a call past the button either.
	const [status, detail] = await one.evaluate(approve);
	assert.equal(status, 409, detail);
	assert.match(detail, /asked for it|another person/);
	assert.equal(await ask("arrived"), 0);

	// The other session sees it live.
	await two.getByText("token:ann").first().waitFor();
	await two.getByText("You (ben) may approve.").waitFor();
	await screenshot(two, "approval");
	await two.getByRole("button", { name: "Approve…" }).click();
	await decide(two, "me too");
	for (const page of [one, two]) {
		await page.getByRole("heading", { name: "Release done" }).waitFor();
		await figure(page, "Sent", "30");
		await page.getByText("token:ben").first().waitFor();
		noErrors(page);
	}
}
