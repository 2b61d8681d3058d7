/*
 * The whole recipient policy as a table: who passes, and what becomes of the others;
 * then the rewritten address, the header map, and what policy_new() refuses.
 */
#include "tests/unit/filters_fixture.h"

#include "filters/policy.h"
#include "filters/recipients.h"

#define NAMED(text) .name = TEXT(text), .upstream = TEXT("out"), .subject_prefix = TEXT("")

/* One environment for each way to treat others. */
static struct config_environment *
environments(void)
{
	static struct config_environment list[10];
	static char *qa[4] = {TEXT("@example.com"), TEXT("qa-*@partner.test"), TEXT("@.sub.test")};
	static char *all[2] = {TEXT("*")}, *nobody[1];
	const struct config_environment made[] = {
	    {NAMED("production"), .production = true, .allow = all, .rewrite_to = TEXT("")},
	    {NAMED("drop"), .allow = qa, .rewrite_to = TEXT("")},
	    {NAMED("staging"), .allow = qa, .others = CONFIG_OTHERS_REWRITE,
	     .rewrite_to = TEXT("qa+%u=%d@example.com")},
	    {NAMED("reject"), .allow = qa, .others = CONFIG_OTHERS_REJECT, .rewrite_to = TEXT("")},
	    {NAMED("hold"), .allow = qa, .others = CONFIG_OTHERS_HOLD, .rewrite_to = TEXT("")},
	    {NAMED("nobody"), .allow = nobody, .rewrite_to = TEXT("")},
	    {NAMED("one"), .allow = nobody, .others = CONFIG_OTHERS_REWRITE,
	     .rewrite_to = TEXT("catch-all@sink.test")},
	    {NAMED("in domain"), .allow = nobody, .others = CONFIG_OTHERS_REWRITE,
	     .rewrite_to = TEXT("%e.%u@%d.sink.test")},
	    {NAMED("percent"), .allow = nobody, .others = CONFIG_OTHERS_REWRITE,
	     .rewrite_to = TEXT("100%%u@sink.test")},
	    {NAMED("unknown"), .allow = nobody, .others = CONFIG_OTHERS_HOLD,
	     .rewrite_to = TEXT("")},
	};

	memcpy(list, made, sizeof(made));
	return list;
}

struct row {
	const char *name, *environment, *address;
	enum verdict_action action;
	const char *rule, *final;
};

#define LONG_LOCAL "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789"

