/*
 * Walks a message as a stream and hands it on in 7 bits. Called by relay/smtp_transaction.c for an
 * upstream without 8BITMIME, on the delivery's loop; the delivery frees it. Own code, and not
 * GMime, which has to have the whole message: here at most a header section, 64 KiB of one part
 * and one line are kept.
 *
 * Line by line: a header section is kept until it ends, because what its part is decides how it
 * leaves (entity_start). A part that does not say it has 8 bits is kept too until it turns out
 * (LOOK_MAX); what is 7-bit thereby keeps every byte, as a signature needs it (RFC 1847 2.1). The
 * CRLF before a delimiter is the delimiter's (RFC 2046 5.1.1), so each waits for the next line.
 */
#include "mail/seven.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/mem.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/seven_encode.h"

enum {
	DEPTH_MAX = 20,
	BOUNDARY_MAX = 200,  /* RFC 2046 5.1.1 says 70, some write more */
	DELIMITER_MAX = 998, /* with the blanks behind it */
	/* Of the message: intake takes 1 MiB, and we add to it. Of all inside of it. More is body.
	 */
	HEADER_MAX = 2 << 20,
	HEADER_INSIDE_MAX = 128 << 10,
	LOOK_MAX = 65536,
	PIECE_MAX = 8192,
	OUT_MAX = 16384
};

/* A multipart that is open. */
struct level {
	char boundary[BOUNDARY_MAX + 1];
	bool digest; /* its parts are messages where they do not say */
	bool sealed; /* signed or encrypted: its 7-bit parts must not change */
};

enum place { HEADER, LINE_START, LINE };
/* What a Content-Transfer-Encoding is to us. */
enum label { LABEL_NONE, LABEL_SEVEN, LABEL_EIGHT, LABEL_ENCODED };

struct seven {
	struct level levels[DEPTH_MAX];
	size_t depth;
	enum place place;
	bool cr;      /* the last byte was a CR, not looked at yet */
	bool newline; /* a line ended, not handed on yet */

	struct buf header; /* what came of it, as it came */
	size_t line_at;    /* where its last line starts */
	bool message;      /* it is a message's, not a part's */
	bool ended;        /* it has its empty line */
	bool inside;       /* the message's own is behind us */

	struct buf line; /* LINE_START: may become a delimiter */

	bool look;                /* the leaf is in `held`, its header is not handed on yet */
	struct buf held;          /* 7-bit so far */
	enum encoder_kind wanted; /* how it leaves if it does not stay so */
	struct encoder encoder;

	struct buf out;
	body_sink *sink; /* of the call that is under way */
	void *context;
};

static void feed(struct seven *s, const char *data, size_t len);

/* ---- output */

static void
flush(struct seven *s)
{
	if (s->out.len > 0)
		s->sink(s->context, s->out.data, s->out.len);
	buf_clear(&s->out);
}

static void
encode(struct seven *s, const char *data, size_t len)
{
	encoder_add(&s->encoder, data, len, &s->out);
	if (s->out.len >= OUT_MAX)
		flush(s);
}

