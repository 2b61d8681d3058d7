/*
 * Has a worker take a message apart: at most limits.milliseconds, then the worker is ended. Called by
 * message/raw.js.
 */
import { limits } from "./limits.js";

/* What take_apart() answers; rejects with a sentence. `signal` ends the worker. */
export function take_apart_in_worker(bytes, start_worker, signal) {
	return new Promise((resolve, reject) => {
		const worker = start_worker();
		const finish = (call, value) => {
			clearTimeout(timer);
			worker.terminate();
			call(value);
		};
		const timer = setTimeout(
			() => finish(reject, new Error("It takes too long to take apart.")),
			limits.milliseconds,
		);
		worker.onmessage = ({ data }) =>
			data.parts ? finish(resolve, data.parts) : finish(reject, new Error(data.error));
		worker.onerror = () => finish(reject, new Error("It could not be taken apart."));
		signal?.addEventListener("abort", () => finish(reject, new DOMException("left", "AbortError")), {
			once: true,
		});
		worker.postMessage(bytes, [bytes.buffer]);
	});
}