static const struct row rows[] = {
    {"production writes to anybody", "production", "a@customer.test", VERDICT_PASS, NULL,
     "a@customer.test"},
    {"allowed domain, drop", "drop", "a@example.com", VERDICT_PASS, NULL, "a@example.com"},
    {"allowed glob, drop", "drop", "qa-1@partner.test", VERDICT_PASS, NULL, "qa-1@partner.test"},
    {"allowed subdomain, drop", "drop", "a@x.sub.test", VERDICT_PASS, NULL, "a@x.sub.test"},
    {"other, drop", "drop", "a@customer.test", VERDICT_DROP, "recipients", "a@customer.test"},
    {"near miss of a glob, drop", "drop", "ceo@partner.test", VERDICT_DROP, "recipients",
     "ceo@partner.test"},
    {"near miss of a domain, drop", "drop", "a@example.com.evil.test", VERDICT_DROP, "recipients",
     "a@example.com.evil.test"},
    {"allowed, rewrite", "staging", "A@EXAMPLE.com", VERDICT_PASS, NULL, "A@EXAMPLE.com"},
    {"other, rewrite", "staging", "Ann.Smith@Customer.test", VERDICT_PASS, NULL,
     "qa+Ann.Smith=customer.test@example.com"},
    {"plus and equals, rewrite", "staging", "a+b=c@customer.test", VERDICT_PASS, NULL,
     "qa+a+b=c=customer.test@example.com"},
    {"quoted, rewrite", "staging", "\"a b@c\"@customer.test", VERDICT_PASS, NULL,
     "qa+a_b_c=customer.test@example.com"},
    {"quoted dots, rewrite", "staging", "\"a..b.\"@customer.test", VERDICT_PASS, NULL,
     "qa+a._b.=customer.test@example.com"},
    {"an address literal, rewrite", "staging", "a@[192.0.2.1]", VERDICT_PASS, NULL,
     "qa+a=_192.0.2.1_@example.com"},
    {"too long, rewrite", "staging", LONG_LOCAL "@customer.test", VERDICT_PASS, NULL,
     "qa+abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr-e4353b23ad78a4c8@example.com"},
    {"too long and nearly the same, rewrite", "staging", LONG_LOCAL "@customer2.test", VERDICT_PASS,
     NULL, "qa+abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr-74b4d6591cdfb072@example.com"},
    {"all to one, rewrite", "one", "a@customer.test", VERDICT_PASS, NULL, "catch-all@sink.test"},
    {"environment and domain, rewrite", "in domain", "a@customer.test", VERDICT_PASS, NULL,
     "in_domain.a@customer.test.sink.test"},
    {"a literal in a domain, rewrite", "in domain", "a@[192.0.2.1]", VERDICT_HOLD, "recipients",
     "a@[192.0.2.1]"},
    {"a percent sign, rewrite", "percent", "a@customer.test", VERDICT_PASS, NULL,
     "100%u@sink.test"},
    {"a percent hack, rewrite", "staging", "v%customer.test@partner.test", VERDICT_PASS, NULL,
     "qa+v_customer.test=partner.test@example.com"},
    {"a bang path, rewrite", "staging", "customer.test!v@partner.test", VERDICT_PASS, NULL,
     "qa+customer.test_v=partner.test@example.com"},
    {"a percent hack, drop", "drop", "v%customer.test@example.com", VERDICT_DROP, "recipients",
     "v%customer.test@example.com"},
    {"a bang path, drop", "drop", "customer.test!v@x.sub.test", VERDICT_DROP, "recipients",
     "customer.test!v@x.sub.test"},
    {"an address in quotes, drop", "drop", "\"v@customer.test\"@example.com", VERDICT_DROP,
     "recipients", "\"v@customer.test\"@example.com"},
    {"a percent hack in a glob, drop", "drop", "qa-v%customer.test@partner.test", VERDICT_DROP,
     "recipients", "qa-v%customer.test@partner.test"},
    {"a percent hack, production", "production", "v%customer.test@example.com", VERDICT_PASS, NULL,
     "v%customer.test@example.com"},
    {"UTF-8, allowed domain", "drop", "j\xc3\xb6rg@example.com", VERDICT_PASS, NULL,
     "j\xc3\xb6rg@example.com"},
    {"UTF-8, other domain", "drop", "j\xc3\xb6rg@customer.test", VERDICT_DROP, "recipients",
     "j\xc3\xb6rg@customer.test"},
    {"UTF-8, a glob", "drop", "qa-\xc3\xb6@partner.test", VERDICT_PASS, NULL,
     "qa-\xc3\xb6@partner.test"},
    {"what looks like an allowed glob", "drop", "q\xd0\xb0-1@partner.test", VERDICT_DROP,
     "recipients", "q\xd0\xb0-1@partner.test"},
    {"wide letters for an allowed glob", "drop", "\xef\xbd\x91\xef\xbd\x81-1@partner.test",
     VERDICT_DROP, "recipients", "\xef\xbd\x91\xef\xbd\x81-1@partner.test"},
    {"what looks like an allowed domain", "drop", "a@ex\xd0\xb0mple.com", VERDICT_DROP,
     "recipients", "a@xn--exmple-4nf.com"},
    {"a wide @ in an allowed domain", "drop",
     "v\xef\xbc\xa0"
     "customer.test@example.com",
     VERDICT_DROP, "recipients",
     "v\xef\xbc\xa0"
     "customer.test@example.com"},
    {"UTF-8, rewrite", "staging", "j\xc3\xb6rg@customer.test", VERDICT_PASS, NULL,
     "qa+j__rg=customer.test@example.com"},
    {"UTF-8 in quotes, rewrite", "staging", "\"j\xc3\xb6 rg\"@customer.test", VERDICT_PASS, NULL,
     "qa+j___rg=customer.test@example.com"},
    {"U-labels, rewrite", "staging",
     "a@b\xc3\xbc"
     "cher.test",
     VERDICT_PASS, NULL, "qa+a=xn--bcher-kva.test@example.com"},
    {"UTF-8, hold", "hold", "j\xc3\xb6rg@customer.test", VERDICT_HOLD, "recipients",
     "j\xc3\xb6rg@customer.test"},
    {"allowed, reject", "reject", "a@example.com", VERDICT_PASS, NULL, "a@example.com"},
    {"other, reject", "reject", "a@customer.test", VERDICT_REJECT, "recipients", "a@customer.test"},
    {"allowed, hold", "hold", "a@example.com", VERDICT_PASS, NULL, "a@example.com"},
    {"other, hold", "hold", "a@customer.test", VERDICT_HOLD, "recipients", "a@customer.test"},
    {"an empty list is nobody", "nobody", "a@example.com", VERDICT_DROP, "recipients",
     "a@example.com"},
    {"unknown holds", "unknown", "a@example.com", VERDICT_HOLD, "unknown", "a@example.com"},
    {"an environment that is gone holds", "gone", "a@example.com", VERDICT_HOLD, "unknown",
     "a@example.com"},
    {"no environment holds", NULL, "a@example.com", VERDICT_HOLD, "unknown", "a@example.com"},
};

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
judges(void **state)
{
	struct config config = fixture_config(environments(), 10);
	struct policy *p = fixture_policy(&config);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct message *m = fixture_message(row->environment, "10.2.0.7", "hello");
		struct recipient *r = fixture_add(m, row->address);

		gate_recipient(p, m, r);
		if (r->verdict.action != row->action || !same_text(r->verdict.rule, row->rule) ||
		    !same_text(r->final, row->final))
			fail_msg("%s: action %d, rule %s, final %s", row->name, r->verdict.action,
				 r->verdict.rule, r->final);
		assert_true((r->verdict.stream != NULL) == (row->action == VERDICT_HOLD));
		message_free(m);
	}
	policy_unref(p);
}

