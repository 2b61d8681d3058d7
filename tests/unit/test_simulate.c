/*
 * The engine of simulations: what it says of small traces is worked out by hand, beside each row.
 */
#include <stdio.h>

#include "base/clock.h"
#include "simulate/simulate.h"
#include "simulate/suggest.h"
#include "tests/unit/filters_fixture.h"

#define KEY_VOLUME (CONFIG_PER_SOURCE | CONFIG_PER_SUBJECT)
#define KEY_REPEAT (CONFIG_PER_RECIPIENT | CONFIG_PER_SUBJECT)

/* A blast of 25 a second trips it within the settle time. */
#define VOLUME                                                                                     \
	{                                                                                          \
		.name = TEXT("volume"), .limit = 200, .window = 10 * CLOCK_MINUTE,                 \
		.per = KEY_VOLUME, .head = 15, .head_window = 10 * SECOND, .settle = 10 * SECOND,  \
		.cooldown = CLOCK_HOUR                                                             \
	}
#define PLAIN(n, time)                                                                             \
	{                                                                                          \
		.name = TEXT("plain"), .limit = (n), .window = (time), .per = CONFIG_PER_SOURCE,   \
		.cooldown = CLOCK_MINUTE                                                           \
	}
#define REPEAT                                                                                     \
	{                                                                                          \
		.name = TEXT("repeat"), .limit = 5, .window = CLOCK_HOUR, .per = KEY_REPEAT,       \
		.cooldown = CLOCK_HOUR                                                             \
	}
/* The second and later of ten seconds wait for five. */
#define SLOW(n)                                                                                    \
	{                                                                                          \
		.name = TEXT("slow"), .limit = (n), .window = 10 * CLOCK_MINUTE,                   \
		.per = KEY_VOLUME, .head = 1, .head_window = 10 * SECOND, .settle = 5 * SECOND,    \
		.cooldown = CLOCK_HOUR                                                             \
	}

struct engine_case {
	const char *name;
	struct config_burst bursts[2];
	size_t burst_count;
	struct trace_row rows[4]; /* until one without recipients */
	const char *wanted;
};

#define ROW .client = "10.1.0.7"
#define STAGING .client = "10.2.0.7"

/* passed at once+delayed held dropped rejected; blast reached/held alert; copies; rules that did
 * something with held/false batches leaked observed, first trip. */
static const struct engine_case cases[] = {
    /* One each 0.04 s: 15 pass, 185 wait, the 201st at 8 s trips it: all 185 are recalled. */
    {"a fast blast leaks its head",
     {VOLUME},
     1,
     {{ROW, .count = 1000, .over = 40 * SECOND, .blast = true}},
     "15+0 985 0 0; 15/985 8000; 1; burst volume 985/0 1 15 0 8000"},
    /* Ten a second. 15 pass; the head's window stays full, so all others wait. At 20 s the 201st
     * trips it: what came until 10.0 s, 86 more, has just left; 99 still wait. */
    {"a slower blast leaks what has waited",
     {VOLUME},
     1,
     {{ROW, .count = 300, .over = 30 * SECOND, .blast = true}},
     "15+86 199 0 0; 101/199 20000; 1; burst volume 199/0 1 101 0 20000"},
    {"one message goes over the limit as a whole",
     {PLAIN(20, CLOCK_MINUTE)},
     1,
     {{ROW, .count = 21}},
     "0+0 21 0 0; 0/0 -; 0; burst plain 21/21 1 0 0 0"},
    {"one by one the limit leaves",
     {PLAIN(20, CLOCK_HOUR)},
     1,
     {{ROW, .count = 100, .over = 100 * SECOND}},
     "20+0 80 0 0; 0/0 -; 1; burst plain 80/80 1 20 0 20000"},
    {"nothing is held under the limit",
     {PLAIN(20, CLOCK_HOUR)},
     1,
     {{ROW, .count = 20}},
     "20+0 0 0 0; 0/0 -; 1;"},
    {"the same moment is after what is due",
     {SLOW(2)},
     1,
     {{ROW, .count = 1}, {ROW, .at = 1 * SECOND, .count = 1}, {ROW, .at = 6 * SECOND, .count = 1}},
     "1+1 1 0 0; 0/0 -; 1; burst slow 1/1 1 2 0 6000"},
    {"a moment earlier it is called back",
     {SLOW(2)},
     1,
     {{ROW, .count = 1},
      {ROW, .at = 1 * SECOND, .count = 1},
      {ROW, .at = 6 * SECOND - 1, .count = 1}},
     "1+0 2 0 0; 0/0 -; 1; burst slow 2/2 1 1 0 5999"},
    /* The second and third wait for `slow`; the fourth trips `plain`, which counted them as well.
     */
    {"any of its streams calls it back",
     {SLOW(1000), PLAIN(3, CLOCK_MINUTE)},
     2,
     {{ROW, .count = 4, .over = 4 * SECOND}},
     "1+0 3 0 0; 0/0 -; 1; burst plain 3/3 1 1 0 3000"},
    {"after the cooldown there is another batch",
     {PLAIN(2, 10 * SECOND)},
     1,
     {{ROW, .count = 3},
      {ROW, .at = 30 * SECOND, .count = 1},
      {ROW, .at = 200 * SECOND, .count = 3}},
     "0+0 7 0 0; 0/0 -; 0; burst plain 7/7 2 0 0 0"},
    {"nobody gets more than five",
     {REPEAT},
     1,
     {{ROW,
       .recipients = "a@b.example a@b.example a@b.example a@b.example a@b.example "
		     "a@b.example A@b.example c@b.example",
       .over = 8 * SECOND, .blast = true}},
     "6+0 2 0 0; 6/2 5000; 5; burst repeat 2/0 1 5 0 5000"},
    {"beyond the declared audience",
     {PLAIN(100, CLOCK_MINUTE)},
     1,
     {{ROW, .count = 5, .campaign = "spring", .audience = 3}},
     "3+0 2 0 0; 0/0 -; 1; audience 2/2 1 0 0 0"},
    {"an audience without a campaign is refused",
     {PLAIN(100, CLOCK_MINUTE)},
     1,
     {{ROW, .count = 5, .audience = 3}},
     "0+0 0 0 5; 0/0 -; 0;"},
    {"the recipients filter",
     {PLAIN(100, CLOCK_MINUTE)},
     1,
     {{STAGING, .recipients = "qa@example.com somebody@b.example"}},
     "1+0 0 1 0; 0/0 -; 1;"},
    {"no environment",
     {PLAIN(100, CLOCK_MINUTE)},
     1,
     {{.client = "192.0.2.1", .count = 2}},
     "0+0 2 0 0; 0/0 -; 0; unknown 2/2 1 0 0 0"},
    {"observed only",
     {{.name = TEXT("look"),
       .limit = 1,
       .window = CLOCK_MINUTE,
       .per = CONFIG_PER_SOURCE,
       .action = CONFIG_BURST_ALERT}},
     1,
     {{ROW, .count = 3, .over = 3 * SECOND}},
     "3+0 0 0 0; 0/0 -; 1; burst look 0/0 0 0 2 1000"},
};

