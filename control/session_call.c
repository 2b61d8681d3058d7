/*
 * Signing in and out of the console. A page keeps no token: it has the csrf of its session, and the
 * browser the cookie, which no script can read. Called by api.c; main loop.
 */
#include "control/session_call.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/tokens.h"
#include "control/guard.h"
#include "control/json.h"
#include "control/origin.h"
#include "control/request.h"
#include "control/web_session.h"

enum { TOKEN_TEXT_MAX = 200 };

static void
set_cookie(struct request *r, const char *id, const char *more)
{
	char *text = mem_printf("mailfuse=%s; Path=/; HttpOnly; SameSite=Strict%s%s", id,
				origin_is_secure(r) ? "; Secure" : "", more);

	evhttp_add_header(evhttp_request_get_output_headers(r->http), "Set-Cookie", text);
	free(text);
}

static void
reply_session(struct request *r, const struct web_session *session)
{
	json_t *answer = json_make_object(), *roles = json_make_array();
	int64_t rest = web_session_rest(session, clock_mono());

	for (unsigned role = 1; role <= ROLE_ALL; role <<= 1) {
		char name[ROLE_TEXT_BYTES];

		role_format(session->roles & role, name);
		if (name[0] != '\0')
			json_append(roles, json_text(name, strlen(name)));
	}
	json_put_text(answer, "name", session->name);
	json_put(answer, "roles", roles);
	json_put_text(answer, "csrf", session->csrf);
	json_put_time(answer, "expires_at", clock_wall() + rest);
	request_reply(r, answer);
}

static bool
refuse_on_socket(struct request *r)
{
	if (r->guard != NULL)
		return false;
	request_fail(r, 400,
		     "sessions are for browsers on the HTTP port; the socket knows who asks");
	return true;
}

void
session_call_open(struct request *r)
{
	static const char *const known[] = {"token", NULL};
	char hash[TOKEN_HASH_BYTES], id[WEB_SESSION_ID_BYTES];
	struct web_session *session;
	const char *token;

	if (refuse_on_socket(r) || !origin_check_page(r) || !request_check_fields(r, known) ||
	    !request_field_text(r, "token", TOKEN_TEXT_MAX, &token) ||
	    !guard_take_token(r->guard, r, token))
		return;
	/* Who signs in anew, perhaps as somebody else, leaves nothing behind. */
	guard_find_session(r->guard, r);
	if (r->session != NULL)
		web_session_end(r->session);
	token_hash(token, hash);
	session = web_sessions_open(guard_sessions(r->guard), r->who + sizeof("token:") - 1, hash,
				    r->roles, clock_mono(), id);
	if (session == NULL) {
		request_fail(r, 503, "the system has no randomness; try again in a moment");
		return;
	}
	log_info("- http.session-opened who=%s sessions=%zu", r->who,
		 web_sessions_count(guard_sessions(r->guard)));
	set_cookie(r, id, "");
	reply_session(r, session);
}

/* False after it answered 401: who asks by a token has none. */
static bool
has_session(struct request *r)
{
	if (r->session != NULL)
		return true;
	request_fail_401(r, NULL, "this call has no session; POST /v1/session begins one");
	return false;
}

void
session_call_get(struct request *r)
{
	if (!refuse_on_socket(r) && has_session(r))
		reply_session(r, r->session);
}

void
session_call_end(struct request *r)
{
	json_t *answer;

	if (refuse_on_socket(r) || !has_session(r))
		return;
	web_session_end(r->session);
	r->session = NULL;
	log_info("- http.session-ended who=%s", r->who);
	set_cookie(r, "", "; Max-Age=0");
	answer = json_make_object();
	json_put_bool(answer, "ended", true);
	request_reply(r, answer);
}
