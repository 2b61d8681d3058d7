/*
 * Reads and writes Content-Transfer-Encoding. Called by seven.c for every header section of a
 * message; memory is the header's arena.
 */
#include "mail/seven_label.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

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

enum label
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

void
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
