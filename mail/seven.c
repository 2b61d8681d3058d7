/*
 * Walks a message as a stream and hands it on in 7 bits. Called by relay/smtp_transaction.c for an
 * upstream without 8BITMIME, on the delivery's loop; the delivery frees it. Own code, and not
 * GMime, which has to have the whole message: here at most a header section, 64 KiB of one part
 * and one line are kept.
 *
 * A line at a time: a header section is kept until it ends, because what it says decides what
 * becomes of the content (entity_start); seven_part.c does it. Only seven.c knows delimiters.
 */
#include "mail/seven.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/seven_label.h"
#include "mail/seven_part.h"

enum {
	DEPTH_MAX = 20,
	BOUNDARY_MAX = 200,  /* RFC 2046 5.1.1 says 70, some write more */
	DELIMITER_MAX = 998, /* with the blanks behind it */
	/* Of the message: intake takes 1 MiB, and we add to it. Of all in it. More is body. */
	HEADER_MAX = 2 << 20,
	HEADER_INSIDE_MAX = 128 << 10
};

/* A multipart that is open. */
struct level {
	char boundary[BOUNDARY_MAX + 1];
	bool digest; /* its parts are messages where they do not say */
	bool sealed; /* it, or one around it, is signed or encrypted */
};

enum place { HEADER, LINE_START, LINE };

struct seven {
	struct level levels[DEPTH_MAX];
	size_t depth;
	enum place place;
	bool inside;     /* the message's own header section is behind us */
	bool cr;         /* the last byte was a CR, not looked at yet */
	size_t line_at;  /* HEADER: where the last line of part.header starts */
	struct buf line; /* LINE_START: may become a delimiter */
	struct part part;
};

static void feed(struct seven *s, const char *data, size_t len);

/* ---- header sections */

static bool
is_sealed(const struct seven *s)
{
	return s->depth > 0 && s->levels[s->depth - 1].sealed;
}

/* The type of what follows; where it does not say, by RFC 2045 5.2 and RFC 2046 5.1.5. */
static void
type_read(const struct seven *s, const struct header *h, struct mime_type *type)
{
	const struct header_field *f = header_find(h, "Content-Type");
	const char *usual = "text/plain";

	if (!s->part.message && s->depth > 0 && s->levels[s->depth - 1].digest)
		usual = "message/rfc822";
	mime_parse_type(f != NULL ? header_value(h, f) : usual, h->arena, type);
}

/* False if it cannot be walked: no boundary, or one that no delimiter can have, or too deep. */
static bool
level_push(struct seven *s, const struct mime_type *type)
{
	struct level *level = &s->levels[s->depth];
	size_t len = strlen(type->boundary), i;

	while (len > 0 && strchr(" \t", type->boundary[len - 1]) != NULL)
		len--;
	if (len == 0 || len > BOUNDARY_MAX || s->depth == DEPTH_MAX)
		return false;
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)type->boundary[i];

		if (c < ' ' || c >= 0x7f)
			return false;
	}
	memcpy(level->boundary, type->boundary, len);
	level->boundary[len] = '\0';
	level->digest = strcmp(type->subtype, "digest") == 0;
	level->sealed = is_sealed(s) || strcmp(type->subtype, "signed") == 0 ||
			strcmp(type->subtype, "encrypted") == 0;
	s->depth++;
	return true;
}

static void
header_start(struct seven *s, bool message)
{
	s->place = HEADER;
	s->line_at = 0;
	buf_clear(&s->part.header);
	s->part.message = message;
	s->part.ended = false;
}

/* Multiparts and messages: what they have inside decides for itself, they say 7bit. */
static void
container_start(struct seven *s, enum label label)
{
	/* A message in what is sealed goes without the fields that it lacks. */
	const char *encoding = s->part.message && !s->part.sealed ? "" : NULL;

	part_pass(&s->part, label == LABEL_EIGHT ? "7bit" : encoding);
}

