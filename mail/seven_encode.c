/*
 * Quoted-printable and base64 as streams with their state in a small struct: GMime's filters
 * want streams of GObjects, and the message does not fit in memory. Called by seven.c alone, on the
 * loop of the delivery.
 */
#include "mail/seven_encode.h"

enum { LINE_MAX_ENCODED = 76 }; /* RFC 2045 6.7 (5), 6.8 */

void
encoder_start(struct encoder *e, enum encoder_kind kind)
{
	*e = (struct encoder){.kind = kind};
}

static void
mask_add(const char *data, size_t len, struct buf *out)
{
	size_t start = out->len, i;

	buf_add(out, data, len);
	for (i = start; i < out->len; i++) {
		if ((unsigned char)out->data[i] >= 0x80)
			out->data[i] = '?';
	}
}

/* True if a token of that width goes on the next line; one column is kept for the soft `=`. */
static bool
quoted_wraps(const struct encoder *e, size_t width)
{
	return e->column + width > LINE_MAX_ENCODED - 1;
}

static void
quoted_put(struct encoder *e, char c, bool literal, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char token[3] = {'=', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};
	size_t width = literal ? 1 : 3;

	if (quoted_wraps(e, width)) {
		buf_add(out, "=\r\n", 3);
		e->column = 0;
	}
	buf_add(out, literal ? &c : token, width);
	e->column += width;
}

/* The blank that was kept; as the last of a line it is encoded, or it may get lost on the way. */
static void
quoted_blank(struct encoder *e, bool last, struct buf *out)
{
	char blank = e->blank;

	e->blank = '\0';
	if (blank != '\0')
		quoted_put(e, blank, !last, out);
}

static void
quoted_add(struct encoder *e, const char *data, size_t len, struct buf *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = data[i];
		bool literal = c > ' ' && c < 0x7f && c != '=';

		if (c == '\r' && i + 1 < len && data[i + 1] == '\n') {
			quoted_blank(e, true, out);
			buf_add(out, "\r\n", 2);
			e->column = 0;
			i++;
			continue;
		}
		quoted_blank(e, false, out);
		if (c == ' ' || c == '\t') {
			e->blank = c;
			continue;
		}
		/* No line that a soft break starts may look like a delimiter. */
		if (c == '-' && quoted_wraps(e, 1))
			literal = false;
		quoted_put(e, c, literal, out);
	}
}

/* One group of 1 to 3 bytes; all but the last one have 3. */
static void
base64_put(struct encoder *e, struct buf *out)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = e->carry;
	char group[4];

	if (e->column == LINE_MAX_ENCODED) {
		buf_add(out, "\r\n", 2);
		e->column = 0;
	}
	group[0] = letters[in[0] >> 2];
	group[1] = letters[(in[0] & 3) << 4 | in[1] >> 4];
	group[2] = letters[(in[1] & 15) << 2 | in[2] >> 6];
	group[3] = letters[in[2] & 63];
	if (e->carried < 3)
		group[3] = '=';
	if (e->carried < 2)
		group[2] = '=';
	buf_add(out, group, sizeof(group));
	e->column += sizeof(group);
	e->carry[0] = e->carry[1] = e->carry[2] = 0;
	e->carried = 0;
}

static void
base64_add(struct encoder *e, const char *data, size_t len, struct buf *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		e->carry[e->carried++] = (unsigned char)data[i];
		if (e->carried == sizeof(e->carry))
			base64_put(e, out);
	}
}

void
encoder_add(struct encoder *e, const char *data, size_t len, struct buf *out)
{
	switch (e->kind) {
	case ENCODER_MASK:
		mask_add(data, len, out);
		break;
	case ENCODER_QUOTED:
		quoted_add(e, data, len, out);
		break;
	case ENCODER_BASE64:
		base64_add(e, data, len, out);
		break;
	}
}

void
encoder_end(struct encoder *e, struct buf *out)
{
	if (e->kind == ENCODER_QUOTED)
		quoted_blank(e, true, out);
	if (e->kind == ENCODER_BASE64 && e->carried > 0)
		base64_put(e, out);
}