/* One batch for {environment, source}: every message of a source joins it, no other source does. */
static void
streams(void **state)
{
	struct config config = fixture_config(environments(), 10);
	struct policy *p = fixture_policy(&config);
	struct message *a = fixture_message("hold", "10.2.0.7", "one");
	struct message *b = fixture_message("hold", "10.2.0.7", "two");
	struct message *c = fixture_message("hold", "10.2.0.8", "one");
	const struct verdict_stream *first;
	struct recipient *r;

	(void)state;
	r = fixture_add(a, "a@customer.test");
	gate_recipient(p, a, r);
	first = r->verdict.stream;
	assert_string_equal(first->key, "environment=hold source=10.2.0.7");
	assert_string_equal(first->source, "10.2.0.7");
	assert_string_equal(first->subject, "");
	assert_int_equal(first->tripped_at, 0);
	assert_int_equal(first->limit, 0);
	r = fixture_add(a, "b@customer.test");
	gate_recipient(p, a, r);
	assert_ptr_equal(r->verdict.stream, first);
	r = fixture_add(b, "a@customer.test");
	gate_recipient(p, b, r);
	assert_int_equal(r->verdict.stream->hash, first->hash);
	r = fixture_add(c, "a@customer.test");
	gate_recipient(p, c, r);
	assert_int_not_equal(r->verdict.stream->hash, first->hash);
	message_free(a);
	message_free(b);
	message_free(c);
	policy_unref(p);
}

struct map_row {
	const char *name, *environment, *address, *wanted;
};

