/*
 * Clients by address: who is one, how many connections and mistakes it may have, how long a failed
 * login waits, and that the table stays bounded and whole with several threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/client_name.h"
#include "relay/peers.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct peers_limits limits = {
    .connections = 3, .errors = 20, .window = 60 * CLOCK_SECOND};

#define NOW (1000 * CLOCK_SECOND)

static void
test_names(void **state)
{
	static const struct {
		const char *client, *wanted;
	} rows[] = {
	    {"192.0.2.7", "192.0.2.7"},
	    {"::ffff:192.0.2.7", "192.0.2.7"},
	    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
	    {"2001:DB8:1:2::", "2001:db8:1:2::/64"},
	    {"::1", "::/64"},
	    {"fe80::1%eth0", "fe80::/64"},
	    {"fe80::1%a-name-of-an-interface-that-is-longer-than-any", "fe80::/64"},
	    {"unknown", "unknown"},
	    {"", ""},
	    {"a-client-whose-name-is-too-long-to-be-an-address-and-longer-than-a-name-here",
	     "a-client-whose-name-is-too-long-to-be-an-address-and-longer-tha"},
	};
	char name[CLIENT_NAME_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		client_name(rows[i].client, name);
		assert_string_equal(name, rows[i].wanted);
	}
}

static void
test_connections(void **state)
{
	struct peers *p = peers_new();

	(void)state;
	assert_int_equal(peers_enter(p, "2001:db8::1", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "2001:db8::2", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "2001:db8::1", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "2001:db8::3", &limits, NOW), PEERS_CONNECTIONS);
	assert_int_equal(peers_enter(p, "2001:db8:0:1::3", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, NOW), PEERS_OK);
	peers_leave(p, "2001:db8::2");
	assert_int_equal(peers_enter(p, "2001:db8::9", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "2001:db8::9", &limits, NOW), PEERS_CONNECTIONS);
	/* A refused one was not counted. */
	peers_leave(p, "2001:db8::1");
	peers_leave(p, "2001:db8::1");
	peers_leave(p, "2001:db8::1");
	assert_int_equal(peers_enter(p, "2001:db8::9", &limits, NOW), PEERS_OK);
	peers_free(p);
}

static void
test_errors(void **state)
{
	struct peers *p = peers_new();
	int64_t now = NOW;
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_true(peers_error(p, "192.0.2.7", &limits, now, 1));
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_OK);
	assert_false(peers_error(p, "192.0.2.7", &limits, now, 1));
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_ERRORS);
	assert_int_equal(peers_enter(p, "192.0.2.8", &limits, now), PEERS_OK);
	/* One leaks in 3 s; then there is room for one, and not for two. */
	now += 3 * CLOCK_SECOND - 1;
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_ERRORS);
	now += 3 * CLOCK_SECOND + 1;
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_OK);
	assert_true(peers_error(p, "192.0.2.7", &limits, now, 1));
	assert_false(peers_error(p, "192.0.2.7", &limits, now, 1));
	/* However many more: after a window it may come again, after two all is forgotten. */
	for (i = 0; i < 1000; i++)
		assert_false(peers_error(p, "192.0.2.7", &limits, now, UINT32_MAX));
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now + limits.window - 1),
			 PEERS_ERRORS);
	now += 2 * limits.window;
	assert_true(peers_error(p, "192.0.2.7", &limits, now, 20));
	assert_false(peers_error(p, "192.0.2.7", &limits, now, 1));
	/* A weight of ten: the third is too much. */
	assert_true(peers_error(p, "192.0.2.9", &limits, now, PEERS_ERROR_LOGIN));
	assert_true(peers_error(p, "192.0.2.9", &limits, now, PEERS_ERROR_LOGIN));
	assert_false(peers_error(p, "192.0.2.9", &limits, now, PEERS_ERROR_LOGIN));
	peers_free(p);
}

/* Listeners with other limits share a client: a mistake is a share of its own listener's limit. */
static void
test_errors_of_two_listeners(void **state)
{
	const struct peers_limits strict = {.connections = 3, .errors = 20, .window = CLOCK_HOUR};
	struct peers *p = peers_new();
	int64_t now = NOW;
	int i;

	(void)state;
	for (i = 0; i < 10; i++)
		assert_true(peers_error(p, "192.0.2.7", &strict, now, 1));
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_OK);
	assert_true(peers_error(p, "192.0.2.7", &limits, now, 0));
	for (i = 0; i < 10; i++)
		assert_true(peers_error(p, "192.0.2.7", &limits, now, 1));
	/* Half of each is all; and mistakes at the lenient one are no way to have the others
	 * forgotten.
	 */
	assert_false(peers_error(p, "192.0.2.7", &limits, now, 1));
	assert_int_equal(peers_enter(p, "192.0.2.7", &strict, now), PEERS_ERRORS);
	now += limits.window;
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_ERRORS);
	now += 2 * strict.window;
	assert_int_equal(peers_enter(p, "192.0.2.7", &limits, now), PEERS_OK);
	/* The other way round. */
	assert_true(peers_error(p, "192.0.2.8", &limits, now, 10));
	assert_true(peers_error(p, "192.0.2.8", &strict, now, 10));
	assert_false(peers_error(p, "192.0.2.8", &strict, now, 1));
	peers_free(p);
}

