/*
 * dsn.h with anything in every value: lines end in CRLF and are no longer than 998 octets, there
 * are four delimiters and the last one is the end, and every line of the machine-readable part is
 * a field of ours, its continuation or empty. The input is split at NULs: one
 * value each, the rest is the original's header.
 */
#include <string.h>

#include "base/arena.h"
#include "mail/dsn.h"
#include "tests/fuzz/fuzz.h"

static void
check_lines(const struct buf *b)
{
	size_t start = 0, i;

	FUZZ_CHECK(memchr(b->data, '\0', b->len) == NULL);
	for (i = 0; i < b->len; i++) {
		FUZZ_CHECK(b->data[i] != '\r' || b->data[i + 1] == '\n');
		if (b->data[i] != '\n')
			continue;
		FUZZ_CHECK(i > 0 && b->data[i - 1] == '\r' && i - 1 - start <= 998);
		start = i + 1;
	}
	FUZZ_CHECK(start == b->len);
}

static size_t
occurrences(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; n++)
		text += strlen(what);
	return n;
}

/* The lines of the second part. */
static void
check_fields(const char *p, size_t recipients)
{
	static const char *const names[] = {"Content-Type: ",
					    "Content-Description: ",
					    "Content-Transfer-Encoding: ",
					    "Reporting-MTA: ",
					    "Original-Envelope-Id: ",
					    "Arrival-Date: ",
					    "X-Mailfuse-Id: ",
					    "Original-Recipient: ",
					    "Final-Recipient: ",
					    "Action: ",
					    "Status: ",
					    "Remote-MTA: ",
					    "Diagnostic-Code: ",
					    "Last-Attempt-Date: "};
	size_t finals = 0, i;

	for (; strncmp(p, "--", 2) != 0; p = strchr(p, '\n') + 1) {
		if (*p == '\r' || *p == ' ')
			continue;
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (strncmp(p, names[i], strlen(names[i])) == 0)
				break;
		}
		FUZZ_CHECK(i < sizeof(names) / sizeof(names[0]));
		finals += i == 8;
	}
	FUZZ_CHECK(finals == recipients);
}

static void
check_parts(struct arena *arena, const struct buf *header, const struct buf *body,
	    size_t recipients)
{
	const char *boundary = strstr(header->data, "\r\n\tboundary=\"");
	char *delimiter, *end, *second;

	FUZZ_CHECK(boundary != NULL);
	boundary += strlen("\r\n\tboundary=\"");
	boundary = arena_strndup(arena, boundary, strcspn(boundary, "\""));
	FUZZ_CHECK(strlen(boundary) > 0 && strlen(boundary) <= 70);
	FUZZ_CHECK(occurrences(body->data, boundary) == 4);
	delimiter = arena_printf(arena, "\r\n--%s\r\n", boundary);
	FUZZ_CHECK(occurrences(body->data, delimiter) == 3);
	end = arena_printf(arena, "\r\n--%s--\r\n", boundary);
	FUZZ_CHECK(strcmp(body->data + body->len - strlen(end), end) == 0);
	second = strstr(strstr(body->data, delimiter) + 2, delimiter) + strlen(delimiter);
	check_fields(second, recipients);
}

/* The next value: up to a NUL; "" at the end. */
static char *
take(struct arena *arena, const char **p, const char *end)
{
	const char *nul = *p < end ? memchr(*p, 0, (size_t)(end - *p)) : NULL;
	char *value;

	if (nul == NULL)
		return arena_strdup(arena, "");
	value = arena_strndup(arena, *p, (size_t)(nul - *p));
	*p = nul + 1;
	return value;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;
	struct dsn_recipient r[2] = {{0}};
	struct dsn d = {.recipients = r};
	struct buf header = {0}, body = {0};
	struct arena arena = {0};
	bool eightbit, utf8;
	size_t i;

	if (size == 0)
		return 0;
	d.recipient_count = *p & 1 ? 2 : 1;
	d.hostname = take(&arena, &p, end);
	d.id = take(&arena, &p, end);
	d.about = take(&arena, &p, end);
	d.to = take(&arena, &p, end);
	d.envid = take(&arena, &p, end);
	for (i = 0; i < d.recipient_count; i++) {
		r[i].action = *data & 2 ? DSN_RELAYED : DSN_FAILED;
		r[i].address = take(&arena, &p, end);
		r[i].orcpt = take(&arena, &p, end);
		r[i].reply = take(&arena, &p, end);
		r[i].remote_mta = take(&arena, &p, end);
		r[i].last_attempt = (int64_t)size;
	}
	d.header = p;
	d.header_len = (size_t)(end - p);
	dsn_build(&d, &header, &body, &eightbit, &utf8);
	check_lines(&header);
	check_lines(&body);
	FUZZ_CHECK(strstr(header.data, "\r\n\r\n") == NULL);
	FUZZ_CHECK(eightbit || !utf8);
	check_parts(&arena, &header, &body, d.recipient_count);
	buf_free(&header);
	buf_free(&body);
	arena_free(&arena);
	return 0;
}
