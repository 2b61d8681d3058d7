// Every page of the console with something on it: [name, path, what says that it is there].
export async function everyPage(ask) {
	const [message] = await ask("ids");
	return [
		["overview", "/", (page) => page.getByRole("heading", { level: 1, name: "Overview" })],
		["batch", "/batches/B1", (page) => page.locator(".figures")],
		["message", `/messages/${message}`, (page) => page.getByRole("tab", { name: "HTML" })],
		["inbox", "/inbox/staging", (page) => page.locator("main tbody tr").first()],
		["environment", "/environments/production", (page) => page.getByRole("heading", { level: 1 })],
		["audit", "/audit", (page) => page.locator("main tbody tr").first()],
		["alerts", "/alerts", (page) => page.getByRole("heading", { level: 1, name: "Alerts" })],
		["settings", "/settings", (page) => page.locator("main tbody tr, main dl").first()],
		["missing", "/batches/B999", (page) => page.getByRole("alert")],
	];
}

// There, and nothing of it still being read.
export async function settled(page, there) {
	await there(page).waitFor();
	await page.locator(".loading").first().waitFor({ state: "detached" });
}
