/*
 * Content, audience and burst rules beside each other: which one wins, what each counts, and what
 * becomes of the recipients of one message.
 */
#include "tests/unit/burst_fixture.h"

/* ---- which rule wins */

#define CAMPAIGN(most) .campaign = "may", .audience = most

struct interplay_row {
	const char *name;
	struct {
		uint32_t above;
		const char *match; /* NULL = no content rule; the subject is "hello" */
		enum config_burst_action action;
	} content;
	const char *campaign;
	uint32_t audience;
	struct config_burst first, second;
	const char *to; /* a letter for each recipient: the same letter is the same address */
	/* For each: . passes, w waits, c content, a audience, 1 and 2 the bursts hold. */
	const char *wanted;
	const char *observed; /* for each: what an alert rule would have held; NULL = nothing */
};

static const struct interplay_row interplay_rows[] = {
    {.name = "nothing is too much", .first = {RULE("1", 9)}, .to = "abc", .wanted = "..."},
    {.name = "content before burst",
     .content = {2, "hell", CONFIG_BURST_HOLD},
     .first = {RULE("1", 2)},
     .to = "abc",
     .wanted = "ccc"},
    {.name = "content below its number, burst above",
     .content = {3, "hell", CONFIG_BURST_HOLD},
     .first = {RULE("1", 2)},
     .to = "abc",
     .wanted = "111"},
    {.name = "content of another subject",
     .content = {0, "goodbye", CONFIG_BURST_HOLD},
     .first = {RULE("1", 9)},
     .to = "abc",
     .wanted = "..."},
    {.name = "content before audience",
     .content = {0, "hell", CONFIG_BURST_HOLD},
     CAMPAIGN(1),
     .to = "abc",
     .wanted = "ccc"},
    {.name = "the audience's rest passes", CAMPAIGN(2), .to = "abcd", .wanted = "..aa"},
    {.name = "audience before burst, which holds the rest",
     CAMPAIGN(2),
     .first = {RULE("1", 3)},
     .to = "abcd",
     .wanted = "11aa"},
    {.name = "the audience's rest waits",
     CAMPAIGN(2),
     .first = {RULE("1", 9), HEAD(1, 5)},
     .to = "abcd",
     .wanted = ".waa"},
    {.name = "an audience without a campaign is none", .audience = 1, .to = "abc", .wanted = "..."},
    {.name = "a campaign without an audience is none",
     .campaign = "may",
     .to = "abc",
     .wanted = "..."},
    {.name = "one person too often, the others not",
     .first = {RULE("1", 2), .per = CONFIG_PER_RECIPIENT},
     .to = "abacad",
     .wanted = "1.1.1."},
    {.name = "one person too often, beyond the audience too",
     CAMPAIGN(5),
     .first = {RULE("1", 2), .per = CONFIG_PER_RECIPIENT},
     .to = "abacada",
     .wanted = "1.1.1aa"},
    {.name = "a person held by the first, all by the second",
     .first = {RULE("1", 1), .per = CONFIG_PER_RECIPIENT},
     .second = {RULE("2", 3)},
     .to = "abac",
     .wanted = "1212"},
    {.name = "a person's copies wait",
     .first = {RULE("1", 9), HEAD(1, 5), .per = CONFIG_PER_RECIPIENT},
     .to = "abab",
     .wanted = "..ww"},
    {.name = "the head of one, the person of the other",
     .first = {RULE("1", 9), HEAD(3, 5)},
     .second = {RULE("2", 1), .per = CONFIG_PER_RECIPIENT},
     .to = "abacde",
     .wanted = "2.2www"},
    {.name = "alert content observes what burst holds",
     .content = {0, "hell", CONFIG_BURST_ALERT},
     .first = {RULE("1", 2)},
     .to = "abc",
     .wanted = "111",
     .observed = "ccc"},
    {.name = "alert content observes what passes",
     .content = {0, "hell", CONFIG_BURST_ALERT},
     .to = "ab",
     .wanted = "..",
     .observed = "cc"},
    {.name = "an alert burst observes what content holds",
     .content = {0, "hell", CONFIG_BURST_HOLD},
     .first = {RULE("1", 2), .action = CONFIG_BURST_ALERT},
     .to = "abc",
     .wanted = "ccc",
     .observed = "111"},
    {.name = "the first that observes is named, and only whom it would hold",
     .first = {RULE("1", 1), .per = CONFIG_PER_RECIPIENT, .action = CONFIG_BURST_ALERT},
     .second = {RULE("2", 2), .action = CONFIG_BURST_ALERT},
     .to = "aba",
     .wanted = "...",
     .observed = "121"},
};

