// A release is paused while the upstream has two of it, and resumed.
import { noErrors, openPage, person } from "../browser.js";
import { batchPage, counted, decide, figure } from "../steps.js";

export default async function ({ browser, tokens, ask }) {
	await ask("blast", { count: 20 });
	const context = await person(browser, tokens.ann);
	const page = await openPage(context, "/batches/B1");
	await batchPage(page, "B1");
	await page.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("All at once").check();
	await counted(page, "Release 20 recipients");
	await decide(page, "all of it is fine");
	await page.getByRole("button", { name: "Pause…" }).click();
	await dialog.getByText(/that no upstream has yet/).waitFor();
	await decide(page, "one more look");
	await page.getByRole("heading", { name: "Release paused" }).waitFor();
	await page.getByRole("button", { name: "Resume…" }).click();
	await ask("open");
	await decide(page, "it is fine");
	await page.getByRole("heading", { name: "Release done" }).waitFor();
	await figure(page, "Sent", "20");
	noErrors(page);
}
