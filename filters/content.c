/*
 * Content rules: what they look at, and whether it matches. Compiled by policy_new(), asked by the
 * rules engine on the relay loops and by `explain` and `simulate`; a rule is immutable, a view
 * belongs to its caller.
 */
#include "filters/content.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "filters/pattern.h"
#include "mail/mime.h"

/* Of one header rule over all fields of its name, some 100 ms: a header may have 50,000 of them. */
enum { HEADER_STEPS_MAX = 16 * PATTERN_STEPS };

struct content {
	enum config_part part;
	char *header;
	struct pattern *pattern;
};

struct content *
content_new(const struct config_content *config, char **error)
{
	struct content *c;
	struct pattern *pattern;
	char *why;

	*error = NULL;
	pattern = pattern_for_text(config->match, &why);
	if (pattern == NULL) {
		*error = mem_printf("match: %s", why);
		free(why);
		return NULL;
	}
	c = mem_zalloc(sizeof(*c));
	c->part = config->part;
	c->header = mem_strdup(config->header);
	c->pattern = pattern;
	return c;
}

void
content_free(struct content *c)
{
	if (c == NULL)
		return;
	pattern_free(c->pattern);
	free(c->header);
	free(c);
}

bool
content_wants_body(const struct content *c)
{
	return c->part != CONFIG_PART_HEADER;
}

void
content_view_init(struct content_view *v, const struct message *m)
{
	*v = (struct content_view){.message = m};
}

void
content_view_free(struct content_view *v)
{
	size_t i;

	for (i = 0; i < sizeof(v->text) / sizeof(v->text[0]); i++)
		buf_free(&v->text[i]);
	arena_free(&v->arena);
}

/* The beginning of the body: one run of bytes, in `copy` where it is in several chunks. */
static const char *
body_start(const struct message *m, struct buf *copy, size_t *len)
{
	const struct chunk *first = STAILQ_FIRST(&m->body.list), *c;

	if (m->chunks_stored > 0 || first == NULL) {
		*len = m->sample.len;
		return buf_text(&m->sample);
	}
	if (STAILQ_NEXT(first, next) == NULL || first->len >= MESSAGE_SAMPLE_MAX) {
		*len = first->len < MESSAGE_SAMPLE_MAX ? first->len : MESSAGE_SAMPLE_MAX;
		return first->data;
	}
	for (c = first; c != NULL && copy->len < MESSAGE_SAMPLE_MAX; c = STAILQ_NEXT(c, next)) {
		size_t room = MESSAGE_SAMPLE_MAX - copy->len;

		buf_add(copy, c->data, c->len < room ? c->len : room);
	}
	*len = copy->len;
	return copy->data;
}

/* Decodes all parts of the body, once. */
static void
view_decode_body(struct content_view *v)
{
	const struct message *m = v->message;
	struct mime_parts parts;
	struct buf copy = {0};
	const char *body;
	size_t len;

	if (v->decoded[CONFIG_PART_BODY])
		return;
	body = body_start(m, &copy, &len);
	mime_read_parts(buf_text(&m->header), m->header.len, body, len, &parts);
	/* The store has the body and nobody kept its beginning, as across a reload. */
	v->unread = parts.unread || (len == 0 && m->chunks_stored > 0);
	mime_parts_seen(&parts, m->body_bytes > len, &v->text[CONFIG_PART_BODY]);
	v->text[CONFIG_PART_TEXT] = parts.plain; /* with its memory */
	v->text[CONFIG_PART_HTML] = parts.html;
	v->decoded[CONFIG_PART_TEXT] = v->decoded[CONFIG_PART_HTML] = true;
	v->decoded[CONFIG_PART_BODY] = true;
	buf_free(&copy);
}

static void
view_parse_header(struct content_view *v)
{
	if (v->decoded[CONFIG_PART_HEADER])
		return;
	header_parse(&v->header, buf_text(&v->message->header), v->message->header.len, &v->arena);
	v->decoded[CONFIG_PART_HEADER] = true;
}

static enum pattern_result
match_header(const struct content *c, struct content_view *v)
{
	uint64_t steps = 0;
	size_t i;

	/* Made by hand, not read: its subject is all there is. */
	if (v->message->header.len == 0 && strcasecmp(c->header, "Subject") == 0)
		return *v->message->subject != '\0'
			   ? pattern_search_text(c->pattern, v->message->subject, &steps)
			   : PATTERN_DIFFERS;
	view_parse_header(v);
	for (i = 0; i < v->header.count; i++) {
		const struct header_field *f = &v->header.fields[i];
		struct arena arena = {0};
		enum pattern_result result;

		if (strcasecmp(f->name, c->header) != 0)
			continue;
		result = pattern_search_text(
		    c->pattern, mime_decode_text(header_value(&v->header, f), &arena), &steps);
		arena_free(&arena);
		if (result != PATTERN_DIFFERS)
			return result;
		if (steps > HEADER_STEPS_MAX)
			return PATTERN_GAVE_UP;
	}
	return PATTERN_DIFFERS;
}

static enum pattern_result
match_body(const struct content *c, struct content_view *v)
{
	enum pattern_result result;
	uint64_t steps = 0;

	if (v->message->body_unknown)
		return PATTERN_DIFFERS;
	view_decode_body(v);
	if ((c->part == CONFIG_PART_TEXT || c->part == CONFIG_PART_HTML) &&
	    v->text[c->part].len == 0 && !v->unread)
		return PATTERN_DIFFERS; /* no such part: nothing to match */
	result = pattern_search_text(c->pattern, buf_text(&v->text[c->part]), &steps);
	return result == PATTERN_DIFFERS && v->unread ? PATTERN_GAVE_UP : result;
}

static const char *
match_reason(const struct content *c, const struct content_view *v, enum pattern_result result,
	     struct arena *arena)
{
	static const char *const names[] = {"", "the plain text", "the HTML", "the body"};
	const char *what = c->part == CONFIG_PART_HEADER ? c->header : names[c->part];

	if (result == PATTERN_MATCHES)
		return arena_printf(arena, "%s matches", what);
	if (v->unread && c->part != CONFIG_PART_HEADER)
		return "not all of the body can be looked at: it counts as a match";
	return arena_printf(arena, "the pattern gave up on %s: it counts as a match", what);
}

bool
content_match(const struct content *c, struct content_view *v, struct arena *arena,
	      const char **why)
{
	enum pattern_result result;

	result = c->part == CONFIG_PART_HEADER ? match_header(c, v) : match_body(c, v);
	if (result != PATTERN_DIFFERS && why != NULL)
		*why = match_reason(c, v, result, arena);
	return result != PATTERN_DIFFERS;
}
