/*
 * Who asks over the TCP port: by a token, or by the session of a browser that has shown one. Main
 * loop.
 */
#ifndef CONTROL_GUARD_H
#define CONTROL_GUARD_H

#include <stdbool.h>

struct control_deps;
struct evhttp_request;
struct guard;
struct request;
struct web_sessions;

/* `host` is the address that is served, without its port. */
struct guard *guard_new(const char *host);
void guard_free(struct guard *g);
const char *guard_host(const struct guard *g);
/*
 * Sets who asks and its roles, and its session if it came by cookie; else it answered: 401 (no
 * token, or none of ours), 429 (too many wrong ones), 403 (a cookie that a browser was tricked into
 * sending). After origin_check().
 */
bool guard_admit(struct guard *g, struct request *r);
/* Whether who was admitted once still would be: its token or its session may have ended. */
bool guard_still_admits(struct guard *g, const struct control_deps *deps,
			struct evhttp_request *http);
/* The same for a token from elsewhere than its header, NULL = none. */
bool guard_take_token(struct guard *g, struct request *r, const char *token);
/* Its session, for a call that needs none: NULL if there is none. */
void guard_find_session(struct guard *g, struct request *r);
struct web_sessions *guard_sessions(struct guard *g);

#endif
