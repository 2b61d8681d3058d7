/*
 * What the console takes apart of a message, at most. A message is an attack until shown otherwise:
 * beyond these it is shown as source only, and the page says so.
 */
export const limits = {
	raw_bytes: 25 * 1024 * 1024, // fetched to be taken apart in the worker
	source_bytes: 256 * 1024, // shown of the source
	text_characters: 256 * 1024, // shown of a text
	depth: 64, // parts within parts
	header_bytes: 1024 * 1024,
	attachments: 200, // listed
	headers: 500, // listed
	header_characters: 4000, // of one header
	milliseconds: 5000, // before the worker is ended
};