static char
rule_letter(const char *rule)
{
	return strncmp(rule, "burst ", 6) == 0 ? rule[6] : rule[0];
}

static char
verdict_letter(const struct verdict *v)
{
	if (v->action == VERDICT_PASS)
		return v->rule == NULL && v->stream == NULL ? '.' : '?';
	if (v->action == VERDICT_WAIT)
		return v->stream != NULL && v->settle > 0 ? 'w' : '?';
	return v->action == VERDICT_HOLD && v->stream != NULL && v->settle == 0
		   ? rule_letter(v->rule)
		   : '?';
}

static void
interplay(void **state)
{
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT_OF(interplay_rows); i++) {
		const struct interplay_row *row = &interplay_rows[i];
		const struct config_burst bursts[] = {row->first, row->second};
		struct world *w = world_new(bursts, (size_t)(row->first.name != NULL) +
							(size_t)(row->second.name != NULL));
		struct message *m = world_message("shop", "hello", 0);

		if (row->content.match != NULL)
			world_add_content(w, "marker", row->content.match, row->content.above)
			    ->action = row->content.action;
		world_reload(w);
		m->campaign = row->campaign;
		m->audience = row->audience;
		for (k = 0; row->to[k] != '\0'; k++) {
			char to[] = "x@customer.test";

			to[0] = row->to[k];
			fixture_add(m, to);
		}
		world_judge(w, m, 0);
		for (k = 0; k < m->recipient_count; k++) {
			const struct verdict *v = &m->recipients[k].verdict;
			char seen = v->observed == NULL ? '.' : rule_letter(v->observed);

			if (verdict_letter(v) != row->wanted[k])
				fail_msg("%s: recipient %zu: %c", row->name, k, verdict_letter(v));
			if (seen != (row->observed == NULL ? '.' : row->observed[k]))
				fail_msg("%s: recipient %zu: observed %c", row->name, k, seen);
			assert_true((v->observed == NULL) == (v->observed_stream == NULL));
		}
		message_free(m);
		world_free(w);
	}
}

/* ---- audience */

struct audience_step {
	const char *campaign;
	uint32_t audience, recipients;
	uint32_t pass;  /* of them */
	uint32_t limit; /* that the hold states; 0 = no hold */
};

struct audience_row {
	const char *name;
	struct audience_step steps[6];
};

static const struct audience_row audience_rows[] = {
    {"exactly as declared, and one more", {{"may", 300, 300, 300, 0}, {"may", 300, 1, 0, 300}}},
    {"one more in the same message", {{"may", 300, 301, 300, 300}}},
    {"in the middle of a message", {{"may", 300, 200, 200, 0}, {"may", 300, 200, 100, 300}}},
    {"the surplus goes on", {{"may", 2, 5, 2, 2}, {"may", 2, 5, 0, 2}, {"may", 2, 1, 0, 2}}},
    {"a declaration shrinks",
     {{"may", 300, 240, 240, 0}, {"may", 250, 20, 10, 250}, {"may", 300, 1, 0, 250}}},
    {"below what is there already", {{"may", 300, 240, 240, 0}, {"may", 10, 3, 0, 10}}},
    {"it does not grow", {{"may", 10, 10, 10, 0}, {"may", 300, 3, 0, 10}}},
    {"campaigns are counted apart",
     {{"may", 10, 10, 10, 0}, {"june", 10, 10, 10, 0}, {"may", 10, 1, 0, 10}}},
    {"as large as can be", {{"may", UINT32_MAX, 1000, 1000, 0}}},
    {"mail that declares nothing is not of it",
     {{"may", 10, 10, 10, 0}, {"may", 0, 5, 5, 0}, {"may", 10, 1, 0, 10}}},
};