static bool
is_sealed(const struct seven *s)
{
	size_t i;

	for (i = 0; i < s->depth; i++) {
		if (s->levels[i].sealed)
			return true;
	}
	return false;
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

/* Puts `encoding` in place of the first Content-Transfer-Encoding; others would contradict it. */
static void
label_replace(struct header *h, const char *encoding)
{
	size_t i, n = 0;

	for (i = 0; i < h->count; i++) {
		if (strcasecmp(h->fields[i].name, "Content-Transfer-Encoding") != 0)
			continue;
		if (n++ == 0)
			header_replace(h, &h->fields[i], encoding);
		else
			h->fields[i].removed = true;
	}
	if (n == 0)
		header_append(h, "Content-Transfer-Encoding", encoding);
}

/*
 * Hands the header section on: as it came, or so that it says what becomes of the content; "" only
 * adds what a message has to have.
 */
static void
header_emit(struct seven *s, const char *encoding, bool leaf)
{
	struct arena arena = {0};
	struct header h;

	if (encoding == NULL) {
		buf_add(&s->out, buf_text(&s->header), s->header.len);
	} else {
		header_parse(&h, buf_text(&s->header), s->header.len, &arena);
		if (s->message && header_find(&h, "MIME-Version") == NULL)
			header_append(&h, "MIME-Version", "1.0");
		if (s->message && leaf && header_find(&h, "Content-Type") == NULL)
			header_append(&h, "Content-Type", "text/plain; charset=unknown-8bit");
		if (encoding[0] != '\0')
			label_replace(&h, encoding);
		header_write(&h, &s->out);
	}
	if (s->ended)
		buf_add(&s->out, "\r\n", 2);
	buf_free(&s->header);
	arena_free(&arena);
}

/* ---- the content of a leaf, a preamble or an epilogue */

static void
leaf_start(struct seven *s, enum encoder_kind kind)
{
	static const char *const names[] = {
	    [ENCODER_QUOTED] = "quoted-printable", [ENCODER_BASE64] = "base64"};

	header_emit(s, names[kind], true);
	encoder_start(&s->encoder, kind);
}

/* Ends the looking: what was held leaves as it came, or encoded. */
static void
leaf_decide(struct seven *s, enum encoder_kind kind)
{
	struct buf held = s->held;

	s->look = false;
	s->held = (struct buf){0};
	leaf_start(s, kind);
	encode(s, buf_text(&held), held.len);
	buf_free(&held);
}

/*
 * So long and 7-bit as yet: nearly always to its end. Quoted-printable is right in any case; what
 * is sealed rather loses a byte in the other case than its signature in this one.
 */
static void
leaf_look_enough(struct seven *s)
{
	if (s->look && s->held.len >= LOOK_MAX)
		leaf_decide(s, is_sealed(s) ? ENCODER_MASK : ENCODER_QUOTED);
}

static void
leaf_newline(struct seven *s)
{
	leaf_look_enough(s);
	if (s->look)
		buf_add(&s->held, "\r\n", 2);
	else
		encode(s, "\r\n", 2);
}

/* Part of a line. */
static void
leaf_add(struct seven *s, const char *data, size_t len)
{
	size_t n;

	if (s->newline && len > 0) {
		s->newline = false;
		leaf_newline(s);
	}
	for (; len > 0; data += n, len -= n) {
		leaf_look_enough(s);
		n = len < PIECE_MAX ? len : PIECE_MAX;
		if (s->look && n > LOOK_MAX - s->held.len)
			n = LOOK_MAX - s->held.len;
		if (s->look && !is_seven(data, n))
			leaf_decide(s, s->wanted);
		if (s->look)
			buf_add(&s->held, data, n);
		else
			encode(s, data, n);
	}
}

static void
leaf_end(struct seven *s)
{
	if (s->look)
		leaf_decide(s, ENCODER_MASK);
	encoder_end(&s->encoder, &s->out);
}

/* ---- header sections */

/* Blanks and comments (RFC 5322 3.2.2), for a field that has no more than one word. */
static const char *
skip_comments(const char *p)
{
	int open = 0;

	for (; *p != '\0'; p++) {
		if (*p == '\\' && open > 0 && p[1] != '\0')
			p++;
		else if (*p == '(')
			open++;
		else if (*p == ')' && open > 0)
			open--;
		else if (open == 0 && *p != ' ' && *p != '\t')
			break;
	}
	return p;
}

/* What no one knows is read as 8-bit, as readers of mail do. */
static enum label
label_read(const struct header *h)
{
	static const struct {
		const char *name;
		enum label label;
	} labels[] = {
	    {"7bit", LABEL_SEVEN}, {"base64", LABEL_ENCODED}, {"quoted-printable", LABEL_ENCODED}};
	const struct header_field *f = header_find(h, "Content-Transfer-Encoding");
	const char *word;
	size_t len, i;

	if (f == NULL)
		return LABEL_NONE;
	word = skip_comments(header_value(h, f));
	len = strcspn(word, " \t(;");
	if (len >= 2 && word[0] == '"' && word[len - 1] == '"') {
		word++;
		len -= 2;
	}
	for (i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (strlen(labels[i].name) == len && strncasecmp(word, labels[i].name, len) == 0)
			return labels[i].label;
	}
	return strncasecmp(word, "x-", 2) == 0 ? LABEL_ENCODED : LABEL_EIGHT;
}

/* The type of what follows the header section; where it does not say, by RFC 2045 5.2, 2046 5.1.5.
 */
static void
type_read(const struct seven *s, const struct header *h, struct mime_type *type)
{
	const struct header_field *f = header_find(h, "Content-Type");
	const char *usual = "text/plain";

	if (!s->message && s->depth > 0 && s->levels[s->depth - 1].digest)
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
	level->sealed =
	    strcmp(type->subtype, "signed") == 0 || strcmp(type->subtype, "encrypted") == 0;
	s->depth++;
	return true;
}

static void
header_start(struct seven *s, bool message)
{
	s->place = HEADER;
	buf_clear(&s->header);
	s->line_at = 0;
	s->message = message;
	s->ended = false;
}

/* Multiparts and messages: what they have inside decides for itself, they say 7bit. */
static void
container_start(struct seven *s, enum label label, bool was_sealed, bool message)
{
	const char *encoding = s->message && !was_sealed ? "" : NULL;

	header_emit(s, label == LABEL_EIGHT ? "7bit" : encoding, false);
	encoder_start(&s->encoder, ENCODER_MASK);
	if (message)
		header_start(s, true);
}

/* A header section is complete: what follows is a multipart, a message or a leaf. */
static void
entity_start(struct seven *s)
{
	struct arena arena = {0};
	struct mime_type type;
	struct header h;
	enum label label;
	bool message, multipart, sealed = is_sealed(s);

	header_parse(&h, buf_text(&s->header), s->header.len, &arena);
	type_read(s, &h, &type);
	label = label_read(&h);
	multipart = strcmp(type.type, "multipart") == 0;
	message = strcmp(type.type, "message") == 0;
	s->place = LINE_START;
	s->newline = false;
	s->inside = true;
	/* People can read quoted-printable where no program expects it: what has no boundary. */
	s->wanted = multipart || message || strcmp(type.type, "text") == 0 ? ENCODER_QUOTED
									   : ENCODER_BASE64;
	if (label == LABEL_ENCODED)
		leaf_start(s, ENCODER_MASK);
	else if (multipart && level_push(s, &type))
		container_start(s, label, sealed, false);
	else if (message && strcmp(type.subtype, "rfc822") == 0)
		container_start(s, label, sealed, true);
	else if (label == LABEL_EIGHT)
		leaf_start(s, s->wanted);
	else
		s->look = true;
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
	leaf_end(s);
	if (s->newline)
		buf_add(&s->out, "\r\n", 2);
	s->newline = false;
	buf_add(&s->out, line, len);
	encoder_start(&s->encoder, ENCODER_MASK);
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

	buf_add(&rest, s->header.data + s->line_at, s->header.len - s->line_at);
	s->header.len = s->line_at;
	s->ended = true;
	entity_start(s);
	feed(s, rest.data, rest.len);
	buf_free(&rest);
}

/* A whole line of a header section, the last one in s->header. */
static void
header_line(struct seven *s)
{
	const char *line = s->header.data + s->line_at;
	size_t len = s->header.len - s->line_at, number;
	struct buf delimiter = {0};
	bool closing;

	number = delimiter_find(s, line, len, &closing);
	if (number > 0) {
		buf_add(&delimiter, line, len);
		s->header.len = s->line_at;
		entity_start(s);
		delimiter_take(s, number, closing, delimiter.data, delimiter.len);
		buf_free(&delimiter);
	} else if (len == 1 || (len == 2 && line[0] == '\r')) {
		s->header.len = s->line_at;
		s->ended = true;
		entity_start(s);
	} else if (s->line_at > 0 ? *line == ' ' || *line == '\t' || field_length(line, len) > 0
				  : field_length(line, len) > 0) {
		s->line_at = s->header.len;
	} else if (s->line_at == 0 && is_mbox_line(line, len)) {
		encoder_start(&s->encoder, ENCODER_MASK);
		encode(s, line, len);
		buf_clear(&s->header);
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

	if (n > max - s->header.len) {
		n = max - s->header.len;
		lf = NULL;
	}
	buf_add(&s->header, p, n);
	if (lf != NULL)
		header_line(s);
	else if (s->header.len == max)
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
		leaf_add(s, "\r", 1);
	s->cr = cr && lf == NULL;
	leaf_add(s, p, n - cr);
	if (lf == NULL)
		return end;
	if (s->newline)
		leaf_newline(s);
	s->newline = true;
	s->place = LINE_START;
	return lf + 1;
}

/* What may be a delimiter waits for its end. */
static const char *
feed_line_start(struct seven *s, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	size_t n = (size_t)((lf != NULL ? lf + 1 : end) - p), number = 0;
	struct buf line;
	bool closing;

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
	line = s->line;
	s->line = (struct buf){0};
	if (lf != NULL)
		number = delimiter_find(s, line.data, line.len, &closing);
	if (number > 0) {
		delimiter_take(s, number, closing, line.data, line.len);
	} else {
		s->place = LINE;
		feed(s, line.data, line.len);
	}
	buf_free(&line);
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
	s->sink = sink;
	s->context = context;
	feed(s, data, len);
	flush(s);
}

/* The last line may lack its end, the last header section its empty line. */
static void
finish_line(struct seven *s)
{
	struct buf line = s->line;
	size_t number;
	bool closing;

	if (s->place == HEADER && s->header.len > s->line_at)
		feed(s, "\r\n", 2);
	if (s->place == HEADER)
		entity_start(s);
	if (line.len == 0)
		return;
	s->line = (struct buf){0};
	number = delimiter_find(s, line.data, line.len, &closing);
	if (number > 0) {
		delimiter_take(s, number, closing, line.data, line.len);
	} else {
		s->place = LINE;
		feed(s, line.data, line.len);
	}
	buf_free(&line);
}

void
seven_finish(struct seven *s, body_sink *sink, void *context)
{
	s->sink = sink;
	s->context = context;
	finish_line(s);
	if (s->cr)
		leaf_add(s, "\r", 1);
	if (s->newline)
		leaf_newline(s);
	s->cr = s->newline = false;
	leaf_end(s);
	if (s->encoder.kind == ENCODER_BASE64 && s->encoder.column > 0)
		buf_add(&s->out, "\r\n", 2);
	flush(s);
}

void
seven_free(struct seven *s)
{
	if (s == NULL)
		return;
	buf_free(&s->header);
	buf_free(&s->line);
	buf_free(&s->held);
	buf_free(&s->out);
	free(s);
}
