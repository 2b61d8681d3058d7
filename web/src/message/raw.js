/*
 * The source of a message, read once when a tab first needs it: its text, and what the worker found
 * in it. Called by pages/message.jsx.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { get_bytes } from "../api.js";
import { limits } from "./limits.js";
import { take_apart_in_worker } from "./parts.js";

/* Its name is known to the build only. */
const start_worker = () => new Worker(MAIL_WORKER, { type: "module" });

/* {text, cut: whether there is more, bytes, problem, parts, parts_problem}; null before it is there. */
export function use_raw(id, wanted) {
	const [raw, set_raw] = useState(null);
	const abort = useRef(null);
	useEffect(() => {
		if (!wanted || abort.current) return;
		abort.current = new AbortController();
		read(id, abort.current.signal, set_raw);
	}, [id, wanted]);
	useEffect(() => () => abort.current?.abort(), []);
	return raw;
}

async function read(id, signal, set_raw) {
	let found;
	try {
		found = await get_bytes(`/v1/messages/${encodeURIComponent(id)}/raw`, limits.raw_bytes, signal);
	} catch (problem) {
		if (problem.name !== "AbortError") set_raw({ problem });
		return;
	}
	const { bytes, cut } = found;
	const text = new TextDecoder().decode(bytes.subarray(0, limits.source_bytes));
	const source = { text, cut: bytes.length > limits.source_bytes, bytes: bytes.length };
	set_raw(source);
	if (cut) {
		set_raw({ ...source, parts_problem: new Error("It is too large to be taken apart here.") });
		return;
	}
	try {
		set_raw({ ...source, parts: await take_apart_in_worker(bytes, start_worker, signal) });
	} catch (problem) {
		if (problem.name !== "AbortError") set_raw({ ...source, parts_problem: problem });
	}
}
