// A release is paused while the upstream has two of it, and resumed.
import { noErrors } from "../browser.js";
import { counted, decide, figure, heldBatch, releaseAll } from "../steps.js";

export default async function (t) {
	const { tokens, ask } = t;
	const page = await heldBatch(t, tokens.ann, 20);
	const dialog = await releaseAll(page);
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
