/*
 * The door of the TCP port. Any user of this machine, and any page in a browser on it, can connect,
 * with TLS any other machine: so a call must bring a token, or the cookie of a session that a token
 * began. That it is meant for us and comes from no other page is origin.c. Made by api.c; main
 * loop.
 *
 * Wrong tokens are counted for each address, of IPv6 for each /64. A right one is let in even then:
 * 256 bits are not guessed at any speed, and whoever shares an address with a person must not lock
 * that person out.
 */
#include "control/guard.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/tokens.h"
#include "control/headers.h"
#include "control/origin.h"
#include "control/request.h"
#include "control/web_session.h"
#include "net/client_name.h"
#include "store/fact.h"

#define WRONG_WINDOW CLOCK_MINUTE
#define WRONG_PAUSE CLOCK_MINUTE
#define TELL_EVERY (10 * CLOCK_MINUTE)

/* All of 127.0.0.0/8 may ask: beyond this many addresses the one that was wrong longest ago goes.
 */
enum { ADDRESSES_MAX = 64, WRONG_MAX = 10, TOKEN_MAX = 200 };

struct wrong {
	char address[CLIENT_NAME_BYTES];
	int64_t since, until; /* mono; until: of the pause, 0 = none */
	unsigned count;
};

struct guard {
	char *host;
	struct web_sessions *sessions;
	struct wrong wrongs[ADDRESSES_MAX];
	int64_t told_at; /* mono, 0 = never */
};

struct guard *
guard_new(const char *host)
{
	struct guard *g = mem_zalloc(sizeof(*g));

	g->host = mem_strdup(host);
	g->sessions = web_sessions_new();
	return g;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	web_sessions_free(g->sessions);
	free(g->host);
	free(g);
}

const char *
guard_host(const struct guard *g)
{
	return g->host;
}

/* ---- wrong tokens */

static struct wrong *
find_wrong(struct guard *g, const char *address)
{
	struct wrong *oldest = &g->wrongs[0];

	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		struct wrong *w = &g->wrongs[i];

		if (strcmp(w->address, address) == 0)
			return w;
		if (w->since < oldest->since)
			oldest = w;
	}
	*oldest = (struct wrong){0};
	snprintf(oldest->address, sizeof(oldest->address), "%s", address);
	return oldest;
}

static void
tell_guesses(struct guard *g, const struct request *r, const char *address, int64_t now)
{
	char *text;

	log_warn("- http.guesses client=%s count=%d", log_safe(address), WRONG_MAX);
	if (g->told_at != 0 && now - g->told_at < TELL_EVERY)
		return;
	g->told_at = now;
	text =
	    mem_printf("%d wrong tokens within a minute on the HTTP port from %s: does a program "
		       "use one that was deleted, or is somebody guessing?",
		       WRONG_MAX, address);
	fact_tell(r->deps->store,
		  &(struct fact){
		      .event = "login.failures", .object = address, .text = text, .alert = true});
	free(text);
}

/* Answers 401, or 429 after too many. */
static void
refuse_token(struct guard *g, struct request *r)
{
	char *peer = NULL, address[CLIENT_NAME_BYTES];
	ev_uint16_t port;
	struct wrong *w;
	int64_t now = clock_mono();
	char seconds[24];

	evhttp_connection_get_peer(evhttp_request_get_connection(r->http), &peer, &port);
	client_name(peer != NULL ? peer : "?", address);
	w = find_wrong(g, address);
	if (w->until != 0 && now >= w->until)
		w->since = w->until = w->count = 0;
	if (w->until == 0) {
		if (w->count == 0 || now - w->since > WRONG_WINDOW) {
			w->since = now;
			w->count = 0;
		}
		w->count++;
		if (w->count == WRONG_MAX) {
			w->until = now + WRONG_PAUSE;
			tell_guesses(g, r, address, now);
		}
		request_fail_401(r, "invalid_token",
				 "there is no such token; mailfuse token NAME makes one");
		return;
	}
	snprintf(seconds, sizeof(seconds), "%d",
		 (int)((w->until - now + CLOCK_SECOND - 1) / CLOCK_SECOND));
	evhttp_add_header(evhttp_request_get_output_headers(r->http), "Retry-After", seconds);
	request_fail(r, 429, "too many wrong tokens from %s; wait %s seconds", log_safe(address),
		     seconds);
}

/* ---- tokens */

