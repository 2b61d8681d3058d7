/*
 * The HTML of a message, for a person who looks at it in a browser. Called by control/; parses a
 * copy of bounded size, GMime's objects live for one call.
 *
 * What comes out is as hostile as it came in: whoever shows it does so in a frame in which nothing
 * runs and nothing is loaded. Some elements work before and beside such a frame's policy, so they
 * are made unknown ones: `link` has a browser look names up and open connections ahead of time, and
 * so do frames within it (Chromium connects, then asks the policy); `meta` sets policies and
 * reloads, `base` changes where everything leads.
 */
#include <string.h>
#include <strings.h>

#include "mail/mime.h"
#include "mail/mime_gmime.h"

struct html_search {
	GMimePart *html; /* borrowed */
};

static bool
html_visit(void *context, GMimePart *part)
{
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	struct html_search *s = context;

	if (g_mime_content_type_is_type(type, "text", "html"))
		s->html = part;
	return s->html == NULL;
}

/* The length of the element's name at `text`, where it is one that must not work; else 0. A prefix
 * is enough: <linkx> is no element either. */
static size_t
match_element(const char *text)
{
	static const char *const names[] = {"link",  "meta",  "base",   "iframe",
					    "frame", "embed", "object", "fencedframe"};
	size_t i;

	if (*text == '\0' || strchr("lmbifeoLMBIFEO", *text) == NULL)
		return 0;
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		size_t len = strlen(names[i]);

		if (strncasecmp(text, names[i], len) == 0)
			return len;
	}
	return 0;
}

/* At most `max` bytes, whole characters; true if that was not all. */
static bool
add_disarmed(struct buf *out, const char *text, size_t max)
{
	const size_t start = out->len;
	const char *p;

	while ((p = strchr(text, '<')) != NULL) {
		buf_add(out, text, (size_t)(p + 1 - text));
		text = p + 1;
		if (match_element(text) > 0)
			buf_add_text(out, "x-");
		if (out->len - start > max)
			break;
	}
	buf_add_text(out, text);
	if (out->len - start <= max)
		return false;
	out->len = start + max;
	while (out->len > start && ((unsigned char)out->data[out->len] & 0xc0) == 0x80)
		out->len--;
	out->data[out->len] = '\0';
	return true;
}

bool
mime_message_html(const char *message, size_t len, size_t max, struct buf *out, bool *cut)
{
	struct html_search search = {NULL};
	struct mime_walk walk = {.visit = html_visit, .context = &search, .skip_attachments = true};
	GMimeMessage *parsed = mime_open(message, len, "", 0, cut);
	char *text;

	if (parsed == NULL)
		return false;
	mime_walk(&walk, parsed);
	if (search.html != NULL) {
		text = mime_part_text(search.html);
		*cut |= add_disarmed(out, text, max);
		g_free(text);
	}
	g_object_unref(parsed);
	return search.html != NULL;
}
