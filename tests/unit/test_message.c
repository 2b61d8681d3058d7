/*
 * message.h: the header that leaves, byte for byte; what is read out of a header; recipients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/id.h"
#include "mail/header.h"
#include "mail/message.h"
#include "mail/mime.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Stands on top of every row's header, so that nothing is missing. */
#define HEAD "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <m@app.test>\r\n"
#define RECEIVED                                                                                   \
	"Received: from app.test ([10.2.0.7])\r\n"                                                 \
	"\tby gate.test (mailfuse) with ESMTP id 00000000000000000000000000;\r\n"                  \
	"\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
#define TAGS                                                                                       \
	"X-Mailfuse-Environment: staging\r\n"                                                      \
	"X-Mailfuse-Source: shop\r\n"                                                              \
	"X-Mailfuse-Id: 00000000000000000000000000\r\n"

/* ok.test is allowed; all others become qa@ok.test. */
static const char *
map_policy(void *context, const char *address)
{
	const char *at = strchr(address, '@');

	(void)context;
	return at != NULL && strcmp(at, "@ok.test") == 0 ? address : "qa@ok.test";
}

static struct message *
message_make(const char *prefix, bool harmless, const char *header)
{
	struct message *m = message_new();

	m->environment = "staging";
	m->source = "shop";
	m->client = "10.2.0.7";
	m->helo = "app.test";
	m->protocol = "ESMTP";
	m->edit = (struct message_edit){"gate.test", prefix, harmless, map_policy, NULL};
	buf_add_text(&m->header, header);
	return m;
}

struct row {
	const char *name, *input, *wanted;
	const char *rest; /* behind our own fields; NULL: nothing */
};

static void
check_rows(const struct row *rows, size_t count, const char *prefix, bool harmless)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct buf input = {0}, wanted = {0};
		struct message *m;

		print_message("  %s\n", rows[i].name);
		buf_printf(&input, "%s%s", HEAD, rows[i].input);
		buf_printf(&wanted, "%s%s%s%s%s", RECEIVED, HEAD, rows[i].wanted, TAGS,
			   rows[i].rest != NULL ? rows[i].rest : "");
		m = message_make(prefix, harmless, input.data);
		message_apply(m);
		assert_string_equal(buf_text(&m->header), wanted.data);
		message_free(m);
		buf_free(&input);
		buf_free(&wanted);
	}
}

static const struct row plain_rows[] = {
    {"nothing more", "", "", NULL},
    {"untouched fields keep bytes and order",
     "subject:  a\r\n\tb \r\nTo:a@b.example\r\nX-Odd :\xff\xc3\r\nFrom: x\r\nTo: c@d.example\r\n",
     "subject:  a\r\n\tb \r\nTo:a@b.example\r\nX-Odd :\xff\xc3\r\nFrom: x\r\nTo: c@d.example\r\n",
     NULL},
    {"Bcc", "Bcc: a@b.example\r\nTo: x\r\n", "To: x\r\n", NULL},
    {"Bcc in any case, twice, with a blank, folded",
     "BCC: a\r\nTo: x\r\nbcc :\r\n b,\r\n\tc\r\nbCc\t: d\r\n", "To: x\r\n", NULL},
    {"an empty Bcc", "Bcc:\r\n", "", NULL},
    {"Resent-Bcc", "Resent-Bcc: a\r\nResent-To: b\r\nresent-bcc : c\r\n", "Resent-To: b\r\n", NULL},
    {"names that only look alike stay",
     "Bccx: a\r\nXBcc: b\r\nX-Mailfuse: c\r\nX-Mailfused-Y: d\r\n",
     "Bccx: a\r\nXBcc: b\r\nX-Mailfuse: c\r\nX-Mailfused-Y: d\r\n", NULL},
    {"our fields, forged",
     "X-Mailfuse-Id: 1\r\nx-mailfuse-original-to : a\r\n b\r\nX-MAILFUSE-Campaign: c\r\nTo: x\r\n",
     "To: x\r\n", NULL},
    {"no field: the rest becomes body", "To: x\r\ngarbage\r\nBcc: a\r\n", "To: x\r\n",
     "\r\ngarbage\r\nBcc: a\r\n"},
    {"an empty line is not doubled", "To: x\r\n\r\nBcc: a\r\n", "To: x\r\n", "\r\nBcc: a\r\n"},
    {"an empty line at the end goes", "To: x\r\n\r\n", "To: x\r\n", NULL},
    {"bare line ends", "To: x\nBcc: a\nCc: y\rBcc: b\r\n", "To: x\r\nCc: y Bcc: b\r\n", NULL},
};