/* A header section is complete: what follows is a multipart, a message or a leaf. */
static void
entity_start(struct seven *s)
{
	struct arena arena = {0};
	enum encoder_kind wanted = ENCODER_BASE64;
	struct mime_type type;
	struct header h;
	enum label label;
	bool message, multipart;

	header_parse(&h, buf_text(&s->part.header), s->part.header.len, &arena);
	type_read(s, &h, &type);
	label = label_read(&h);
	multipart = strcmp(type.type, "multipart") == 0;
	message = strcmp(type.type, "message") == 0;
	/* People can read quoted-printable where no program expects it: what has no boundary. */
	if (multipart || message || strcmp(type.type, "text") == 0)
		wanted = ENCODER_QUOTED;
	s->place = LINE_START;
	s->inside = true;
	s->part.newline = false;
	s->part.sealed = is_sealed(s);
	if (label == LABEL_ENCODED) {
		part_pass(&s->part, NULL);
	} else if (multipart && level_push(s, &type)) {
		container_start(s, label);
	} else if (message && strcmp(type.subtype, "rfc822") == 0) {
		container_start(s, label);
		header_start(s, true);
	} else if (label == LABEL_EIGHT) {
		part_encode(&s->part, wanted);
	} else {
		part_look(&s->part, wanted);
	}
	arena_free(&arena);
}

/* ---- lines */

