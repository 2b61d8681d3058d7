// Runs one case: node run.js CASE. The test that started it (tests/integration/test_console.py) does
// what a browser cannot, such as sending a blast: `ask(name, arguments)` is a line on stdout, its
// answer a line on stdin. Exit 0 where the case holds.
import readline from "node:readline";
import { startBrowser } from "./browser.js";

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(name, args = {}) {
	process.stdout.write(`${JSON.stringify({ ask: name, args })}\n`);
	const { value, done } = await lines.next();
	if (done) throw new Error(`nobody answered ${name}`);
	const answer = JSON.parse(value);
	if (answer.error) throw new Error(`${name}: ${answer.error}`);
	return answer.result;
}

const { default: run } = await import(new URL(`cases/${process.argv[2]}.js`, import.meta.url));
const tokens = JSON.parse(process.env.CONSOLE_TOKENS || "{}");
const browser = await startBrowser();
let code = 0;
try {
	await run({ browser, tokens, ask });
} catch (error) {
	code = 1;
	console.error(error);
	for (const context of browser.contexts())
		for (const page of context.pages())
			console.error(
				`--- ${page.url()}\n${await page
					.locator("body")
					.innerText({ timeout: 2000 })
					.catch(() => "")}\n${JSON.stringify(page.noted, null, 1)}`,
			);
}
await browser.close();
process.exit(code);