static void
test_plain(void **state)
{
	(void)state;
	check_rows(plain_rows, COUNT(plain_rows), "", false);
	check_rows(plain_rows, COUNT(plain_rows), NULL, false);
}

#define ORIGINAL "X-Mailfuse-Original-"

static const struct row harmless_rows[] = {
    {"nothing to change keeps its bytes", "To:  a@ok.test,\r\n\tb@ok.test \r\n",
     "To:  a@ok.test,\r\n\tb@ok.test \r\n", NULL},
    {"To", "To: j@d.example\r\n", "To: qa@ok.test\r\n" ORIGINAL "To: j@d.example\r\n", NULL},
    {"every field a reply goes to",
     "To: a@x.example\r\nCc: b@x.example\r\nReply-To: c@x.example\r\nResent-To: d@x.example\r\n"
     "Resent-Cc: e@x.example\r\nResent-Reply-To: f@x.example\r\n",
     "To: qa@ok.test\r\nCc: qa@ok.test\r\nReply-To: qa@ok.test\r\nResent-To: qa@ok.test\r\n"
     "Resent-Cc: qa@ok.test\r\nResent-Reply-To: qa@ok.test\r\n" ORIGINAL
     "To: a@x.example\r\n" ORIGINAL "Cc: b@x.example\r\n" ORIGINAL
     "Reply-To: c@x.example\r\n" ORIGINAL "Resent-To: d@x.example\r\n" ORIGINAL
     "Resent-Cc: e@x.example\r\n" ORIGINAL "Resent-Reply-To: f@x.example\r\n",
     NULL},
    {"receipts, errors and follow-ups",
     "Disposition-Notification-To: a@x.example\r\nReturn-Receipt-To: b@x.example\r\n"
     "Errors-To: c@x.example\r\nMail-Followup-To: d@x.example\r\nMail-Reply-To: e@x.example\r\n",
     "Disposition-Notification-To: qa@ok.test\r\nReturn-Receipt-To: qa@ok.test\r\n"
     "Errors-To: qa@ok.test\r\nMail-Followup-To: qa@ok.test\r\nMail-Reply-To: "
     "qa@ok.test\r\n" ORIGINAL "Disposition-Notification-To: a@x.example\r\n" ORIGINAL
     "Return-Receipt-To: b@x.example\r\n" ORIGINAL "Errors-To: c@x.example\r\n" ORIGINAL
     "Mail-Followup-To: d@x.example\r\n" ORIGINAL "Mail-Reply-To: e@x.example\r\n",
     NULL},
    {"who wrote it stays",
     "From: j@d.example\r\nSender: j@d.example\r\nReturn-Path: <j@d.example>\r\n",
     "From: j@d.example\r\nSender: j@d.example\r\nReturn-Path: <j@d.example>\r\n", NULL},
    {"any case, a blank before the colon, twice", "TO : a@x.example\r\nX: y\r\nto: b@x.example\r\n",
     "TO: qa@ok.test\r\nX: y\r\nto: qa@ok.test\r\n" ORIGINAL "To: a@x.example\r\n" ORIGINAL
     "To: b@x.example\r\n",
     NULL},
    {"folded", "To: A <a@x.example>,\r\n\tB <b@ok.test>\r\n",
     "To: A <qa@ok.test>, B <b@ok.test>\r\n" ORIGINAL "To: A <a@x.example>,\tB <b@ok.test>\r\n",
     NULL},
    {"one of three", "Cc: a@ok.test, \"D, J\" <j@d.example>, G: b@ok.test;\r\n",
     "Cc: a@ok.test, \"D, J\" <qa@ok.test>, G: b@ok.test;\r\n" ORIGINAL
     "Cc: a@ok.test, \"D, J\" <j@d.example>, G: b@ok.test;\r\n",
     NULL},
    {"a list that is folded anew",
     "To: a@x.example, b@x.example, c@x.example, d@x.example, e@x.example, f@x.example\r\n",
     "To: qa@ok.test, qa@ok.test, qa@ok.test, qa@ok.test, qa@ok.test, qa@ok.test\r\n" ORIGINAL
     "To: a@x.example, b@x.example, c@x.example, d@x.example,\r\n e@x.example, f@x.example\r\n",
     NULL},
    {"nothing readable: the field goes", "To: j d@d.example\r\nX: y\r\n",
     "X: y\r\n" ORIGINAL "To: j d@d.example\r\n", NULL},
    {"no recipients", "To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n", NULL},
    {"an empty field", "To:\r\nCc: \r\n", "To:\r\nCc: \r\n", NULL},
    {"controls in the original",
     "To: j\x1b[2J@d.example,\x01"
     "a@ok.test\r\n",
     "To: qa@ok.test, _a@ok.test\r\n" ORIGINAL "To: j [2J@d.example, a@ok.test\r\n", NULL},
    {"Bcc leaves no original", "Bcc: j@d.example\r\nTo: a@ok.test\r\n", "To: a@ok.test\r\n", NULL},
    {"a forged original goes", ORIGINAL "To: boss@d.example\r\nTo: j@d.example\r\n",
     "To: qa@ok.test\r\n" ORIGINAL "To: j@d.example\r\n", NULL},
    {"behind garbage it is body", "To: j@d.example\r\n \r\n: \r\nCc: k@d.example\r\n",
     "To: qa@ok.test\r\n" ORIGINAL "To: j@d.example\r\n", "\r\n: \r\nCc: k@d.example\r\n"},
};