static void
test_logins(void **state)
{
	static const int wanted[] = {1, 2, 4, 8, 16, 16, 16};
	struct peers *p = peers_new();
	int64_t now = NOW;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(wanted); i++, now += CLOCK_MINUTE)
		assert_int_equal(peers_login_failed(p, "192.0.2.7", now), wanted[i] * CLOCK_SECOND);
	assert_int_equal(peers_login_failed(p, "192.0.2.8", now), CLOCK_SECOND);
	/* The last was 10 minutes ago, those before it longer. */
	assert_int_equal(peers_login_failed(p, "192.0.2.7", now + 9 * CLOCK_MINUTE), CLOCK_SECOND);
	assert_int_equal(peers_login_failed(p, "192.0.2.7", now + 9 * CLOCK_MINUTE),
			 2 * CLOCK_SECOND);
	peers_login_right(p, "192.0.2.7");
	peers_login_right(p, "192.0.2.99");
	assert_int_equal(peers_login_failed(p, "192.0.2.7", now + 9 * CLOCK_MINUTE), CLOCK_SECOND);
	peers_free(p);
}

/* A flood of addresses forgets who was quiet for longest, and nobody who is connected. */
static void
test_flood(void **state)
{
	struct peers *p = peers_new();
	char client[32];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(peers_enter(p, "192.0.2.1", &limits, NOW), PEERS_OK);
	assert_true(peers_error(p, "192.0.2.2", &limits, NOW, 20));
	assert_true(peers_error(p, "192.0.2.3", &limits, NOW, 20));
	for (i = 0; i < 65533; i++) {
		snprintf(client, sizeof(client), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		assert_true(peers_error(p, client, &limits, NOW, 1));
	}
	assert_false(peers_error(p, "192.0.2.2", &limits, NOW, 1)); /* and was heard of again */
	assert_true(peers_error(p, "10.9.9.9", &limits, NOW, 1));
	assert_true(peers_error(p, "192.0.2.3", &limits, NOW, 20)); /* was forgotten */
	assert_false(peers_error(p, "192.0.2.2", &limits, NOW, 1));
	for (i = 0; i < 65536; i++) {
		snprintf(client, sizeof(client), "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		peers_error(p, client, &limits, NOW, 1);
	}
	assert_true(peers_error(p, "192.0.2.2", &limits, NOW, 20));
	assert_int_equal(peers_enter(p, "192.0.2.1", &limits, NOW), PEERS_CONNECTIONS);
	for (i = 0; i < 3; i++)
		peers_leave(p, "192.0.2.1");
	peers_free(p);
}

/* More clients with connections than the table may hold: who is new is refused. */
static void
test_full(void **state)
{
	struct peers *p = peers_new();
	char client[32];
	int i;

	(void)state;
	for (i = 0; i < 65536; i++) {
		snprintf(client, sizeof(client), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		assert_int_equal(peers_enter(p, client, &limits, NOW), PEERS_OK);
	}
	assert_int_equal(peers_enter(p, "192.0.2.1", &limits, NOW), PEERS_CONNECTIONS);
	assert_false(peers_error(p, "192.0.2.1", &limits, NOW, 1));
	assert_int_equal(peers_login_failed(p, "192.0.2.1", NOW), 16 * CLOCK_SECOND);
	peers_leave(p, "10.0.0.0");
	assert_int_equal(peers_enter(p, "192.0.2.1", &limits, NOW), PEERS_OK);
	assert_int_equal(peers_enter(p, "10.0.0.0", &limits, NOW), PEERS_CONNECTIONS);
	peers_free(p);
}

static void *
come_and_go(void *context)
{
	const struct peers_limits wide = {.connections = 8, .errors = 1000, .window = CLOCK_SECOND};
	struct peers *p = context;
	char client[32];
	int i;

	for (i = 0; i < 5000; i++) {
		snprintf(client, sizeof(client), "10.0.0.%d", i % 50);
		if (peers_enter(p, client, &wide, NOW + i) != PEERS_OK)
			continue;
		peers_error(p, client, &wide, NOW + i, 1);
		peers_login_failed(p, client, NOW + i);
		peers_login_right(p, client);
		peers_leave(p, client);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	const struct peers_limits one = {.connections = 1, .errors = 1000, .window = 1};
	struct peers *p = peers_new();
	pthread_t threads[4];
	char client[32];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, p), 0);
	for (i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 50; i++) { /* nobody is left */
		snprintf(client, sizeof(client), "10.0.0.%zu", i);
		assert_int_equal(peers_enter(p, client, &one, NOW + CLOCK_HOUR), PEERS_OK);
	}
	peers_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),   cmocka_unit_test(test_connections),
	    cmocka_unit_test(test_errors),  cmocka_unit_test(test_logins),
	    cmocka_unit_test(test_flood),   cmocka_unit_test(test_full),
	    cmocka_unit_test(test_threads), cmocka_unit_test(test_errors_of_two_listeners),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
