/*
 * The output half of seven.c: decides, labels, encodes. On the loop of the delivery; keeps one
 * header section and up to LOOK_MAX of the content.
 */
#include "mail/seven_part.h"

#include "base/arena.h"
#include "mail/header.h"
#include "mail/seven_label.h"

enum { LOOK_MAX = 65536, PIECE_MAX = 8192, OUT_MAX = 16384 };

void
part_flush(struct part *p)
{
	if (p->out.len > 0)
		p->sink(p->context, p->out.data, p->out.len);
	buf_clear(&p->out);
}

void
part_raw(struct part *p, const char *data, size_t len)
{
	buf_add(&p->out, data, len);
}

void
part_free(struct part *p)
{
	buf_free(&p->header);
	buf_free(&p->held);
	buf_free(&p->out);
}

static void
encode(struct part *p, const char *data, size_t len)
{
	encoder_add(&p->encoder, data, len, &p->out);
	if (p->out.len >= OUT_MAX)
		part_flush(p);
}

static bool
is_seven(const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)data[i] >= 0x80)
			return false;
	}
	return true;
}

/* The header section, changed. */
static void
emit_edited(struct part *p, const char *encoding, bool leaf)
{
	struct arena arena = {0};
	struct header h;

	header_parse(&h, buf_text(&p->header), p->header.len, &arena);
	if (p->message && header_find(&h, "MIME-Version") == NULL)
		header_append(&h, "MIME-Version", "1.0");
	if (p->message && leaf && header_find(&h, "Content-Type") == NULL)
		header_append(&h, "Content-Type", "text/plain; charset=unknown-8bit");
	if (encoding[0] != '\0')
		label_replace(&h, encoding);
	header_write(&h, &p->out);
	arena_free(&arena);
}

static void
emit_header(struct part *p, const char *encoding, bool leaf)
{
	if (encoding != NULL)
		emit_edited(p, encoding, leaf);
	else
		buf_add(&p->out, buf_text(&p->header), p->header.len);
	if (p->ended)
		buf_add(&p->out, "\r\n", 2);
	buf_free(&p->header);
}

void
part_pass(struct part *p, const char *encoding)
{
	emit_header(p, encoding, false);
	encoder_start(&p->encoder, ENCODER_MASK);
}

void
part_encode(struct part *p, enum encoder_kind kind)
{
	emit_header(p, kind == ENCODER_BASE64 ? "base64" : "quoted-printable", true);
	encoder_start(&p->encoder, kind);
}

void
part_look(struct part *p, enum encoder_kind wanted)
{
	p->look = true;
	p->wanted = wanted;
}

/* What was held leaves as it came, or encoded. */
static void
decide(struct part *p, enum encoder_kind kind)
{
	struct buf held = p->held;

	p->look = false;
	p->held = (struct buf){0};
	if (kind == ENCODER_MASK)
		part_pass(p, NULL);
	else
		part_encode(p, kind);
	encode(p, buf_text(&held), held.len);
	buf_free(&held);
}

/*
 * So long and 7-bit as yet: nearly always to its end. Quoted-printable is right in any case; what
 * is sealed rather loses a byte in the other case than its signature in this one.
 */
static void
look_enough(struct part *p)
{
	if (p->look && p->held.len >= LOOK_MAX)
		decide(p, p->sealed ? ENCODER_MASK : ENCODER_QUOTED);
}

static void
write_newline(struct part *p)
{
	p->newline = false;
	look_enough(p);
	if (p->look)
		buf_add(&p->held, "\r\n", 2);
	else
		encode(p, "\r\n", 2);
}

void
part_add(struct part *p, const char *data, size_t len)
{
	size_t n;

	if (p->newline && len > 0)
		write_newline(p);
	for (; len > 0; data += n, len -= n) {
		look_enough(p);
		n = len < PIECE_MAX ? len : PIECE_MAX;
		if (p->look && n > LOOK_MAX - p->held.len)
			n = LOOK_MAX - p->held.len;
		if (p->look && !is_seven(data, n))
			decide(p, p->wanted);
		if (p->look)
			buf_add(&p->held, data, n);
		else
			encode(p, data, n);
	}
}

void
part_end_line(struct part *p)
{
	if (p->newline)
		write_newline(p);
	p->newline = true;
}

void
part_end(struct part *p)
{
	if (p->look)
		decide(p, ENCODER_MASK);
	encoder_end(&p->encoder, &p->out);
}