static void
audience_step(struct world *w, const char *name, const struct audience_step *step, int64_t mono)
{
	struct message *m =
	    world_message(mono % 2 == 0 ? "shop" : "crm", "hello", step->recipients);
	uint32_t i;

	m->campaign = step->campaign;
	m->audience = step->audience;
	world_judge(w, m, mono);
	for (i = 0; i < step->recipients; i++) {
		const struct verdict *v = &m->recipients[i].verdict;
		char reason[64];

		if ((v->action == VERDICT_PASS) != (i < step->pass))
			fail_msg("%s: step %d: recipient %u: %d", name, (int)mono, i, v->action);
		if (i < step->pass)
			continue;
		assert_string_equal(v->rule, "audience");
		assert_int_equal(v->stream->limit, step->limit);
		assert_int_equal(v->stream->window, 30 * DAY);
		snprintf(reason, sizeof(reason), "beyond the declared audience of %u", step->limit);
		assert_string_equal(v->reason, reason);
		snprintf(reason, sizeof(reason), "environment=production campaign=%s",
			 step->campaign);
		assert_string_equal(v->stream->key, reason);
	}
	message_free(m);
}

static void
audience(void **state)
{
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT_OF(audience_rows); i++) {
		const struct audience_row *row = &audience_rows[i];
		struct world *w = world_new(BURSTS({RULE("volume", 5000)}));

		for (k = 0; k < COUNT_OF(row->steps) && row->steps[k].recipients > 0; k++)
			audience_step(w, row->name, &row->steps[k], (int64_t)k);
		world_free(w);
	}
}

/* What left before is stated: the alert says how many were seen. And a decision starts afresh. */
static void
audience_batch(void **state)
{
	static const struct audience_step first = {"may", 3, 3, 3, 0}, afresh = {"may", 3, 4, 3, 3};
	struct world *w = world_new(BURSTS({RULE("volume", 5000)}));
	struct message *m;
	int64_t tripped_at;
	uint64_t hash;

	(void)state;
	audience_step(w, "first", &first, 0);
	m = world_message("shop", "hello", 2);
	m->campaign = "may";
	m->audience = 3;
	world_judge(w, m, 1);
	assert_int_equal(m->recipients[1].verdict.stream->counted, 3);
	assert_int_equal(m->recipients[1].verdict.stream->tripped_at, w->wall);
	/* Of those within the audience nothing is called back. */
	assert_false(m->recipients[0].verdict.stream->trips_now);
	assert_int_equal(m->recipients[0].verdict.key_count, 2);
	assert_int_equal(m->recipients[0].verdict.keys[0].hash,
			 m->recipients[0].verdict.stream->hash);
	assert_null(
	    counters_find_trip(w->counters, m->recipients[0].verdict.keys, 2, false, &tripped_at));
	hash = m->recipients[1].verdict.stream->hash;
	message_free(m);
	counters_forget(w->counters, hash);
	audience_step(w, "afresh", &afresh, 2);
	world_free(w);
}

/* ---- declared */

struct sent {
	uint32_t passed;
	enum verdict_action action; /* of the last one */
	char rule[32], key[64], reason[128];
	struct verdict_stream stream;
};

static void
sent_note(struct sent *sent, const struct verdict *v)
{
	sent->passed += v->action == VERDICT_PASS;
	sent->action = v->action;
	if (v->stream == NULL)
		return;
	sent->stream = *v->stream;
	snprintf(sent->rule, sizeof(sent->rule), "%s", v->rule);
	snprintf(sent->key, sizeof(sent->key), "%s", v->stream->key);
	snprintf(sent->reason, sizeof(sent->reason), "%s", v->reason);
}

/* n messages of one recipient each. */
static struct sent
send_campaign(struct world *w, const char *campaign, uint32_t audience, uint32_t n, int64_t mono)
{
	struct sent sent = {0};
	uint32_t i;

	for (i = 0; i < n; i++) {
		struct message *m = world_message("shop", "news", 1);

		m->campaign = campaign;
		m->audience = audience;
		world_judge(w, m, mono);
		sent_note(&sent, &m->recipients[0].verdict);
		message_free(m);
	}
	return sent;
}

