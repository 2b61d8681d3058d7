/*
 * The chain: which filter has its say first, the panic button, what the gate asks of
 * message_apply(), and what it shows to `explain`.
 */
#include "tests/unit/filters_fixture.h"

#include <stdio.h>

#include "base/text.h"
#include "filters/policy.h"

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

/* ---- explain */

struct explained {
	size_t rows;
	struct {
		char rule[32], key[128], note[64];
		struct gate_rule_row row; /* without its texts */
	} list[8];
};

static void
explain_row(void *context, const struct gate_rule_row *row)
{
	struct explained *e = context;

	assert_true(e->rows < COUNT_OF(e->list));
	snprintf(e->list[e->rows].rule, sizeof(e->list[0].rule), "%s", row->rule);
	snprintf(e->list[e->rows].key, sizeof(e->list[0].key), "%s", row->key);
	snprintf(e->list[e->rows].note, sizeof(e->list[0].note), "%s", row->note);
	e->list[e->rows++].row = *row;
}

static void
explains(void **state)
{
	const char *two[] = {"a@example.com", "b@example.com", NULL};
	struct config config = fixture_config(environments(), 5);
	struct policy *p = fixture_policy(&config);
	struct counters *c = counters_new();
	struct explained e;
	struct message *m;
	int i;

	(void)state;
	message_free(judge(p, c, "production", two, GATE_COUNT));
	/* As often as anybody asks: it counts nothing, and what it holds does not hide the rule. */
	for (i = 0; i < 3; i++) {
		m = judge(p, c, "production", two, GATE_PEEK);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
		e.rows = 0;
		gate_explain_rules(p, c, m, 0, explain_row, &e);
		message_free(m);
		assert_int_equal(e.rows, 2);
	}
	assert_string_equal(e.list[0].rule, "audience");
	assert_false(e.list[0].row.applies);
	assert_string_equal(e.list[0].note, "no audience is declared");
	assert_string_equal(e.list[1].rule, "burst volume");
	assert_string_equal(e.list[1].key, "source=10.2.0.7 subject=\"your order \\\"#\\\"\\x0a\"");
	assert_true(e.list[1].row.applies);
	assert_int_equal(e.list[1].row.limit, 3);
	assert_int_equal(e.list[1].row.window, 600 * SECOND);
	assert_int_equal(e.list[1].row.before, 2);
	assert_int_equal(e.list[1].row.after, 4);
	assert_true(e.list[1].row.trips);
	counters_free(c);
	policy_unref(p);
}

struct explain_case {
	const char *rule, *key, *note;
	bool applies, holds;
	uint32_t limit, before, after, head;
};

/* Every rule has a row, in the order in which they judge; per recipient one for each. */
static void
explains_every_rule(void **state)
{
	static const struct explain_case wanted[] = {
	    {"content marker", "source=10.2.0.7", "Subject matches", true, true, 0, 0, 2, 0},
	    {"content other", "", "it does not match", false, false, 4, 0, 0, 0},
	    {"audience", "environment=production campaign=may", "", true, true, 50, 0, 2, 0},
	    {"burst volume", "source=10.2.0.7 declared", "a declared audience is counted apart",
	     true, true, 60, 0, 2, 0},
	    {"burst person", "recipient=a@example.com", "", true, true, 3, 0, 1, 2},
	    {"burst person", "recipient=b@example.com", "", true, true, 3, 0, 1, 2},
	};
	static struct config_content contents[] = {{.name = TEXT("marker"),
						    .header = TEXT("Subject"),
						    .match = TEXT("order"),
						    .per = CONFIG_PER_SOURCE},
						   {.name = TEXT("other"),
						    .header = TEXT("Subject"),
						    .match = TEXT("lorem"),
						    .above = 4,
						    .above_window = 600 * SECOND,
						    .action = CONFIG_BURST_ALERT}};
	static struct config_burst bursts[] = {{.name = TEXT("volume"),
						.limit = 3,
						.window = 600 * SECOND,
						.head = 2,
						.head_window = SECOND,
						.settle = SECOND,
						.per = CONFIG_PER_SOURCE,
						.declared = 60,
						.declared_window = 600 * SECOND},
					       {.name = TEXT("person"),
						.limit = 3,
						.window = 600 * SECOND,
						.head = 2,
						.head_window = SECOND,
						.settle = SECOND,
						.per = CONFIG_PER_RECIPIENT}};
	struct config config = fixture_config(environments(), 5);
	struct counters *c = counters_new();
	struct explained e = {0};
	struct message *m;
	struct policy *p;
	size_t i;

	(void)state;
	config.environments[0].contents = contents;
	config.environments[0].content_count = COUNT_OF(contents);
	config.environments[0].bursts = bursts;
	config.environments[0].burst_count = COUNT_OF(bursts);
	p = fixture_policy(&config);
	m = fixture_message("production", "10.2.0.7", "your order");
	m->campaign = "may";
	m->audience = 50;
	fixture_add(m, "a@example.com");
	fixture_add(m, "b@example.com");
	gate_judge(p, c, m, 0, 1, GATE_PEEK);
	gate_explain_rules(p, c, m, 0, explain_row, &e);
	assert_int_equal(e.rows, COUNT_OF(wanted));
	for (i = 0; i < e.rows; i++) {
		const struct gate_rule_row *row = &e.list[i].row;
		/* Keys of one rule come in no order that means anything. */
		const struct explain_case *w = i >= 4 && strstr(e.list[i].key, "=b@") != NULL
						   ? &wanted[5]
					       : i >= 4 ? &wanted[4]
							: &wanted[i];

		assert_string_equal(e.list[i].rule, w->rule);
		assert_string_equal(e.list[i].key, w->key);
		assert_string_equal(e.list[i].note, w->note);
		assert_int_equal(row->applies, w->applies);
		assert_int_equal(row->holds, w->holds);
		assert_int_equal(row->limit, w->limit);
		assert_int_equal(row->window, strcmp(w->rule, "audience") == 0 ? 30 * 86400 * SECOND
									       : 600 * SECOND);
		assert_int_equal(row->before, w->before);
		assert_int_equal(row->after, w->after);
		assert_int_equal(row->head, w->head);
		assert_int_equal(row->settle, w->head > 0 ? SECOND : 0);
	}
	assert_string_not_equal(e.list[4].key, e.list[5].key);

	/* Of mail that goes nowhere they say so. */
	m->recipients[0].verdict = m->recipients[1].verdict =
	    (struct verdict){.action = VERDICT_DROP, .rule = "recipients"};
	e.rows = 0;
	gate_explain_rules(p, c, m, 0, explain_row, &e);
	assert_int_equal(e.rows, 5);
	for (i = 0; i < e.rows; i++)
		assert_string_equal(e.list[i].note, "none of its recipients would leave");
	message_free(m);
	counters_free(c);
	policy_unref(p);
}

