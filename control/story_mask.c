/*
 * Masks for the story of a batch. See story_mask.h. Called by story.c and story_timeline.c.
 */
#include "control/story_mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/mime.h"

/* Bytes of the first character; at least one, never beyond the end. */
static size_t
first_character(const char *text, size_t len)
{
	uint32_t code;
	size_t n = text_read_utf8(text, len, &code);

	return n > 0 ? n : len > 0;
}

char *
story_mask_address(const char *address)
{
	const char *at = strrchr(address, '@');
	size_t local = at != NULL ? (size_t)(at - address) : strlen(address);
	struct buf out = {0};

	if (address[0] == '\0')
		return mem_strdup("");
	buf_add(&out, address, first_character(address, local));
	buf_add_text(&out, "***");
	if (at != NULL)
		buf_add_text(&out, at);
	return buf_take(&out);
}

/* What ends an address on its left, and on its right. */
static bool
is_outside(char c)
{
	return (unsigned char)c <= ' ' || strchr("<>()[],;:\"'=|", c) != NULL;
}

char *
story_mask_text(const char *text)
{
	struct buf out = {0};
	const char *p = text, *at;

	while ((at = strchr(p, '@')) != NULL) {
		const char *local = at;

		while (local > p && !is_outside(local[-1]))
			local--;
		buf_add(&out, p, (size_t)(local - p));
		if (local < at) {
			buf_add(&out, local, first_character(local, (size_t)(at - local)));
			buf_add_text(&out, "***");
		}
		buf_add_char(&out, '@');
		p = at + 1;
	}
	buf_add_text(&out, p);
	return buf_take(&out);
}

/* ---- names */

/* Shorter ones are initials, or hardly told from words. */
enum { NAME_BYTES_MIN = 3 };

/* Bytes of the word at `text`: letters of ASCII, and whatever is beyond it. */
static size_t
word_length(const char *text)
{
	size_t n = 0;

	while ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') ||
	       (unsigned char)text[n] >= 0x80)
		n++;
	return n;
}

static bool
is_name(const struct story_names *names, const char *word, size_t len)
{
	size_t i;

	for (i = 0; names != NULL && i < names->count; i++)
		if (strlen(names->words[i]) == len && strncmp(names->words[i], word, len) == 0)
			return true;
	return false;
}

void
story_names_add(struct story_names *n, const char *address)
{
	struct arena arena = {0};
	size_t local = strcspn(address, "@");
	char *text = mem_printf("%.*s", (int)local, address);
	const char *p = mime_normal_subject(text, &arena); /* folded as the subjects are */
	size_t len;

	for (; *p != '\0'; p += len > 0 ? len : 1) {
		len = word_length(p);
		if (len < NAME_BYTES_MIN || n->count == STORY_NAMES_MAX || is_name(n, p, len))
			continue;
		n->words = mem_resize_array(n->words, n->count + 1, sizeof(*n->words));
		n->words[n->count++] = mem_printf("%.*s", (int)len, p);
	}
	free(text);
	arena_free(&arena);
}

void
story_names_free(struct story_names *n)
{
	size_t i;

	for (i = 0; i < n->count; i++)
		free(n->words[i]);
	free(n->words);
	*n = (struct story_names){0};
}

char *
story_mask_subject(const char *subject, const struct story_names *names)
{
	struct arena arena = {0};
	char *masked = story_mask_text(mime_normal_subject(subject, &arena)), *p;
	struct buf out = {0};
	size_t len;

	for (p = masked; *p != '\0'; p += len > 0 ? len : 1) {
		len = word_length(p);
		if (len == 0)
			buf_add_char(&out, *p);
		else if (is_name(names, p, len))
			buf_add_text(&out, "***");
		else
			buf_add(&out, p, len);
	}
	free(masked);
	arena_free(&arena);
	return buf_take(&out);
}

const char *
story_person(struct story_people *p, const char *who)
{
	static const char *const roles[] = {"an operator",     "a second person", "a third person",
					    "a fourth person", "a fifth person",  "somebody else"};
	enum { ROLES = sizeof(roles) / sizeof(roles[0]) };
	size_t len = strcspn(who, "("), i;

	if (strcmp(who, "gate") == 0)
		return "mailfuse";
	if (who[0] == '\0' || p->named)
		return who;
	for (i = 0; i < p->count; i++)
		if (strlen(p->seen[i]) == len && strncmp(p->seen[i], who, len) == 0)
			break;
	if (i == p->count && p->count < STORY_PEOPLE_MAX)
		p->seen[p->count++] = mem_printf("%.*s", (int)len, who);
	return roles[i < ROLES ? i : ROLES - 1];
}

void
story_people_free(struct story_people *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		free(p->seen[i]);
	p->count = 0;
}
