// Steps that several cases take.
import { openPage, person } from "./browser.js";

// So many recipients are held, and the person looks at their batch.
export async function heldBatch({ browser, ask }, token, count, options = {}) {
	await ask("blast", { count });
	const page = await openPage(await person(browser, token, options), "/batches/B1");
	await batchPage(page, "B1");
	return page;
}

// The dialog of a release, for all of it at once.
export async function releaseAll(page) {
	await page.getByRole("button", { name: "Release in rings or all…" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("All at once").check();
	return dialog;
}

// The page of a batch is there, with its story.
export async function batchPage(page, id) {
	await page.getByRole("heading", { level: 1, name: `Batch ${id}` }).waitFor();
	await page.locator(".figures").waitFor();
}

// Until a figure has that value; it is live.
export async function figure(page, label, value) {
	await page
		.locator(".figure")
		.filter({ has: page.locator(".figure-label", { hasText: new RegExp(`^${label}$`) }) })
		.filter({ has: page.locator(".figure-value", { hasText: new RegExp(`^${value}$`) }) })
		.waitFor();
}

// Gives the reason in the open dialog and presses its button, whatever number that says by then.
export async function decide(page, reason) {
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel(/^Reason/).fill(reason);
	await dialog.locator("button[type=submit]:not([disabled])").click();
	await dialog.waitFor({ state: "detached" });
}

// Until the open dialog has counted, for the form as it is now, and its button says this.
export async function counted(page, label) {
	const dialog = page.getByRole("dialog");
	await dialog.locator("button[type=submit]:not([disabled])").filter({ hasText: label }).waitFor();
}
