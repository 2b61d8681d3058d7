/*
 * Headers: see headers.h. Called by request.c for each answer, by guard.c and origin.c for what a
 * call says of itself. Nothing here is freed.
 */
#include "control/headers.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <strings.h>
#include <sys/queue.h>

#define NOTHING_POLICY "default-src 'none'; frame-ancestors 'none'"

static const struct {
	const char *name, *value;
	bool own; /* an answer may have said it already, and knows better */
} answer_headers[] = {
    {"X-Content-Type-Options", "nosniff", false},
    {"Referrer-Policy", "no-referrer", false},
    {"Cross-Origin-Opener-Policy", "same-origin", false},
    {"Cross-Origin-Resource-Policy", "same-origin", false},
    {"Cache-Control", "no-store", true},
    {"Content-Security-Policy", NOTHING_POLICY, true},
};

const char headers_security_text[] = "X-Content-Type-Options: nosniff\r\n"
				     "Referrer-Policy: no-referrer\r\n"
				     "Cross-Origin-Opener-Policy: same-origin\r\n"
				     "Cross-Origin-Resource-Policy: same-origin\r\n"
				     "Cache-Control: no-store\r\n"
				     "Content-Security-Policy: " NOTHING_POLICY "\r\n";

void
headers_add_security(struct evkeyvalq *headers)
{
	for (size_t i = 0; i < sizeof(answer_headers) / sizeof(answer_headers[0]); i++)
		if (!answer_headers[i].own ||
		    evhttp_find_header(headers, answer_headers[i].name) == NULL)
			evhttp_add_header(headers, answer_headers[i].name, answer_headers[i].value);
}

const char *
headers_find_once(struct evhttp_request *http, const char *name, bool *twice)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(http);
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
