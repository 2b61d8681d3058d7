/*
 * What relay/ reads in an EHLO reply and says in MAIL and RCPT, without a connection. Whole
 * conversations are in test_relay.c and tests/integration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mail/mime.h"
#include "relay/smtp_client.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- EHLO */

enum {
	PIPELINING = 1,
	EIGHTBIT = 2,
	SIZE = 4,
	STARTTLS = 8,
	UTF8 = 16,
	DSN = 32,
	AUTH = 64,
	PLAIN = 128,
	LOGIN = 256
};

static const struct {
	const char *name, *text;
	unsigned wanted;
	uint64_t size_max;
} ehlo_rows[] = {
    {"nothing", "mx.example", 0, 0},
    {"empty", "", 0, 0},
    {"the greeting is no keyword", "STARTTLS\nDSN", DSN, 0},
    {"all", "mx\nPIPELINING\n8BITMIME\nSIZE 1000\nSTARTTLS\nSMTPUTF8\nDSN\nAUTH PLAIN LOGIN",
     PIPELINING | EIGHTBIT | SIZE | STARTTLS | UTF8 | DSN | AUTH | PLAIN | LOGIN, 1000},
    {"in lower case", "mx\npipelining\nauth login", PIPELINING | AUTH | LOGIN, 0},
    {"longer words are others", "mx\nPIPELINING2\nDSNX\nSIZEX 5\nXSTARTTLS\nAUTHENTICATE PLAIN", 0,
     0},
    {"prefixes are others", "mx\nPIPE\nSTART\nSMTPUTF", 0, 0},
    {"size alone", "mx\nSIZE", SIZE, 0},
    {"size of 0 is no limit", "mx\nSIZE 0", SIZE, 0},
    {"size that is none", "mx\nSIZE lots\nSIZE -5", SIZE, 0},
    {"size too large to be one", "mx\nSIZE 99999999999999999999999", SIZE, UINT64_MAX},
    {"auth with an equals sign", "mx\nAUTH=LOGIN PLAIN", AUTH | PLAIN | LOGIN, 0},
    {"auth without mechanisms", "mx\nAUTH", AUTH, 0},
    {"mechanisms that are others", "mx\nAUTH CRAM-MD5 PLAINTEXT XLOGIN", AUTH, 0},
    {"blanks between mechanisms", "mx\nAUTH  PLAIN  \nDSN", AUTH | PLAIN | DSN, 0},
    {"mechanisms of the next line", "mx\nAUTH\nPLAIN\nLOGIN", AUTH, 0},
    {"parameters of others", "mx\nSTARTTLS now\nDSN x", STARTTLS | DSN, 0},
    {"an empty line at the end", "mx\nDSN\n", DSN, 0},
};

static void
test_extensions(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(ehlo_rows); i++) {
		/* What was there before does not count. */
		struct smtp_extensions e = {.pipelining = true, .dsn = true, .size_max = 7};
		unsigned got;

		smtp_extensions_read(ehlo_rows[i].text, &e);
		got = (e.pipelining ? PIPELINING : 0u) | (e.eightbit ? EIGHTBIT : 0u) |
		      (e.size ? SIZE : 0u) | (e.starttls ? STARTTLS : 0u) | (e.utf8 ? UTF8 : 0u) |
		      (e.dsn ? DSN : 0u) | (e.auth ? AUTH : 0u) | (e.auth_plain ? PLAIN : 0u) |
		      (e.auth_login ? LOGIN : 0u);
		if (got != ehlo_rows[i].wanted || e.size_max != ehlo_rows[i].size_max)
			fail_msg("%s: %#x %llu", ehlo_rows[i].name, got,
				 (unsigned long long)e.size_max);
	}
}

/* ---- MAIL and RCPT */

