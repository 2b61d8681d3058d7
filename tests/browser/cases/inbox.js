// A developer looks for what staging would have sent, and to whom.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";

export default async function ({ browser, tokens, ask }) {
	const context = await person(browser, tokens.eve);
	const page = await openPage(context, "/inbox");
	const rows = page.locator("main tbody tr");
	await rows.nth(3).waitFor();
	assert.match(await rows.first().innerText(), /Your password/, "the newest first");
	assert.match(
		await rows.nth(1).innerText(),
		/c2@customers\.example[^]*qa\+c2=customers\.example@example\.com/,
	);
	await screenshot(page, "inbox");

	await page.keyboard.press("/");
	await page.keyboard.type("invoice 1");
	await rows.nth(1).waitFor({ state: "detached" });
	await page.getByRole("link", { name: "Invoice 1" }).waitFor();
	assert.match(page.url(), /\/inbox.*[?&]q=invoice\+1/, "a search can be sent to a colleague");
	await page.getByLabel("Address or subject").fill("nobody@nowhere.example");
	await page.getByText("No mail fits.").waitFor();
	await page.getByLabel("Address or subject").fill("c0@customers");
	await page.getByRole("link", { name: "Invoice 0" }).waitFor();
	await page.getByLabel("Address or subject").fill("");
	await rows.nth(3).waitFor();

	// New mail comes by itself.
	await ask("mail");
	await rows.nth(5).waitFor();

	await page.getByLabel("Address or subject").blur();
	await page.keyboard.press("j");
	await page.keyboard.press("j");
	await page.keyboard.press("k");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { level: 1, name: "Your password" }).waitFor();
	await page.getByText("kim@example.com").first().waitFor();
	await page.goBack();
	await page.getByRole("link", { name: "Invoice 2" }).click();
	await page.getByRole("heading", { level: 1, name: "Invoice 2" }).waitFor();
	const main = page.getByRole("main");
	await main.getByText("qa+c2=customers.example@example.com").first().waitFor();
	await page.getByRole("tab", { name: "Headers" }).click();
	await main.getByText("X-Mailfuse-Original-To").waitFor();
	await page.getByRole("tab", { name: "Source" }).click();
	await main
		.getByLabel("Source", { exact: true })
		.getByText(/Subject: Invoice 2/)
		.waitFor();
	await page.getByRole("tab", { name: "Attachments" }).click();
	await main.getByText("It has no attachments.").waitFor();
	noErrors(page);
}
