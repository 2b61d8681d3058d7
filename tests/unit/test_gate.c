/*
 * The chain: which filter has its say first, the panic button, what the gate asks of
 * message_apply(), and what it shows to `explain`.
 */
#include "tests/unit/filters_fixture.h"

#include <stdio.h>

#include "base/text.h"

#define NAMED(text) .name = TEXT(text), .rewrite_to = TEXT("qa+%u=%d@example.com")

static struct config_environment *
environments(void)
{
	static struct config_environment list[5];
	static char *qa[2] = {TEXT("@example.com")}, *all[2] = {TEXT("*")}, *nobody[1];
	static struct config_burst bursts[] = {{.name = TEXT("volume"),
						.limit = 3,
						.window = 600 * SECOND,
						.per = CONFIG_PER_SOURCE | CONFIG_PER_SUBJECT}};
	const struct config_environment made[] = {
	    {NAMED("production"), .production = true, .allow = all, .upstream = TEXT("out"),
	     .subject_prefix = TEXT(""), .bursts = bursts, .burst_count = 1},
	    {NAMED("staging"), .allow = qa, .others = CONFIG_OTHERS_REWRITE,
	     .upstream = TEXT("out"), .subject_prefix = TEXT("[STAGING] "), .bursts = bursts,
	     .burst_count = 1},
	    {NAMED("capture"), .allow = qa, .upstream = TEXT(""), .subject_prefix = TEXT("")},
	    {NAMED("orphan"), .allow = qa, .upstream = NULL, .subject_prefix = TEXT("")},
	    {NAMED("unknown"), .allow = nobody, .others = CONFIG_OTHERS_HOLD,
	     .subject_prefix = TEXT("")},
	};

	memcpy(list, made, sizeof(made));
	return list;
}

/* A message to `count` recipients that went through the recipients filter, judged. */
static struct message *
judge(const struct policy *p, struct counters *c, const char *environment, const char *const *to,
      enum gate_mode mode)
{
	struct message *m = fixture_message(environment, "10.2.0.7", "your order \"#\"\n");
	size_t i;

	for (; *to != NULL; to++)
		fixture_add(m, *to);
	for (i = 0; i < m->recipient_count; i++)
		gate_recipient(p, m, &m->recipients[i]);
	gate_judge(p, c, m, 0, 1000, mode);
	return m;
}

struct row {
	const char *name, *environment, *to;
	bool panic;
	enum verdict_action action;
	const char *rule; /* NULL = none */
	bool harmless;
};

static const struct row rows[] = {
    {"passes", "production", "a@customer.test", false, VERDICT_PASS, NULL, false},
    {"rewritten", "staging", "a@customer.test", false, VERDICT_PASS, NULL, true},
    {"allowed", "staging", "a@example.com", false, VERDICT_PASS, NULL, false},
    {"captured", "capture", "a@example.com", false, VERDICT_DROP, "capture", false},
    {"dropped before captured", "capture", "a@customer.test", false, VERDICT_DROP, "recipients",
     true},
    {"nowhere to send", "orphan", "a@example.com", false, VERDICT_HOLD, "no upstream", false},
    {"dropped, nowhere to send", "orphan", "a@customer.test", false, VERDICT_DROP, "recipients",
     true},
    {"unknown", "unknown", "a@example.com", false, VERDICT_HOLD, "unknown", false},
    {"panic", "production", "a@customer.test", true, VERDICT_HOLD, "panic", false},
    {"panic, rewritten", "staging", "a@customer.test", true, VERDICT_HOLD, "panic", true},
    {"panic before capture", "capture", "a@example.com", true, VERDICT_HOLD, "panic", false},
    {"dropped before panic", "capture", "a@customer.test", true, VERDICT_DROP, "recipients", true},
    {"panic before no upstream", "orphan", "a@example.com", true, VERDICT_HOLD, "panic", false},
    {"an environment that is gone", "gone", "a@example.com", false, VERDICT_HOLD, "unknown", false},
};