static const struct {
	const char *name, *sender, *recipient;
	struct smtp_extensions has;
	bool eightbit, smtputf8, rewritten;
	enum dsn_ret ret;
	const char *envid;
	unsigned notify;
	const char *orcpt;
	const char *mail, *rcpt; /* NULL: the recipient is failed */
} envelope_rows[] = {
    {"plain", "a@b.test", "c@d.test", .mail = "MAIL FROM:<a@b.test>", .rcpt = "RCPT TO:<c@d.test>"},
    {"nobody", "", "c@d.test", .mail = "MAIL FROM:<>", .rcpt = "RCPT TO:<c@d.test>"},
    {"size", "a@b.test", "c@d.test", .has = {.size = true}, .mail = "MAIL FROM:<a@b.test> SIZE=14",
     .rcpt = "RCPT TO:<c@d.test>"},
    {"8-bit, offered", "a@b.test", "c@d.test", .has = {.size = true, .eightbit = true},
     .eightbit = true, .mail = "MAIL FROM:<a@b.test> SIZE=14 BODY=8BITMIME",
     .rcpt = "RCPT TO:<c@d.test>"},
    {"8-bit, not offered", "a@b.test", "c@d.test", .has = {.size = true}, .eightbit = true,
     .mail = "MAIL FROM:<a@b.test>", .rcpt = "RCPT TO:<c@d.test>"},
    {"7-bit, 8-bit offered", "a@b.test", "c@d.test", .has = {.eightbit = true},
     .mail = "MAIL FROM:<a@b.test>", .rcpt = "RCPT TO:<c@d.test>"},
    {"utf8 declared, not needed", "a@b.test", "c@d.test", .has = {.utf8 = true}, .smtputf8 = true,
     .mail = "MAIL FROM:<a@b.test>", .rcpt = "RCPT TO:<c@d.test>"},
    {"utf8 sender", "\u00fc@b.test", "c@d.test", .has = {.utf8 = true}, .smtputf8 = true,
     .mail = "MAIL FROM:<\u00fc@b.test> SMTPUTF8", .rcpt = "RCPT TO:<c@d.test>"},
    {"utf8 sender, not offered", "\u00fc@b.test", "c@d.test", .smtputf8 = true},
    {"utf8 recipient", "a@b.test", "\u00fc@d.test", .has = {.utf8 = true},
     .mail = "MAIL FROM:<a@b.test> SMTPUTF8", .rcpt = "RCPT TO:<\u00fc@d.test>"},
    {"utf8 recipient, not offered", "a@b.test", "\u00fc@d.test", .mail = NULL},
    {"no utf8 at all", "a@b.test", "\xff@d.test", .has = {.utf8 = true}},
    {"a line of its own", "a@b.test", "c@d.test>\r\nRCPT TO:<e@f.test", .mail = NULL},
    {"a parameter of its own", "a@b.test", "c@d.test> X=<", .mail = NULL},
    {"dsn, not asked", "a@b.test", "c@d.test", .has = {.dsn = true}, .mail = "MAIL FROM:<a@b.test>",
     .rcpt = "RCPT TO:<c@d.test>"},
    {"dsn, asked, not offered", "a@b.test", "c@d.test", .ret = DSN_RET_FULL, .envid = "x",
     .notify = DSN_SUCCESS, .orcpt = "rfc822;y@z", .mail = "MAIL FROM:<a@b.test>",
     .rcpt = "RCPT TO:<c@d.test>"},
    {"dsn, all", "a@b.test", "c@d.test", .has = {.dsn = true}, .ret = DSN_RET_FULL,
     .envid = "x+2By", .notify = DSN_SUCCESS | DSN_FAILURE | DSN_DELAY, .orcpt = "rfc822;y@z",
     .mail = "MAIL FROM:<a@b.test> RET=FULL ENVID=x+2By",
     .rcpt = "RCPT TO:<c@d.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;y@z"},
    {"dsn, headers only", "a@b.test", "c@d.test", .has = {.dsn = true}, .ret = DSN_RET_HDRS,
     .mail = "MAIL FROM:<a@b.test> RET=HDRS", .rcpt = "RCPT TO:<c@d.test>"},
    {"dsn, never", "a@b.test", "c@d.test", .has = {.dsn = true}, .notify = DSN_NEVER,
     .mail = "MAIL FROM:<a@b.test>",
     .rcpt = "RCPT TO:<c@d.test> NOTIFY=NEVER ORCPT=rfc822;c@d.test"},
    {"dsn, orcpt made", "a@b.test", "c+x=y@d.test", .has = {.dsn = true}, .notify = DSN_FAILURE,
     .mail = "MAIL FROM:<a@b.test>",
     .rcpt = "RCPT TO:<c+x=y@d.test> NOTIFY=FAILURE ORCPT=rfc822;c+2Bx+3Dy@d.test"},
    {"dsn, rewritten", "a@b.test", "c@d.test", .has = {.dsn = true}, .rewritten = true,
     .notify = DSN_FAILURE, .orcpt = "rfc822;customer@z", .mail = "MAIL FROM:<a@b.test>",
     .rcpt = "RCPT TO:<c@d.test> NOTIFY=FAILURE"},
    {"dsn, sender out of reach", "out@reach.test", "c@d.test", .has = {.dsn = true},
     .notify = DSN_SUCCESS, .orcpt = "rfc822;y@z", .mail = "MAIL FROM:<out@reach.test>",
     .rcpt = "RCPT TO:<c@d.test> NOTIFY=NEVER ORCPT=rfc822;y@z"},
    {"dsn, sender out of reach, not asked", "out@reach.test", "c@d.test", .has = {.dsn = true},
     .mail = "MAIL FROM:<out@reach.test>", .rcpt = "RCPT TO:<c@d.test> NOTIFY=NEVER"},
    {"no dsn, sender out of reach", "out@reach.test", "c@d.test",
     .mail = "MAIL FROM:<out@reach.test>", .rcpt = "RCPT TO:<c@d.test>"},
    {"orcpt not made of utf8", "a@b.test", "\u00fc@d.test", .has = {.dsn = true, .utf8 = true},
     .notify = DSN_DELAY, .mail = "MAIL FROM:<a@b.test> SMTPUTF8",
     .rcpt = "RCPT TO:<\u00fc@d.test> NOTIFY=DELAY"},
};

