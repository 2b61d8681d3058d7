// A large release takes two people: one asks, and cannot approve; the other sees it and does.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage, counted, decide, figure } from "../steps.js";

export default async function ({ browser, tokens, ask }) {
	await ask("blast", { count: 30 });
	const [ann, ben] = [await person(browser, tokens.ann), await person(browser, tokens.ben)];
	const [one, two] = [await openPage(ann, "/batches/B1"), await openPage(ben, "/batches/B1")];
	await batchPage(one, "B1");
	await batchPage(two, "B1");
	await one.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = one.getByRole("dialog");
	await dialog.getByLabel("All at once").check();
	await dialog.getByText("Nothing is sent before a second person has approved it").waitFor();
	await counted(one, "Ask for release of 30 recipients");
	await decide(one, "checked the text");
	await one.getByText("You asked for it: another person has to approve.").waitFor();
	assert.ok(await one.getByRole("button", { name: "Approve…" }).isDisabled());
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
