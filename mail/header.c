/*
 * The header section as a list of fields over one private copy of its bytes. Called by message.c
 * for one message at a time, on that message's loop; all memory is the arena's, so nothing is
 * freed here. Only what is replaced or added is written anew: every other field is a slice of the
 * copy.
 */
#include "mail/header.h"

#include <string.h>
#include <strings.h>

/* RFC 5322 2.1.1: lines should be no longer than 78 characters, without the CRLF. */
enum { LINE_WANTED = 78 };

/* Places for fields that are added later. */
enum { FIELDS_SPARE = 16 };

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Room for one more field at the end; an old array stays in the arena. */
static struct header_field *
fields_grow(struct header *h)
{
	struct header_field *grown;

	if (h->count == h->cap) {
		h->cap = 2 * h->cap + FIELDS_SPARE;
		grown = arena_alloc(h->arena, h->cap * sizeof(*grown));
		if (h->count > 0)
			memcpy(grown, h->fields, h->count * sizeof(*grown));
		h->fields = grown;
	}
	return &h->fields[h->count++];
}

/* A copy with CRLF after every line and no other CR, LF or NUL; *len is changed to match. */
static char *
copy_lines(const char *data, size_t *len, struct arena *arena)
{
	size_t in, out = 0, bare = 0, n = *len;
	char *copy;

	for (in = 0; in < n; in++)
		bare += data[in] == '\n' && (in == 0 || data[in - 1] != '\r');
	copy = arena_alloc(arena, n + bare + 2);
	for (in = 0; in < n; in++) {
		if (data[in] == '\n') {
			copy[out++] = '\r';
			copy[out++] = '\n';
		} else if (data[in] == '\r' && in + 1 < n && data[in + 1] == '\n') {
			continue; /* written with its LF */
		} else {
			copy[out++] = data[in] == '\0' || data[in] == '\r' ? ' ' : data[in];
		}
	}
	if (out > 0 && copy[out - 1] != '\n') {
		copy[out++] = '\r';
		copy[out++] = '\n';
	}
	*len = out;
	return copy;
}

/*
 * Length of the field name at the start of a line, 0 if it is no field: printable ASCII without
 * the colon (RFC 5322 2.2), then blanks (obsolete, 4.5), then the colon, at *colon.
 */
static size_t
name_length(const char *line, const char *end, size_t *colon)
{
	const char *p = line;
	size_t len;

	while (p<end && * p> ' ' && *p < 127 && *p != ':')
		p++;
	len = (size_t)(p - line);
	while (p < end && is_blank(*p))
		p++;
	if (len == 0 || p == end || *p != ':')
		return 0;
	*colon = (size_t)(p - line);
	return len;
}

/* Behind the LF of the line at p. */
static const char *
line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));

	return lf != NULL ? lf + 1 : end;
}

/* Lines that may start a field. */
static size_t
fields_count(const char *p, const char *end)
{
	size_t n = 0;

	for (; p < end; p = line_end(p, end))
		n += !is_blank(*p);
	return n;
}

/* "From sender date", the separator of mbox files, which some programs leave on top. */
static bool
is_mbox_line(const char *p, const char *end)
{
	size_t left = (size_t)(end - p), colon;

	return ((left >= 5 && memcmp(p, "From ", 5) == 0) ||
		(left >= 6 && memcmp(p, ">From ", 6) == 0)) &&
	       name_length(p, end, &colon) == 0;
}

void
header_parse(struct header *h, const char *data, size_t len, struct arena *arena)
{
	const char *p, *end;
	char *names;

	*h = (struct header){.arena = arena};
	p = copy_lines(data, &len, arena);
	end = p + len;
	h->cap = fields_count(p, end) + FIELDS_SPARE;
	h->fields = arena_alloc(arena, h->cap * sizeof(*h->fields));
	/* A name and its NUL are never longer than their field. */
	names = arena_alloc(arena, len + 1);
	if (is_mbox_line(p, end))
		p = line_end(p, end);
	while (p < end) {
		struct header_field *f = fields_grow(h);
		const char *next = line_end(p, end);
		size_t colon = 0, n = name_length(p, end, &colon);

		if (n == 0) {
			*f = (struct header_field){"", p, (size_t)(end - p), 0, false};
			return;
		}
		while (next < end && is_blank(*next))
			next = line_end(next, end);
		memcpy(names, p, n);
		names[n] = '\0';
		*f = (struct header_field){names, p, (size_t)(next - p), colon + 1, false};
		names += n + 1;
		p = next;
	}
}

