/*
 * What an upstream is told of sender and recipients: MAIL and RCPT with the parameters that it
 * offers, and who cannot be sent to it at all. Called by smtp_transaction.c, on its loop; the
 * client owns what it fills in.
 */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "mail/xtext.h"
#include "relay/smtp_client.h"

/* A path by the grammar to its last byte, such as a blank in quotes needs. */
static bool
is_path(const char *address)
{
	struct arena arena = {0};
	struct address parsed;
	char *path = arena_printf(&arena, "<%s>", address);
	const char *end = path;
	bool ok = address_parse_path(&end, false, true, &arena, &parsed) == NULL && *end == '\0';

	arena_free(&arena);
	return ok;
}

/* What could end the line early, or pass for something else, is refused by us, not tried on them.
 */
static bool
is_sendable(const char *address)
{
	const char *c;

	for (c = address; *c != '\0'; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f || *c == '<' || *c == '>')
			return is_path(address);
	return text_is_utf8(address, strlen(address));
}

static bool
needs_utf8(const struct message *m)
{
	return !text_is_ascii(m->sender.text, strlen(m->sender.text)) || message_needs_smtputf8(m);
}

/* Where the sender itself may not be reached, the upstream shall not bounce to it either. */
static bool
is_silent(const struct smtp_client *c, const struct delivery *d)
{
	const struct message *m = d->message;

	return c->has.dsn && *m->sender.text != '\0' &&
	       !gate_may_reach(d->policy, m->environment, m->sender.text);
}

/* An alert that was queued before a reload took its reader off the channel. */
static bool
is_off_channel(const struct delivery *d, const char *address)
{
	return store_is_alert_mail(d->message->environment) &&
	       !gate_may_reach(d->policy, d->message->environment, address);
}

void
smtp_envelope_choose(const struct smtp_client *c, struct smtp_transaction *t)
{
	static const char no_utf8[] =
	    "550 5.6.7 it needs SMTPUTF8, which the upstream does not offer";
	struct delivery *d = t->delivery;
	bool message_utf8 = needs_utf8(d->message);

	t->utf8 = message_utf8;
	t->silent = is_silent(c, d);
	t->count = 0;
	for (; t->next_recipient < d->count && t->count < CLIENT_RECIPIENTS_MAX;
	     t->next_recipient++) {
		size_t i = t->next_recipient;
		const char *address = d->recipients[i].address;
		bool utf8 = !text_is_ascii(address, strlen(address));

		/* It has one copy coming already, or was recalled. */
		if (d->recipients[i].lead != i || d->recipients[i].answered)
			continue;
		if (!is_sendable(address)) {
			delivery_answer(d, i, 550,
					"550 5.1.3 the address cannot be sent over SMTP");
		} else if (is_off_channel(d, address)) {
			delivery_answer(d, i, 550,
					"550 5.7.1 the alert channel does not name it any more");
		} else if ((utf8 || message_utf8) && !c->has.utf8) {
			delivery_answer(d, i, 550, no_utf8);
		} else {
			t->recipients[t->count++] = i;
			t->utf8 = t->utf8 || utf8;
		}
	}
}

bool
smtp_envelope_is_seven(const struct smtp_client *c, const struct message *m)
{
	return m->eightbit && !c->has.eightbit;
}

uint64_t
smtp_envelope_size(const struct message *m)
{
	return m->header.len + 2 + m->body_bytes;
}

void
smtp_envelope_mail(const struct smtp_client *c, const struct smtp_transaction *t, struct buf *line)
{
	const struct message *m = t->delivery->message;

	buf_add_text(line, "MAIL FROM:<");
	buf_add_text(line, m->sender.text);
	buf_add_char(line, '>');
	if (c->has.size &&
	    !smtp_envelope_is_seven(c, m)) /* as 7-bit it grows, who knows how much */
		buf_printf(line, " SIZE=%" PRIu64, smtp_envelope_size(m));
	if (c->has.eightbit && m->eightbit)
		buf_add_text(line, " BODY=8BITMIME");
	if (t->utf8)
		buf_add_text(line, " SMTPUTF8");
	if (!c->has.dsn)
		return;
	if (m->ret != DSN_RET_NONE)
		buf_add_text(line, m->ret == DSN_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (m->envid != NULL && *m->envid != '\0')
		buf_printf(line, " ENVID=%s", m->envid);
}

/* RFC 3461 4.1: NEVER stands alone. */
static void
add_notify(unsigned notify, struct buf *line)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {{DSN_SUCCESS, "SUCCESS"}, {DSN_FAILURE, "FAILURE"}, {DSN_DELAY, "DELAY"}};
	const char *before = " NOTIFY=";
	size_t i;

	if (notify & DSN_NEVER) {
		buf_add_text(line, " NOTIFY=NEVER");
		return;
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(notify & names[i].flag))
			continue;
		buf_add_text(line, before);
		buf_add_text(line, names[i].name);
		before = ",";
	}
}

void
smtp_envelope_rcpt(const struct smtp_client *c, const struct smtp_transaction *t, size_t number,
		   struct buf *line)
{
	const struct delivery_recipient *r = &t->delivery->recipients[t->recipients[number]];

	buf_add_text(line, "RCPT TO:<");
	buf_add_text(line, r->address);
	buf_add_char(line, '>');
	if (!c->has.dsn)
		return;
	add_notify(t->silent ? DSN_NEVER : r->notify, line);
	/* Whom it was meant for is not the business of whom it goes to instead. */
	if (r->rewritten)
		return;
	if (*r->orcpt != '\0') {
		buf_printf(line, " ORCPT=%s", r->orcpt);
	} else if (r->notify != 0 && text_is_ascii(r->address, strlen(r->address))) {
		buf_add_text(line, " ORCPT=rfc822;");
		xtext_encode(r->address, line);
	}
}