/* Fills what a row leaves out, as the reader of traces does. */
static struct trace_row
whole_row(const struct trace_row *from)
{
	struct trace_row row = *from;

	row.user = row.tls_name = row.listener = row.body = "";
	row.sender = row.sender != NULL ? row.sender : "app@example.com";
	row.subject = row.subject != NULL ? row.subject : "Hi";
	row.campaign = row.campaign != NULL ? row.campaign : "";
	return row;
}

static void
feed(struct simulation *s, const struct trace_row *from)
{
	struct trace_row row = whole_row(from);
	struct buf error = {0};

	if (!simulation_feed(s, &row, &error))
		fail_msg("%s", buf_text(&error));
	buf_free(&error);
}

static char *production_networks[] = {TEXT("10.1.0.0/16"), NULL};
static char *staging_networks[] = {TEXT("10.2.0.0/16"), NULL};
static char *everybody[] = {TEXT("*"), NULL};
static char *colleagues[] = {TEXT("@example.com"), NULL};
static char *nobody[] = {NULL};
static struct config_match production_match = {.networks = production_networks};
static struct config_match staging_match = {.networks = staging_networks};

/* Production takes everybody, staging drops whom it does not know. */
static struct config_environment environments[] = {
    {.name = TEXT("production"),
     .production = true,
     .matches = &production_match,
     .match_count = 1,
     .upstream = TEXT("up"),
     .allow = everybody},
    {.name = TEXT("staging"),
     .matches = &staging_match,
     .match_count = 1,
     .upstream = TEXT("up"),
     .allow = colleagues},
    {.name = TEXT("unknown"), .allow = nobody},
};

static struct simulation *
start(const struct config_burst *bursts, size_t count, const struct simulation_options *options)
{
	static struct config config;
	struct buf errors = {0};
	struct simulation *s;
	size_t i;

	for (i = 0; i < COUNT_OF(environments); i++) {
		environments[i].subject_prefix = environments[i].rewrite_to = TEXT("");
		environments[i].others = CONFIG_OTHERS_DROP;
		environments[i].campaign_window = 30 * CLOCK_DAY;
	}
	environments[0].bursts = (struct config_burst *)(uintptr_t)bursts;
	environments[0].burst_count = count;
	config = fixture_config(environments, COUNT_OF(environments));
	config.counter_keys = 100000;
	s = simulation_new(&config, options, &errors);
	if (s == NULL)
		fail_msg("%s", buf_text(&errors));
	buf_free(&errors);
	return s;
}

