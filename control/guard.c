/*
 * The door of the TCP port. Any user of this machine, and any page in a browser on it, can connect:
 * so a call must bring a token, name this address (a page that made its own name point to 127.0.0.1
 * does not), and come from no other page. Made by api.c; main loop.
 *
 * Wrong tokens are counted for each address. A right one is let in even then: 256 bits are not
 * guessed at any speed, and whoever shares an address with a person must not lock that person out.
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
#include "control/request.h"
#include "store/fact.h"

#define WRONG_WINDOW CLOCK_MINUTE
#define WRONG_PAUSE CLOCK_MINUTE
#define TELL_EVERY (10 * CLOCK_MINUTE)

/* All of 127.0.0.0/8 may ask: beyond this many addresses the one that was wrong longest ago goes.
 */
enum { ADDRESSES_MAX = 64, WRONG_MAX = 10, TOKEN_MAX = 200 };

struct wrong {
	char address[48];
	int64_t since, until; /* mono; until: of the pause, 0 = none */
	unsigned count;
};

struct guard {
	char *host;
	struct wrong wrongs[ADDRESSES_MAX];
	int64_t told_at; /* mono, 0 = never */
};

struct guard *
guard_new(const char *host)
{
	struct guard *g = mem_zalloc(sizeof(*g));

	g->host = mem_strdup(host);
	return g;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	free(g->host);
	free(g);
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
refuse_token(struct guard *g, struct request *r, const char *address)
{
	struct wrong *w = find_wrong(g, address);
	int64_t now = clock_mono();
	char seconds[24];

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

/* ---- headers */

/* NULL where there is none, or (`twice`) more than one. */
static const char *
find_once(struct request *r, const char *name, bool *twice)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(r->http);
	const struct evkeyval *pair;
	const char *value = NULL;

	*twice = false;
	TAILQ_FOREACH (pair, headers, next) {
		if (strcasecmp(pair->key, name) != 0)
			continue;
		*twice = *twice || value != NULL;
		value = pair->value;
	}
	return *twice ? NULL : value;
}

/* `name` with any port behind it: who comes through a tunnel has another. */
static bool
names_host(const char *text, const char *name)
{
	size_t len = strlen(name), digits;

	if (strncasecmp(text, name, len) != 0)
		return false;
	if (text[len] == '\0')
		return true;
	digits = strspn(text + len + (text[len] == ':'), "0123456789");
	return text[len] == ':' && digits > 0 && digits <= 5 && text[len + 1 + digits] == '\0';
}

static bool
is_our_host(const struct guard *g, const char *text)
{
	char host[80];
	bool v6 = strchr(g->host, ':') != NULL;

	snprintf(host, sizeof(host), v6 ? "[%s]" : "%s", g->host);
	return names_host(text, host) || names_host(text, "localhost");
}

/* A page of ours would have the origin http://HOST, of a TLS proxy https://HOST; "null" is none. */
static bool
is_own_origin(const char *origin, const char *host)
{
	if (strncasecmp(origin, "http://", 7) == 0)
		origin += 7;
	else if (strncasecmp(origin, "https://", 8) == 0)
		origin += 8;
	else
		return false;
	return strcasecmp(origin, host) == 0;
}

static bool
check_page(struct guard *g, struct request *r)
{
	const char *in_uri = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(r->http));
	bool twice, origin_twice;
	const char *host = find_once(r, "Host", &twice);
	const char *origin = find_once(r, "Origin", &origin_twice);

	if (host == NULL || !is_our_host(g, host) ||
	    (in_uri != NULL && in_uri[0] != '\0' && !is_our_host(g, in_uri))) {
		request_fail(r, 421, "this is %s and not %s; write that address, or localhost",
			     g->host,
			     twice          ? "two hosts"
			     : host == NULL ? "a host without name"
					    : log_safe(host));
		return false;
	}
	if (origin_twice || (origin != NULL && !is_own_origin(origin, host))) {
		request_fail(r, 403, "a page of %s may not ask here; open the API's own address",
			     origin == NULL ? "two origins" : log_safe(origin));
		return false;
	}
	return true;
}

/* What follows "Bearer " (RFC 6750 2.1), or NULL. */
static const char *
read_bearer(const char *header)
{
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	header += 7 + strspn(header + 7, " ");
	return header[0] != '\0' && strlen(header) <= TOKEN_MAX ? header : NULL;
}

bool
guard_admit(struct guard *g, struct request *r)
{
	const struct tokens *tokens =
	    r->deps->tokens != NULL ? r->deps->tokens(r->deps->context) : NULL;
	const char *header, *token, *name;
	char *address = NULL;
	bool twice;
	ev_uint16_t port;

	if (!check_page(g, r))
		return false;
	evhttp_connection_get_peer(evhttp_request_get_connection(r->http), &address, &port);
	header = find_once(r, "Authorization", &twice);
	if (header == NULL && !twice) {
		request_fail_401(r, NULL,
				 "this takes a token: Authorization: Bearer TOKEN; mailfuse token "
				 "NAME makes one");
		return false;
	}
	token = header != NULL ? read_bearer(header) : NULL;
	if (token == NULL || tokens == NULL || !tokens_find(tokens, token, &name, &r->roles)) {
		refuse_token(g, r, address != NULL ? address : "?");
		return false;
	}
	snprintf(r->who, sizeof(r->who), "token:%s", name);
	return true;
}