static void
test_harmless(void **state)
{
	(void)state;
	check_rows(harmless_rows, COUNT(harmless_rows), "", true);
}

#define X10 "xxxxxxxxx "
#define X60 X10 X10 X10 X10 X10 X10

static const struct row prefix_rows[] = {
    {"plain", "Subject: Hello\r\n", "Subject: [STG] Hello\r\n", NULL},
    {"the rest keeps its bytes", "subject :\t a  b \xff\r\n\tc\r\n",
     "subject: [STG] a  b \xff\r\n\tc\r\n", NULL},
    {"none", "To: x\r\n", "To: x\r\nSubject: [STG]\r\n", NULL},
    {"empty", "Subject:\r\n", "Subject: [STG]\r\n", NULL},
    {"blanks only", "Subject: \r\n \r\n", "Subject: [STG]\r\n", NULL},
    {"there already", "Subject:  [STG] Hello\r\n", "Subject:  [STG] Hello\r\n", NULL},
    {"there in a reply", "Subject: Re: [STG] Hello\r\n", "Subject: Re: [STG] Hello\r\n", NULL},
    {"there, encoded", "Subject: =?utf-8?b?W1NUR10gw7Y=?=\r\n",
     "Subject: =?utf-8?b?W1NUR10gw7Y=?=\r\n", NULL},
    {"there, but later", "Subject: a [STG] b\r\n", "Subject: [STG] a [STG] b\r\n", NULL},
    {"an encoded subject", "Subject: =?utf-8?q?=C3=B6?= =?utf-8?q?x?=\r\n",
     "Subject: [STG] =?utf-8?q?=C3=B6?= =?utf-8?q?x?=\r\n", NULL},
    {"several: the first", "Subject: a\r\nSubject: b\r\n", "Subject: [STG] a\r\nSubject: b\r\n",
     NULL},
    {"a long one is folded", "Subject: " X60 "12345\r\n",
     "Subject: [STG] xxxxxxxxx xxxxxxxxx xxxxxxxxx xxxxxxxxx xxxxxxxxx xxxxxxxxx\r\n 12345\r\n",
     NULL},
    {"folds stay", "Subject: a\r\n " X60 "12345\r\n", "Subject: [STG] a\r\n " X60 "12345\r\n",
     NULL},
};

static void
test_prefix(void **state)
{
	(void)state;
	check_rows(prefix_rows, COUNT(prefix_rows), "[STG] ", false);
	check_rows(plain_rows, COUNT(plain_rows), "  ", false);
}

static const struct {
	const char *name, *prefix, *subject, *wanted, *shown;
} join_rows[] = {
    {"plain, no blank", "[STG]", "Hello", "[STG]Hello", "[STG]Hello"},
    {"plain, no blank, encoded subject", "[STG]",
     "=?utf-8?q?=C3=B6?=", "=?UTF-8?Q?=5BSTG=5D?= =?utf-8?q?=C3=B6?=", "[STG]\xc3\xb6"},
    {"encoded", "[\xc3\xbc] ", "a b", "=?UTF-8?Q?=5B=C3=BC=5D?= a b", "[\xc3\xbc] a b"},
    {"encoded, encoded subject", "[\xc3\xbc] ", "=?utf-8?q?=C3=B6?= b",
     "=?UTF-8?Q?=5B=C3=BC=5D_?= =?utf-8?q?=C3=B6?= b", "[\xc3\xbc] \xc3\xb6 b"},
    {"encoded, no blank", "\xc3\xbc:", "a b", "=?UTF-8?Q?=C3=BC=3Aa?= b", "\xc3\xbc:a b"},
    {"encoded, no blank, encoded subject", "\xc3\xbc:", "=?utf-8?q?a?= b",
     "=?UTF-8?Q?=C3=BC=3A?= =?utf-8?q?a?= b", "\xc3\xbc:a b"},
    {"encoded, no blank, an encoded word second",
     "\xc3\xbc:", "a =?utf-8?q?b?=", "=?UTF-8?Q?=C3=BC=3Aa_?= =?utf-8?q?b?=", "\xc3\xbc:a b"},
    {"encoded, nothing behind", "\xc3\xbc ", "", "=?UTF-8?Q?=C3=BC?=", "\xc3\xbc"},
    {"looks like an encoded word", "=?utf-8?q?x?= ", "a", "=?UTF-8?Q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= a",
     "=?utf-8?q?x?= a"},
    {"inner blanks", "[MY STG] ", "=?utf-8?q?a?=", "[MY STG] =?utf-8?q?a?=", "[MY STG] a"},
};

