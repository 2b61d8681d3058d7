/*
 * gate_identify() and gate_source(): which environment a client belongs to, and which matches are
 * refused because two environments would take the same client.
 */
#include "tests/unit/filters_fixture.h"

#define MATCHES(...)                                                                               \
	.matches = (struct config_match[]){__VA_ARGS__},                                           \
	.match_count = COUNT_OF(((struct config_match[]){__VA_ARGS__}))
#define NAMED(text)                                                                                \
	.name = TEXT(text), .upstream = TEXT(""), .subject_prefix = TEXT(""), .allow = NOBODY,     \
	.rewrite_to = TEXT("")

struct row {
	const char *name, *listener, *address, *user, *tls_name, *wanted, *why;
};

static const struct row rows[] = {
    {"a network", "apps", "10.1.7.7", "", "", "production", "network 10.1.0.0/16"},
    {"a wider network", "apps", "10.2.0.7", "", "", "staging", "network 10.0.0.0/8"},
    {"one address in a network", "apps", "10.1.2.3", "", "", "staging", "network 10.1.2.3"},
    {"a prefix within a byte", "apps", "172.31.255.1", "", "", "staging", "network 172.16.0.0/12"},
    {"just outside of it", "apps", "172.32.0.1", "", "", "other", "network 0.0.0.0/0"},
    {"IPv6", "apps", "2001:db8:7::1", "", "", "production", "network 2001:db8::/32"},
    {"IPv6 elsewhere", "apps", "2001:db9::1", "", "", "unknown", "no match"},
    {"an IPv4 client on an IPv6 socket", "apps", "::ffff:10.1.7.7", "", "", "production",
     "network 10.1.0.0/16"},
    {"the default route is the last network", "apps", "192.0.2.1", "", "", "other",
     "network 0.0.0.0/0"},
    {"a user beats a network", "apps", "10.2.0.7", "shop-eu", "", "production", "user shop-*"},
    {"an exact user beats a glob", "apps", "10.1.7.7", "shop-test", "", "staging",
     "user shop-test"},
    {"a longer glob beats a shorter", "apps", "10.2.0.7", "demo-eu-1", "", "production",
     "user demo-eu-*"},
    {"a user has no case", "apps", "10.1.7.7", "SHOP-Test", "", "staging", "user shop-test"},
    {"an unknown user falls back to the network", "apps", "10.2.0.7", "nobody", "", "staging",
     "network 10.0.0.0/8"},
    {"all keys of a block hold", "apps", "10.9.0.1", "both", "", "production", "user both"},
    {"not all keys of a block hold", "apps", "10.8.0.1", "both", "", "staging",
     "network 10.0.0.0/8"},
    {"two globs that are alike: not production", "apps", "192.0.2.1", "demo-live", "", "staging",
     "user demo-*"},
    {"a TLS name beats a network", "apps", "10.1.7.7", "", "ci.dev.example.com", "dev",
     "tls_name *.dev.example.com"},
    {"a user beats a TLS name", "apps", "10.1.7.7", "shop-eu", "ci.dev.example.com", "production",
     "user shop-*"},
    {"a network beats a listener", "dev", "10.1.7.7", "", "", "production", "network 10.1.0.0/16"},
    {"a listener", "dev", "2001:db9::1", "", "", "dev", "listener dev"},
    {"a listener has case", "Dev", "2001:db9::1", "", "", "unknown", "no match"},
    {"no address", "apps", "", "", "", "unknown", "no match"},
    {"no address at all", "apps", "10.1.7", "", "", "unknown", "no match"},
};

