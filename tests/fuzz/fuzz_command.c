/*
 * Fuzzes command_parse(): any line ends in a command or in a reply that is safe to send.
 */
#include <string.h>

#include "mail/command.h"
#include "tests/fuzz/fuzz.h"

static void
check_error(const struct command *c)
{
	const char *p;

	FUZZ_CHECK(c->error_code == 500 || c->error_code == 501 || c->error_code == 555);
	FUZZ_CHECK(c->error_status != NULL && strlen(c->error_status) == 5);
	FUZZ_CHECK(c->error_text != NULL && *c->error_text != '\0');
	/* RFC 5321 4.5.3.1.5: a reply line has at most 512 octets. */
	FUZZ_CHECK(strlen(c->error_text) < 512 - strlen("501 5.5.4 \r\n"));
	for (p = c->error_text; *p != '\0'; p++)
		FUZZ_CHECK(*p >= 0x20 && *p < 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct command c;

	command_parse((const char *)data, size, &arena, &c);
	FUZZ_CHECK(c.argument != NULL && strlen(c.argument) <= size);
	if (c.error_code != 0)
		check_error(&c);
	else if (c.verb == COMMAND_MAIL || c.verb == COMMAND_RCPT)
		FUZZ_CHECK(c.path.text != NULL && c.path.local != NULL && c.path.domain != NULL);
	else
		FUZZ_CHECK(c.verb != COMMAND_UNKNOWN && c.path.text == NULL);
	arena_free(&arena);
	return 0;
}