/* What a reader sees is the prefix and the subject, whatever is encoded; and only once. */
static void
test_join(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(join_rows); i++) {
		struct arena arena = {0};
		struct buf input = {0};
		struct message *m;
		struct header h;

		print_message("  %s\n", join_rows[i].name);
		buf_printf(&input, "Subject: %s\r\n", join_rows[i].subject);
		m = message_make(join_rows[i].prefix, false, input.data);
		message_apply(m);
		header_parse(&h, m->header.data, m->header.len, &arena);
		assert_string_equal(header_value(&h, header_find(&h, "Subject")),
				    join_rows[i].wanted);
		message_read_header(m);
		assert_string_equal(m->subject, join_rows[i].shown);
		message_free(m);
		buf_free(&input);
		arena_free(&arena);
	}
}

static void
test_added(void **state)
{
	struct message *m = message_make("", false, "X: y\r\n");

	(void)state;
	m->client = "2001:db8::7";
	m->helo = "evil (x)\r\nBcc: a@b\xff;";
	m->source = "sh\xc3\xb6p\r\nBcc: a@b";
	m->accepted_at = INT64_C(1795262651000000);
	message_apply(m);
	assert_string_equal(
	    buf_text(&m->header),
	    "Received: from evil??x???Bcc:?a?b?? ([IPv6:2001:db8::7])\r\n"
	    "\tby gate.test (mailfuse) with ESMTP id 00000000000000000000000000;\r\n"
	    "\tSat, 21 Nov 2026 12:04:11 +0000\r\n"
	    "X: y\r\n"
	    "Date: Sat, 21 Nov 2026 12:04:11 +0000\r\n"
	    "Message-ID: <00000000000000000000000000@gate.test>\r\n"
	    "X-Mailfuse-Environment: staging\r\n"
	    "X-Mailfuse-Source: =?UTF-8?Q?sh=C3=B6p=0D=0ABcc=3A_a=40b?=\r\n"
	    "X-Mailfuse-Id: 00000000000000000000000000\r\n");
	assert_int_equal(message_count_received(m), 1);
	message_apply(m);
	assert_int_equal(message_count_received(m), 2);
	message_free(m);
}

/* The Received field, from what a peer says of itself: nothing in it ends the field or a comment.
 */
static const struct {
	const char *name, *helo, *protocol, *tls, *hostname, *wanted;
} received_rows[] = {
    {"no TLS", "app.test", "ESMTP", "", "gate.test",
     "from app.test ([10.2.0.7])\r\n\tby gate.test (mailfuse) with ESMTP id "},
    {"TLS and AUTH", "app.test", "ESMTPSA", "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384",
     "gate.test",
     "from app.test ([10.2.0.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n\tby "
     "gate.test (mailfuse) with ESMTPSA id "},
    {"SMTPUTF8", "app.test", "UTF8SMTPS", "TLSv1.2", "gate.test",
     "from app.test ([10.2.0.7])\r\n\t(using TLSv1.2)\r\n\tby gate.test (mailfuse) with "
     "UTF8SMTPS id "},
    {"nothing said", "", "", NULL, "",
     "from unknown ([10.2.0.7])\r\n\tby localhost (mailfuse) with SMTP id "},
    {"a line end in each", "a\r\nBcc: b", "E\r\nBcc: b", "T\r\n\r\nBcc: b", "g\nBcc: b",
     "from a??Bcc:?b ([10.2.0.7])\r\n\t(using T????Bcc: b)\r\n\tby g?Bcc:?b (mailfuse) with "
     "E??Bcc:?b id "},
    {"the end of a comment", "a)(b", "E)", "x) by evil (\\", "g;",
     "from a??b ([10.2.0.7])\r\n\t(using x? by evil ?\?)\r\n\tby g? (mailfuse) with E? id "},
    {"UTF-8", "j\303\266", "E\303\266", "\303\266", "\303\266",
     "from j?? ([10.2.0.7])\r\n\t(using ?\?)\r\n\tby ?? (mailfuse) with E?? id "},
};

