/*
 * message_apply() over any header: with a map that lets no address pass, none is left where a
 * reply could find it, no Bcc and no X-Mailfuse-* of the sender is left, line ends are CRLF, and
 * what we add is there once, in ASCII, whatever the peer calls itself.
 */
#include <string.h>

#include "base/text.h"
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
	FUZZ_CHECK(header_count(h, "X-Mailfuse-Audience") == 0);
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

static size_t
count_char(const char *text, char c)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

/* Our own fields, whatever peers call themselves: ASCII, one Received more, its comments closed. */
static void
check_ours(const struct message *m, const struct header *h, size_t received_before)
{
	static const char *const ours[] = {"Received", "X-Mailfuse-Environment",
					   "X-Mailfuse-Source", "X-Mailfuse-Id"};
	const char *received = header_value(h, &h->fields[0]), *p;
	size_t i, comments = 1 + (*m->client != '\0') + (*m->tls != '\0');

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		for (p = header_value(h, header_find(h, ours[i])); *p != '\0'; p++)
			FUZZ_CHECK((*p >= ' ' && *p < 0x7f) || *p == '\t');
	FUZZ_CHECK(message_count_received(m) == received_before + 1);
	FUZZ_CHECK(count_char(received, '(') == comments && count_char(received, ')') == comments);
	FUZZ_CHECK(count_char(received, ';') == 1);
	FUZZ_CHECK(message_was_here(m));
}

/* What is not refused can be counted by: an audience has a campaign, and its id is clean. */
static void
check_declarations(const struct message *m)
{
	if (m->declaration_error != NULL) {
		FUZZ_CHECK(text_is_ascii(m->declaration_error, strlen(m->declaration_error)));
		return;
	}
	FUZZ_CHECK(m->audience == 0 || *m->campaign != '\0');
	FUZZ_CHECK(strlen(m->campaign) <= MESSAGE_CAMPAIGN_MAX);
	FUZZ_CHECK(text_is_clean(m->campaign, strlen(m->campaign)));
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
	char *shown, *peer;
	size_t received;

	mime_init();
	m = message_new();
	buf_add(&m->header, data, size);
	peer = arena_strndup(&m->arena, (const char *)data, size);
	m->helo = m->source = m->client = m->environment = m->protocol = m->tls = peer;
	m->edit = (struct message_edit){peer, prefix, true, map_to_us, NULL};
	m->id = 1;
	m->smtputf8 = true;
	received = message_count_received(m);
	message_read_header(m);
	check_declarations(m);
	message_apply(m);
	check_bytes(&m->header);
	header_parse(&h, m->header.data, m->header.len, &arena);
	check_fields(&h, &arena);
	check_ours(m, &h, received);
	shown = mime_decode_text(header_value(&h, header_find(&h, "Subject")), &arena);
	shown = (char *)mime_skip_replies(shown);
	FUZZ_CHECK(strncmp(shown, prefix, strlen(prefix) - (prefix[strlen(prefix) - 1] == ' ')) ==
		   0);
	message_free(m);
	arena_free(&arena);
	return 0;
}
