/*
 * What the tests of content rules share: messages written as text, and rules compiled.
 */
#ifndef TESTS_CONTENT_FIXTURE_H
#define TESTS_CONTENT_FIXTURE_H

#include <stdio.h>

#include "filters/content.h"
#include "mail/mime.h"
#include "tests/unit/filters_fixture.h"

#define TYPE(type) "Content-Type: " type "\r\n"
#define MIXED TYPE("multipart/mixed; boundary=b")
#define ALTERNATIVE TYPE("multipart/alternative; boundary=b")
#define PLAIN_PART "--b\r\n" TYPE("text/plain; charset=utf-8") "\r\n"
#define HTML_PART "--b\r\n" TYPE("text/html; charset=utf-8") "\r\n"
#define END "--b--\r\n"

/* A message out of its text, split at the empty line. */
static inline struct message *
message_make(const char *text)
{
	struct message *m = message_new();
	const char *body = strncmp(text, "\r\n", 2) == 0 ? text : strstr(text, "\r\n\r\n");
	size_t header_len;

	if (body == NULL) {
		m->no_empty_line = true;
		buf_add_text(&m->header, text);
		return m;
	}
	header_len = (size_t)(body - text) + (body == text ? 0 : 2);
	body = text + header_len + 2;
	buf_add(&m->header, text, header_len);
	chunks_add(&m->body, body, strlen(body));
	m->body_bytes = strlen(body);
	return m;
}

static inline struct content *
content_make(const struct config_content *config)
{
	char *error;
	struct content *c = content_new(config, &error);

	if (c == NULL)
		fail_msg("%s: %s", config->name, error);
	assert_null(error);
	return c;
}

#endif