static void
test_received(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(received_rows); i++) {
		struct message *m = message_make("", false, "X: y\r\n");
		struct buf wanted = {0};
		struct arena arena = {0};
		struct header h;

		print_message("  %s\n", received_rows[i].name);
		m->helo = received_rows[i].helo;
		m->protocol = received_rows[i].protocol;
		m->tls = received_rows[i].tls;
		m->edit.hostname = received_rows[i].hostname;
		m->smtputf8 = true;
		message_apply(m);
		buf_printf(&wanted, "Received: %s00000000000000000000000000;\r\n",
			   received_rows[i].wanted);
		assert_memory_equal(m->header.data, wanted.data, wanted.len);
		header_parse(&h, m->header.data, m->header.len, &arena);
		assert_true(header_is_clean(&h));
		assert_int_equal(h.count, 7);
		arena_free(&arena);
		buf_free(&wanted);
		message_free(m);
	}
}

/* Our fields are ASCII even then, or a message in ASCII would need SMTPUTF8 because of us. */
static void
test_hostile_source(void **state)
{
	static const char *const names[] = {"j\303\266rg", "a\r\nBcc: b@c.example",
					    "a\n\nbody",   "\302\205",
					    "a\377b",      "=?utf-8?q?=0D=0ABcc:_b?="};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(names); i++) {
		struct message *m = message_make("", false, "X: y\r\n");
		struct arena arena = {0};
		struct header h;
		size_t at;

		m->source = m->environment = names[i];
		m->smtputf8 = true;
		message_apply(m);
		header_parse(&h, m->header.data, m->header.len, &arena);
		assert_int_equal(h.count, 7);
		assert_int_equal(header_count(&h, "Bcc"), 0);
		for (at = 0; at < m->header.len; at++)
			assert_in_range((unsigned char)m->header.data[at], '\t', '~');
		assert_false(message_needs_smtputf8(m));
		arena_free(&arena);
		message_free(m);
	}
}

/* %s is an id of this store, or what is one but for a character. */
static const struct {
	const char *name, *header;
	bool ours, here; /* with our id in it, and then known */
} here_rows[] = {
    {"nothing", "", true, false},
    {"ours", "X-Mailfuse-Id: %s\r\n", true, true},
    {"ours, folded, in another case", "To: a\r\nx-mailfuse-ID :\r\n\t%s \r\n", true, true},
    {"a delivery of ours", "X-Mailfuse-Id: %s.2\r\n", true, true},
    {"of another gate", "X-Mailfuse-Id: %s\r\n", false, false},
    {"text behind it", "X-Mailfuse-Id: %s0\r\n", true, false},
    {"empty", "X-Mailfuse-Id:\r\n", true, false},
    {"garbage", "X-Mailfuse-Id: 1234567890123456789012345678901234567890123\r\n", true, false},
    {"the second one", "X-Mailfuse-Id: x\r\nX-Mailfuse-Id: %s\r\n", true, true},
    {"another field", "X-Mailfuse-Ids: %s\r\nSubject: %s\r\n", true, false},
    {"behind the header section", "To: a\r\ngarbage\r\nX-Mailfuse-Id: %s\r\n", true, false},
    {"our Received",
     "Received: from a ([10.0.0.1])\r\n\tby g (mailfuse) with ESMTP id %s;\r\n\tx\r\n", true, true},
    {"our Received with TLS, not on top",
     "Received: from x by y with SMTP id 7; z\r\nReceived: from a ([10.0.0.1])\r\n\t(using T)\r\n\t"
     "by g (mailfuse) with ESMTPS id %s;\r\n\tx\r\n",
     true, true},
    {"Received of another gate", "Received: from a by g (mailfuse) with ESMTP id %s; x\r\n", false,
     false},
    {"Received of another program", "Received: from a by g (Postfix) with ESMTP id %s; x\r\n", true,
     false},
    {"Received without an id", "Received: from a by g (mailfuse) with ESMTP; x id %s\r\n", true,
     false},
    {"Received cut short", "Received: from a by g (mailfuse) with \r\n", true, false},
};

