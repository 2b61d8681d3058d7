/*
 * Takes a message apart for the attachments tab, within limits.js. Runs in message/worker.js, so that
 * a message that is slow to read stops nothing but its own worker; pure, so that Node tests it.
 */
import PostalMime from "postal-mime";
import { limits } from "./limits.js";

/* {attachments: [{name, type, bytes, inline}], more, html: whether there is HTML} */
export async function take_apart(raw) {
	const mail = await PostalMime.parse(raw, {
		maxNestingDepth: limits.depth,
		maxHeadersSize: limits.header_bytes,
		maxRfc822NestingDepth: 0,
	});
	const all = mail.attachments;
	return {
		attachments: all.slice(0, limits.attachments).map((part) => ({
			name: part.filename || "",
			type: part.mimeType || "",
			bytes: part.content ? part.content.byteLength : 0,
			inline: part.disposition === "inline" || Boolean(part.related),
		})),
		more: Math.max(0, all.length - limits.attachments),
		html: Boolean(mail.html),
	};
}
