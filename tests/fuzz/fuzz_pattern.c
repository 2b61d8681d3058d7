/*
 * Fuzzes pattern_for_address(), pattern_for_text() and the matching behind them. The first line is
 * a pattern, the rest an address or a text: what is accepted matches the same every time and in
 * bounded work, and a domain's pattern never takes more than the same one with its subdomains.
 */
#include <string.h>

#include "filters/pattern.h"
#include "tests/fuzz/fuzz.h"

static struct pattern *
make(struct pattern *(*maker)(const char *, char **), const char *text)
{
	char *error = NULL;
	struct pattern *p = maker(text, &error);

	FUZZ_CHECK((p == NULL) == (error != NULL));
	FUZZ_CHECK(p == NULL || (pattern_rank(p) >= 1 && pattern_rank(p) <= 6));
	FUZZ_CHECK(error == NULL || *error != '\0');
	free(error);
	return p;
}

static void
check_address(const char *text, const char *subject, struct arena *arena)
{
	struct pattern *p = make(pattern_for_address, text), *wider;
	struct address address;
	bool matched;

	if (p != NULL && address_parse(subject, arena, &address) == NULL) {
		matched = pattern_match_address(p, &address);
		FUZZ_CHECK(pattern_match_address(p, &address) == matched);
		if (text[0] == '@' && text[1] != '.' && strpbrk(text, "*?[") == NULL) {
			wider = make(pattern_for_address, arena_printf(arena, "@.%s", text + 1));
			FUZZ_CHECK(wider != NULL);
			FUZZ_CHECK(!matched || pattern_match_address(wider, &address));
			pattern_free(wider);
		}
	}
	/* A plain address is its own pattern. */
	if (p != NULL && *text != '/' && strpbrk(text, "*?") == NULL &&
	    address_parse(text, arena, &address) == NULL)
		FUZZ_CHECK(pattern_match_address(p, &address));
	pattern_free(p);
}

static void
check_text(const char *text, const char *subject)
{
	struct pattern *p = make(pattern_for_text, text);
	enum pattern_result result;
	uint64_t steps = 0;

	if (p == NULL)
		return;
	result = pattern_search_text(p, subject, &steps);
	/* The last step may pass over the whole text. */
	FUZZ_CHECK(steps <=
		   PATTERN_STEPS + (PATTERN_STEPS_BYTE + 1) * (uint64_t)strlen(subject) + 1);
	FUZZ_CHECK(pattern_match_text(p, subject) == (result == PATTERN_MATCHES));
	/* A word or a glob matches itself: a star is a run, a question mark one byte. */
	FUZZ_CHECK(*text == '/' || pattern_match_text(p, text));
	pattern_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	char *text = arena_strndup(&arena, (const char *)data, size);
	char *line = strchr(text, '\n');
	const char *subject = "";

	if (line != NULL) {
		*line = '\0';
		subject = line + 1;
	}
	check_address(text, subject, &arena);
	check_text(text, subject);
	arena_free(&arena);
	return 0;
}