static void
test_was_here(void **state)
{
	enum { OTHERS = 7 };
	char id[ID_TEXT_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(here_rows); i++) {
		struct buf header = {0};
		const char *p;
		struct message *m;

		print_message("  %s\n", here_rows[i].name);
		id_init(here_rows[i].ours ? 0 : OTHERS, 0);
		id_format(id_next(), id);
		id_init(0, 0);
		for (p = here_rows[i].header; *p != '\0'; p++) {
			if (p[0] == '%' && p[1] == 's') {
				buf_add_text(&header, id);
				p++;
			} else {
				buf_add_char(&header, *p);
			}
		}
		m = message_make("", false, buf_text(&header));
		assert_int_equal(message_was_here(m), here_rows[i].here);
		message_free(m);
		buf_free(&header);
	}
}

/* Whatever way it leaves, it is known when it comes back. */
static void
test_comes_back(void **state)
{
	struct message *m = message_make("", false, "X: y\r\n");

	(void)state;
	m->id = id_next();
	m->tls = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384";
	assert_false(message_was_here(m));
	message_apply(m);
	assert_true(message_was_here(m));
	/* On its way somebody took our X- fields off. */
	strstr(m->header.data, "X-Mailfuse-Id")[0] = 'Y';
	assert_true(message_was_here(m));
	message_free(m);
}

static const struct {
	const char *name;
	bool smtputf8;
	const char *sender;
	const char *header;
	bool wanted;
} needs_rows[] = {
    {"ASCII", true, "a@b.example", "Subject: a\r\n", false},
    {"nothing", true, "", "", false},
    {"UTF-8 header", true, "a@b.example", "Subject: \303\266\r\n", true},
    {"UTF-8 in the last byte", true, "", "Subject: a\377", true},
    {"UTF-8 sender", true, "\303\266@b.example", "", true},
    {"U-label sender", true, "a@b\303\274cher.example", "Subject: a\r\n", true},
    {"the client did not say so", false, "\303\266@b.example", "Subject: \303\266\r\n", false},
};

static void
test_needs_smtputf8(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(needs_rows); i++) {
		struct message *m = message_make("", false, needs_rows[i].header);

		print_message("  %s\n", needs_rows[i].name);
		m->smtputf8 = needs_rows[i].smtputf8;
		m->sender.text = arena_strdup(
		    &m->arena, needs_rows[i].sender); /* as from the store: utf8 is not set */
		assert_int_equal(message_needs_smtputf8(m), needs_rows[i].wanted);
		message_free(m);
	}
}

/* 500 recipients, one of them a stranger; and no line that an SMTP server would refuse. */
static void
test_long_list(void **state)
{
	struct arena arena = {0};
	struct buf input = {0};
	struct message *m;
	struct header h;
	const char *p, *next;
	size_t i;

	(void)state;
	buf_add_text(&input, "To:");
	for (i = 0; i < 500; i++)
		buf_printf(&input, "%suser%zu@%s", i > 0 ? "," : "", i,
			   i == 250 ? "d.example" : "ok.test");
	buf_add_text(&input, "\r\n");
	m = message_make("", true, input.data);
	message_apply(m);
	header_parse(&h, m->header.data, m->header.len, &arena);
	p = header_value(&h, header_find(&h, "To"));
	assert_non_null(strstr(p, "user249@ok.test, qa@ok.test, user251@ok.test"));
	assert_null(strstr(p, "d.example"));
	p = header_value(&h, header_find(&h, ORIGINAL "To"));
	assert_non_null(strstr(p, "user250@d.example"));
	for (p = m->header.data; *p != '\0'; p = next) {
		next = strstr(p, "\r\n") + 2;
		assert_true(next - p <= 1000);
	}
	message_free(m);
	buf_free(&input);
	arena_free(&arena);
}

static const struct {
	const char *name, *header, *subject, *key, *campaign, *from;
} read_rows[] = {
    {"nothing", "", "", "", "", ""},
    {"plain", "From: a@b.example\r\nSubject: Order 12\r\nX-Mailfuse-Campaign: spring \r\n",
     "Order 12", "order #", "spring", "a@b.example"},
    {"encoded", "From: =?utf-8?q?J=C3=B6rg?= <a@b.example>\r\nSUBJECT : =?utf-8?b?w4Q=?=\r\n x\r\n",
     "\xc3\x84 x", "\xc3\xa4 x", "", "J\xc3\xb6rg <a@b.example>"},
    {"the first of several", "Subject: a\r\nSubject: b\r\n", "a", "a", "", ""},
    {"not behind garbage", "garbage\r\nSubject: a\r\n", "", "", "", ""},
};

