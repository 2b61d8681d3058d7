import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/* Stand-ins for the browser; live.js takes them when it starts. */
class Source {
	static CLOSED = 2;
	static all = [];
	constructor(url) {
		this.url = url;
		this.readyState = 0;
		this.heard = {};
		Source.all.push(this);
	}
	addEventListener(name, listener) {
		this.heard[name] = listener;
	}
	close() {
		this.readyState = Source.CLOSED;
	}
	say(name, data) {
		this.heard[name]({ data: typeof data === "string" ? data : JSON.stringify(data) });
	}
}
/* Time that passes when a test says so. */
const clock = {
	now: 0,
	waiting: [],
	tick(ms) {
		for (const end = this.now + ms; ; ) {
			this.waiting.sort((a, b) => a.at - b.at);
			if (this.waiting.length === 0 || this.waiting[0].at > end) {
				this.now = end;
				return;
			}
			const next = this.waiting.shift();
			this.now = next.at;
			next.run();
		}
	},
};
globalThis.setTimeout = (run, ms) => {
	const timer = { at: clock.now + ms, run };
	clock.waiting.push(timer);
	return timer;
};
globalThis.clearTimeout = (timer) => {
	clock.waiting = clock.waiting.filter((t) => t !== timer);
};

const page = { hidden: false, listeners: {} };
globalThis.EventSource = Source;
globalThis.document = {
	get hidden() {
		return page.hidden;
	},
	addEventListener: (name, listener) => (page.listeners[name] = listener),
	removeEventListener: (name) => delete page.listeners[name],
};

const { live, live_start, live_status, live_stop, on } = await import("../src/live.js");
const newest = () => Source.all.at(-1);

beforeEach(() => {
	live_stop();
	Source.all.length = 0;
	page.hidden = false;
});

test("events come to who listens, until he stops", () => {
	const got = [];
	const end = on("batch", (b) => got.push(b.id));
	live_start();
	assert.equal(newest().url, "/v1/events");
	newest().onopen();
	assert.equal(live.get(), "on");
	newest().say("batch", { id: "B1" });
	end();
	newest().say("batch", { id: "B2" });
	assert.deepEqual(got, ["B1"]);
	newest().say("status", { held: { batches: 3 } });
	assert.equal(live_status.get().held.batches, 3);
});

test("an event that is no JSON is left out", () => {
	const got = [];
	const end = on("batch", (b) => got.push(b));
	live_start();
	newest().say("batch", "{half");
	assert.deepEqual(got, []);
	end();
});

test("after a break everything is read again, once", () => {
	let reloads = 0;
	const end = on("reload", () => reloads++);
	live_start();
	newest().onopen();
	assert.equal(reloads, 0);
	newest().onerror();
	assert.equal(live.get(), "connecting");
	assert.equal(Source.all.length, 1); // the browser tries again by itself
	newest().onopen();
	assert.equal(reloads, 1);
	newest().say("reload", "");
	assert.equal(reloads, 2);
	end();
});

test("a connection that was refused is tried again, less and less often", () => {
	let refusals = 0;
	const end = on("refused", () => refusals++);
	live_start();
	for (const [wait, sources] of [[1000, 2], [2000, 3], [4000, 4]]) {
		newest().readyState = Source.CLOSED;
		newest().onerror();
		clock.tick(wait - 1);
		assert.equal(Source.all.length, sources - 1);
		clock.tick(1);
		assert.equal(Source.all.length, sources);
	}
	assert.equal(refusals, 3);
	end();
});

test("a page that nobody sees gives its connection back, and reads again when it is seen", () => {
	let reloads = 0;
	const end = on("reload", () => reloads++);
	live_start();
	newest().onopen();
	page.hidden = true;
	page.listeners.visibilitychange();
	clock.tick(29_999);
	assert.equal(newest().readyState, 0);
	clock.tick(1);
	assert.equal(newest().readyState, Source.CLOSED);
	page.hidden = false;
	page.listeners.visibilitychange();
	assert.equal(Source.all.length, 2);
	newest().onopen();
	assert.equal(reloads, 1);
	end();
});

test("after a stop nothing is open and nothing is known", () => {
	live_start();
	newest().say("status", { held: { batches: 3 } });
	live_stop();
	assert.equal(newest().readyState, Source.CLOSED);
	assert.equal(live_status.get(), null);
	clock.tick(60_000);
	assert.equal(Source.all.length, 1);
});
