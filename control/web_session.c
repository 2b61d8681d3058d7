/*
 * The table of sessions. Made and freed by guard.c, which asks it for each call with a cookie. What
 * is kept of an id is its hash: all are compared, in constant time, as tokens are.
 */
#include "control/web_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/tokens.h"

struct web_sessions {
	struct web_session list[WEB_SESSIONS_MAX];
};

struct web_sessions *
web_sessions_new(void)
{
	return mem_zalloc(sizeof(struct web_sessions));
}

void
web_sessions_free(struct web_sessions *s)
{
	free(s);
}

static bool
is_free(const struct web_session *session)
{
	return session->hash[0] == '\0';
}

void
web_session_end(struct web_session *session)
{
	explicit_bzero(session, sizeof(*session));
}

/* A token without its "mf_". */
static bool
make_id(char out[WEB_SESSION_ID_BYTES])
{
	char token[TOKEN_BYTES];
	bool ok = token_make(token);

	if (ok)
		memcpy(out, token + 3, WEB_SESSION_ID_BYTES);
	explicit_bzero(token, sizeof(token));
	return ok;
}

/* A free place, or that of who has been away the longest. */
static struct web_session *
find_place(struct web_sessions *s)
{
	struct web_session *oldest = &s->list[0];

	for (size_t i = 0; i < WEB_SESSIONS_MAX; i++) {
		if (is_free(&s->list[i]))
			return &s->list[i];
		if (s->list[i].used_at < oldest->used_at)
			oldest = &s->list[i];
	}
	web_session_end(oldest);
	return oldest;
}

struct web_session *
web_sessions_open(struct web_sessions *s, const char *name, const char *token_hash_text,
		  unsigned roles, int64_t now, char id[WEB_SESSION_ID_BYTES])
{
	struct web_session made = {.roles = roles, .made_at = now, .used_at = now}, *place;

	if (!make_id(id) || !make_id(made.csrf))
		return NULL;
	token_hash(id, made.hash);
	snprintf(made.name, sizeof(made.name), "%s", name);
	snprintf(made.token_hash, sizeof(made.token_hash), "%s", token_hash_text);
	place = find_place(s);
	*place = made;
	return place;
}

int64_t
web_session_rest(const struct web_session *session, int64_t now)
{
	int64_t idle = session->used_at + WEB_SESSION_IDLE - now;
	int64_t age = session->made_at + WEB_SESSION_AGE - now;

	return idle < age ? idle : age;
}

/* Whoever was given less, or another name, shows the token again. */
static bool
has_token(const struct web_session *session, const struct tokens *tokens)
{
	const char *name;
	unsigned roles;

	return tokens != NULL && tokens_find_hash(tokens, session->token_hash, &name, &roles) &&
	       strcmp(name, session->name) == 0 && roles == session->roles;
}

static struct web_session *
find(struct web_sessions *s, const struct tokens *tokens, const char *id, int64_t now)
{
	struct web_session *found = NULL;
	char hash[TOKEN_HASH_BYTES];

	token_hash(id, hash);
	for (size_t i = 0; i < WEB_SESSIONS_MAX; i++)
		if (!is_free(&s->list[i]) && token_same_hash(hash, s->list[i].hash))
			found = &s->list[i];
	if (found == NULL)
		return NULL;
	if (web_session_rest(found, now) <= 0 || !has_token(found, tokens)) {
		web_session_end(found);
		return NULL;
	}
	return found;
}

struct web_session *
web_sessions_find(struct web_sessions *s, const struct tokens *tokens, const char *id, int64_t now)
{
	struct web_session *found = find(s, tokens, id, now);

	if (found != NULL)
		found->used_at = now;
	return found;
}

bool
web_sessions_has(struct web_sessions *s, const struct tokens *tokens, const char *id, int64_t now)
{
	return find(s, tokens, id, now) != NULL;
}

bool
web_session_has_csrf(const struct web_session *session, const char *csrf)
{
	char ours[TOKEN_HASH_BYTES], theirs[TOKEN_HASH_BYTES];

	token_hash(session->csrf, ours);
	token_hash(csrf, theirs);
	return token_same_hash(ours, theirs);
}

size_t
web_sessions_count(const struct web_sessions *s)
{
	size_t count = 0;

	for (size_t i = 0; i < WEB_SESSIONS_MAX; i++)
		count += !is_free(&s->list[i]);
	return count;
}

enum web_cookie
web_cookie_read(const char *header, char id[WEB_SESSION_ID_BYTES])
{
	static const char name[] = "mailfuse=";
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	enum web_cookie found = WEB_COOKIE_NONE;

	while (*header != '\0') {
		size_t len;

		header += strspn(header, " \t;");
		len = strcspn(header, ";");
		if (strncmp(header, name, sizeof(name) - 1) == 0) {
			const char *value = header + sizeof(name) - 1;
			size_t size = strspn(value, letters);

			if (found != WEB_COOKIE_NONE || size != WEB_SESSION_ID_BYTES - 1 ||
			    value + size + strspn(value + size, " \t") != header + len)
				return WEB_COOKIE_BAD;
			memcpy(id, value, size);
			id[size] = '\0';
			found = WEB_COOKIE_FOUND;
		}
		header += len;
	}
	return found;
}