static struct config_environment environments[] = {
    {NAMED("production"), .production = true,
     MATCHES({.networks = LIST(TEXT("10.1.0.0/16"), TEXT("2001:db8::/32"))},
	     {.users = LIST(TEXT("shop-*"))},
	     {.networks = LIST(TEXT("10.9.0.0/16")), .users = LIST(TEXT("both"))},
	     {.users = LIST(TEXT("*-live"), TEXT("demo-eu-*"))})},
    {NAMED("staging"),
     MATCHES({.networks = LIST(TEXT("10.0.0.0/8"), TEXT("10.1.2.3"), TEXT("172.16.0.0/12"))},
	     {.users = LIST(TEXT("shop-test"))}, {.users = LIST(TEXT("demo-*"))})},
    {NAMED("dev"), MATCHES({.listeners = LIST(TEXT("dev"))},
			   {.tls_names = LIST(TEXT("*.dev.example.com"))}, {.networks = NOBODY})},
    {NAMED("other"), .production = true, MATCHES({.networks = LIST(TEXT("0.0.0.0/0"))})},
    {NAMED("unknown"), .others = CONFIG_OTHERS_HOLD},
};

static void
identifies(void **state)
{
	struct config config = fixture_config(environments, 5);
	struct policy *p = fixture_policy(&config);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct gate_client client = {rows[i].listener, rows[i].address, rows[i].user,
					     rows[i].tls_name, NULL};
		const char *why = NULL, *name = gate_identify(p, &client, &why)->name;

		if (strcmp(name, rows[i].wanted) != 0 || strcmp(why, rows[i].why) != 0)
			fail_msg("%s: %s, %s", rows[i].name, name, why);
		assert_ptr_equal(gate_identify(p, &client, NULL), gate_identify(p, &client, &why));
	}
	policy_unref(p);
	assert_int_equal(config.refs, 1);
}

struct refusal {
	const char *name;
	struct config_match first, second;
	const char *wanted; /* NULL = accepted */
};

static const struct refusal refusals[] = {
    {"two environments, two networks",
     {.networks = LIST(TEXT("10.1.0.0/16"))},
     {.networks = LIST(TEXT("10.0.0.0/8"))},
     NULL},
    {"the same network twice",
     {.networks = LIST(TEXT("10.1.0.0/16"))},
     {.networks = LIST(TEXT("10.9.0.0/16"), TEXT("10.1.0.0/16"))},
     "environment \"b\": network 10.1.0.0/16 is also matched by environment \"a\"; keep it "
     "in one of them\n"},
    {"the same network, written as IPv6",
     {.networks = LIST(TEXT("10.1.0.0/16"))},
     {.networks = LIST(TEXT("::ffff:10.1.0.0/112"))},
     "environment \"b\": network 10.1.0.0/16 is also matched by environment \"a\"; keep it "
     "in one of them\n"},
    {"the same user twice",
     {.users = LIST(TEXT("shop"))},
     {.users = LIST(TEXT("SHOP"))},
     "environment \"b\": user shop is also matched by environment \"a\"; keep it in one of "
     "them\n"},
    {"one of them has one key more",
     {.users = LIST(TEXT("shop"))},
     {.users = LIST(TEXT("shop")), .networks = LIST(TEXT("10.1.0.0/16"))},
     NULL},
    {"the same user from different networks",
     {.users = LIST(TEXT("shop")), .networks = LIST(TEXT("10.2.0.0/16"))},
     {.users = LIST(TEXT("shop")), .networks = LIST(TEXT("10.1.0.0/16"))},
     NULL},
    {"no key",
     {.users = LIST(TEXT("shop"))},
     {.users = NULL},
     "environment \"b\": a match without a key would take everybody; write match { network "
     "= {\"10.2.0.0/16\"} }, or user, tls_name, listener\n"},
    {"no network",
     {.users = LIST(TEXT("shop"))},
     {.networks = LIST(TEXT("ten"))},
     "environment \"b\": network \"ten\" is no network; write 10.2.0.0/16 or "
     "2001:db8::/32\n"},
    {"too long a prefix",
     {.users = LIST(TEXT("shop"))},
     {.networks = LIST(TEXT("10.0.0.0/33"))},
     "environment \"b\": network \"10.0.0.0/33\" has no valid prefix length; write a "
     "number "
     "up to 32 after the slash\n"},
    {"a prefix that is no number",
     {.users = LIST(TEXT("shop"))},
     {.networks = LIST(TEXT("10.0.0.0/-1"))},
     "environment \"b\": network \"10.0.0.0/-1\" has no valid prefix length; write a "
     "number "
     "up to 32 after the slash\n"},
    {"bits behind the prefix",
     {.users = LIST(TEXT("shop"))},
     {.networks = LIST(TEXT("10.1.2.3/16"))},
     "environment \"b\": network \"10.1.2.3/16\" has bits set behind its prefix; write "
     "10.1.0.0/16 if you mean the network\n"},
    {"an empty name",
     {.users = LIST(TEXT("shop"))},
     {.users = LIST(TEXT(""))},
     "environment \"b\": an empty user matches nobody; remove it or write a name\n"},
};

