// Every page on a phone of 360 pixels, on a wide screen, light and dark: nothing scrolls sideways,
// nothing fails. The screenshots are for people to look at; the dark ones differ in nothing else.
import { fitsWidth, noErrors, openPage, person, screenshot, taken } from "../browser.js";
import { everyPage, settled } from "../pages.js";
import { batchPage } from "../steps.js";

const screens = [
	["narrow", { viewport: { width: 360, height: 740 }, hasTouch: true, deviceScaleFactor: 2 }],
	["narrow-dark", { viewport: { width: 360, height: 740 }, colorScheme: "dark" }],
	["wide", { viewport: { width: 1440, height: 900 } }],
	["wide-dark", { viewport: { width: 1440, height: 900 }, colorScheme: "dark" }],
];

export default async function ({ browser, tokens, ask }) {
	const pages = await everyPage(ask);
	for (const [screen, options] of screens) {
		if (options.colorScheme && !taken) continue;
		const context = await person(browser, tokens.ann, options);
		const page = await openPage(context);
		for (const [name, where, there] of pages) {
			await page.goto(where);
			await settled(page, there);
			await screenshot(page, `${name}-${screen}`, { fullPage: true });
			await fitsWidth(page, `${name} ${screen}`);
			noErrors(page);
		}
		await page.goto("/batches/B1");
		await batchPage(page, "B1");
		await page.getByRole("button", { name: "Release in rings or all…" }).click();
		await page.getByRole("dialog").locator("button[type=submit]:not([disabled])").waitFor();
		await screenshot(page, `dialog-${screen}`);
		await fitsWidth(page, `dialog ${screen}`);
		await context.close();
	}
	const context = await person(browser, null, { viewport: { width: 360, height: 740 } });
	const page = await openPage(context, "/login");
	await page.getByLabel(/token/i).waitFor();
	await screenshot(page, "login-narrow");
	await fitsWidth(page, "login narrow");
}
