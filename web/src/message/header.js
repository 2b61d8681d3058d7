/* A header's text as rows: unfolded, with encoded words beside their text. Pure. */
import { decodeWords } from "postal-mime";
import { limits } from "./limits.js";

/* {rows: [{name, value, decoded|null}], more} */
export function header_rows(text) {
	const fields = [];
	for (const line of text.split(/\r\n|\n|\r/)) {
		if (line === "") break;
		if (/^[ \t]/.test(line) && fields.length > 0) fields[fields.length - 1].push(line.trim());
		else fields.push([line]);
	}
	const rows = fields.slice(0, limits.headers).map((lines) => header_row(lines.join(" ")));
	return { rows, more: Math.max(0, fields.length - limits.headers) };
}

function header_row(line) {
	const colon = line.indexOf(":");
	const name = colon > 0 ? line.slice(0, colon).trim() : "";
	const value = cut((colon > 0 ? line.slice(colon + 1) : line).trim(), limits.header_characters);
	const decoded = value.includes("=?") ? decodeWords(value) : value;
	return { name, value, decoded: decoded === value ? null : decoded };
}

export function cut(text, most) {
	return text.length > most ? `${text.slice(0, most)}…` : text;
}