static void
dump_rule(void *context, const struct simulation_rule *r)
{
	struct buf *out = context;

	if (r->held == 0 && r->observed == 0)
		return;
	buf_printf(out, " %s %llu/%llu %llu %llu %llu %lld", r->rule, (unsigned long long)r->held,
		   (unsigned long long)r->false_held, (unsigned long long)r->batches,
		   (unsigned long long)r->leaked, (unsigned long long)r->observed,
		   (long long)r->first_trip / 1000);
}

static void
dump(const struct simulation *s, struct buf *out)
{
	struct simulation_total t;

	simulation_total(s, &t);
	assert_int_equal(t.recipients, t.passed + t.held + t.dropped + t.rejected);
	assert_int_equal(t.blast, t.blast_reached + t.blast_held);
	buf_printf(out, "%llu+%llu %llu %llu %llu; %llu/%llu ",
		   (unsigned long long)(t.passed - t.delayed), (unsigned long long)t.delayed,
		   (unsigned long long)t.held, (unsigned long long)t.dropped,
		   (unsigned long long)t.rejected, (unsigned long long)t.blast_reached,
		   (unsigned long long)t.blast_held);
	if (t.blast_alerted < 0)
		buf_add_text(out, "-");
	else
		buf_printf(out, "%lld", (long long)(t.blast_alerted - t.blast_first) / 1000);
	buf_printf(out, "; %llu;", (unsigned long long)t.most_copies);
	simulation_rules(s, dump_rule, out);
}

static void
test_engine(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT_OF(cases); i++) {
		const struct engine_case *c = &cases[i];
		struct simulation_options options = {0};
		struct simulation *s = start(c->bursts, c->burst_count, &options);
		struct buf got = {0};

		for (j = 0; j < COUNT_OF(c->rows); j++) {
			if (c->rows[j].count > 0 || c->rows[j].recipients != NULL)
				feed(s, &c->rows[j]);
		}
		simulation_end(s);
		dump(s, &got);
		if (strcmp(buf_text(&got), c->wanted) != 0)
			fail_msg("%s\nwanted: %s\ngot:    %s", c->name, c->wanted, buf_text(&got));
		buf_free(&got);
		simulation_free(s);
	}
}

/* Five streams of two each: the first of a stream leaves at once, the second after five seconds. */
static void
test_delays(void **state)
{
	static const struct config_burst bursts[] = {SLOW(1000)};
	struct simulation_options options = {0};
	struct simulation *s = start(bursts, 1, &options);
	struct simulation_total t;
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		char subject[] = "Hi A";
		/* Letters: all digits are the same in a subject's normal form. */
		struct trace_row row = {ROW, .at = i, .count = 1, .subject = subject};

		subject[3] = (char)('A' + i % 5);
		feed(s, &row);
	}
	simulation_end(s);
	simulation_total(s, &t);
	assert_int_equal(t.passed, 10);
	assert_int_equal(t.delayed, 5);
	assert_int_equal(t.delay_p50, 0);
	assert_int_equal(t.delay_p99, 5 * SECOND);
	assert_int_equal(t.delay_most, 5 * SECOND);
	assert_int_equal(t.span, 9);
	simulation_free(s);
}

static void
note_verdict(void *context, uint64_t row, const char *recipient, const char *verdict,
	     const char *rule)
{
	buf_printf(context, "%llu %s %s %s\n", (unsigned long long)row, recipient, verdict,
		   rule != NULL ? rule : "-");
}