static const struct map_row map_rows[] = {
    {"allowed", "drop", "a@example.com", "a@example.com"},
    {"other, drop", "drop", "a@customer.test", "a=customer.test@blocked.invalid"},
    {"other, hold", "hold", "a@customer.test", "a=customer.test@blocked.invalid"},
    {"other, rewrite", "staging", "a@customer.test", "qa+a=customer.test@example.com"},
    {"allowed, rewrite", "staging", "qa-1@partner.test", "qa-1@partner.test"},
    {"unreadable, drop", "drop", "a b@customer.test", "a_b=customer.test@blocked.invalid"},
    {"unreadable but looks allowed", "drop", "a b@example.com", "a_b=example.com@blocked.invalid"},
    {"no domain", "drop", "undisclosed", "undisclosed=@blocked.invalid"},
    {"no domain, rewrite", "staging", "undisclosed", "qa+undisclosed=@example.com"},
    {"empty", "drop", "", "=@blocked.invalid"},
    {"line ends", "drop", "a\r\nBcc: x@customer.test", "a__Bcc__x=customer.test@blocked.invalid"},
    {"beyond ASCII, allowed", "drop", "\xc3\xa4@example.com", "\xc3\xa4@example.com"},
    {"beyond ASCII, a wide @", "drop",
     "v\xef\xbc\xa0"
     "customer.test@example.com",
     "v___customer.test=example.com@blocked.invalid"},
    {"no UTF-8, domain allowed", "drop", "\xe4@example.com", "_=example.com@blocked.invalid"},
    {"U-labels", "drop",
     "a@b\xc3\xbc"
     "cher.test",
     "a=xn--bcher-kva.test@blocked.invalid"},
    {"beyond ASCII", "drop", "\xc3\xa4@customer.test", "__=customer.test@blocked.invalid"},
    {"a rewrite that makes no address", "in domain", "a@[192.0.2.1]",
     "a=_192.0.2.1_@blocked.invalid"},
    {"unknown", "unknown", "a@example.com", "a=example.com@blocked.invalid"},
};

static void
header_map(void **state)
{
	struct config config = fixture_config(environments(), 10);
	struct policy *p = fixture_policy(&config);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(map_rows); i++) {
		const struct map_row *row = &map_rows[i];
		struct arena arena = {0};
		const char *got =
		    recipient_make_harmless(policy_find(p, row->environment), row->address, &arena);

		if (strcmp(got, row->wanted) != 0)
			fail_msg("%s: %s", row->name, got);
		/* The same pointer says "kept"; the same text elsewhere would not. */
		assert_true((got == row->address) == (strcmp(row->address, row->wanted) == 0));
		arena_free(&arena);
	}
	policy_unref(p);
}

struct refusal {
	const char *name;
	struct config_environment environment;
	const char *wanted;
};

static void
refuses(void **state)
{
	const struct refusal refusals[] = {
	    {"bad patterns, all of them",
	     {NAMED("a"), .allow = LIST(TEXT("example.com"), TEXT("@ok.test"), TEXT("/(/"))},
	     "environment \"a\": allow \"example.com\": it has no \"@\"; write \"@example.com\" "
	     "for "
	     "a whole domain\n"
	     "environment \"a\": allow \"/(/\": missing closing parenthesis, at character 2 of the "
	     "regular expression\n"},
	    {"rewrite to nothing",
	     {NAMED("a"), .allow = NOBODY, .others = CONFIG_OTHERS_REWRITE, .rewrite_to = TEXT("")},
	     "environment \"a\": rewrite_to: others = rewrite needs it; write such as "
	     "\"qa+%u=%d@example.com\"\n"},
	    {"an unknown letter",
	     {NAMED("a"), .allow = NOBODY, .others = CONFIG_OTHERS_REWRITE,
	      .rewrite_to = TEXT("%x@example.com")},
	     "environment \"a\": rewrite_to: after % comes u (local part), d (domain), e "
	     "(environment) or %\n"},
	    {"no @",
	     {NAMED("a"), .allow = NOBODY, .others = CONFIG_OTHERS_REWRITE,
	      .rewrite_to = TEXT("%u")},
	     "environment \"a\": rewrite_to: it makes no valid address; write such as "
	     "\"qa+%u=%d@example.com\"\n"},
	    {"a burst twice",
	     {NAMED("a"), .allow = NOBODY, .rewrite_to = TEXT(""),
	      .bursts = (struct config_burst[]){{.name = TEXT("volume")}, {.name = TEXT("volume")}},
	      .burst_count = 2},
	     "environment \"a\": burst \"volume\" is there twice; rename one of them\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(refusals); i++) {
		struct config_environment *list = ENVIRONMENTS(refusals[i].environment);
		struct config config = fixture_config(list, 2);
		struct buf errors = {0};

		assert_null(policy_new(&config, &errors));
		assert_string_equal(buf_text(&errors), refusals[i].wanted);
		buf_free(&errors);
		assert_int_equal(config.refs, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(judges),
	    cmocka_unit_test(streams),
	    cmocka_unit_test(header_map),
	    cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
