/*
 * The replies of an upstream that refused, counted. Called by plan.c; writer's thread, memory is
 * the job's arena. Replies are hostile: they are cut, and made one line.
 */
#include "store/refusals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* RFC 5321, 4.5.3.1.5: a reply line has up to 512; people read the first words. */
enum { REPLY_BYTES = 160 };

static const char *
clean(struct work *w, const char *reply)
{
	size_t len = reply != NULL ? strlen(reply) : 0;
	char *copy, *p;

	if (len == 0)
		return "no reply";
	if (len > REPLY_BYTES)
		/* not within a UTF-8 character */
		for (len = REPLY_BYTES; len > 0 && ((unsigned char)reply[len] & 0xc0) == 0x80;)
			len--;
	copy = arena_strndup(&w->arena, reply, len);
	for (p = copy; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return copy;
}

/* The next line's count and reply; false after the last. */
static bool
next_line(const char **at, uint64_t *count, const char **reply, size_t *len)
{
	char *end;

	if (**at == '\0')
		return false;
	*count = strtoull(*at, &end, 10);
	*reply = end + (*end == ' ');
	*len = strcspn(*reply, "\n");
	*at = *reply + *len + ((*reply)[*len] == '\n');
	return true;
}

const char *
refusals_add(struct work *w, const char *text, const char *reply)
{
	const char *at = text, *known, *copy;
	struct buf out = {0};
	uint64_t count;
	size_t len, lines = 0;
	bool found = false;

	reply = clean(w, reply);
	for (; next_line(&at, &count, &known, &len); lines++) {
		bool same = strlen(reply) == len && strncmp(reply, known, len) == 0;

		buf_printf(&out, "%s%" PRIu64 " %.*s", lines > 0 ? "\n" : "", count + same,
			   (int)len, known);
		found = found || same;
	}
	if (!found && lines < STORE_REFUSALS_MAX)
		buf_printf(&out, "%s1 %s", lines > 0 ? "\n" : "", reply);
	copy = work_copy(w, buf_text(&out));
	buf_free(&out);
	return copy;
}

const char *
refusals_describe(struct work *w, const char *text)
{
	const char *at = text, *reply, *copy;
	struct buf out = {0};
	uint64_t count;
	size_t len;

	while (next_line(&at, &count, &reply, &len))
		buf_printf(&out, "%s%" PRIu64 " x \"%.*s\"", out.len > 0 ? ", " : "", count,
			   (int)len, reply);
	copy = work_copy(w, buf_text(&out));
	buf_free(&out);
	return copy;
}
