/*
 * config_with_drill(): what is added, what is shared, who frees what. Sanitizer builds see to the
 * last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/load.h"

#define HELO "drill-0123456789abcdef0123456789abcdef.mailfuse.invalid"

static struct config *
load(const char *text)
{
	struct buf errors = {0};
	char *copy = mem_strdup(text);
	struct config *c = load_text(copy, "t", false, &errors);

	if (c == NULL)
		fail_msg("%s", buf_text(&errors));
	buf_free(&errors);
	free(copy);
	return c;
}

static const char sample[] =
    "upstream \"smarthost\" { address = \"mx.example:25\" }\n"
    "environment \"production\" { production = true match { network = {\"10.1.0.0/16\"} }\n"
    "  subject_prefix = \"[P] \"\n"
    "  burst \"volume\" { limit = \"500/10m\" per = {source, subject} head = \"10/10s\" }\n"
    "  content \"marker\" { header = \"Subject\" match = \"lorem\" } }\n"
    "environment \"staging\" { match { network = {\"10.2.0.0/16\"} }\n"
    "  allow = {\"@example.com\"} others = rewrite rewrite_to = \"qa+%u@example.com\" }\n";

static void
adds_one_of_each(void **state)
{
	struct config *base = load(sample), *c;
	const struct config_environment *e, *like;
	const struct config_upstream *u;

	(void)state;
	c = config_with_drill(base, "production", HELO, 4025);
	assert_non_null(c);
	assert_string_equal(c->drill.helo, HELO);
	assert_string_equal(c->drill.environment, "production");
	assert_int_equal(c->environment_count, base->environment_count + 1);
	assert_int_equal(c->upstream_count, base->upstream_count + 1);
	/* The built-in one stays last: it takes what nobody else does. */
	assert_string_equal(c->environments[c->environment_count - 1].name, "unknown");
	like = config_find_environment(base, "production");
	e = config_find_environment(c, CONFIG_DRILL);
	assert_non_null(e);
	assert_int_equal(e->match_count, 0);
	assert_true(e->production);
	assert_string_equal(e->upstream, CONFIG_DRILL);
	assert_string_equal(e->subject_prefix, "[P] ");
	assert_ptr_equal(e->bursts, like->bursts);
	assert_int_equal(e->burst_count, 1);
	assert_ptr_equal(e->contents, like->contents);
	assert_int_equal(e->content_count, 1);
	assert_int_equal(e->campaign_window, like->campaign_window);
	u = config_find_upstream(c, CONFIG_DRILL);
	assert_non_null(u);
	assert_string_equal(u->host, "127.0.0.1");
	assert_int_equal(u->port, 4025);
	assert_int_equal(u->tls, CONFIG_UPSTREAM_TLS_OFF);
	/* The base is as it was. */
	assert_null(config_find_environment(base, CONFIG_DRILL));
	assert_null(config_find_upstream(base, CONFIG_DRILL));
	assert_null(base->drill.helo);
	config_unref(c);
	config_unref(base);
}

/* Whatever the environment allows: a drill's mail can be to nobody who exists. */
static void
reaches_nobody(void **state)
{
	static const char *const names[] = {"production", "staging"};
	struct config *base = load(sample);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct config *c = config_with_drill(base, names[i], HELO, 4025);
		const struct config_environment *e = config_find_environment(c, CONFIG_DRILL);

		assert_int_equal(e->others, CONFIG_OTHERS_REJECT);
		assert_string_equal(e->allow[0], "@drill.invalid");
		assert_string_equal(e->allow[1], "@.drill.invalid");
		assert_null(e->allow[2]);
		config_unref(c);
	}
	config_unref(base);
}

static void
outlives_its_base(void **state)
{
	struct config *base = load(sample), *c, *again;

	(void)state;
	c = config_with_drill(base, "staging", HELO, 4025);
	config_unref(base);
	assert_string_equal(config_find_environment(c, "production")->bursts[0].name, "volume");
	/* Of a configuration with a drill: that one is left out, not added to. */
	again = config_with_drill(c, "production", HELO, 4026);
	assert_int_equal(again->environment_count, c->environment_count);
	assert_int_equal(again->upstream_count, c->upstream_count);
	assert_ptr_equal(again->base, c->base);
	assert_int_equal(config_find_upstream(again, CONFIG_DRILL)->port, 4026);
	config_unref(c);
	assert_string_equal(config_find_environment(again, "staging")->rewrite_to,
			    "qa+%u@example.com");
	config_unref(config_ref(again));
	config_unref(again);
}

static void
refuses_what_is_not_there(void **state)
{
	struct config *base = load(sample);
	char *name = base->environments[0].name;

	(void)state;
	assert_null(config_with_drill(base, "qa", HELO, 4025));
	/* However it came there: two of that name could not be told apart. */
	base->environments[0].name = mem_strdup(CONFIG_DRILL);
	assert_null(config_with_drill(base, "staging", HELO, 4025));
	free(base->environments[0].name);
	base->environments[0].name = name;
	config_unref(base);
}

static void
without_an_upstream(void **state)
{
	struct config *base = load("environment \"a\" { match { network = {\"10.1.0.0/16\"} } }\n"),
		      *c;

	(void)state;
	c = config_with_drill(base, "a", HELO, 4025);
	assert_int_equal(c->upstream_count, 1);
	assert_string_equal(config_find_environment(c, CONFIG_DRILL)->upstream, CONFIG_DRILL);
	config_unref(c);
	config_unref(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(adds_one_of_each),    cmocka_unit_test(reaches_nobody),
	    cmocka_unit_test(outlives_its_base),   cmocka_unit_test(refuses_what_is_not_there),
	    cmocka_unit_test(without_an_upstream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