/* A delimiter of an open multipart: its number from 1, else 0. The innermost one first. */
static size_t
delimiter_find(const struct seven *s, const char *line, size_t len, bool *closing)
{
	size_t i;

	while (len > 0 && strchr("\r\n", line[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(" \t", line[len - 1]) != NULL)
		len--;
	if (len < 3 || memcmp(line, "--", 2) != 0)
		return 0;
	line += 2;
	len -= 2;
	for (i = s->depth; i > 0; i--) {
		const char *boundary = s->levels[i - 1].boundary;
		size_t n = strlen(boundary);

		if (len < n || memcmp(line, boundary, n) != 0)
			continue;
		*closing = len == n + 2 && memcmp(line + n, "--", 2) == 0;
		if (len == n || *closing)
			return i;
	}
	return 0;
}

static void
delimiter_take(struct seven *s, size_t number, bool closing, const char *line, size_t len)
{
	part_end(&s->part);
	if (s->part.newline)
		part_raw(&s->part, "\r\n", 2);
	s->part.newline = false;
	part_raw(&s->part, line, len);
	encoder_start(&s->part.encoder, ENCODER_MASK);
	s->depth = closing ? number - 1 : number;
	if (closing)
		s->place = LINE_START;
	else
		header_start(s, false);
}

/* Length of "name:" at the start of a line, 0 if it is no field (RFC 5322 2.2, 4.5). */
static size_t
field_length(const char *line, size_t len)
{
	size_t n = 0, name;

	while (n < len && line[n] > ' ' && line[n] < 0x7f && line[n] != ':')
		n++;
	name = n;
	while (n < len && (line[n] == ' ' || line[n] == '\t'))
		n++;
	return name > 0 && n < len && line[n] == ':' ? n + 1 : 0;
}

static bool
is_mbox_line(const char *line, size_t len)
{
	return (len >= 5 && memcmp(line, "From ", 5) == 0) ||
	       (len >= 6 && memcmp(line, ">From ", 6) == 0);
}

/* The header section ends before its last line, which is no field: it gets its empty line. */
static void
header_cut(struct seven *s)
{
	struct buf rest = {0};

	buf_add(&rest, s->part.header.data + s->line_at, s->part.header.len - s->line_at);
	s->part.header.len = s->line_at;
	s->part.ended = true;
	entity_start(s);
	feed(s, rest.data, rest.len);
	buf_free(&rest);
}

/* A whole line of a header section, the last one in s->part.header. */
static void
header_line(struct seven *s)
{
	const char *line = s->part.header.data + s->line_at;
	size_t len = s->part.header.len - s->line_at, number;
	struct buf delimiter = {0};
	bool closing;

	number = delimiter_find(s, line, len, &closing);
	if (number > 0) {
		buf_add(&delimiter, line, len);
		s->part.header.len = s->line_at;
		entity_start(s);
		delimiter_take(s, number, closing, delimiter.data, delimiter.len);
		buf_free(&delimiter);
	} else if (len == 1 || (len == 2 && line[0] == '\r')) {
		s->part.header.len = s->line_at;
		s->part.ended = true;
		entity_start(s);
	} else if (s->line_at > 0 ? *line == ' ' || *line == '\t' || field_length(line, len) > 0
				  : field_length(line, len) > 0) {
		s->line_at = s->part.header.len;
	} else if (s->line_at == 0 && is_mbox_line(line, len)) {
		encoder_start(&s->part.encoder, ENCODER_MASK);
		encoder_add(&s->part.encoder, line, len, &s->part.out);
		buf_clear(&s->part.header);
	} else {
		header_cut(s);
	}
}

static const char *
feed_header(struct seven *s, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	size_t n = (size_t)((lf != NULL ? lf + 1 : end) - p);
	size_t max = s->inside ? HEADER_INSIDE_MAX : HEADER_MAX;

	if (n > max - s->part.header.len) {
		n = max - s->part.header.len;
		lf = NULL;
	}
	buf_add(&s->part.header, p, n);
	if (lf != NULL)
		header_line(s);
	else if (s->part.header.len == max)
		header_cut(s);
	return p + n;
}

static const char *
feed_line(struct seven *s, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	size_t n = (size_t)((lf != NULL ? lf : end) - p);
	bool cr = n > 0 && p[n - 1] == '\r';

	if (s->cr && (n > 0 || lf == NULL))
		part_add(&s->part, "\r", 1);
	s->cr = cr && lf == NULL;
	part_add(&s->part, p, n - cr);
	if (lf == NULL)
		return end;
	part_end_line(&s->part);
	s->place = LINE_START;
	return lf + 1;
}

/* The line that was kept: a delimiter, if it is whole and one of ours, else content. */
static void
line_take(struct seven *s, bool whole)
{
	struct buf line = s->line;
	size_t number = 0;
	bool closing;

	s->line = (struct buf){0};
	if (whole)
		number = delimiter_find(s, line.data, line.len, &closing);
	if (number > 0) {
		delimiter_take(s, number, closing, line.data, line.len);
	} else {
		s->place = LINE;
		feed(s, line.data, line.len);
	}
	buf_free(&line);
}

/* What may be a delimiter waits for its end. */
static const char *
feed_line_start(struct seven *s, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	size_t n = (size_t)((lf != NULL ? lf + 1 : end) - p);

	if (s->depth == 0 || (s->line.len == 0 && *p != '-')) {
		s->place = LINE;
		return p;
	}
	if (n > DELIMITER_MAX - s->line.len) {
		n = DELIMITER_MAX - s->line.len;
		lf = NULL;
	}
	buf_add(&s->line, p, n);
	if (lf == NULL && s->line.len < DELIMITER_MAX)
		return p + n;
	line_take(s, lf != NULL);
	return p + n;
}

static void
feed(struct seven *s, const char *data, size_t len)
{
	const char *p = data, *end = data + len;

	while (p < end) {
		switch (s->place) {
		case HEADER:
			p = feed_header(s, p, end);
			break;
		case LINE_START:
			p = feed_line_start(s, p, end);
			break;
		case LINE:
			p = feed_line(s, p, end);
			break;
		}
	}
}

struct seven *
seven_new(void)
{
	struct seven *s = mem_zalloc(sizeof(*s));

	header_start(s, true);
	return s;
}

void
seven_feed(struct seven *s, const char *data, size_t len, body_sink *sink, void *context)
{
	s->part.sink = sink;
	s->part.context = context;
	feed(s, data, len);
	part_flush(&s->part);
}

/* The last line may lack its end, the last header section its empty line. */
static void
finish_line(struct seven *s)
{
	if (s->place == HEADER && s->part.header.len > s->line_at)
		feed(s, "\r\n", 2);
	if (s->place == HEADER)
		entity_start(s);
	if (s->line.len > 0)
		line_take(s, true);
}

void
seven_finish(struct seven *s, body_sink *sink, void *context)
{
	s->part.sink = sink;
	s->part.context = context;
	finish_line(s);
	if (s->cr)
		part_add(&s->part, "\r", 1);
	if (s->part.newline)
		part_end_line(&s->part); /* hands on the one that waits */
	part_end(&s->part);
	if (s->part.encoder.kind == ENCODER_BASE64 && s->part.encoder.column > 0)
		part_raw(&s->part, "\r\n", 2);
	part_flush(&s->part);
}

void
seven_free(struct seven *s)
{
	if (s == NULL)
		return;
	buf_free(&s->line);
	part_free(&s->part);
	free(s);
}