static void
test_read(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(read_rows); i++) {
		struct message *m = message_make("", false, read_rows[i].header);

		print_message("  %s\n", read_rows[i].name);
		message_read_header(m);
		assert_string_equal(m->subject, read_rows[i].subject);
		assert_string_equal(m->subject_key, read_rows[i].key);
		assert_string_equal(m->campaign, read_rows[i].campaign);
		assert_string_equal(m->header_from, read_rows[i].from);
		message_free(m);
	}
}

#define CAMPAIGN "X-Mailfuse-Campaign: "
#define AUDIENCE "X-Mailfuse-Audience: "
#define NO_NUMBER                                                                                  \
	"X-Mailfuse-Audience is no whole number; send the number of recipients in digits only, "   \
	"such as 300"
#define C10 "cccccccccc"
#define C100 C10 C10 C10 C10 C10 C10 C10 C10 C10 C10

static const struct {
	const char *name, *header, *campaign;
	uint32_t audience;
	const char *error; /* NULL: none, and then the values count */
} declaration_rows[] = {
    {"nothing", "", "", 0, NULL},
    {"a campaign", CAMPAIGN "spring\r\n", "spring", 0, NULL},
    {"both", CAMPAIGN "spring\r\n" AUDIENCE "300\r\n", "spring", 300, NULL},
    {"the other way round", AUDIENCE "1\r\nTo: x\r\n" CAMPAIGN "spring 2026\r\n", "spring 2026", 1,
     NULL},
    {"any case, blanks around", "x-mailfuse-campaign :\t a \r\nX-MAILFUSE-AUDIENCE:  7 \r\n", "a",
     7, NULL},
    {"folded", CAMPAIGN "\r\n spring\r\n" AUDIENCE "\r\n 300\r\n", "spring", 300, NULL},
    {"the largest", CAMPAIGN "a\r\n" AUDIENCE "4294967295\r\n", "a", UINT32_MAX, NULL},
    {"zeros before it", CAMPAIGN "a\r\n" AUDIENCE "0000000000000000000000300\r\n", "a", 300, NULL},
    {"the same twice", CAMPAIGN "a\r\n" CAMPAIGN " a\r\n" AUDIENCE "3\r\n" AUDIENCE "03\r\n", "a",
     3, NULL},
    {"encoded", CAMPAIGN "=?utf-8?q?fr=C3=BChling?=\r\n", "fr\xc3\xbchling", 0, NULL},
    {"as long as may be", CAMPAIGN C100 C100 "\r\n", C100 C100, 0, NULL},
    {"behind garbage", "garbage\r\n" CAMPAIGN "a\r\n" AUDIENCE "x\r\n", "", 0, NULL},
    {"folded, with a blank and with a tab", CAMPAIGN "a\r\n b\r\n" CAMPAIGN "a\r\n\tb\r\n", "a b",
     0, NULL},
    {"names that only begin so", "X-Mailfuse-Campaigns: a\r\nX-Mailfuse-Audience-Id: x\r\n", "", 0,
     NULL},

    {"an audience alone", AUDIENCE "300\r\n", "", 0,
     "X-Mailfuse-Audience needs X-Mailfuse-Campaign; send both or neither"},
    {"a campaign that is too long", CAMPAIGN C100 C100 "c\r\n", "", 0,
     "X-Mailfuse-Campaign is longer than 200 bytes; send a shorter id"},
    {"an empty campaign", CAMPAIGN "\r\n", "", 0,
     "X-Mailfuse-Campaign is empty; send the campaign's id or leave the field out"},
    {"a campaign of blanks", CAMPAIGN "=?utf-8?q?_?=\r\n", "", 0,
     "X-Mailfuse-Campaign is empty; send the campaign's id or leave the field out"},
    {"a control character in the campaign", CAMPAIGN "a\x1b[2J\r\n", "", 0,
     "X-Mailfuse-Campaign has a control character in it; send an id of visible characters"},
    {"an override of the direction of writing",
     CAMPAIGN "a\xe2\x80\xae"
	      "b\r\n",
     "", 0, "X-Mailfuse-Campaign has a control character in it; send an id of visible characters"},
    {"two campaigns", CAMPAIGN "a\r\n" AUDIENCE "3\r\n" CAMPAIGN "A\r\n", "", 0,
     "X-Mailfuse-Campaign is there twice with different ids; send it once"},
    {"a second campaign that is empty", CAMPAIGN "a\r\n" CAMPAIGN "\r\n", "", 0,
     "X-Mailfuse-Campaign is empty; send the campaign's id or leave the field out"},
    {"an empty audience", CAMPAIGN "a\r\n" AUDIENCE " \r\n", "", 0,
     "X-Mailfuse-Audience is empty; send the number of recipients or leave the field out"},
    {"two audiences", CAMPAIGN "a\r\n" AUDIENCE "3\r\n" AUDIENCE "4\r\n", "", 0,
     "X-Mailfuse-Audience is there twice with different numbers; send it once"},
    {"0", CAMPAIGN "a\r\n" AUDIENCE "0\r\n", "", 0,
     "X-Mailfuse-Audience is 0; send the number of recipients, from 1 to 4294967295"},
    {"one too many", CAMPAIGN "a\r\n" AUDIENCE "4294967296\r\n", "", 0,
     "X-Mailfuse-Audience is too large; send the number of recipients, from 1 to 4294967295"},
    {"2^64 and 300", CAMPAIGN "a\r\n" AUDIENCE "18446744073709551916\r\n", "", 0,
     "X-Mailfuse-Audience is too large; send the number of recipients, from 1 to 4294967295"},
    {"a word", CAMPAIGN "a\r\n" AUDIENCE "all\r\n", "", 0, NO_NUMBER},
    {"a comment", CAMPAIGN "a\r\n" AUDIENCE "300 (estimated)\r\n", "", 0, NO_NUMBER},
    {"a blank inside", CAMPAIGN "a\r\n" AUDIENCE "3 00\r\n", "", 0, NO_NUMBER},
    {"a comma", CAMPAIGN "a\r\n" AUDIENCE "1,000\r\n", "", 0, NO_NUMBER},
    {"a sign", CAMPAIGN "a\r\n" AUDIENCE "+300\r\n", "", 0, NO_NUMBER},
    {"less than nothing", CAMPAIGN "a\r\n" AUDIENCE "-1\r\n", "", 0, NO_NUMBER},
    {"a fraction", CAMPAIGN "a\r\n" AUDIENCE "3.0\r\n", "", 0, NO_NUMBER},
    {"hexadecimal", CAMPAIGN "a\r\n" AUDIENCE "0x10\r\n", "", 0, NO_NUMBER},
    {"digits of another script", CAMPAIGN "a\r\n" AUDIENCE "\xd9\xa3\r\n", "", 0, NO_NUMBER},
    {"encoded digits", CAMPAIGN "a\r\n" AUDIENCE "=?utf-8?q?300?=\r\n", "", 0, NO_NUMBER},
};

