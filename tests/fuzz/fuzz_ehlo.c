/*
 * Fuzzes smtp_extensions_read() over what reply_feed() makes of the bytes, and over the bytes
 * themselves: what an earlier reply offered is forgotten, and a mechanism comes with AUTH only.
 */
#include <string.h>

#include "mail/reply.h"
#include "relay/smtp_extensions.h"
#include "tests/fuzz/fuzz.h"

static void
check(const char *text)
{
	struct smtp_extensions all, again;

	memset(&again, 1, sizeof(again)); /* of another server: true everywhere */
	smtp_extensions_read(text, &all);
	smtp_extensions_read(text, &again);
	FUZZ_CHECK(all.pipelining == again.pipelining && all.eightbit == again.eightbit &&
		   all.size == again.size && all.starttls == again.starttls &&
		   all.utf8 == again.utf8 && all.dsn == again.dsn && all.auth == again.auth &&
		   all.auth_plain == again.auth_plain && all.auth_login == again.auth_login &&
		   all.size_max == again.size_max);
	FUZZ_CHECK(all.auth || (!all.auth_plain && !all.auth_login));
	FUZZ_CHECK(all.size || all.size_max == 0);
	if (strchr(text, '\n') == NULL) /* a greeting alone */
		FUZZ_CHECK(!all.pipelining && !all.eightbit && !all.size && !all.starttls &&
			   !all.utf8 && !all.dsn && !all.auth);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply reply = {0};
	struct buf raw = {0};
	size_t used;

	buf_add(&raw, data, size);
	check(buf_text(&raw));
	if (reply_feed(&reply, buf_text(&raw), size, &used) == REPLY_DONE)
		check(buf_text(&reply.text));
	reply_free(&reply);
	buf_free(&raw);
	return 0;
}
