/*
 * What a Content-Type says (RFC 2045 5.1, 2231), read by GMime because it knows the comments,
 * quotes, split parameters and common mistakes that are out there. Called by seven.c once per part.
 */
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

/* More than any Content-Type needs; GMime sees no more of one. */
enum { TYPE_MAX = 8192 };

static char *
text_copy(const char *text, struct arena *arena)
{
	return arena_strdup(arena, text != NULL ? text : "");
}

void
mime_parse_type(const char *value, struct arena *arena, struct mime_type *out)
{
	char *cut = arena_strndup(arena, value, strnlen(value, TYPE_MAX));
	GMimeContentType *type = g_mime_content_type_parse(mime_options, cut);

	out->type = text_copy(g_mime_content_type_get_media_type(type), arena);
	out->subtype = text_copy(g_mime_content_type_get_media_subtype(type), arena);
	out->boundary = text_copy(g_mime_content_type_get_parameter(type, "boundary"), arena);
	text_lower(out->type);
	text_lower(out->subtype);
	g_object_unref(type);
}