/* ---- what policy_new() refuses, and what it knows */

static void
bad_rules(void **state)
{
	struct config_content contents[] = {
	    {.name = TEXT("marker"), .header = TEXT("Subject"), .match = TEXT("/(/")},
	    {.name = TEXT("twin"), .header = TEXT("Subject"), .match = TEXT("a")},
	    {.name = TEXT("twin"), .header = TEXT("Subject"), .match = TEXT("b")}};
	struct config_burst bursts[] = {{.name = TEXT("twin"), .limit = 3, .window = SECOND},
					{.name = TEXT("volume"), .limit = 3, .window = SECOND},
					{.name = TEXT("volume"), .limit = 4, .window = SECOND}};
	struct config config = fixture_config(environments(), 5);
	struct buf errors = {0};
	const char *text;

	(void)state;
	config.environments[0].contents = contents;
	config.environments[0].content_count = COUNT_OF(contents);
	config.environments[0].bursts = bursts;
	config.environments[0].burst_count = COUNT_OF(bursts);
	assert_null(policy_new(&config, &errors));
	text = buf_text(&errors);
	assert_non_null(strstr(text, "environment \"production\": content \"marker\": match: "));
	assert_non_null(strstr(text, "environment \"production\": content \"twin\" is there twice; "
				     "rename one of them\n"));
	assert_non_null(strstr(text, "environment \"production\": burst \"volume\" is there twice; "
				     "rename one of them\n"));
	assert_null(strstr(text, "burst \"twin\""));
	buf_free(&errors);
}

static void
finds_rules(void **state)
{
	static struct config_content contents[] = {
	    {.name = TEXT("marker"), .header = TEXT("Subject"), .match = TEXT("a")},
	    {.name = TEXT("empty"),
	     .part = CONFIG_PART_BODY,
	     .match = TEXT("/^$/"),
	     .header = TEXT("")}};
	struct config config = fixture_config(environments(), 5);
	struct policy *p;

	(void)state;
	config.environments[0].contents = config.environments[1].contents = contents;
	config.environments[0].content_count = 2;
	config.environments[1].content_count = 1;
	p = fixture_policy(&config);
	assert_int_equal(policy_find_rule(p, "production", "content empty")->kind, POLICY_CONTENT);
	assert_int_equal(policy_find_rule(p, "production", "audience")->kind, POLICY_AUDIENCE);
	assert_int_equal(policy_find_rule(p, "production", "burst volume")->kind, POLICY_BURST);
	assert_null(policy_find_rule(p, "production", "burst empty"));
	assert_null(policy_find_rule(p, "production", "recipients"));
	assert_null(policy_find_rule(p, "capture", "burst volume"));
	assert_null(policy_find_rule(p, "gone", "audience"));
	/* Only where a rule looks into it. */
	assert_true(gate_wants_body(p, "production"));
	assert_false(gate_wants_body(p, "staging"));
	assert_false(gate_wants_body(p, "unknown"));
	assert_false(gate_wants_body(p, "gone"));
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
	    cmocka_unit_test(chain),     cmocka_unit_test(unasked),
	    cmocka_unit_test(holds),     cmocka_unit_test(panic_does_not_count),
	    cmocka_unit_test(edit),      cmocka_unit_test(explains),
	    cmocka_unit_test(reach),     cmocka_unit_test(explains_every_rule),
	    cmocka_unit_test(bad_rules), cmocka_unit_test(finds_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
