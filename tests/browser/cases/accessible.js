// axe-core on every page, in both themes, and on each view of a message and each dialog of a batch.
import { accessible, openPage, person } from "../browser.js";
import { everyPage, settled } from "../pages.js";
import { batchPage } from "../steps.js";

async function dialogs(page, theme) {
	await page.goto("/batches/B1");
	await batchPage(page, "B1");
	for (const name of ["Release first 10…", "Release in rings or all…", "Discard…"]) {
		await page.getByRole("button", { name }).click();
		await page.getByRole("dialog").locator("button[type=submit]:not([disabled])").waitFor();
		await accessible(page, `${name} ${theme}`);
		await page.getByRole("dialog").locator("button[type=submit]").click();
		await page.getByText("Say why").waitFor();
		await accessible(page, `${name} without a reason, ${theme}`);
		await page.keyboard.press("Escape");
	}
}

async function tabs(page, theme) {
	for (const name of ["HTML", "Text", "Source", "Headers", "Attachments"]) {
		await page.getByRole("tab", { name }).click();
		await page.locator(".loading").first().waitFor({ state: "detached" });
		await accessible(page, `message, ${name}, ${theme}`);
	}
}

export default async function ({ browser, tokens, ask }) {
	const pages = await everyPage(ask);
	for (const colorScheme of ["light", "dark"]) {
		const context = await person(browser, tokens.ann, { colorScheme });
		const page = await openPage(context);
		for (const [name, where, there] of pages) {
			await page.goto(where);
			await settled(page, there);
			await accessible(page, `${name} ${colorScheme}`);
			if (name === "message") await tabs(page, colorScheme);
		}
		await dialogs(page, colorScheme);
		await page.goto("/audit");
		await page.keyboard.press("?");
		await page.getByRole("dialog", { name: "Keys" }).waitFor();
		await accessible(page, `keys ${colorScheme}`);
		await context.close();
		const nobody = await person(browser, null, { colorScheme });
		const login = await openPage(nobody, "/login");
		await login.getByLabel(/token/i).waitFor();
		await accessible(login, `login ${colorScheme}`);
		await nobody.close();
	}
}
