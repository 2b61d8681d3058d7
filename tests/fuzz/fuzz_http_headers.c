/*
 * The readers of HTTP's headers on any text: the first line is the header, the second what it is
 * held against. What they say is told another way, from the end of the text where they read from
 * its beginning; and nothing that differs from a name of ours is ours.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "control/headers.h"
#include "tests/fuzz/fuzz.h"

/* The length without a port, which is a colon and one to five digits. */
static size_t
length_without_port(const char *host)
{
	size_t end = strlen(host), at = end;

	while (at > 0 && isdigit((unsigned char)host[at - 1]))
		at--;
	return at < end && end - at <= 5 && at > 0 && host[at - 1] == ':' ? at - 1 : end;
}

static void
check_host(const char *host, const char *name)
{
	size_t len = strlen(name), all = strlen(host), bare = length_without_port(host);
	bool same = all == len && strncasecmp(host, name, len) == 0;
	bool with_port = bare < all && bare == len && strncasecmp(host, name, len) == 0;
	char *own = mem_printf("%s:8025", name);

	FUZZ_CHECK(headers_host_is(host, name, len) == (len > 0 && (same || with_port)));
	FUZZ_CHECK(len == 0 || headers_host_is(own, name, len));
	free(own);
}

static void
check_origin(const char *origin, const char *host)
{
	char *plain = mem_printf("http://%s", host), *secure = mem_printf("https://%s", host);
	bool is_plain = strcasecmp(origin, plain) == 0, is_secure = strcasecmp(origin, secure) == 0;

	FUZZ_CHECK(headers_origin_is(origin, host, true) == is_secure);
	FUZZ_CHECK(headers_origin_is(origin, host, false) == (is_plain || is_secure));
	free(plain);
	free(secure);
}

static void
check_etag(const char *list, const char *name)
{
	char *etag = mem_printf("\"%s\"", name), *own = mem_printf("\"a\", W/%s , %s", etag, list);

	if (strpbrk(name, "\",") == NULL) {
		FUZZ_CHECK(headers_list_has_etag(own, etag));
		FUZZ_CHECK(!headers_list_has_etag(list, etag) || strstr(list, etag) != NULL ||
			   strchr(list, '*') != NULL);
	}
	(void)headers_list_has_etag(list, etag);
	free(etag);
	free(own);
}

static void
check_header(const char *name, const char *value)
{
	bool length = strcasecmp(name, "Content-Length") == 0;

	if (headers_fault(name, value) == NULL) {
		FUZZ_CHECK(name[0] != '\0' && strpbrk(name, " \t:\r\n()<>@,;\\\"/[]?={}") == NULL);
		for (const char *c = length ? value : ""; *c != '\0'; c++)
			FUZZ_CHECK(isdigit((unsigned char)*c));
	}
	if (headers_is_json(value))
		FUZZ_CHECK(strncasecmp(value, "application/json", 16) == 0 &&
			   !isalnum((unsigned char)value[16]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *rest = mem_strndup((const char *)data, size), *text = rest;
	const char *header = strsep(&rest, "\n"), *other = rest != NULL ? rest : "";

	check_host(header, other);
	check_origin(header, other);
	check_etag(header, other);
	check_header(header, other);
	free(text);
	return 0;
}