static void
chain(void **state)
{
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	const struct gate_hold everything = {.scope = GATE_SCOPE_EVERYTHING, .name = TEXT("")};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct counters *c = counters_new();
		struct message *m;
		struct verdict *v;

		counters_set_holds(c, &everything, row->panic ? 1 : 0);
		m = judge(p, c, row->environment, (const char *[]){row->to, NULL}, GATE_COUNT);
		v = &m->recipients[0].verdict;
		if (v->action != row->action || (v->rule == NULL) != (row->rule == NULL) ||
		    (row->rule != NULL && strcmp(v->rule, row->rule) != 0) ||
		    m->edit.harmless != row->harmless)
			fail_msg("%s: action %d, rule %s, harmless %d", row->name, v->action,
				 v->rule, m->edit.harmless);
		assert_true((v->stream != NULL) == (v->action == VERDICT_HOLD));
		if (v->stream != NULL)
			assert_int_not_equal(v->stream->hash, 0);
		message_free(m);
		counters_free(c);
	}
	policy_unref(p);
}

/* A recipient that nobody showed to the recipients filter does not get through. */
static void
unasked(void **state)
{
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	struct counters *c = counters_new();
	struct message *m = fixture_message("staging", "10.2.0.7", "hello");

	(void)state;
	fixture_add(m, "a@customer.test");
	gate_judge(p, c, m, 0, 1000, GATE_COUNT);
	assert_string_equal(m->recipients[0].final, "qa+a=customer.test@example.com");
	assert_true(m->edit.harmless);
	message_free(m);
	policy_unref(p);

	config.environments[1].others = CONFIG_OTHERS_REJECT;
	p = fixture_policy(&config);
	m = fixture_message("staging", "10.2.0.7", "hello");
	fixture_add(m, "a@customer.test");
	gate_judge(p, c, m, 0, 1000, GATE_COUNT);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
	message_free(m);
	policy_unref(p);
	counters_free(c);
}

struct hold_row {
	const char *name;
	struct gate_hold hold;
	bool staging, production, other_source;
	const char *key;
};

static const struct hold_row hold_rows[] = {
    {"everything",
     {.scope = GATE_SCOPE_EVERYTHING, .name = TEXT("")},
     true,
     true,
     true,
     "everything"},
    {"an environment",
     {.scope = GATE_SCOPE_ENVIRONMENT, .name = TEXT("staging")},
     true,
     false,
     true,
     "environment=staging"},
    {"a source",
     {.scope = GATE_SCOPE_SOURCE, .name = TEXT("10.2.0.7")},
     true,
     true,
     false,
     "source=10.2.0.7"},
    {"another source", {.scope = GATE_SCOPE_SOURCE, .name = TEXT("shop")}, false, false, false, ""},
};

static void
holds(void **state)
{
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(hold_rows); i++) {
		const struct hold_row *row = &hold_rows[i];
		struct gate_hold hold = row->hold;
		int32_t scope = (int32_t)hold.scope;
		uint64_t hash =
		    text_hash(text_hash(text_hash(TEXT_HASH_START, "panic", 6), &scope, 4),
			      hold.name, strlen(hold.name));
		struct counters *c = counters_new();
		const struct verdict_stream *s;
		struct message *m;

		hold.since = 42;
		hold.reason = TEXT("too many calls");
		assert_false(counters_is_held(c, "staging", "10.2.0.7"));
		counters_set_holds(c, &hold, 1);
		if (counters_is_held(c, "staging", "10.2.0.7") != row->staging ||
		    counters_is_held(c, "production", "10.2.0.7") != row->production ||
		    counters_is_held(c, "staging", "10.2.0.8") != row->other_source)
			fail_msg("%s", row->name);
		m = judge(p, c, "staging", (const char *[]){"a@example.com", "b@example.com", NULL},
			  GATE_COUNT);
		s = m->recipients[0].verdict.stream;
		assert_true((s != NULL) == row->staging);
		if (s != NULL) {
			assert_int_equal(s->hash, hash);
			assert_int_equal(s->tripped_at, 42);
			assert_string_equal(s->key, row->key);
			assert_ptr_equal(s, m->recipients[1].verdict.stream);
			assert_string_equal(m->recipients[0].verdict.reason, "too many calls");
		}
		message_free(m);
		counters_set_holds(c, NULL, 0);
		assert_false(counters_is_held(c, "staging", "10.2.0.7"));
		counters_free(c);
	}
	policy_unref(p);
}

