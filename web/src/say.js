/* One polite live region for the whole console: say("Released 10 recipients") is read out. */
import { state } from "./state.js";

export const said = state("");

export function say(text) {
	// The same text twice is read twice only if it changes in between.
	said.set(said.get() === text ? `${text}\u00a0` : text);
}
