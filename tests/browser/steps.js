// Steps that several cases take.

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