static void
declared(void **state)
{
	struct config_burst rule = {RULE("volume", 8), HEAD(2, 5), .per = CONFIG_PER_SOURCE,
				    .declared = 100, .declared_window = DAY};
	struct world *w = world_new(&rule, 1);
	struct sent sent;

	(void)state;
	/* No head, no limit of 8: 60 people of one campaign, then the 40 that the day leaves. */
	assert_int_equal(send_campaign(w, "may", 60, 60, 0).passed, 60);
	assert_int_equal(send_campaign(w, "june", 100, 40, SECOND).passed, 40);
	sent = send_campaign(w, "july", 1, 1, 2 * SECOND);
	assert_int_equal(sent.action, VERDICT_HOLD);
	assert_string_equal(sent.rule, "burst volume");
	assert_string_equal(sent.key, "source=shop declared");
	assert_int_equal(sent.stream.limit, 100);
	assert_int_equal(sent.stream.window, DAY);
	assert_int_equal(sent.stream.counted, 100);
	/* Ordinary mail has not been counted with them; larger audiences are ordinary mail. */
	assert_int_equal(send_campaign(w, NULL, 0, 2, 2 * SECOND).passed, 2);
	sent = send_campaign(w, "august", 101, 6, 3 * SECOND);
	assert_int_equal(sent.passed, 0);
	assert_int_equal(sent.action, VERDICT_WAIT);
	sent = send_campaign(w, "august", 101, 1, 3 * SECOND);
	assert_int_equal(sent.action, VERDICT_HOLD);
	assert_string_equal(sent.key, "source=shop");
	assert_int_equal(sent.stream.limit, 8);
	world_free(w);

	/* Without the setting a declaration changes nothing. */
	rule.declared = 0;
	w = world_new(&rule, 1);
	assert_int_equal(send_campaign(w, "may", 60, 3, 0).passed, 2);
	world_free(w);
}

/* ---- content */

/* One message to n people. */
static struct sent
send_subject(struct world *w, const char *source, const char *subject, uint32_t n, int64_t mono)
{
	struct message *m = world_judge(w, world_message(source, subject, n), mono);
	struct sent sent = {0};

	sent_note(&sent, &m->recipients[n - 1].verdict);
	message_free(m);
	return sent;
}

static void
content(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 500)}));
	struct sent sent;

	(void)state;
	world_add_content(w, "test marker", "/\\btest\\b/i", 3);
	world_add_content(w, "lorem", "lorem ipsum", 0);
	sent = send_subject(w, "shop", "Lorem Ipsum dolor", 1, 0);
	assert_int_equal(sent.action, VERDICT_HOLD);
	assert_string_equal(sent.rule, "content lorem");
	assert_string_equal(sent.reason, "Subject matches lorem ipsum");
	assert_int_equal(send_subject(w, "shop", "A Test", 2, 0).action, VERDICT_PASS);
	assert_int_equal(send_subject(w, "shop", "no contest", 5, 0).action, VERDICT_PASS);
	assert_int_equal(send_subject(w, "shop", "test #2", 1, 1).action, VERDICT_PASS);
	assert_int_equal(send_subject(w, "crm", "test #3", 3, 1).action, VERDICT_PASS);
	sent = send_subject(w, "shop", "test #3", 1, 2);
	assert_int_equal(sent.action, VERDICT_HOLD);
	assert_string_equal(sent.rule, "content test marker");
	assert_string_equal(sent.reason, "content test marker: more than 3 in 10 min");
	/* What does not match is not of the stream. */
	assert_int_equal(send_subject(w, "shop", "hello", 1, 3).action, VERDICT_PASS);
	world_free(w);
}

struct reason_row {
	const char *match, *subject;
	uint32_t above;
	const char *reason;
};

#define FIFTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define WIDE_13 "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
#define WIDE_39 WIDE_13 WIDE_13 WIDE_13

static const struct reason_row reason_rows[] = {
    {"/^hello$/", "hello", 0, "Subject matches /^hello$/"},
    {"hello", "hello", 1, "content marker: more than 1 in 10 min"},
    /* 80 bytes of a pattern, and never half a character. */
    {"a" WIDE_39 "bc", "a" WIDE_39 "bc", 0, "Subject matches a" WIDE_39 "b..."},
    {"a" WIDE_39 "\u00e9b", "a" WIDE_39 "\u00e9b", 0, "Subject matches a" WIDE_39 "..."},
    {"/^(a+)+$/", FIFTY FIFTY "b", 0, "the pattern gave up on Subject: it counts as a match"},
    {"/^(a+)+$/", FIFTY FIFTY "b", 1,
     "content marker: more than 1 in 10 min; the pattern gave up on Subject: it counts as a match"},
};

static void
content_reasons(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(reason_rows); i++) {
		const struct reason_row *row = &reason_rows[i];
		struct world *w = world_new(BURSTS({RULE("volume", 500)}));
		struct sent sent;

		world_add_content(w, "marker", row->match, row->above);
		sent = send_subject(w, "shop", row->subject, 2, 0);
		assert_int_equal(sent.action, VERDICT_HOLD);
		assert_string_equal(sent.reason, row->reason);
		world_free(w);
	}
}

/*
 * Whoever is held by an earlier rule alone makes no later one trip, for that trip would have no
 * batch to decide on; it is counted, and the next one that is not held trips it.
 */
