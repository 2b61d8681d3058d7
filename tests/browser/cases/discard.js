// Discarded, so that nothing leaves, and brought back.
import { noErrors, openPage, person } from "../browser.js";
import { batchPage, decide, figure } from "../steps.js";

export default async function ({ browser, tokens, ask }) {
	await ask("blast", { count: 30 });
	const context = await person(browser, tokens.ann);
	const page = await openPage(context, "/batches/B1");
	await batchPage(page, "B1");
	await page.getByRole("button", { name: "Discard…" }).click();
	await page.getByText("Discard 30 recipients of B1, so that nothing of it is sent?").waitFor();
	await decide(page, "sent by mistake");
	await figure(page, "Held", "0");
	await figure(page, "Discarded", "30");
	await page.getByRole("button", { name: "Restore…" }).click();
	await page.getByText("Restore 30 recipients of B1, so that they are held again?").waitFor();
	await decide(page, "the wrong batch");
	await figure(page, "Held", "30");
	noErrors(page);
}
