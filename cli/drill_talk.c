/*
 * The sink's half of SMTP: a line at a time, pipelining and all (RFC 2920), DATA but no BDAT, which
 * the relay does not use. What comes is from mailfused, or from whoever finds the port: lines and
 * recipients are bounded, and content is not kept. Called by drill_sink.c; one thread.
 */
#include "cli/drill_talk.h"

#include <string.h>
#include <strings.h>

/* drill-000123@DOMAIN; 0 for any other path. */
static uint32_t
read_number(const char *argument, const char *domain)
{
	static const char begin[] = "<drill-";
	const char *at = strchr(argument, '<');
	uint32_t number = 0;
	size_t digits, len = strlen(domain);

	if (at == NULL || strncasecmp(at, begin, sizeof(begin) - 1) != 0)
		return 0;
	at += sizeof(begin) - 1;
	digits = strspn(at, "0123456789");
	if (digits == 0 || digits > 9 || at[digits] != '@')
		return 0;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint32_t)(at[i] - '0');
	at += digits + 1;
	return strncasecmp(at, domain, len) == 0 && at[len] == '>' ? number : 0;
}

static void
talk_reset(struct drill_talk *t)
{
	t->mail = false;
	t->recipient_count = 0;
}

static void
talk_rcpt(struct drill_talk *t, const char *argument, struct buf *out)
{
	if (!t->mail) {
		buf_add_text(out, "503 5.5.1 MAIL first\r\n");
		return;
	}
	if (t->recipient_count == DRILL_TALK_RECIPIENTS) {
		buf_add_text(out, "452 4.5.3 too many recipients\r\n");
		return;
	}
	t->recipients[t->recipient_count++] = read_number(argument, t->domain);
	buf_add_text(out, "250 2.1.5 Ok\r\n");
}

static void
talk_mail(struct drill_talk *t, struct buf *out)
{
	if (!t->greeted || t->mail) {
		buf_add_text(out,
			     t->mail ? "503 5.5.1 one at a time\r\n" : "503 5.5.1 EHLO first\r\n");
		return;
	}
	t->mail = true;
	buf_add_text(out, "250 2.1.0 Ok\r\n");
}

static void
talk_data(struct drill_talk *t, struct buf *out)
{
	if (t->recipient_count == 0) {
		buf_add_text(out, "503 5.5.1 RCPT first\r\n");
		return;
	}
	t->state = DRILL_TALK_DATA;
	buf_add_text(out, "354 go ahead\r\n");
}

static void
talk_command(struct drill_talk *t, const char *line, struct buf *out)
{
	if (strncasecmp(line, "EHLO", 4) == 0) {
		t->greeted = true;
		talk_reset(t);
		buf_add_text(out, "250-sink.drill.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
				  "250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n");
	} else if (strncasecmp(line, "HELO", 4) == 0) {
		t->greeted = true;
		talk_reset(t);
		buf_add_text(out, "250 sink.drill.invalid\r\n");
	} else if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
		talk_mail(t, out);
	} else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
		talk_rcpt(t, line + 8, out);
	} else if (strcasecmp(line, "DATA") == 0) {
		talk_data(t, out);
	} else if (strcasecmp(line, "RSET") == 0) {
		talk_reset(t);
		buf_add_text(out, "250 2.0.0 Ok\r\n");
	} else if (strncasecmp(line, "NOOP", 4) == 0) {
		buf_add_text(out, "250 2.0.0 Ok\r\n");
	} else if (strcasecmp(line, "QUIT") == 0) {
		t->state = DRILL_TALK_ENDED;
		buf_add_text(out, "221 2.0.0 Bye\r\n");
	} else {
		buf_add_text(out, "502 5.5.1 not here\r\n");
	}
}

/* A whole line, without its end. Only CRLF.CRLF ends a message. */
static void
talk_line(struct drill_talk *t, bool crlf, struct buf *out)
{
	if (t->state == DRILL_TALK_DATA) {
		if (t->line_long || !crlf || strcmp(t->line, ".") != 0)
			return;
		for (size_t i = 0; i < t->recipient_count; i++)
			t->take(t->context, t->recipients[i]);
		talk_reset(t);
		t->state = DRILL_TALK_COMMAND;
		buf_add_text(out, "250 2.0.0 Ok: the drill has it\r\n");
	} else if (t->line_long) {
		buf_add_text(out, "500 5.5.2 line too long\r\n");
	} else {
		talk_command(t, t->line, out);
	}
}

void
drill_talk_start(struct drill_talk *t, struct buf *out)
{
	(void)t;
	buf_add_text(out, "220 sink.drill.invalid ESMTP, for a drill of mailfuse\r\n");
}

void
drill_talk_feed(struct drill_talk *t, const char *data, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len && t->state != DRILL_TALK_ENDED; i++) {
		bool crlf = t->line_len > 0 && t->line[t->line_len - 1] == '\r';

		if (data[i] != '\n') {
			if (t->line_len < sizeof(t->line) - 1)
				t->line[t->line_len++] = data[i];
			else
				t->line_long = true;
			continue;
		}
		t->line[crlf ? t->line_len - 1 : t->line_len] = '\0';
		talk_line(t, crlf, out);
		t->line_len = 0;
		t->line_long = false;
	}
}
