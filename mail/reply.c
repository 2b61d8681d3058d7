/*
 * Reads the replies of an upstream, line by line, from pieces of any size. Called by
 * relay/smtp_client.c on its loop; the connection owns the struct. Hostile servers are expected:
 * what is kept is bounded, and so is what is read for one reply.
 */
#include "mail/reply.h"

#include <string.h>

enum { FORMAT_MAX = 500 };

void
reply_free(struct reply *r)
{
	buf_free(&r->text);
	buf_free(&r->line);
	*r = (struct reply){0};
}

void
reply_reset(struct reply *r)
{
	r->code = r->first_code = 0;
	r->status[0] = '\0';
	r->bytes = 0;
	buf_clear(&r->text);
	buf_clear(&r->line);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of an enhanced code at the start of `text` whose class fits the reply's; 0 if none. */
static size_t
status_length(const char *text, int code)
{
	const char *p = text;
	int part;

	if (*p++ != '0' + code / 100)
		return 0;
	for (part = 0; part < 2; part++) {
		size_t digits = 0;

		if (*p++ != '.')
			return 0;
		for (; is_digit(*p); p++)
			digits++;
		if (digits < 1 || digits > 3)
			return 0;
	}
	return *p == ' ' || *p == '\0' ? (size_t)(p - text) : 0;
}

static void
keep_text(struct reply *r, const char *text, size_t len)
{
	size_t i;

	if (r->text.len > 0 && r->text.len < REPLY_TEXT_MAX)
		buf_add_char(&r->text, '\n');
	if (len > REPLY_TEXT_MAX - r->text.len)
		len = REPLY_TEXT_MAX - r->text.len;
	for (i = 0; i < len; i++)
		buf_add_char(&r->text, text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
}

/* A whole line, without its LF. */
static enum reply_result
take_line(struct reply *r)
{
	const char *line = buf_text(&r->line), *text;
	size_t len = r->line.len, status;
	int code;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]))
		return REPLY_BAD;
	if (len > 3 && line[3] != ' ' && line[3] != '-')
		return REPLY_BAD;
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (r->first_code != 0 && r->first_code != code)
		return REPLY_BAD;
	r->line.data[len] = '\0';
	text = len > 3 ? line + 4 : line + 3;
	len -= (size_t)(text - line);
	status = status_length(text, code);
	if (status > 0) {
		memcpy(r->status, text, status);
		r->status[status] = '\0';
		status += text[status] == ' ';
	}
	keep_text(r, text + status, len - status);
	r->first_code = code;
	if (text - line == 4 && line[3] == '-')
		return REPLY_MORE;
	r->code = code;
	return REPLY_DONE;
}

enum reply_result
reply_feed(struct reply *r, const char *data, size_t len, size_t *used)
{
	enum reply_result result = REPLY_MORE;
	size_t at = 0;

	while (at < len && result == REPLY_MORE) {
		const char *lf = memchr(data + at, '\n', len - at);
		size_t n = lf != NULL ? (size_t)(lf - data) - at : len - at;
		size_t room = REPLY_LINE_MAX - r->line.len;

		/* The end of an overlong line is read and forgotten. */
		buf_add(&r->line, data + at, n < room ? n : room);
		n += lf != NULL;
		at += n;
		r->bytes += n;
		if (r->bytes > REPLY_BYTES_MAX) {
			result = REPLY_BAD;
		} else if (lf != NULL) {
			result = take_line(r);
			buf_clear(&r->line);
		}
	}
	*used = at;
	return result;
}

void
reply_format(const struct reply *r, struct buf *out)
{
	size_t start = out->len, i, len = r->text.len;
	const char code[3] = {(char)('0' + r->code / 100 % 10), (char)('0' + r->code / 10 % 10),
			      (char)('0' + r->code % 10)};

	buf_add(out, code, sizeof(code));
	if (r->status[0] != '\0') {
		buf_add_char(out, ' ');
		buf_add_text(out, r->status);
	}
	if (len == 0)
		return;
	buf_add_char(out, ' ');
	if (out->len - start + len > FORMAT_MAX)
		len = FORMAT_MAX - (out->len - start);
	buf_add(out, r->text.data, len);
	for (i = out->len - len; i < out->len; i++)
		if (out->data[i] == '\n')
			out->data[i] = ' ';
}
