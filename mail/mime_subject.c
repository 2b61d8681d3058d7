/*
 * The normal form in which subjects are compared. Called by message.c for every message,
 * on its relay loop; needs GLib's Unicode tables only. Results are the arena's.
 */
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

enum { BRACKET_MAX = 40 }; /* bytes of a "[prefix]" at the start of a subject */

/* Length of one reply prefix at p, with its colon; 0 if there is none. */
static size_t
reply_length(const char *p)
{
	static const char *const replies[] = {"antw", "fwd", "re", "fw", "aw", "wg", "sv"};
	size_t i, n = 0, digits;

	for (i = 0; i < G_N_ELEMENTS(replies) && n == 0; i++) {
		if (g_ascii_strncasecmp(p, replies[i], strlen(replies[i])) == 0)
			n = strlen(replies[i]);
	}
	if (n == 0)
		return 0;
	if (p[n] == '[' || p[n] == '(') {
		digits = strspn(p + n + 1, "0123456789");
		if (digits > 0 && strchr("])", p[n + 1 + digits]) != NULL && p[n + 1 + digits])
			n += digits + 2;
	}
	n += strspn(p + n, " \t");
	if (p[n] == ':')
		return n + 1;
	return strncmp(p + n, "\xef\xbc\x9a", 3) == 0 ? n + 3 : 0; /* fullwidth colon */
}

const char *
mime_skip_replies(const char *subject)
{
	size_t n;

	for (;;) {
		subject += strspn(subject, " \t");
		if ((n = reply_length(subject)) == 0)
			return subject;
		subject += n;
	}
}

/* Behind reply and bracketed prefixes; a bracket with nothing behind it is the subject itself. */
static const char *
skip_prefixes(const char *subject)
{
	for (;;) {
		size_t n;

		subject = mime_skip_replies(subject);
		if (subject[0] != '[')
			return subject;
		n = strcspn(subject + 1, "[]") + 1;
		if (subject[n] != ']' || n > BRACKET_MAX || text_is_blank(subject + n + 1))
			return subject;
		subject += n + 1;
	}
}

/* Length of a UUID at p: 8-4-4-4-12 hexadecimal digits and nothing more; else 0. */
static size_t
uuid_length(const char *p)
{
	size_t i;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : !g_ascii_isxdigit(p[i]))
			return 0;
	}
	return g_ascii_isalnum(p[36]) ? 0 : 36;
}

/* Appends a token of ASCII letters and digits: one '#' for it, or one for each run of digits. */
static void
token_add(struct buf *out, const char *p, size_t len, bool whole)
{
	size_t i, hex = 0, digits = 0;

	for (i = 0; i < len; i++) {
		hex += g_ascii_isxdigit(p[i]);
		digits += g_ascii_isdigit(p[i]);
	}
	if (whole && len >= 6 && hex == len && digits > 0) {
		buf_add_char(out, '#');
		return;
	}
	for (i = 0; i < len; i++) {
		if (!g_ascii_isdigit(p[i]))
			buf_add_char(out, p[i]);
		else if (i == 0 || !g_ascii_isdigit(p[i - 1]))
			buf_add_char(out, '#');
	}
}

/* Appends the normal form of case-folded text. */
static void
subject_add(struct buf *out, const char *p)
{
	bool blank = false, in_word = false;

	while (*p != '\0') {
		gunichar c = g_utf8_get_char(p);
		const char *next = g_utf8_next_char(p);

		if (g_unichar_isspace(c) || g_unichar_iscntrl(c)) {
			blank = true;
			in_word = false;
			p = next;
			continue;
		}
		if (blank && out->len > 0)
			buf_add_char(out, ' ');
		blank = false;
		if (g_ascii_isalnum(*p)) {
			size_t len = in_word ? 0 : uuid_length(p);

			if (len > 0) {
				buf_add_char(out, '#');
			} else {
				while (g_ascii_isalnum(p[len]))
					len++;
				token_add(out, p, len,
					  !in_word && !g_unichar_isalpha(g_utf8_get_char(p + len)));
			}
			in_word = true;
			p += len;
			continue;
		}
		if (!g_unichar_isdigit(c)) {
			buf_add(out, p, (size_t)(next - p));
		} else { /* of another script */
			buf_add_char(out, '#');
			while (g_unichar_isdigit(g_utf8_get_char(next)))
				next = g_utf8_next_char(next);
		}
		in_word = g_unichar_isalpha(c);
		p = next;
	}
}

char *
mime_normal_subject(const char *utf8, struct arena *arena)
{
	char *valid = g_utf8_make_valid(utf8, -1);
	char *folded = g_utf8_casefold(valid, -1);
	struct buf out = {0};
	char *normal;

	subject_add(&out, skip_prefixes(folded));
	normal = arena_strdup(arena, buf_text(&out));
	buf_free(&out);
	g_free(folded);
	g_free(valid);
	return normal;
}
