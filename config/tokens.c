/*
 * The tokens file, read at once and then only looked at. The text stays in memory as it was read,
 * cut into names and hashes where they stand. Made by relay/keyring.c, which frees it with itself.
 */
#include "config/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/problem.h"
#include "config/whole_file.h"

/* Some 10,000 tokens. */
enum { FILE_MAX = 1024 * 1024 };

struct token {
	const char *name, *hash; /* in the text */
	unsigned roles;
	int line;
};

struct tokens {
	char *text;
	struct token *list; /* in the order of the file */
	size_t count;
};

static void
add_token(struct tokens *t, const struct token *token, struct problems *problems)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct token *other = &t->list[i];

		if (strcmp(other->name, token->name) == 0) {
			problem_add(problems, token->line,
				    "token %s stands in line %d already; delete one of them",
				    token->name, other->line);
			return;
		}
		if (strcmp(other->hash, token->hash) == 0) {
			problem_add(problems, token->line,
				    "token %s is the same as token %s in line %d, and would be two "
				    "people; run mailfuse token %s",
				    token->name, other->name, other->line, token->name);
			return;
		}
	}
	/* Grown by doubling. */
	if ((t->count & (t->count - 1)) == 0)
		t->list =
		    mem_resize_array(t->list, t->count == 0 ? 1 : t->count * 2, sizeof(*t->list));
	t->list[t->count++] = *token;
}

/* One line without its end, which may hold a NUL. */
static void
read_line(void *context, char *text, size_t len, int line, struct problems *problems)
{
	struct tokens *t = context;
	struct token token = {.name = text, .line = line};
	char *roles, *hash;

	if (text[0] == '#' || (strlen(text) == len && text_is_blank(text)))
		return;
	roles = strchr(text, ':');
	hash = roles != NULL ? strchr(roles + 1, ':') : NULL;
	if (strlen(text) != len || hash == NULL) {
		problem_add(problems, line,
			    "no token; a line is NAME:ROLES:HASH, as mailfuse token writes it");
		return;
	}
	*roles++ = '\0';
	*hash++ = '\0';
	token.hash = hash;
	if (!token_is_name(text))
		problem_add(problems, line,
			    "%s is no name of a token: 1 to 64 letters, digits, dots, dashes and "
			    "underscores",
			    log_safe(text));
	else if (!role_parse(roles, &token.roles))
		problem_add(problems, line,
			    "%s is no role of token %s; write viewer, operator, approver or more "
			    "of them with commas between",
			    log_safe(roles), text);
	else if (!token_is_hash(hash))
		problem_add(problems, line,
			    "what follows the roles of token %s is no SHA-256 hash; run mailfuse "
			    "token %s",
			    text, text);
	else
		add_token(t, &token, problems);
}

struct tokens *
tokens_load(const char *path, struct buf *errors)
{
	struct tokens *t = mem_zalloc(sizeof(*t));

	if (whole_file_lines(path, FILE_MAX, "mailfuse token NAME --tokens FILE makes one",
			     read_line, t, &t->text, errors))
		return t;
	tokens_free(t);
	return NULL;
}

void
tokens_free(struct tokens *t)
{
	if (t == NULL)
		return;
	free(t->list);
	free(t->text);
	free(t);
}

bool
tokens_find_hash(const struct tokens *t, const char *hash, const char **name, unsigned *roles)
{
	size_t found = t->count;

	for (size_t i = 0; i < t->count; i++)
		if (token_same_hash(hash, t->list[i].hash))
			found = i;
	if (found == t->count)
		return false;
	*name = t->list[found].name;
	*roles = t->list[found].roles;
	return true;
}

bool
tokens_find(const struct tokens *t, const char *token, const char **name, unsigned *roles)
{
	char hash[TOKEN_HASH_BYTES];

	token_hash(token, hash);
	return tokens_find_hash(t, hash, name, roles);
}

void
tokens_list(const struct tokens *t, unsigned role, void (*row)(void *context, const char *name),
	    void *context)
{
	for (size_t i = 0; i < t->count; i++)
		if ((t->list[i].roles & role) != 0)
			row(context, t->list[i].name);
}