static void
no_trip_without_batch(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 4), .per = CONFIG_PER_SOURCE}));
	const struct verdict *v;
	struct message *m;
	int i;

	(void)state;
	world_add_content(w, "marker", "test", 0);
	assert_int_equal(send_subject(w, "shop", "hello", 2, 0).action, VERDICT_PASS);
	for (i = 0; i < 3; i++)
		assert_int_equal(send_subject(w, "shop", "test", 1, 1 + i).action, VERDICT_HOLD);
	m = world_judge(w, world_message("shop", "hello", 1), 5);
	v = &m->recipients[0].verdict;
	assert_int_equal(v->action, VERDICT_HOLD);
	assert_string_equal(v->rule, "burst volume");
	assert_true(v->stream->trips_now);
	assert_int_equal(v->stream->counted, 2);
	message_free(m);
	m = world_judge(w, world_message("shop", "hello", 1), 6);
	assert_false(m->recipients[0].verdict.stream->trips_now);
	message_free(m);
	world_free(w);
}

/* What any other rule holds, earlier or later, whole or in part, is no leak of a stream. */
static void
held_elsewhere_is_no_leak(void **state)
{
	struct world *w =
	    world_new(BURSTS({RULE("source", 9), .per = CONFIG_PER_SOURCE},
			     {RULE("person", 1), .per = CONFIG_PER_RECIPIENT}, {RULE("all", 19)}));
	const struct verdict *v;
	struct message *m;
	uint32_t i;

	(void)state;
	/* Of r0 and r1 only the first copy leaves, of r2 too. */
	for (i = 1; i <= 3; i++)
		message_free(world_send(w, "shop", i, i, GATE_COUNT));
	m = world_message("shop", "hello", 5);
	m->campaign = "may";
	m->audience = 7;
	v = &world_judge(w, m, 4)->recipients[0].verdict;
	assert_string_equal(v->rule, "burst source");
	assert_int_equal(v->stream->counted, 3);
	message_free(m);
	/* All of those five were of the campaign, and none left. */
	m = world_message("crm", "hello", 7);
	m->campaign = "may";
	m->audience = 7;
	v = &world_judge(w, m, 5)->recipients[6].verdict;
	assert_string_equal(v->rule, "audience");
	assert_int_equal(v->stream->counted, 0);
	message_free(m);
	/* 1 + 2 + 3 + 5 + 7 and one more, of whom four left: three, and none of the crm's. */
	m = world_send(w, "billing", 2, 6, GATE_COUNT);
	v = &m->recipients[0].verdict;
	assert_string_equal(v->rule, "burst person");
	message_free(m);
	m = world_message("billing", "hello", 0);
	fixture_add(m, "new@customer.test");
	v = &world_judge(w, m, 7)->recipients[0].verdict;
	assert_string_equal(v->rule, "burst all");
	assert_int_equal(v->stream->counted, 3);
	message_free(m);
	world_free(w);
}

/* A message may wait for the store while a reload takes its policy away. */
static void
outlives_the_policy(void **state)
{
	struct world *w = world_new(BURSTS({RULE("watch", 1), .action = CONFIG_BURST_ALERT},
					   {RULE("volume", 9), HEAD(1, 5)}));
	struct message *held, *waits;

	(void)state;
	world_add_content(w, "marker", "test", 0);
	held = world_judge(w, world_message("shop", "test", 2), 0);
	waits = world_judge(w, world_message("shop", "hello", 2), 0);
	world_free(w);
	assert_string_equal(held->recipients[0].verdict.rule, "content marker");
	assert_string_equal(held->recipients[0].verdict.reason, "Subject matches test");
	assert_string_equal(held->recipients[0].verdict.stream->key, "source=shop");
	assert_string_equal(held->recipients[0].verdict.observed, "burst watch");
	assert_string_equal(waits->recipients[1].verdict.rule, "burst volume");
	assert_string_equal(waits->recipients[1].verdict.reason, "beyond the head of 1 in 60 s");
	message_free(held);
	message_free(waits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(interplay),
	    cmocka_unit_test(audience),
	    cmocka_unit_test(audience_batch),
	    cmocka_unit_test(declared),
	    cmocka_unit_test(content),
	    cmocka_unit_test(content_reasons),
	    cmocka_unit_test(no_trip_without_batch),
	    cmocka_unit_test(held_elsewhere_is_no_leak),
	    cmocka_unit_test(outlives_the_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
