/*
 * The users file, read at once and then only looked at. The text stays in memory as it was read,
 * cut into names and hashes where they stand. Made by relay/keyring.c, which frees it with itself.
 */
#include "config/users.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/password.h"
#include "base/text.h"
#include "config/problem.h"
#include "config/whole_file.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

/* Some 100,000 users. */
enum { FILE_MAX = 16 * 1024 * 1024 };

struct user {
	UT_hash_handle hh;
	const char *name, *hash; /* in the users' text */
	int line;
};

struct users {
	char *text;
	struct user *table; /* by name */
	struct user **list; /* in the order of the file */
	size_t count, cap;
};

static void
add_user(struct users *u, char *name, const char *hash, int line, struct problems *problems)
{
	struct user *user;

	HASH_FIND_STR(u->table, name, user);
	if (user != NULL) {
		problem_add(problems, line, "user %s stands in line %d already; delete one of them",
			    log_safe(name), user->line);
		return;
	}
	user = mem_zalloc(sizeof(*user));
	user->name = name;
	user->hash = hash;
	user->line = line;
	HASH_ADD_KEYPTR(hh, u->table, user->name, strlen(user->name), user);
	if (u->count == u->cap) {
		u->cap = u->cap == 0 ? 16 : u->cap * 2;
		u->list = mem_resize_array(u->list, u->cap, sizeof(struct user *));
	}
	u->list[u->count++] = user;
}

/* One line without its end, which may hold a NUL. */
static void
read_line(void *context, char *text, size_t len, int line, struct problems *problems)
{
	struct users *u = context;
	char *colon = memchr(text, ':', len);

	if (text[0] == '#' || (strlen(text) == len && text_is_blank(text)))
		return;
	if (colon == NULL) {
		problem_add(problems, line,
			    "no colon; a line is NAME:HASH, as mailfuse passwd "
			    "writes it");
		return;
	}
	*colon = '\0';
	if (!password_is_name(text, (size_t)(colon - text))) {
		problem_add(problems, line,
			    "no name for a user: 1 to 255 bytes of UTF-8 without control "
			    "characters and without a space at an end");
		return;
	}
	if (strlen(colon + 1) != len - (size_t)(colon + 1 - text) || !password_is_hash(colon + 1)) {
		problem_add(problems, line,
			    "what follows the colon is no scrypt hash; run "
			    "mailfuse passwd %s",
			    log_safe(text));
		return;
	}
	add_user(u, text, colon + 1, line, problems);
}

struct users *
users_load(const char *path, struct buf *errors)
{
	struct users *u = mem_zalloc(sizeof(*u));

	if (whole_file_lines(path, FILE_MAX, "mailfuse passwd NAME --users FILE makes one",
			     read_line, u, &u->text, errors))
		return u;
	users_free(u);
	return NULL;
}

void
users_free(struct users *u)
{
	size_t i;

	if (u == NULL)
		return;
	HASH_CLEAR(hh, u->table);
	for (i = 0; i < u->count; i++)
		free(u->list[i]);
	free(u->list);
	free(u->text);
	free(u);
}

size_t
users_count(const struct users *u)
{
	return u->count;
}

const char *
users_find(const struct users *u, const char *name)
{
	struct user *user;

	HASH_FIND_STR(u->table, name, user);
	return user == NULL ? NULL : user->hash;
}

const char *
users_decoy(const struct users *u, uint64_t number)
{
	return u->count == 0 ? NULL : u->list[number % u->count]->hash;
}