/* What panic holds is not counted: the limit of 3 is still whole when the button is let go. */
static void
panic_does_not_count(void **state)
{
	const struct gate_hold everything = {.scope = GATE_SCOPE_EVERYTHING, .name = TEXT("")};
	const char *three[] = {"a@example.com", "b@example.com", "c@example.com", NULL};
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	struct counters *c = counters_new();
	struct message *m;

	(void)state;
	counters_set_holds(c, &everything, 1);
	message_free(judge(p, c, "staging", three, GATE_COUNT));
	counters_set_holds(c, NULL, 0);
	m = judge(p, c, "staging", three, GATE_COUNT);
	assert_int_equal(m->recipients[2].verdict.action, VERDICT_PASS);
	message_free(m);
	m = judge(p, c, "staging", (const char *[]){three[0], NULL}, GATE_COUNT);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
	message_free(m);
	counters_free(c);
	policy_unref(p);
}

static void
edit(void **state)
{
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	struct counters *c = counters_new();
	static const char allowed[] = "a@example.com";
	struct message *m;

	(void)state;
	m = judge(p, c, "staging", (const char *[]){"a@example.com", "b@customer.test", NULL},
		  GATE_COUNT);
	assert_string_equal(m->edit.hostname, "mailfuse.test");
	assert_string_equal(m->edit.subject_prefix, "[STAGING] ");
	assert_true(m->edit.harmless);
	assert_ptr_equal(m->edit.map(m->edit.context, allowed), allowed);
	assert_string_equal(m->edit.map(m->edit.context, "x@customer.test"),
			    "qa+x=customer.test@example.com");
	message_free(m);
	counters_free(c);
	policy_unref(p);
}

struct explained {
	int rows;
	char rule[32], key[128];
	uint32_t limit, before, after;
	bool trips;
};

static void
explain_row(void *context, const struct gate_rule_row *row)
{
	struct explained *e = context;

	if (strcmp(row->rule, "audience") == 0) {
		assert_false(row->applies);
		assert_string_equal(row->note, "no audience is declared");
		return;
	}
	assert_true(row->applies);
	assert_int_equal(row->window, 600 * SECOND);
	e->rows++;
	snprintf(e->rule, sizeof(e->rule), "%s", row->rule);
	snprintf(e->key, sizeof(e->key), "%s", row->key);
	e->limit = row->limit;
	e->before = row->before;
	e->after = row->after;
	e->trips = row->trips;
}

static void
explains(void **state)
{
	const char *two[] = {"a@example.com", "b@example.com", NULL};
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	struct counters *c = counters_new();
	struct explained e = {0};
	struct message *m;
	int i;

	(void)state;
	message_free(judge(p, c, "production", two, GATE_COUNT));
	/* As often as anybody asks: it counts nothing, and what it holds does not hide the rule. */
	for (i = 0; i < 3; i++) {
		m = judge(p, c, "production", two, GATE_PEEK);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
		gate_explain_rules(p, c, m, 0, explain_row, &e);
		message_free(m);
	}
	assert_int_equal(e.rows, 3);
	assert_string_equal(e.rule, "burst volume");
	assert_string_equal(e.key, "source=10.2.0.7 subject=\"your order \\\"#\\\"\\x0a\"");
	assert_int_equal(e.limit, 3);
	assert_int_equal(e.before, 2);
	assert_int_equal(e.after, 4);
	assert_true(e.trips);
	counters_free(c);
	policy_unref(p);
}

static void
reach(void **state)
{
	static const struct {
		const char *environment, *address;
		bool wanted;
	} reaches[] = {
	    {"production", "anybody@live.test", true}, {"staging", "qa@example.com", true},
	    {"staging", "QA@EXAMPLE.COM", true},       {"staging", "customer@live.test", false},
	    {"capture", "qa@example.com", true},       {"capture", "customer@live.test", false},
	    {"unknown", "qa@example.com", false},      {"gone", "qa@example.com", false},
	    {NULL, "qa@example.com", false},           {"production", "", false},
	    {"production", "no address", false},       {"production", "postmaster", false},
	};
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(reaches); i++)
		if (gate_may_reach(p, reaches[i].environment, reaches[i].address) !=
		    reaches[i].wanted)
			fail_msg("%s %s", reaches[i].environment, reaches[i].address);
	policy_unref(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chain), cmocka_unit_test(unasked),
	    cmocka_unit_test(holds), cmocka_unit_test(panic_does_not_count),
	    cmocka_unit_test(edit),  cmocka_unit_test(explains),
	    cmocka_unit_test(reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
