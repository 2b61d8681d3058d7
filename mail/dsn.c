/*
 * Delivery status notifications, from values of which every single one may be hostile: each goes
 * through dsn_clean() on its way into a field, and the boundary is chosen last, against what it
 * shall divide. Called by relay/bounce.c, any thread; scratch memory is one arena that ends with
 * the call.
 */
#include "mail/dsn.h"

#include <ctype.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/dsn_human.h"
#include "mail/dsn_text.h"

/* Of the id in the boundary, which may have 70 characters (RFC 2046 5.1.1). */
enum { BOUNDARY_ID_MAX = 40, PARTS = 3 };

struct part {
	const char *type; /* Content-Type and Content-Description */
	struct buf content;
};

/* Length of an enhanced status of that class at the start of text, 0 if there is none. */
static size_t
status_length(const char *text, char class)
{
	const char *p = text + 1;
	int detail;

	if (text[0] != class)
		return 0;
	for (detail = 0; detail < 2; detail++) {
		size_t digits;

		if (*p++ != '.')
			return 0;
		digits = strspn(p, "0123456789");
		if (digits < 1 || digits > 3)
			return 0;
		p += digits;
	}
	return *p == '\0' || strchr(" \t\r\n", *p) != NULL ? (size_t)(p - text) : 0;
}

void
dsn_status(const char *reply, enum dsn_action action, char out[12])
{
	const char *text = reply;
	char class = reply[0];
	size_t n;

	if (dsn_is_reply(text))
		text += text[3] != '\0' ? 4 : 3;
	else if (class != '\0' && text[1] != '.')
		class = '\0';
	/* RFC 3464 2.3.3: the class has to agree with the action. */
	if (action == DSN_RELAYED)
		class = '2';
	else if (class != '4' && class != '5')
		class = '5';
	n = status_length(text, class);
	memcpy(out, "5.0.0", 6);
	out[0] = class;
	if (n > 0) {
		memcpy(out, text, n);
		out[n] = '\0';
	}
}

/* RFC 3464 2.2 */
static void
add_message_fields(const struct dsn *d, struct arena *arena, struct buf *out)
{
	char date[CLOCK_RFC5322_BYTES];

	clock_format_rfc5322(d->arrived_at, date);
	if (d->envid[0] != '\0')
		buf_printf(out, "Original-Envelope-Id: %s\r\n", dsn_clean_xtext(arena, d->envid));
	buf_printf(out, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\nX-Mailfuse-Id: %s\r\n",
		   dsn_clean_ascii(arena, d->hostname, ADDRESS_DOMAIN_MAX), date,
		   dsn_clean_ascii(arena, d->about, DSN_VALUE_MAX));
}

static void
add_diagnostic(const struct dsn_recipient *r, struct arena *arena, struct buf *out)
{
	/* The human part has its letters; here they alone would not be worth the global form. */
	const char *said = dsn_clean_ascii(arena, r->reply, DSN_REPLY_MAX);
	size_t start = out->len;

	if (said[0] == '\0')
		return;
	buf_printf(out, "Diagnostic-Code: %s;", dsn_is_reply(said) ? "smtp" : "x-mailfuse");
	dsn_fold(out, out->len - start, "    ", said);
	buf_add(out, "\r\n", 2);
}

/* RFC 3464 2.3, in its order. */
static void
add_recipient_fields(const struct dsn_recipient *r, struct arena *arena, struct buf *out)
{
	const char *address = dsn_clean(arena, r->address, DSN_VALUE_MAX);
	const char *original = dsn_clean_xtext(arena, r->orcpt), *semicolon = strchr(original, ';');
	const char *host = dsn_clean_ascii(arena, r->remote_mta, ADDRESS_DOMAIN_MAX);
	char status[12], date[CLOCK_RFC5322_BYTES];

	buf_add(out, "\r\n", 2);
	if (semicolon != NULL && semicolon[1] != '\0')
		buf_printf(out, "Original-Recipient: %.*s; %s\r\n", (int)(semicolon - original),
			   original, semicolon + 1 + strspn(semicolon + 1, " "));
	dsn_status(r->reply, r->action, status);
	buf_printf(out, "Final-Recipient: %s; %s\r\nAction: %s\r\nStatus: %s\r\n",
		   text_is_ascii(address, strlen(address)) ? "rfc822" : "utf-8", address,
		   r->action == DSN_FAILED ? "failed" : "relayed", status);
	if (host[0] != '\0')
		buf_printf(out, "Remote-MTA: dns; %s\r\n", host);
	add_diagnostic(r, arena, out);
	if (r->last_attempt > 0) {
		clock_format_rfc5322(r->last_attempt, date);
		buf_printf(out, "Last-Attempt-Date: %s\r\n", date);
	}
}

