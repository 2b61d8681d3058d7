/*
 * web_cookie_read() on any Cookie header: what it finds has the form of an id and stands in the
 * header once, by that name; and no such header is anybody's session.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/tokens.h"
#include "control/web_session.h"
#include "tests/fuzz/fuzz.h"

/* How many pairs there are of our name, told another way than the parser does. */
static size_t
count_pairs(char *header)
{
	size_t count = 0;
	char *pair;

	while ((pair = strsep(&header, ";")) != NULL)
		count += strncmp(pair + strspn(pair, " \t"), "mailfuse=", 9) == 0;
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct web_sessions *sessions;
	static char ours[WEB_SESSION_ID_BYTES];
	char *header = mem_strndup((const char *)data, size);
	char id[WEB_SESSION_ID_BYTES] = "", hash[TOKEN_HASH_BYTES];
	enum web_cookie found = web_cookie_read(header, id);
	char *again;

	if (sessions == NULL) {
		token_hash("ann", hash);
		sessions = web_sessions_new();
		FUZZ_CHECK(web_sessions_open(sessions, "ann", hash, ROLE_VIEWER, 0, ours) != NULL);
	}
	if (found == WEB_COOKIE_FOUND) {
		FUZZ_CHECK(strlen(id) == WEB_SESSION_ID_BYTES - 1);
		FUZZ_CHECK(strpbrk(id, ";=, \t\"+/") == NULL);
		again = mem_printf("mailfuse=%s", id);
		FUZZ_CHECK(strstr(header, again) != NULL);
		free(again);
		FUZZ_CHECK(web_sessions_find(sessions, NULL, id, 1) == NULL);
	} else if (found == WEB_COOKIE_NONE) {
		FUZZ_CHECK(id[0] == '\0');
	}
	FUZZ_CHECK((count_pairs(header) == 0) == (found == WEB_COOKIE_NONE));
	free(header);
	return 0;
}
