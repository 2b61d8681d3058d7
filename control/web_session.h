/*
 * Sessions of the console: who gave its token once is known by a cookie until it leaves, is idle
 * for 12 hours, or 7 days are over. In memory only. Main loop.
 */
#ifndef CONTROL_WEB_SESSION_H
#define CONTROL_WEB_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/token.h"

struct tokens;
struct web_sessions;

#define WEB_SESSION_IDLE (12 * CLOCK_HOUR)
#define WEB_SESSION_AGE (7 * CLOCK_DAY)
/* 32 random bytes as base64url, with the NUL; of sessions at once. */
enum { WEB_SESSION_ID_BYTES = 44, WEB_SESSIONS_MAX = 256 };

struct web_session {
	char hash[TOKEN_HASH_BYTES]; /* of its id, which only the browser has; "" = a free place */
	char csrf[WEB_SESSION_ID_BYTES];
	char name[65];                     /* of its token */
	char token_hash[TOKEN_HASH_BYTES]; /* as in the tokens file */
	unsigned roles;
	int64_t made_at, used_at; /* mono */
};

struct web_sessions *web_sessions_new(void);
void web_sessions_free(struct web_sessions *s);
/*
 * A session for who has shown this token; the least lately used goes if there are too many. `id` is
 * for the cookie. NULL if the system has no randomness.
 */
struct web_session *web_sessions_open(struct web_sessions *s, const char *name,
				      const char *token_hash, unsigned roles, int64_t now,
				      char id[WEB_SESSION_ID_BYTES]);
/*
 * NULL if there is none of this id, or it is over: too old, idle too long, or its token is not in
 * the tokens file any more as it was. Else it has been used `now`.
 */
struct web_session *web_sessions_find(struct web_sessions *s, const struct tokens *tokens,
				      const char *id, int64_t now);
/* Whether it would be found. Does not count as use: a page left open is nobody at work. */
bool web_sessions_has(struct web_sessions *s, const struct tokens *tokens, const char *id,
		      int64_t now);
void web_session_end(struct web_session *session);
/* How long it lasts from `now` on if nobody uses it, microseconds. */
int64_t web_session_rest(const struct web_session *session, int64_t now);
/* The `csrf` that its page was given; takes as long for a wrong one. */
bool web_session_has_csrf(const struct web_session *session, const char *csrf);
size_t web_sessions_count(const struct web_sessions *s);

enum web_cookie { WEB_COOKIE_NONE, WEB_COOKIE_FOUND, WEB_COOKIE_BAD };
/*
 * The id in a Cookie header (RFC 6265 4.2.1). BAD: there are two of that name, of which one may be
 * somebody else's, or it is no id.
 */
enum web_cookie web_cookie_read(const char *header, char id[WEB_SESSION_ID_BYTES]);

#endif
