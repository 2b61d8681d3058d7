// axe-core on every page, and on each view of a message and each dialog of a batch: all rules in the
// light theme, those of colours in the dark one.
import { accessible, colours, openPage, person } from "../browser.js";
import { everyPage, settled } from "../pages.js";
import { batchPage } from "../steps.js";

async function dialogs(page, theme, rules) {
	await page.goto("/batches/B1");
	await batchPage(page, "B1");
	for (const name of ["Release first 10…", "Release in rings or all…", "Discard…"]) {
		await page.getByRole("button", { name }).click();
		await page.getByRole("dialog").locator("button[type=submit]:not([disabled])").waitFor();
		await accessible(page, `${name} ${theme}`, rules);
		await page.getByRole("dialog").locator("button[type=submit]").click();
		await page.getByText("Say why").waitFor();
		await accessible(page, `${name} without a reason, ${theme}`, rules);
		await page.keyboard.press("Escape");
	}
}

async function tabs(page, theme, rules) {
	for (const name of ["HTML", "Text", "Source", "Headers", "Attachments"]) {
		await page.getByRole("tab", { name }).click();
		await page.locator(".loading").first().waitFor({ state: "detached" });
		await accessible(page, `message, ${name}, ${theme}`, rules);
	}
}

export default async function ({ browser, tokens, ask }) {
	const pages = await everyPage(ask);
	for (const [colorScheme, rules] of [["light", undefined], ["dark", colours]]) {
		const context = await person(browser, tokens.ann, { colorScheme });
		const page = await openPage(context);
		for (const [name, where, there] of pages) {
			await page.goto(where);
			await settled(page, there);
			await accessible(page, `${name} ${colorScheme}`, rules);
			if (name === "message") await tabs(page, colorScheme, rules);
		}
		await dialogs(page, colorScheme, rules);
		await page.goto("/audit");
		await page.keyboard.press("?");
		await page.getByRole("dialog", { name: "Keys" }).waitFor();
		await accessible(page, `keys ${colorScheme}`, rules);
		await context.close();
		const nobody = await person(browser, null, { colorScheme });
		const login = await openPage(nobody, "/login");
		await login.getByLabel(/token/i).waitFor();
		await accessible(login, `login ${colorScheme}`, rules);
		await nobody.close();
	}
}