static void
refuses(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(refusals); i++) {
		struct config_match first = refusals[i].first, second = refusals[i].second;
		struct config_environment *list =
		    ENVIRONMENTS({NAMED("a"), .matches = &first, .match_count = 1},
				 {NAMED("b"), .matches = &second, .match_count = 1});
		struct config config = fixture_config(list, 3);
		struct buf errors = {0};
		struct policy *p = policy_new(&config, &errors);

		if ((p != NULL) != (refusals[i].wanted == NULL) ||
		    (p == NULL && strcmp(buf_text(&errors), refusals[i].wanted) != 0))
			fail_msg("%s: %s", refusals[i].name, buf_text(&errors));
		policy_unref(p);
		buf_free(&errors);
		assert_int_equal(config.refs, 1);
	}
}

static void
sources(void **state)
{
	static const struct row source_rows[] = {
	    {"a login", "apps", "10.1.0.1", "shop", "ci.example.com", "shop", NULL},
	    {"a TLS name", "apps", "10.1.0.1", "", "ci.example.com", "ci.example.com", NULL},
	    {"an address", "apps", "10.1.0.1", "", "", "10.1.0.1", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(source_rows); i++) {
		const struct row *row = &source_rows[i];
		struct gate_client client = {row->listener, row->address, row->user, row->tls_name,
					     NULL};

		assert_string_equal(gate_source(&client), row->wanted);
	}
}

/* Whoever knows the drill's name is the drill, whatever else matches; nobody else is. */
static void
knows_the_drill(void **state)
{
	static const struct {
		const char *helo, *wanted, *why;
	} drill_rows[] = {
	    {"drill-00ff.mailfuse.invalid", "drill", "the drill under way"},
	    {"drill-00fe.mailfuse.invalid", "production", "network 10.1.0.0/16"},
	    {"DRILL-00FF.mailfuse.invalid", "production", "network 10.1.0.0/16"},
	    {"drill-00ff.mailfuse.invali", "production", "network 10.1.0.0/16"},
	    {"drill-00ff.mailfuse.invalid2", "production", "network 10.1.0.0/16"},
	    {"", "production", "network 10.1.0.0/16"},
	    {NULL, "production", "network 10.1.0.0/16"},
	};
	struct config_environment *list =
	    ENVIRONMENTS({NAMED("production"), .production = true,
			  MATCHES({.networks = LIST(TEXT("10.1.0.0/16"))})},
			 {NAMED("drill")});
	struct config config = fixture_config(list, 3), plain = fixture_config(list, 3);
	struct policy *p, *without;
	size_t i;

	(void)state;
	config.drill =
	    (struct config_drill){TEXT("drill-00ff.mailfuse.invalid"), TEXT("production")};
	p = fixture_policy(&config);
	without = fixture_policy(&plain);
	for (i = 0; i < COUNT_OF(drill_rows); i++) {
		struct gate_client client = {"apps", "10.1.7.7", "", "", drill_rows[i].helo};
		const char *why = NULL;

		assert_string_equal(gate_identify(p, &client, &why)->name, drill_rows[i].wanted);
		assert_string_equal(why, drill_rows[i].why);
		assert_int_equal(gate_is_drill(p, &client), i == 0);
		/* Once it is over the name is worth nothing. */
		assert_string_equal(gate_identify(without, &client, &why)->name, "production");
		assert_false(gate_is_drill(without, &client));
	}
	policy_unref(p);
	policy_unref(without);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(identifies),
	    cmocka_unit_test(refuses),
	    cmocka_unit_test(sources),
	    cmocka_unit_test(knows_the_drill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
