/*
 * The worker that takes one message apart and ends: message/parts.js starts it and ends it when it
 * takes too long. It is given the raw bytes and answers once.
 */
import { take_apart } from "./message/take_apart.js";

self.onmessage = async ({ data }) => {
	try {
		self.postMessage({ parts: await take_apart(data) });
	} catch (error) {
		self.postMessage({ error: String((error && error.message) || error).slice(0, 300) });
	}
};
