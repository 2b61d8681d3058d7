/*
 * Runs of base64 lines, decoded and written again. See lines64.h; called by press.c. The bytes are
 * an outsider's in both directions.
 */
#include "store/lines64.h"

#include <stdint.h>
#include <string.h>

#include "store/varint.h"

enum { NONE = 0x40 }; /* no sextet */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define N8 NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE
#define N32 N8, N8, N8, N8
static const unsigned char sextets[256] = {
    N32,  NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 62,   NONE, NONE,
    NONE, 63,   52,   53,   54,   55,   56,   57,   58,   59,   60,   61,   NONE, NONE, NONE,
    NONE, NONE, NONE, NONE, 0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,
    11,   12,   13,   14,   15,   16,   17,   18,   19,   20,   21,   22,   23,   24,   25,
    NONE, NONE, NONE, NONE, NONE, NONE, 26,   27,   28,   29,   30,   31,   32,   33,   34,
    35,   36,   37,   38,   39,   40,   41,   42,   43,   44,   45,   46,   47,   48,   49,
    50,   51,   NONE, NONE, NONE, NONE, NONE, N32,  N32,  N32,  N32};

/* ---- decoding ---- */

/* `chars` of them, without padding, to chars / 4 * 3 bytes; false if there is anything else. */
static bool
decode_plain(const char *text, size_t chars, char *out)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + chars;

	for (; p < end; p += 4, out += 3) {
		const unsigned a = sextets[p[0]], b = sextets[p[1]], c = sextets[p[2]],
			       d = sextets[p[3]];

		if (((a | b | c | d) & NONE) != 0)
			return false;
		out[0] = (char)(a << 2 | b >> 4);
		out[1] = (char)(b << 4 | c >> 2);
		out[2] = (char)(c << 6 | d);
	}
	return true;
}

/* A line that may be padded. The bits that the padding leaves over must be zero, or it would not
 * be written again as it was. */
static bool
decode_line(const char *text, size_t chars, char *out, size_t *bytes)
{
	const size_t pad = text[chars - 1] != '=' ? 0 : text[chars - 2] != '=' ? 1 : 2;
	unsigned a, b, c;

	*bytes = chars / 4 * 3 - pad;
	if (pad == 0)
		return decode_plain(text, chars, out);
	if (!decode_plain(text, chars - 4, out))
		return false;
	text += chars - 4;
	out += (chars - 4) / 4 * 3;
	a = sextets[(unsigned char)text[0]];
	b = sextets[(unsigned char)text[1]];
	c = pad == 1 ? sextets[(unsigned char)text[2]] : 0;
	if (((a | b | c) & NONE) != 0 || (pad == 1 ? c & 0x03 : b & 0x0f) != 0)
		return false;
	out[0] = (char)(a << 2 | b >> 4);
	if (pad == 1)
		out[1] = (char)(b << 4 | c >> 2);
	return true;
}

/* ---- finding ---- */

/* Characters before the CRLF that ends the line at `p`; 0 if none does within `most` of them. */
static size_t
line_length(const char *p, size_t left, size_t most)
{
	const char *cr = memchr(p, '\r', left < most + 1 ? left : most + 1);

	return cr != NULL && (size_t)(cr - p) + 1 < left && cr[1] == '\n' ? (size_t)(cr - p) : 0;
}

struct run {
	size_t lines; /* full and not padded */
	size_t chars; /* of all of it, with line ends */
	size_t bytes; /* decoded */
};

/* Decodes into `out` what may be a run of lines of `width` at `p`, as far as it is one. */
static void
decode_run(const char *p, size_t left, size_t width, char *out, struct run *run)
{
	size_t length, bytes;

	*run = (struct run){.lines = 0};
	while (left - run->chars >= width + 2 && p[run->chars + width] == '\r' &&
	       p[run->chars + width + 1] == '\n' &&
	       decode_plain(p + run->chars, width, out + run->bytes)) {
		run->chars += width + 2;
		run->bytes += width / 4 * 3;
		run->lines++;
	}
	if (run->lines < LINES64_LEAST)
		return;
	length = line_length(p + run->chars, left - run->chars, width);
	if (length == 0 || length % 4 != 0 ||
	    !decode_line(p + run->chars, length, out + run->bytes, &bytes))
		return;
	run->chars += length + 2;
	run->bytes += bytes;
}

/* ---- both ways ---- */