static const struct tokens *
tokens_in_force(const struct control_deps *deps)
{
	return deps->tokens != NULL ? deps->tokens(deps->context) : NULL;
}

bool
guard_take_token(struct guard *g, struct request *r, const char *token)
{
	const struct tokens *tokens = tokens_in_force(r->deps);
	const char *name;

	if (token == NULL || strlen(token) > TOKEN_MAX || tokens == NULL ||
	    !tokens_find(tokens, token, &name, &r->roles)) {
		refuse_token(g, r);
		return false;
	}
	snprintf(r->who, sizeof(r->who), "token:%s", name);
	return true;
}

/* What follows "Bearer " (RFC 6750 2.1), or NULL. */
static const char *
read_bearer(const char *header)
{
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	header += 7 + strspn(header + 7, " ");
	return header[0] != '\0' ? header : NULL;
}

/* ---- sessions */

/* NULL and why there is none. */
static struct web_session *
find_session(struct guard *g, struct request *r, const char **why)
{
	char id[WEB_SESSION_ID_BYTES];
	bool twice;
	const char *header = headers_find_once(r->http, "Cookie", &twice);
	enum web_cookie cookie = twice            ? WEB_COOKIE_BAD
				 : header == NULL ? WEB_COOKIE_NONE
						  : web_cookie_read(header, id);
	struct web_session *found = NULL;

	*why = "this takes a token: Authorization: Bearer TOKEN; mailfuse token NAME makes one";
	if (cookie == WEB_COOKIE_BAD)
		*why = "the cookie mailfuse is there twice, or is none of ours; remove it from the "
		       "browser and sign in again";
	if (cookie != WEB_COOKIE_FOUND)
		return NULL;
	found = web_sessions_find(g->sessions, tokens_in_force(r->deps), id, clock_mono());
	if (found == NULL)
		*why = "the session is over; sign in again";
	return found;
}

void
guard_find_session(struct guard *g, struct request *r)
{
	const char *why;

	r->session = find_session(g, r, &why);
}

/* What a page of another site cannot know, for what changes anything. */
static bool
check_csrf(struct request *r, const struct web_session *session)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(r->http);
	bool twice;
	const char *csrf;

	if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD)
		return true;
	csrf = headers_find_once(r->http, "X-Mailfuse-Csrf", &twice);
	if (csrf != NULL && web_session_has_csrf(session, csrf))
		return true;
	request_fail(r, 403, "%s; send X-Mailfuse-Csrf with the csrf that GET /v1/session answers",
		     csrf != NULL ? "X-Mailfuse-Csrf is not this session's"
		     : twice      ? "X-Mailfuse-Csrf is there twice"
				  : "a call by cookie that changes something takes its session's "
				    "csrf");
	return false;
}

static bool
admit_session(struct guard *g, struct request *r)
{
	const char *why;
	struct web_session *session = find_session(g, r, &why);

	if (session == NULL) {
		request_fail_401(r, NULL, why);
		return false;
	}
	if (!origin_check_page(r) || !check_csrf(r, session))
		return false;
	r->session = session;
	r->roles = session->roles;
	snprintf(r->who, sizeof(r->who), "token:%s", session->name);
	return true;
}

struct web_sessions *
guard_sessions(struct guard *g)
{
	return g->sessions;
}

bool
guard_admit(struct guard *g, struct request *r)
{
	bool twice;
	const char *header = headers_find_once(r->http, "Authorization", &twice);

	/* No page can add it to what a browser sends by itself: the cookie does not matter then. */
	if (header != NULL || twice)
		return guard_take_token(g, r, header != NULL ? read_bearer(header) : NULL);
	return admit_session(g, r);
}

bool
guard_still_admits(struct guard *g, const struct control_deps *deps, struct evhttp_request *http)
{
	const struct tokens *tokens = tokens_in_force(deps);
	char id[WEB_SESSION_ID_BYTES];
	const char *name;
	unsigned roles;
	bool twice;
	const char *header = headers_find_once(http, "Authorization", &twice);

	if (tokens == NULL)
		return false;
	if (header != NULL) {
		header = read_bearer(header);
		return header != NULL && tokens_find(tokens, header, &name, &roles);
	}
	header = headers_find_once(http, "Cookie", &twice);
	return header != NULL && web_cookie_read(header, id) == WEB_COOKIE_FOUND &&
	       web_sessions_has(g->sessions, tokens, id, clock_mono());
}
