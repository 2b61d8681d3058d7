/*
 * What stands in mail, made safe to look at. Subjects, addresses, names and headers come from
 * whoever sent them: a control character, an override of the writing direction or an invisible
 * character must be seen, and must not act. pieces() cuts a text into plain runs and such
 * characters; ui/text.jsx shows them. Nothing here makes HTML.
 */

const names = {
	0x00a0: "no-break space",
	0x00ad: "soft hyphen",
	0x034f: "combining grapheme joiner",
	0x061c: "Arabic letter mark",
	0x115f: "Hangul filler",
	0x1160: "Hangul filler",
	0x180e: "Mongolian vowel separator",
	0x200b: "zero width space",
	0x200c: "zero width non-joiner",
	0x200d: "zero width joiner",
	0x200e: "left-to-right mark",
	0x200f: "right-to-left mark",
	0x2028: "line separator",
	0x2029: "paragraph separator",
	0x202a: "left-to-right embedding",
	0x202b: "right-to-left embedding",
	0x202c: "pop directional formatting",
	0x202d: "left-to-right override",
	0x202e: "right-to-left override",
	0x2060: "word joiner",
	0x2066: "left-to-right isolate",
	0x2067: "right-to-left isolate",
	0x2068: "first strong isolate",
	0x2069: "pop directional isolate",
	0x3164: "Hangul filler",
	0xfeff: "byte order mark",
	0xffa0: "Hangul filler",
	0xfffd: "replacement character",
};

/* Every character that is shown by its number: Cc, Cf, separators of lines, fillers, half surrogates. */
const odd = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\u034f\u115f\u1160\u3164\uffa0]/u;

/* A joiner between two such is part of how a script or an emoji is written. */
const joined = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Syriac}\p{Script=Mongolian}]/u;

function label(code) {
	return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/* The sign in whose place it stands: a picture for C0 and DEL, else its number. */
function sign(code) {
	if (code < 0x20) return String.fromCodePoint(0x2400 + code);
	if (code === 0x7f) return "\u2421";
	return label(code);
}

function is_joiner(characters, i) {
	const code = characters[i].codePointAt(0);
	return (
		(code === 0x200c || code === 0x200d) &&
		i > 0 &&
		i + 1 < characters.length &&
		joined.test(characters[i - 1]) &&
		joined.test(characters[i + 1])
	);
}

/* With `lines`, line feeds and tabs are what they are, and CR before LF is nothing. */
function is_layout(characters, i, lines) {
	const c = characters[i];
	return lines && (c === "\n" || c === "\t" || (c === "\r" && characters[i + 1] === "\n"));
}

/*
 * [{text}] for what may be shown as it is and [{sign, title}] for a character that is shown by a
 * sign; nothing is dropped. `lines`: the text has lines.
 */
export function pieces(text, lines = false) {
	const value = String(text ?? "");
	if (!odd.test(value)) return value === "" ? [] : [{ text: value }];
	const characters = [...value];
	const result = [];
	let run = "";
	const end = () => {
		if (run !== "") result.push({ text: run });
		run = "";
	};
	for (let i = 0; i < characters.length; i++) {
		const c = characters[i];
		if (!odd.test(c) || is_joiner(characters, i) || is_layout(characters, i, lines)) {
			if (c !== "\r") run += c;
			continue;
		}
		const code = c.codePointAt(0);
		end();
		result.push({ sign: sign(code), title: names[code] ? `${label(code)} ${names[code]}` : label(code) });
	}
	end();
	return result;
}

/* For attributes and titles, which cannot hold elements: the same as one string. */
export function plain(text) {
	return pieces(text)
		.map((p) => p.text ?? (p.sign.length === 1 ? p.sign : `[${p.sign}]`))
		.join("");
}

/* The first `most` characters, never half of one; `cut` says whether there were more. */
export function shorten(text, most) {
	const value = String(text ?? "");
	if (value.length <= most) return { text: value, cut: false };
	let end = most;
	const last = value.charCodeAt(end - 1);
	if (last >= 0xd800 && last <= 0xdbff) end--;
	return { text: value.slice(0, end), cut: true };
}