bool
header_is_clean(const struct header *h)
{
	return h->count == 0 || h->fields[h->count - 1].name[0] != '\0';
}

const struct header_field *
header_find(const struct header *h, const char *name)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		if (!h->fields[i].removed && strcasecmp(h->fields[i].name, name) == 0)
			return &h->fields[i];
	}
	return NULL;
}

size_t
header_count(const struct header *h, const char *name)
{
	size_t i, n = 0;

	for (i = 0; i < h->count; i++)
		n += !h->fields[i].removed && strcasecmp(h->fields[i].name, name) == 0;
	return n;
}

char *
header_value(const struct header *h, const struct header_field *f)
{
	const char *p = f->raw + f->value_at, *end = f->raw + f->raw_len;
	char *value = arena_alloc(h->arena, (size_t)(end - p) + 1);
	size_t n = 0;

	/* Unfolding takes out the CRLF and leaves the blank behind it (RFC 5322 2.2.3). */
	for (; p < end; p++) {
		if (*p != '\r' && *p != '\n' && (n > 0 || !is_blank(*p)))
			value[n++] = *p;
	}
	while (n > 0 && is_blank(value[n - 1]))
		n--;
	value[n] = '\0';
	return value;
}

void
header_remove(struct header *h, const char *name)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		if (strcasecmp(h->fields[i].name, name) == 0)
			h->fields[i].removed = true;
	}
}

void
header_remove_prefix(struct header *h, const char *prefix)
{
	size_t i, len = strlen(prefix);

	for (i = 0; i < h->count; i++) {
		if (strncasecmp(h->fields[i].name, prefix, len) == 0)
			h->fields[i].removed = true;
	}
}

/* Length of a fold (CRLF and a blank) at p, without the blank; else 0. p ends with a NUL. */
static size_t
fold_at(const char *p)
{
	return p[0] == '\r' && p[1] == '\n' && is_blank(p[2]) ? 2 : 0;
}

/*
 * Appends value at column `column`: folds before a run of blanks where the word behind it would
 * pass the wanted length, so no line consists of blanks only. Never before the first word.
 */
static void
value_fold(struct buf *out, size_t column, const char *value)
{
	bool first = true;

	while (*value != '\0') {
		size_t blanks, word;

		if (fold_at(value) > 0) {
			buf_add(out, "\r\n", 2);
			value += 2;
			column = 0;
		}
		blanks = strspn(value, " \t");
		word = strcspn(value + blanks, " \t\r\n");
		if (!first && column > 0 && blanks > 0 && word > 0 &&
		    column + blanks + word > LINE_WANTED) {
			buf_add(out, "\r\n", 2);
			column = 0;
		}
		buf_add(out, value, blanks + word);
		first = first && word == 0;
		column += blanks + word;
		value += blanks + word;
		if (blanks + word == 0 && *value != '\0' && fold_at(value) == 0) {
			buf_add_char(out, ' '); /* a CR or LF that folds nothing */
			column++;
			value++;
		}
	}
}

static struct header_field
field_make(struct header *h, const char *name, const char *value)
{
	struct header_field f = {.name = arena_strdup(h->arena, name)};
	struct buf text = {0};
	size_t last;

	buf_add_text(&text, name);
	buf_add(&text, ": ", 2);
	f.value_at = text.len - 1;
	value_fold(&text, text.len, value);
	for (last = text.len; last > f.value_at && strchr(" \t\r\n", text.data[last - 1]) != NULL;)
		last--;
	text.len = last;
	buf_add(&text, "\r\n", 2);
	f.raw = arena_strndup(h->arena, text.data, text.len);
	f.raw_len = text.len;
	buf_free(&text);
	return f;
}

void
header_replace(struct header *h, struct header_field *f, const char *value)
{
	*f = field_make(h, f->name, value);
}

void
header_prepend(struct header *h, const char *name, const char *value)
{
	struct header_field f = field_make(h, name, value);

	fields_grow(h);
	memmove(h->fields + 1, h->fields, (h->count - 1) * sizeof(f));
	h->fields[0] = f;
}

void
header_append(struct header *h, const char *name, const char *value)
{
	struct header_field f = field_make(h, name, value);
	bool clean = header_is_clean(h);

	*fields_grow(h) = f;
	if (!clean) {
		/* What is no field stays last. */
		h->fields[h->count - 1] = h->fields[h->count - 2];
		h->fields[h->count - 2] = f;
	}
}

void
header_write(const struct header *h, struct buf *out)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		if (!h->fields[i].removed)
			buf_add(out, h->fields[i].raw, h->fields[i].raw_len);
	}
}