/* An environment from which nobody of reach.test can be written to. */
static struct policy *
make_policy(void)
{
	static const char text[] = "upstream \"up\" { address = \"127.0.0.1:25\" tls = off }\n"
				   "environment \"qa\" { match { network = {\"127.0.0.0/8\"} }\n"
				   "  allow = {\"@b.test\", \"@d.test\"}\n"
				   "  burst \"b\" { limit = \"9/1h\" per = {environment} } }\n";
	char path[] = "/tmp/mailfuse-test-XXXXXX";
	int fd = mkstemp(path);
	struct buf errors = {0};
	struct config *config;
	struct policy *policy;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	config = config_load(path, &errors);
	unlink(path);
	if (config == NULL)
		fail_msg("%s", buf_text(&errors));
	policy = policy_new(config, &errors);
	assert_non_null(policy);
	config_unref(config);
	return policy;
}

static void
set_up(size_t i, struct policy *policy, struct message *m, struct delivery *d,
       struct delivery_recipient *r)
{
	m->environment = "qa";
	m->sender.text = (char *)envelope_rows[i].sender;
	m->sender.utf8 = envelope_rows[i].smtputf8;
	m->smtputf8 = envelope_rows[i].smtputf8;
	m->eightbit = envelope_rows[i].eightbit;
	m->ret = envelope_rows[i].ret;
	m->envid = envelope_rows[i].envid != NULL ? envelope_rows[i].envid : "";
	buf_add_text(&m->header, "A: b\r\n");
	m->body_bytes = 6;
	*r = (struct delivery_recipient){
	    .address = envelope_rows[i].recipient,
	    .number = 1,
	    .notify = envelope_rows[i].notify,
	    .orcpt = envelope_rows[i].orcpt != NULL ? envelope_rows[i].orcpt : "",
	    .rewritten = envelope_rows[i].rewritten};
	*d = (struct delivery){.message = m,
			       .policy = policy,
			       .tally = gate_tally(policy, "qa"),
			       .upstream = (char *)"up",
			       .remote_mta = "mx",
			       .recipients = r,
			       .count = 1};
}

static void
test_envelope(void **state)
{
	struct policy *policy = make_policy();
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(envelope_rows); i++) {
		struct smtp_client c = {.has = envelope_rows[i].has};
		struct smtp_transaction t = {0};
		struct message *m = message_new();
		struct delivery_recipient r;
		struct delivery d;
		struct buf mail = {0}, rcpt = {0};

		print_message("  %s\n", envelope_rows[i].name);
		set_up(i, policy, m, &d, &r);
		t.delivery = &d;
		smtp_envelope_choose(&c, &t);
		if (envelope_rows[i].mail == NULL) {
			assert_int_equal(t.count, 0);
			assert_int_equal(r.result.state, STORE_FAILED);
			assert_int_equal(r.code, 550);
		} else {
			assert_int_equal(t.count, 1);
			smtp_envelope_mail(&c, &t, &mail);
			smtp_envelope_rcpt(&c, &t, 0, &rcpt);
			assert_string_equal(buf_text(&mail), envelope_rows[i].mail);
			assert_string_equal(buf_text(&rcpt), envelope_rows[i].rcpt);
		}
		arena_free(&d.arena);
		message_free(m);
		buf_free(&mail);
		buf_free(&rcpt);
	}
	policy_unref(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_extensions),
	    cmocka_unit_test(test_envelope),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
