// A blast arrives: the overview shows it live, the batch page tells its story, ten are released.
import assert from "node:assert/strict";
import { noErrors, openPage, person, screenshot } from "../browser.js";
import { batchPage, counted, decide, figure } from "../steps.js";

// The last bar stands in the chart, near its right end: four columns of its colour beside each other.
// A line is narrower, and so is what is left of a bar that the chart's edge cuts off.
async function drawn(page) {
	await page.waitForFunction(() => {
		const canvas = document.querySelector(".chart-box canvas");
		if (!canvas || canvas.width === 0) return false;
		const from = Math.floor(canvas.width * 0.8);
		const { data } = canvas.getContext("2d").getImageData(from, 0, canvas.width - from, canvas.height);
		const width = canvas.width - from;
		let wide = 0;
		for (let x = 0; x < width; x++) {
			let high = 0;
			for (let y = 0; y < canvas.height; y++) {
				const [r, g, b, a] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
				if (a > 20 && Math.max(r, g, b) - Math.min(r, g, b) > 60) high++;
			}
			wide = high > 20 ? wide + 1 : 0;
			if (wide === 4) return true;
		}
		return false;
	});
}

export default async function ({ browser, tokens, ask }) {
	const context = await person(browser, tokens.ann);
	const page = await openPage(context, "/");
	await page.getByRole("heading", { level: 1 }).waitFor();
	assert.equal(await page.getByRole("link", { name: /B1\b/ }).count(), 0, "nothing is held yet");
	await ask("blast", { count: 200 });
	// By its events alone: nobody reloads.
	await page
		.getByRole("link", { name: /\bB1\b/ })
		.first()
		.waitFor();
	await screenshot(page, "overview-blast");
	await page
		.getByRole("link", { name: /\bB1\b/ })
		.first()
		.click();
	await batchPage(page, "B1");
	await figure(page, "Held", "180");
	await page.getByRole("img", { name: /^Arrivals: .*recipients in/ }).waitFor();
	await page.locator(".chart-box canvas").waitFor();
	await drawn(page);
	await ask("blast", { count: 20 });
	await figure(page, "Held", "200");
	await screenshot(page, "batch-held", { fullPage: true });

	await page.getByRole("button", { name: "Release first 10…" }).click();
	const dialog = page.getByRole("dialog");
	await counted(page, "Release 10 recipients");
	await dialog.getByText("Release 10 recipients of B1 to production’s upstream?").waitFor();
	await dialog.getByRole("button", { name: "Release 10 recipients" }).click();
	await dialog.getByText("Say why").waitFor();
	assert.equal(await dialog.count(), 1, "without a reason nothing is done");
	await screenshot(page, "release-dialog");
	await decide(page, "looked at ten of them");
	await page.getByText("Released 10 recipients.").first().waitFor();
	await figure(page, "Held", "190");
	await figure(page, "Sent", "10");

	noErrors(page);

	// The blast is the last bar of its environment's day.
	await context.close();
	await ask("restart");
	const late = await person(browser, tokens.ann);
	const { traffic } = await (await late.request.get("/v1/environments/production")).json();
	const later = await openPage(late);
	await later.clock.setFixedTime(traffic.at(-1).at);
	await later.goto("/environments/production");
	await drawn(later);
	noErrors(later);
}
