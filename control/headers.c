/*
 * Headers: see headers.h. Called by request.c for each answer, by guard.c and origin.c for what a
 * call says of itself. Nothing here is freed.
 */
#include "control/headers.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <string.h>
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

const char *
headers_fault(const char *name, const char *value)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"; /* RFC 9110 5.6.2 */

	if (name[0] == '\0' || name[strspn(name, token)] != '\0')
		return "a header's name is none, or has a blank in it; write Name: value";
	if (strcasecmp(name, "Content-Length") == 0 &&
	    (value[0] == '\0' || value[strspn(value, "0123456789")] != '\0'))
		return "Content-Length is no number; write digits only";
	return NULL;
}

bool
headers_host_is(const char *host, const char *name, size_t len)
{
	size_t digits;

	if (len == 0 || strncasecmp(host, name, len) != 0)
		return false;
	if (host[len] == '\0')
		return true;
	digits = strspn(host + len + (host[len] == ':'), "0123456789");
	return host[len] == ':' && digits > 0 && digits <= 5 && host[len + 1 + digits] == '\0';
}

bool
headers_origin_is(const char *origin, const char *host, bool tls)
{
	if (strncasecmp(origin, "https://", 8) == 0)
		return strcasecmp(origin + 8, host) == 0;
	return !tls && strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}

bool
headers_is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t len = sizeof(json) - 1;

	return type != NULL && strncasecmp(type, json, len) == 0 &&
	       (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

bool
headers_list_has_etag(const char *list, const char *etag)
{
	size_t len = strlen(etag);

	while (*list != '\0') {
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (strncmp(list, etag, len) == 0 &&
		    (list[len] == '\0' || strchr(", \t", list[len]) != NULL))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}