/* Chooses what occurs in no part: from the id, longer until it does not. */
static const char *
boundary_find(const char *id, const struct part *parts, struct arena *arena)
{
	char *name = dsn_clean_ascii(arena, id, BOUNDARY_ID_MAX), *boundary;
	size_t n, i;

	for (i = 0; name[i] != '\0'; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '.')
			name[i] = '-';
	}
	for (n = 0;; n++) {
		bool taken = false;

		boundary = arena_printf(arena, "=_%s/%zu", name, n);
		for (i = 0; i < PARTS; i++) {
			const struct buf *content = &parts[i].content;

			taken = taken || memmem(buf_text(content), content->len, boundary,
						strlen(boundary)) != NULL;
		}
		if (!taken)
			return boundary;
	}
}

static void
add_header(const struct dsn *d, const char *boundary, bool eightbit, struct arena *arena,
	   struct buf *out)
{
	const char *hostname = dsn_clean_ascii(arena, d->hostname, ADDRESS_DOMAIN_MAX);
	char date[CLOCK_RFC5322_BYTES];

	clock_format_rfc5322(d->now, date);
	buf_printf(out,
		   "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"
		   "To: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n"
		   "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
		   "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		   "\tboundary=\"%s\"\r\n",
		   hostname, dsn_clean(arena, d->to, DSN_VALUE_MAX), dsn_subject(d), date,
		   dsn_clean_ascii(arena, d->id, DSN_VALUE_MAX / 2), hostname, boundary);
	if (eightbit)
		buf_add_text(out, "Content-Transfer-Encoding: 8bit\r\n");
}

static void
add_body(const struct part *parts, const char *boundary, struct buf *out)
{
	size_t i;

	/* For readers that know no MIME. */
	buf_add_text(out, "This is a delivery status notification in MIME format.\r\n");
	for (i = 0; i < PARTS; i++) {
		const struct buf *content = &parts[i].content;

		buf_printf(out, "\r\n--%s\r\n%s", boundary, parts[i].type);
		if (!text_is_ascii(buf_text(content), content->len))
			buf_add_text(out, "Content-Transfer-Encoding: 8bit\r\n");
		buf_add(out, "\r\n", 2);
		buf_add(out, buf_text(content), content->len);
	}
	buf_printf(out, "\r\n--%s--\r\n", boundary);
}

/* The global forms (RFC 6533 4, 5.1) only where they are needed: few programs read them. */
static void
name_types(struct part *parts)
{
	bool ascii[PARTS];
	size_t i;

	for (i = 0; i < PARTS; i++)
		ascii[i] = text_is_ascii(buf_text(&parts[i].content), parts[i].content.len);
	parts[0].type = ascii[0] ? "Content-Type: text/plain; charset=us-ascii\r\n"
				   "Content-Description: Notification\r\n"
				 : "Content-Type: text/plain; charset=utf-8\r\n"
				   "Content-Description: Notification\r\n";
	parts[1].type = ascii[1] ? "Content-Type: message/delivery-status\r\n"
				   "Content-Description: Delivery report\r\n"
				 : "Content-Type: message/global-delivery-status\r\n"
				   "Content-Description: Delivery report\r\n";
	parts[2].type = ascii[2] ? "Content-Type: text/rfc822-headers\r\n"
				   "Content-Description: Header of the message\r\n"
				 : "Content-Type: message/global-headers\r\n"
				   "Content-Description: Header of the message\r\n";
}

void
dsn_build(const struct dsn *d, struct buf *header, struct buf *body, bool *eightbit, bool *utf8)
{
	struct part parts[PARTS] = {{0}};
	struct arena arena = {0};
	const char *boundary;
	bool body_ascii = true;
	size_t i;

	dsn_add_human(d, &arena, &parts[0].content);
	add_message_fields(d, &arena, &parts[1].content);
	for (i = 0; i < d->recipient_count; i++)
		add_recipient_fields(&d->recipients[i], &arena, &parts[1].content);
	dsn_add_header(&parts[2].content, d->header, d->header_len);
	name_types(parts);
	boundary = boundary_find(d->id, parts, &arena);
	for (i = 0; i < PARTS; i++)
		body_ascii =
		    body_ascii && text_is_ascii(buf_text(&parts[i].content), parts[i].content.len);
	add_header(d, boundary, !body_ascii, &arena, header);
	add_body(parts, boundary, body);
	/* UTF-8 in a body is for 8BITMIME to carry; only a header needs more (RFC 6532 3.7). */
	*utf8 = !text_is_ascii(header->data, header->len);
	*eightbit = *utf8 || !body_ascii;
	for (i = 0; i < PARTS; i++)
		buf_free(&parts[i].content);
	arena_free(&arena);
}
