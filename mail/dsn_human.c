/*
 * Writes the human part of a notification. Its reader has sent an e-mail and knows nothing of
 * SMTP: plain words first, then the other server's own, because only those are exact. Called by
 * dsn.c, any thread.
 */
#include "mail/dsn_human.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "mail/address.h"
#include "mail/dsn_text.h"

/* What to do, by enhanced status (RFC 3463 3): the first row that its code starts with. */
static const struct advice {
	const char *status; /* behind the class */
	const char *text;
} advices[] = {
    {"1.7", "This sender's address was refused. Check the address that you send from."},
    {"1.8", "This sender's address was refused. Check the address that you send from."},
    {"1.", "Check the address for a typing mistake, or ask the recipient for the right one."},
    {"2.2", "The mailbox is full. Try again later, or reach the recipient in another way."},
    {"2.3", "The message is too large for this mailbox. Send it with smaller attachments."},
    {"2.", "The mailbox takes no mail at present. Try again later, or reach the recipient in "
	   "another way."},
    {"3.4", "The message is too large for that server. Send it with smaller attachments."},
    {"4.6", "The message went round in circles. Your mail administrator has to look into this."},
    {"4.", "The other server could not be reached, or put the message off again and again. Send "
	   "it again later; if that fails too, ask your mail administrator."},
    {"5.3", "The message has too many recipients. Send it to fewer at a time."},
    {"6.7", "The way to this recipient takes no letters beyond a to z in addresses or header "
	    "fields. Use an address in plain letters, if there is one."},
    {"6.", "The content of the message could not be carried to that server as it is. Send it in "
	   "another form, perhaps as plain text."},
    {"7.", "The other server refused the message as a matter of its policy; its answer above is "
	   "all that we know. Your mail administrator may know more."},
    {"", "If that does not help you, ask your mail administrator."},
};

bool
dsn_is_reply(const char *text)
{
	return text[0] >= '2' && text[0] <= '5' && text[1] >= '0' && text[1] <= '9' &&
	       text[2] >= '0' && text[2] <= '9' &&
	       (text[3] == ' ' || text[3] == '-' || text[3] == '\0');
}

/* Recipients with that action. */
static size_t
action_count(const struct dsn *d, enum dsn_action action)
{
	size_t i, n = 0;

	for (i = 0; i < d->recipient_count; i++)
		n += d->recipients[i].action == action;
	return n;
}

const char *
dsn_subject(const struct dsn *d)
{
	size_t failed = action_count(d, DSN_FAILED);

	if (failed == 0)
		return "Your message was passed on";
	if (failed < d->recipient_count)
		return "Your message did not reach all of its recipients";
	return "Your message could not be delivered";
}

/* A paragraph of our own words. */
static void
add_paragraph(struct buf *out, const char *indent, const char *text)
{
	buf_add_text(out, indent);
	dsn_fold(out, strlen(indent), indent, text);
	buf_add(out, "\r\n\r\n", 4);
}

static const char *
advice_find(const struct dsn_recipient *r)
{
	char status[12];
	size_t i = 0;

	dsn_status(r->reply, r->action, status);
	while (strncmp(status + 2, advices[i].status, strlen(advices[i].status)) != 0)
		i++;
	return advices[i].text;
}

static void
add_recipient(const struct dsn_recipient *r, struct arena *arena, struct buf *out)
{
	const char *host = dsn_clean(arena, r->remote_mta, ADDRESS_DOMAIN_MAX);
	const char *said = dsn_clean(arena, r->reply, DSN_REPLY_MAX);
	const char *address = dsn_clean(arena, r->address, DSN_VALUE_MAX);
	const char *original = strchr(dsn_clean_xtext(arena, r->orcpt), ';');

	buf_printf(out, "<%s>\r\n", address);
	if (original != NULL && original[1] != '\0' && strcasecmp(original + 1, address) != 0)
		buf_printf(out, "which was <%s> when you sent it\r\n", original + 1);
	buf_add(out, "\r\n", 2);
	if (said[0] != '\0') {
		if (!dsn_is_reply(said))
			add_paragraph(out, "    ", "What happened:");
		else if (host[0] == '\0')
			add_paragraph(out, "    ", "The other server answered:");
		else
			add_paragraph(out, "    ",
				      arena_printf(arena, "The server %s answered:", host));
		add_paragraph(out, "        ", said);
	}
	if (r->action == DSN_FAILED)
		add_paragraph(out, "    ", advice_find(r));
}

static void
add_recipients(const struct dsn *d, enum dsn_action action, struct arena *arena, struct buf *out)
{
	size_t i;

	for (i = 0; i < d->recipient_count; i++) {
		if (d->recipients[i].action == action)
			add_recipient(&d->recipients[i], arena, out);
	}
}

/* "this address" or "these 3 addresses" */
static const char *
count_text(size_t n, struct arena *arena)
{
	return n == 1 ? "this address" : arena_printf(arena, "these %zu addresses", n);
}

void
dsn_add_human(const struct dsn *d, struct arena *arena, struct buf *out)
{
	size_t failed = action_count(d, DSN_FAILED), relayed = d->recipient_count - failed;
	char date[CLOCK_RFC5322_BYTES];

	clock_format_rfc5322(d->arrived_at, date);
	add_paragraph(out, "",
		      arena_printf(arena, "This is the mail gate at %s.",
				   dsn_clean(arena, d->hostname, ADDRESS_DOMAIN_MAX)));
	if (failed > 0) {
		add_paragraph(out, "",
			      arena_printf(arena,
					   "We are sorry: your message of %s could not be "
					   "delivered to %s. It will not be tried again.",
					   date, count_text(failed, arena)));
		add_recipients(d, DSN_FAILED, arena, out);
	}
	if (relayed > 0) {
		add_paragraph(
		    out, "",
		    arena_printf(arena,
				 "Your message of %s was passed on for %s, to a server that sends "
				 "no confirmations. You asked for one: this is the last that we "
				 "can tell. There is nothing that you need to do.",
				 date, count_text(relayed, arena)));
		add_recipients(d, DSN_RELAYED, arena, out);
	}
	add_paragraph(out, "",
		      arena_printf(arena,
				   "The details for programs and the header of your message are "
				   "attached; its text is not. If you ask your mail administrator, "
				   "name this id: %s",
				   dsn_clean(arena, d->about, DSN_VALUE_MAX)));
	out->len -= 2; /* the last empty line */
}