/* Rows with `over` and others come as their time says; among equals the earlier row. */
static void
test_order(void **state)
{
	static const struct config_burst bursts[] = {SLOW(3)};
	struct buf got = {0};
	struct simulation_options options = {.verdict = note_verdict, .context = &got};
	struct simulation *s = start(bursts, 1, &options);
	struct trace_row rows[] = {
	    {ROW, .recipients = "a@x.example b@x.example c@x.example", .over = 3 * SECOND},
	    {ROW, .at = SECOND, .recipients = "d@x.example", .subject = "Other"},
	    {ROW, .at = SECOND + 1, .recipients = "e@x.example f@x.example"},
	    {STAGING, .at = 2 * SECOND, .recipients = "g@x.example"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++)
		feed(s, &rows[i]);
	simulation_end(s);
	assert_string_equal(buf_text(&got), "1 a@x.example pass -\n"
					    "1 b@x.example wait burst slow\n"
					    "2 d@x.example pass -\n"
					    "3 e@x.example hold burst slow\n"
					    "3 f@x.example hold burst slow\n"
					    "1 c@x.example hold burst slow\n"
					    "4 g@x.example drop recipients\n");
	buf_free(&got);
	simulation_free(s);
}

static void
test_errors(void **state)
{
	static const struct {
		struct trace_row row;
		const char *wanted;
	} wrong[] = {
	    {{.client = "shop", .at = SECOND, .count = 1},
	     "client: \"shop\" is no IP address; write such as 10.1.0.7\n"},
	    {{ROW, .at = SECOND, .count = 1, .sender = "app"},
	     "sender: the address \"app\" has no domain; write such as app@example.com, or nothing "
	     "for a null path\n"},
	    {{ROW, .at = SECOND, .recipients = "a@b.example c"},
	     "recipients: the address \"c\" has no domain\n"},
	    {{ROW, .count = 1}, "time: is before the row above; sort the trace by time\n"},
	};
	static const struct config_burst bursts[] = {SLOW(3)};
	struct simulation_options options = {0};
	struct simulation *s = start(bursts, 1, &options);
	struct trace_row first = {ROW, .at = SECOND, .count = 1};
	size_t i;

	(void)state;
	feed(s, &first);
	for (i = 0; i < COUNT_OF(wrong); i++) {
		struct trace_row row = whole_row(&wrong[i].row);
		struct buf error = {0};

		assert_false(simulation_feed(s, &row, &error));
		assert_string_equal(buf_text(&error), wrong[i].wanted);
		buf_free(&error);
	}
	simulation_free(s);
}

static void
note_suggestion(void *context, const struct simulation_suggestion *r)
{
	buf_printf(context, "%s %u: %llu %llu -> %u\n", r->rule, r->limit,
		   (unsigned long long)r->busiest, (unsigned long long)r->percentile, r->suggested);
}

/* Slices are 75 s long, and nine of them are looked at. */
static const struct {
	const char *name;
	struct trace_row rows[4];
	int quiet; /* further keys with one recipient each */
	const char *wanted;
} suggestions[] = {
    {"one message", {{ROW, .count = 7}}, 0, "burst volume 200: 7 7 -> 25\n"},
    {"within a window",
     {{ROW, .count = 10}, {ROW, .at = 590 * SECOND, .count = 10}},
     0,
     "burst volume 200: 20 20 -> 100\n"},
    {"at most an eighth longer",
     {{ROW, .count = 10}, {ROW, .at = 674 * SECOND, .count = 10}},
     0,
     "burst volume 200: 20 20 -> 100\n"},
    {"too far apart",
     {{ROW, .count = 10}, {ROW, .at = 675 * SECOND, .count = 10}},
     0,
     "burst volume 200: 10 10 -> 50\n"},
    {"one key is busy among many", {{ROW, .count = 40}}, 2000, "burst volume 200: 40 1 -> 100\n"},
    {"a blast is no example",
     {{ROW, .count = 4}, {ROW, .at = 1, .count = 5000, .blast = true}},
     0,
     "burst volume 200: 4 4 -> 20\n"},
    {"nothing was seen", {{STAGING, .count = 4}}, 0, ""},
};

static void
test_suggestions(void **state)
{
	static const struct config_burst bursts[] = {VOLUME};
	struct simulation_options options = {.suggest = true};
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT_OF(suggestions); i++) {
		struct simulation *s = start(bursts, 1, &options);
		struct buf got = {0};
		int quiet;

		for (j = 0; j < COUNT_OF(suggestions[i].rows); j++) {
			if (suggestions[i].rows[j].count > 0)
				feed(s, &suggestions[i].rows[j]);
		}
		for (quiet = 0; quiet < suggestions[i].quiet; quiet++) {
			char client[32];
			struct trace_row row = {.client = client, .at = CLOCK_HOUR, .count = 1};

			snprintf(client, sizeof(client), "10.1.%d.%d", 1 + quiet / 250,
				 quiet % 250);
			feed(s, &row);
		}
		simulation_end(s);
		simulation_suggest(s, note_suggestion, &got);
		if (strcmp(buf_text(&got), suggestions[i].wanted) != 0)
			fail_msg("%s\nwanted: %s\ngot:    %s", suggestions[i].name,
				 suggestions[i].wanted, buf_text(&got));
		buf_free(&got);
		simulation_free(s);
	}
}

static void
test_round(void **state)
{
	static const struct {
		uint64_t n;
		uint32_t wanted;
	} rows[] = {{1, 1},
		    {2, 2},
		    {3, 5},
		    {5, 5},
		    {6, 10},
		    {11, 20},
		    {21, 25},
		    {26, 50},
		    {51, 100},
		    {200, 200},
		    {201, 250},
		    {2501, 5000},
		    {12000, 20000},
		    {1000000001, 2000000000},
		    {UINT64_MAX / 8, 4000000000}};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(suggest_round(rows[i].n), rows[i].wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_engine),      cmocka_unit_test(test_delays),
	    cmocka_unit_test(test_order),       cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_suggestions), cmocka_unit_test(test_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
