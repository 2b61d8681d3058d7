/*
 * Fuzzes command_parse(): any line ends in a command or in a reply that is safe to send.
 */
#include <string.h>

#include "mail/command.h"
#include "mail/xtext.h"
#include "tests/fuzz/fuzz.h"

static void
check_error(const struct command *c)
{
	const char *p;

	FUZZ_CHECK(c->error_code == 500 || c->error_code == 501 || c->error_code == 504 ||
		   c->error_code == 553 || c->error_code == 555);
	FUZZ_CHECK(c->error_status != NULL && strlen(c->error_status) == 5);
	FUZZ_CHECK(c->error_text != NULL && *c->error_text != '\0');
	/* RFC 5321 4.5.3.1.5: a reply line has at most 512 octets. */
	FUZZ_CHECK(strlen(c->error_text) < 512 - strlen("501 5.5.4 \r\n"));
	for (p = c->error_text; *p != '\0'; p++)
		FUZZ_CHECK(*p >= 0x20 && *p < 0x7f);
}

/* What goes on to the upstream and into notifications: printable ASCII without blanks. */
static void
check_word(const char *text, size_t max)
{
	const char *p;

	if (text == NULL)
		return;
	FUZZ_CHECK(*text != '\0' && strlen(text) <= max);
	for (p = text; *p != '\0'; p++)
		FUZZ_CHECK(*p > ' ' && *p < 0x7f);
}

static void
check_parameters(const struct command *c)
{
	struct buf decoded = {0};

	check_word(c->envid, DSN_ENVID_MAX);
	check_word(c->orcpt, DSN_ORCPT_MAX);
	if (c->envid != NULL)
		FUZZ_CHECK(xtext_decode(c->envid, &decoded) &&
			   strpbrk(decoded.data, "\r\n") == NULL);
	FUZZ_CHECK(c->orcpt == NULL || strchr(c->orcpt, ';') != NULL);
	FUZZ_CHECK(c->notify == DSN_NEVER || (c->notify & DSN_NEVER) == 0);
	FUZZ_CHECK(c->verb == COMMAND_MAIL || (c->envid == NULL && c->ret == DSN_RET_NONE));
	FUZZ_CHECK(c->verb == COMMAND_RCPT || (c->orcpt == NULL && c->notify == 0));
	FUZZ_CHECK(c->verb != COMMAND_MAIL || c->error_code != 0 || !c->path.utf8 || c->smtputf8);
	buf_free(&decoded);
}

static void
check_others(const struct command *c)
{
	FUZZ_CHECK(c->verb == COMMAND_BDAT || (!c->chunk_known && c->chunk_size == 0));
	FUZZ_CHECK(c->chunk_known || c->chunk_size == 0);
	FUZZ_CHECK(c->verb != COMMAND_BDAT || c->error_code != 0 || c->chunk_known);
	FUZZ_CHECK(c->verb == COMMAND_AUTH || c->initial == NULL);
	FUZZ_CHECK(c->initial == NULL ||
		   (*c->initial != '\0' && strpbrk(c->initial, " \t") == NULL));
	FUZZ_CHECK(c->verb != COMMAND_AUTH || c->error_code != 0 ||
		   c->mechanism != COMMAND_AUTH_OTHER);
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
	check_parameters(&c);
	check_others(&c);
	arena_free(&arena);
	return 0;
}
