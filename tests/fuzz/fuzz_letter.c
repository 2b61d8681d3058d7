/*
 * What an alert becomes for people: the mail has just the header fields it should have, only ASCII,
 * short lines and its own three delimiters, whatever is in a text; the cards are JSON within their
 * limits. The input's lines are: the template of the headline, that of the text, what happened, the
 * reason, the batch's subject, its source; of an input of odd length it is a summary of them.
 */
#include <jansson.h>
#include <string.h>

#include "alert/cards.h"
#include "alert/letter.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/mime.h"
#include "tests/fuzz/fuzz.h"

enum { LINES = 6, TEAMS_MAX = 28 * 1024 };

/* CRLF only, ASCII without other controls, 998 at most. */
static void
check_lines(const struct buf *b)
{
	size_t column = 0;

	for (size_t i = 0; i < b->len; i++) {
		unsigned char c = (unsigned char)b->data[i];

		FUZZ_CHECK(c < 0x7f && c != 0);
		if (c == '\r') {
			FUZZ_CHECK(i + 1 < b->len && b->data[i + 1] == '\n');
			column = 0;
			i++;
			continue;
		}
		FUZZ_CHECK(c >= ' ' && ++column <= 998);
	}
	FUZZ_CHECK(column == 0);
}

static size_t
count_text(const struct buf *b, const char *text)
{
	size_t n = 0;

	for (const char *p = buf_text(b); (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* Each line begins with a field's name, of those that there are, or goes on. */
static void
check_header(const struct buf *b)
{
	static const char *const fields[] = {
	    "From: ",       "To: ",           "Subject:",      "Date: ",       "Message-ID: ",
	    "References: ", "Auto-Submitted", "X-Auto-Respon", "MIME-Version", "Content-Type: "};
	size_t seen[10] = {0};

	for (const char *p = buf_text(b); *p != '\0'; p = strstr(p, "\r\n") + 2) {
		size_t i = 0;

		if (*p == ' ')
			continue;
		while (i < 10 && strncmp(p, fields[i], strlen(fields[i])) != 0)
			i++;
		FUZZ_CHECK(i < 10 && ++seen[i] == 1);
	}
}

static void
check_json(const struct buf *b, size_t most)
{
	json_error_t error;
	json_t *o = json_loads(buf_text(b), JSON_REJECT_DUPLICATES, &error);

	FUZZ_CHECK(o != NULL && b->len <= most);
	json_decref(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *all = mem_zalloc(size + 1), *rest = all, *line[LINES];
	char event[] = "batch.opened", name[] = "ops", environment[] = "staging",
	     from[] = "g@x.test", ops[] = "ops@x.test", who[] = "gate";
	char *to[] = {ops, NULL};
	struct buf header = {0}, body = {0}, card = {0};
	struct wording w;
	static bool ready;

	if (!ready)
		mime_init();
	ready = true;
	memcpy(all, data, size);
	for (size_t i = 0; i < LINES; i++) {
		line[i] = rest != NULL ? strsep(&rest, "\n") : NULL;
		if (line[i] == NULL)
			line[i] = all + size;
	}
	/* config/ lets no other template in. */
	for (size_t i = 0; i < 2; i++)
		if (!text_is_utf8(line[i], strlen(line[i])) || strlen(line[i]) > 2000)
			line[i] = all + size;
	const struct config_alert to_channel = {
	    .name = name, .to = to, .from = from, .subject = line[0], .text = line[1]};
	const struct store_alert alert = {.event_id = 7,
					  .at = 1795262651123000,
					  .event = event,
					  .channel = name,
					  .environment = environment,
					  .text = line[2],
					  .who = who,
					  .reason = line[3],
					  .batch = 17};
	const struct store_batch batch = {
	    .id = 17, .subject = line[4], .source = line[5], .rule = "volume"};
	char *const lines[] = {line[2], line[3], line[4], NULL};
	const struct channel_note note = {.alert = &alert,
					  .batch = &batch,
					  .distinct = 3,
					  .gate = "gate.example",
					  .console = "https://gate.example:8025",
					  .lines = size % 2 == 1 ? lines : NULL};

	wording_make(&w, &note, &to_channel);
	letter_build(&w, &note, &to_channel, &header, &body);
	check_lines(&header);
	check_header(&header);
	check_lines(&body);
	FUZZ_CHECK(count_text(&body, "=_mailfuse_alert") == 3);
	cards_slack(&w, &note, &card);
	check_json(&card, 40000);
	buf_clear(&card);
	cards_teams(&w, &note, &card);
	check_json(&card, TEAMS_MAX);
	wording_free(&w);
	buf_free(&header);
	buf_free(&body);
	buf_free(&card);
	free(all);
	return 0;
}