void
lines64_unwrap(const char *data, size_t len, struct buf *runs, struct buf *plain)
{
	size_t at = 0, copied = 0, run_end = 0, width;
	const char *newline;
	struct run run;

	/* Decoded bytes are fewer than their characters, so all of it has room. */
	buf_reserve(plain, len);
	while (at < len) {
		width = line_length(data + at, len - at, LINES64_LONGEST);
		run.lines = 0;
		if (width >= LINES64_SHORTEST && width % 4 == 0) {
			/* It is decoded in place: what is before it comes first. */
			buf_add(plain, data + copied, at - copied);
			copied = at;
			decode_run(data + at, len - at, width, plain->data + plain->len, &run);
		}
		if (run.lines >= LINES64_LEAST) {
			varint_add(runs, at - run_end);
			varint_add(runs, width);
			varint_add(runs, run.bytes);
			plain->len += run.bytes;
			copied = run_end = at += run.chars;
		} else if (run.lines > 0) {
			at += run.lines * (width + 2);
		} else {
			newline = memchr(data + at, '\n', len - at);
			at = newline != NULL ? (size_t)(newline - data) + 1 : len;
		}
	}
	buf_add(plain, data + copied, len - copied);
	if (plain->data != NULL)
		plain->data[plain->len] = '\0';
}

static char *
encode_group(const unsigned char *p, size_t left, char *out)
{
	const unsigned b = left > 1 ? p[1] : 0, c = left > 2 ? p[2] : 0;

	out[0] = alphabet[p[0] >> 2];
	out[1] = alphabet[(p[0] << 4 | b >> 4) & 63];
	out[2] = left > 1 ? alphabet[(b << 2 | c >> 6) & 63] : '=';
	out[3] = left > 2 ? alphabet[c & 63] : '=';
	return out + 4;
}

/* `out` has room for it. */
static void
encode_run(const char *data, size_t bytes, size_t width, char *out)
{
	const unsigned char *p = (const unsigned char *)data;
	size_t line, i;

	while (bytes > 0) {
		line = bytes < width / 4 * 3 ? bytes : width / 4 * 3;
		for (i = 0; i < line; i += 3)
			out = encode_group(p + i, line - i, out);
		*out++ = '\r';
		*out++ = '\n';
		p += line;
		bytes -= line;
	}
}

struct wrapping {
	struct bytes plain;
	size_t left; /* that may still be written */
	struct buf *out;
};

static bool
copy_bytes(struct wrapping *w, uint64_t bytes)
{
	if (bytes > w->plain.left || bytes > w->left)
		return false;
	buf_add(w->out, w->plain.at, (size_t)bytes);
	w->plain.at += bytes;
	w->plain.left -= (size_t)bytes;
	w->left -= (size_t)bytes;
	return true;
}

static bool
wrap_run(struct wrapping *w, uint64_t width, uint64_t bytes)
{
	uint64_t chars;

	if (width < LINES64_SHORTEST || width > LINES64_LONGEST || width % 4 != 0 ||
	    bytes > w->plain.left)
		return false;
	chars = (bytes + 2) / 3 * 4;
	if (chars < LINES64_LEAST * width)
		return false;
	chars += 2 * ((chars + width - 1) / width);
	if (chars > w->left)
		return false;
	buf_reserve(w->out, (size_t)chars);
	encode_run(w->plain.at, (size_t)bytes, (size_t)width, w->out->data + w->out->len);
	w->out->len += (size_t)chars;
	w->out->data[w->out->len] = '\0';
	w->plain.at += bytes;
	w->plain.left -= (size_t)bytes;
	w->left -= (size_t)chars;
	return true;
}

bool
lines64_wrap(const char *runs, size_t runs_len, const char *plain, size_t plain_len, size_t len,
	     struct buf *out)
{
	struct wrapping w = {.plain = {plain, plain_len}, .left = len, .out = out};
	struct bytes in = {runs, runs_len};
	const size_t start = out->len;
	uint64_t before, width, bytes;
	bool ok = true;

	while (ok && in.left > 0)
		ok = varint_take(&in, &before) && varint_take(&in, &width) &&
		     varint_take(&in, &bytes) && copy_bytes(&w, before) &&
		     wrap_run(&w, width, bytes);
	if (ok && copy_bytes(&w, w.plain.left) && w.left == 0)
		return true;
	out->len = start;
	if (out->data != NULL)
		out->data[start] = '\0';
	return false;
}
