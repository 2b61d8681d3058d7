/*
 * A value that several parts of the page look at: get, set, subscribe; use_state() of use.js makes
 * a component follow it. Pure.
 */
export function state(value) {
	const listeners = new Set();
	return {
		get: () => value,
		set(next) {
			if (Object.is(value, next)) return;
			value = next;
			for (const listener of [...listeners]) listener(value);
		},
		/* Returns what ends it. */
		subscribe(listener) {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
	};
}
