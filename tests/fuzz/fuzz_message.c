/*
 * message_apply() over any header: with a map that lets no address pass, none is left where a
 * reply could find it, no Bcc and no X-Mailfuse-* of the sender is left, line ends are CRLF, and
 * what we add is there once.
 */
#include <string.h>

#include "mail/header.h"
#include "mail/message.h"
#include "mail/mime.h"
#include "tests/fuzz/fuzz.h"

static const char *const reply_fields[] = {"To",
					   "Cc",
					   "Reply-To",
					   "Resent-To",
					   "Resent-Cc",
					   "Resent-Reply-To",
					   "Disposition-Notification-To",
					   "Return-Receipt-To",
					   "Errors-To",
					   "Mail-Followup-To",
					   "Mail-Reply-To"};

static const char *
map_to_us(void *context, const char *address)
{
	(void)context;
	(void)address;
	return "us";
}

static void
check_fields(const struct header *h, struct arena *arena)
{
	size_t i, j;

	for (i = 0; i < h->count; i++) {
		char *value = header_value(h, &h->fields[i]);

		for (j = 0; j < sizeof(reply_fields) / sizeof(reply_fields[0]); j++) {
			if (strcasecmp(h->fields[i].name, reply_fields[j]) != 0)
				continue;
			FUZZ_CHECK(strchr(value, '@') == NULL);
			FUZZ_CHECK(strchr(mime_decode_text(value, arena), '@') == NULL);
		}
	}
	FUZZ_CHECK(header_count(h, "Bcc") == 0 && header_count(h, "Resent-Bcc") == 0);
	FUZZ_CHECK(header_count(h, "X-Mailfuse-Id") == 1);
	FUZZ_CHECK(header_count(h, "X-Mailfuse-Source") == 1);
	FUZZ_CHECK(header_count(h, "X-Mailfuse-Environment") == 1);
	FUZZ_CHECK(header_count(h, "X-Mailfuse-Campaign") == 0);
	FUZZ_CHECK(header_count(h, "Subject") >= 1 && header_find(h, "Date") != NULL);
	FUZZ_CHECK(strcmp(h->fields[0].name, "Received") == 0);
}

static void
check_bytes(const struct buf *b)
{
	size_t i;

	for (i = 0; i < b->len; i++) {
		FUZZ_CHECK(b->data[i] != '\0');
		FUZZ_CHECK(b->data[i] != '\n' || (i > 0 && b->data[i - 1] == '\r'));
		FUZZ_CHECK(b->data[i] != '\r' || (i + 1 < b->len && b->data[i + 1] == '\n'));
	}
	FUZZ_CHECK(b->len > 0 && b->data[b->len - 1] == '\n');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const prefixes[] = {"[STAGING] ", "[STG]",
					       "[pr\xc3\xbc"
					       "f] ",
					       "pr\xc3\xbc"
					       "f"};
	struct arena arena = {0};
	struct message *m;
	struct header h;
	const char *prefix = prefixes[size % 4];
	char *shown;

	mime_init();
	m = message_new();
	buf_add(&m->header, data, size);
	m->helo = m->source = arena_strndup(&m->arena, (const char *)data, size);
	m->client = "192.0.2.1";
	m->environment = "staging";
	m->edit = (struct message_edit){"gate.example", prefix, true, map_to_us, NULL};
	message_read_header(m);
	message_apply(m);
	check_bytes(&m->header);
	header_parse(&h, m->header.data, m->header.len, &arena);
	check_fields(&h, &arena);
	shown = mime_decode_text(header_value(&h, header_find(&h, "Subject")), &arena);
	shown = (char *)mime_skip_replies(shown);
	FUZZ_CHECK(strncmp(shown, prefix, strlen(prefix) - (prefix[strlen(prefix) - 1] == ' ')) ==
		   0);
	message_free(m);
	arena_free(&arena);
	return 0;
}
