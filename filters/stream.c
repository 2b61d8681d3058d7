/*
 * Stream hashes and their keys in words. Called by the filters for each key of a message, on the
 * relay loop that has the message; also by counters_replay() after a start.
 */
#include "filters/stream.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "config/config.h"

enum { VALUE_BYTES_MAX = 120 }; /* of one value in a key */

/* What no part of a key has as its tag (enum config_per). */
#define TAG_OVERFLOW UINT32_MAX
#define TAG_DECLARED (UINT32_MAX - 1)

static const char *
text_or_empty(const char *text)
{
	return text == NULL ? "" : text;
}

static uint64_t
hash_part(uint64_t hash, unsigned tag, const char *text, bool fold)
{
	uint32_t head[2] = {tag, (uint32_t)strlen(text)};

	hash = text_hash(hash, head, sizeof(head));
	if (!fold)
		return text_hash(hash, text, head[1]);
	for (; *text != '\0'; text++) {
		char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;

		hash = text_hash(hash, &c, 1);
	}
	return hash;
}

uint64_t
stream_hash_rule(const char *environment, const char *rule)
{
	uint64_t hash = hash_part(TEXT_HASH_START, 0, text_or_empty(environment), false);

	return hash_part(hash, 0, rule, false);
}

uint64_t
stream_hash_declared(uint64_t start)
{
	return hash_part(start, TAG_DECLARED, "declared", false);
}

uint64_t
stream_hash_overflow(uint64_t start)
{
	uint64_t hash = hash_part(start, TAG_OVERFLOW, "overflow", false);

	return hash == 0 ? 1 : hash;
}

uint64_t
stream_hash_parts(uint64_t start, unsigned per, const struct message *m, const char *recipient)
{
	uint64_t hash = start;

	if (per & CONFIG_PER_SOURCE)
		hash = hash_part(hash, CONFIG_PER_SOURCE, text_or_empty(m->source), false);
	if (per & CONFIG_PER_SENDER)
		hash = hash_part(hash, CONFIG_PER_SENDER, text_or_empty(m->sender.text), true);
	if (per & CONFIG_PER_SUBJECT)
		hash = hash_part(hash, CONFIG_PER_SUBJECT, text_or_empty(m->subject_key), false);
	if (per & CONFIG_PER_CAMPAIGN)
		hash = hash_part(hash, CONFIG_PER_CAMPAIGN, text_or_empty(m->campaign), false);
	if (per & CONFIG_PER_RECIPIENT)
		hash = hash_part(hash, CONFIG_PER_RECIPIENT, text_or_empty(recipient), true);
	return hash == 0 ? 1 : hash;
}

uint64_t
stream_hash(const char *environment, const char *rule, unsigned per, const struct message *m,
	    const char *recipient)
{
	return stream_hash_parts(stream_hash_rule(environment, rule), per, m, recipient);
}

static bool
is_plain(const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    ".:@_+=/-";

	return *value != '\0' && strlen(value) <= VALUE_BYTES_MAX &&
	       value[strspn(value, plain)] == '\0';
}

static void
format_quoted(const char *value, struct buf *out)
{
	bool utf8 = text_is_utf8(value, strlen(value));
	const unsigned char *c = (const unsigned char *)value;
	size_t start = out->len;

	buf_add_char(out, '"');
	for (; *c != '\0'; c++) {
		/* Never between the bytes of one character. */
		if (out->len - start >= VALUE_BYTES_MAX && (*c & 0xc0) != 0x80) {
			buf_add_text(out, "...");
			break;
		}
		if (*c == '"' || *c == '\\')
			buf_printf(out, "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f || (*c >= 0x80 && !utf8))
			buf_printf(out, "\\x%02x", *c);
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* C1 controls */
			buf_printf(out, "\\x%02x", *++c);
		else
			buf_add_char(out, (char)*c);
	}
	buf_add_char(out, '"');
}

void
stream_format_value(const char *value, struct buf *out)
{
	if (is_plain(value))
		buf_add_text(out, value);
	else
		format_quoted(value, out);
}

void
stream_format_key(const struct message *m, unsigned per, const char *recipient, struct buf *out)
{
	const struct {
		unsigned per;
		const char *name, *value;
	} parts[] = {
	    {CONFIG_PER_ENVIRONMENT, "environment", m->environment},
	    {CONFIG_PER_SOURCE, "source", m->source},
	    {CONFIG_PER_SENDER, "sender", m->sender.text},
	    {CONFIG_PER_RECIPIENT, "recipient", recipient},
	    {CONFIG_PER_SUBJECT, "subject", m->subject_key},
	    {CONFIG_PER_CAMPAIGN, "campaign", m->campaign},
	};
	bool first = true;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if ((per & parts[i].per) == 0)
			continue;
		buf_printf(out, "%s%s=", first ? "" : " ", parts[i].name);
		first = false;
		if (parts[i].per == CONFIG_PER_SUBJECT)
			format_quoted(text_or_empty(parts[i].value), out);
		else
			stream_format_value(text_or_empty(parts[i].value), out);
	}
}

struct verdict_stream *
stream_new(struct message *m, uint64_t hash, unsigned per, const char *recipient)
{
	struct verdict_stream *s = arena_zalloc(&m->arena, sizeof(*s));
	struct buf key = {0};

	stream_format_key(m, per, recipient, &key);
	s->hash = hash;
	s->key = arena_strdup(&m->arena, buf_text(&key));
	s->source = per & CONFIG_PER_SOURCE ? text_or_empty(m->source) : "";
	s->sender = per & CONFIG_PER_SENDER ? text_or_empty(m->sender.text) : "";
	s->subject = per & CONFIG_PER_SUBJECT ? text_or_empty(m->subject) : "";
	buf_free(&key);
	return s;
}