/* And whatever they say, nothing of them is in what leaves. */
static void
test_declarations(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(declaration_rows); i++) {
		struct message *m = message_make("", false, declaration_rows[i].header);

		print_message("  %s\n", declaration_rows[i].name);
		message_read_header(m);
		if (declaration_rows[i].error != NULL) {
			assert_non_null(m->declaration_error);
			assert_string_equal(m->declaration_error, declaration_rows[i].error);
		} else {
			assert_null(m->declaration_error);
			assert_string_equal(m->campaign, declaration_rows[i].campaign);
			assert_int_equal(m->audience, declaration_rows[i].audience);
		}
		if (strstr(declaration_rows[i].header, "garbage") == NULL) {
			message_apply(m);
			assert_null(strcasestr(m->header.data, "\nX-Mailfuse-Campaign:"));
			assert_null(strcasestr(m->header.data, "\nX-Mailfuse-Audience:"));
			assert_null(strcasestr(m->header.data, "spring"));
		}
		message_free(m);
	}
}

static void
test_recipients(void **state)
{
	char text[] = "a@b.example", local[] = "a", domain[] = "b.example";
	struct address a = {.text = text, .local = local, .domain = domain};
	struct message *m = message_new();
	size_t i;

	(void)state;
	message_set_sender(m, &a);
	for (i = 0; i < 1000; i++) {
		text[0] = (char)('a' + i % 26);
		assert_string_equal(message_add_recipient(m, &a)->final, text);
	}
	memset(text, 'x', sizeof(text) - 1);
	assert_string_equal(m->sender.text, "a@b.example");
	assert_int_equal(m->recipient_count, 1000);
	assert_string_equal(m->recipients[27].address.text, "b@b.example");
	assert_string_equal(m->recipients[27].final, "b@b.example");
	message_free(m);
	message_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),          cmocka_unit_test(test_harmless),
	    cmocka_unit_test(test_prefix),         cmocka_unit_test(test_join),
	    cmocka_unit_test(test_added),          cmocka_unit_test(test_long_list),
	    cmocka_unit_test(test_received),       cmocka_unit_test(test_hostile_source),
	    cmocka_unit_test(test_was_here),       cmocka_unit_test(test_comes_back),
	    cmocka_unit_test(test_needs_smtputf8), cmocka_unit_test(test_read),
	    cmocka_unit_test(test_declarations),   cmocka_unit_test(test_recipients),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
