/*
 * Logins: what is right, wrong, remembered and refused, with a desk that stands still when a test
 * wants it to. The keyring is a small fake of relay/keyring.c that counts who holds it; scrypt
 * is the real one, at the least cost that a users file may have, behind a gate.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/password.h"
#include "net/loop.h"
#include "relay/login.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of "correct horse" and of "battery staple". */
#define HORSE                                                                                      \
	"$scrypt$ln=10,r=8,p=1$c2l4dGVlbiBieXRlIHNhbA$Bv2SJHBl4qs1L3dd2RrdPDTxb1L931Fp1q7yoqz8t+w"
#define STAPLE                                                                                     \
	"$scrypt$ln=10,r=8,p=1$YW5vdGhlciBzaXh0ZWVuLg$IizbnuWzt7CjFbUutmCw7OgFTH/bP1x9oX9BX68guXg"

/* ---- the fake keyring ---- */

struct keyring {
	_Atomic int refs;
	struct users *users;
};

struct keyring *
keyring_ref(struct keyring *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void
keyring_unref(struct keyring *k)
{
	if (atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	users_free(k->users);
	free(k);
}

const struct users *
keyring_users(const struct keyring *k)
{
	return k->users;
}

static struct keyring *
make_keys(const char *text)
{
	char path[] = "/tmp/mailfuse-login-XXXXXX";
	struct keyring *k = mem_zalloc(sizeof(*k));
	struct buf errors = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	k->refs = 1;
	k->users = users_load(path, &errors);
	assert_non_null(k->users);
	unlink(path);
	buf_free(&errors);
	return k;
}

/* ---- scrypt behind a gate, and a clock that can be set ---- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_closed, all_right; /* all_right: scrypt is left out */
static int gate_waiting, computed;
static char last_hash[200], order[200]; /* order: the passwords, as they were computed */
static _Atomic int64_t clock_ahead;

bool __real_password_verify(const char *hash, const char *password);
bool __wrap_password_verify(const char *hash, const char *password);
int64_t __real_clock_mono(void);
int64_t __wrap_clock_mono(void);

bool
__wrap_password_verify(const char *hash, const char *password)
{
	bool yes;

	pthread_mutex_lock(&gate_lock);
	gate_waiting++;
	pthread_cond_broadcast(&gate_moved);
	while (gate_closed)
		pthread_cond_wait(&gate_moved, &gate_lock);
	gate_waiting--;
	computed++;
	snprintf(last_hash, sizeof(last_hash), "%s", hash == NULL ? "" : hash);
	snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s ", password);
	yes = all_right;
	pthread_mutex_unlock(&gate_lock);
	return yes || __real_password_verify(hash, password);
}

int64_t
__wrap_clock_mono(void)
{
	return __real_clock_mono() + atomic_load(&clock_ahead);
}

static void
set_gate(bool closed)
{
	pthread_mutex_lock(&gate_lock);
	gate_closed = closed;
	pthread_cond_broadcast(&gate_moved);
	pthread_mutex_unlock(&gate_lock);
}

static void
wait_for_desk(void)
{
	pthread_mutex_lock(&gate_lock);
	while (gate_waiting == 0)
		pthread_cond_wait(&gate_moved, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
}

static int
count_computed(void)
{
	int n;

	pthread_mutex_lock(&gate_lock);
	n = computed;
	computed = 0;
	order[0] = '\0';
	pthread_mutex_unlock(&gate_lock);
	return n;
}

/* ---- one loop, on the test's thread ---- */

struct rig {
	struct loop *loop;
	struct login_desk *desk;
	struct login_cache *cache;
	struct keyring *keys;
	int answers[LOGIN_WAIT];
	int awaited;
};

static struct rig rig;

static void
take_answer(void *context, enum login_result result)
{
	struct rig *r = context;

	assert_in_range(result, LOGIN_RIGHT, LOGIN_BUSY);
	r->answers[result]++;
	if (--r->awaited == 0)
		loop_stop(r->loop);
}

static int
set_up(void **state)
{
	(void)state;
	rig = (struct rig){.loop = loop_new("test"),
			   .desk = login_desk_new(),
			   .cache = login_cache_new(),
			   .keys = make_keys("shop:" HORSE "\nqa:" STAPLE "\n")};
	atomic_store(&clock_ahead, 0);
	count_computed();
	return 0;
}

/* As relay.c does it. */
static int
tear_down(void **state)
{
	(void)state;
	set_gate(false);
	login_desk_free(rig.desk);
	loop_drain(rig.loop);
	login_cache_free(rig.cache);
	loop_free(rig.loop);
	assert_int_equal(rig.keys->refs, 1);
	keyring_unref(rig.keys);
	return 0;
}

static enum login_result
check(const char *client, const char *name, const char *password, struct login **out)
{
	struct login *ignored;

	return login_check(rig.desk, rig.cache, rig.loop, rig.keys, client, name, password,
			   take_answer, &rig, out == NULL ? &ignored : out);
}

/* To the end: an answer that is waited for comes. */
static enum login_result
ask(const char *name, const char *password)
{
	enum login_result result = check("192.0.2.7", name, password, NULL);

	if (result != LOGIN_WAIT)
		return result;
	memset(rig.answers, 0, sizeof(rig.answers));
	rig.awaited = 1;
	loop_run(rig.loop);
	for (result = LOGIN_RIGHT; result < LOGIN_WAIT; result++)
		if (rig.answers[result] == 1)
			return result;
	return LOGIN_WAIT;
}

/* Opens the gate; so many answers come. */
static void
await(int count)
{
	memset(rig.answers, 0, sizeof(rig.answers));
	rig.awaited = count;
	set_gate(false);
	loop_run(rig.loop);
}

static void
test_answers(void **state)
{
	static const struct {
		const char *name, *password;
		enum login_result wanted;
	} rows[] = {
	    {"shop", "correct horse", LOGIN_RIGHT},
	    {"qa", "battery staple", LOGIN_RIGHT},
	    {"shop", "battery staple", LOGIN_WRONG},
	    {"qa", "correct horse", LOGIN_WRONG},
	    {"shop", "", LOGIN_WRONG},
	    {"", "", LOGIN_WRONG},
	    {"Shop", "correct horse", LOGIN_WRONG},
	    {"nobody", "correct horse", LOGIN_WRONG},
	    {"nobody", "battery staple", LOGIN_WRONG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (ask(rows[i].name, rows[i].password) != rows[i].wanted)
			fail_msg("%s %s", rows[i].name, rows[i].password);
	assert_int_equal(count_computed(), COUNT(rows));
}

/* What is right is computed once, for ten minutes; what is wrong, each time. */
static void
test_memory(void **state)
{
	int i;

	(void)state;
	assert_int_equal(ask("shop", "correct horse"), LOGIN_RIGHT);
	for (i = 0; i < 3; i++)
		assert_int_equal(check("192.0.2.8", "shop", "correct horse", NULL), LOGIN_RIGHT);
	assert_int_equal(count_computed(), 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(ask("shop", "correct hors"), LOGIN_WRONG);
	assert_int_equal(count_computed(), 3);
	/* Not split otherwise, and not of another user. */
	assert_int_equal(ask("sho", "pcorrect horse"), LOGIN_WRONG);
	assert_int_equal(ask("qa", "correct horse"), LOGIN_WRONG);
	count_computed();
	atomic_store(&clock_ahead, 10 * CLOCK_MINUTE - CLOCK_SECOND * 60);
	assert_int_equal(check("192.0.2.8", "shop", "correct horse", NULL), LOGIN_RIGHT);
	atomic_store(&clock_ahead, 10 * CLOCK_MINUTE + 1);
	assert_int_equal(ask("shop", "correct horse"), LOGIN_RIGHT);
	assert_int_equal(count_computed(), 1);
}

static void
set_all_right(bool on)
{
	pthread_mutex_lock(&gate_lock);
	all_right = on;
	pthread_mutex_unlock(&gate_lock);
}

/* A loop remembers 4096; the one that was right longest ago goes first. */
static void
test_bound(void **state)
{
	struct buf text = {0};
	char name[16];
	int i;

	(void)state;
	for (i = 0; i <= 4096; i++)
		buf_printf(&text, "u%d:" HORSE "\n", i);
	keyring_unref(rig.keys);
	rig.keys = make_keys(buf_text(&text));
	buf_free(&text);
	set_all_right(true);
	for (i = 0; i < 4096; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		assert_int_equal(ask(name, "x"), LOGIN_RIGHT);
	}
	count_computed();
	for (i = 0; i < 4096; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		assert_int_equal(check("192.0.2.7", name, "x", NULL), LOGIN_RIGHT);
	}
	assert_int_equal(ask("u4096", "x"), LOGIN_RIGHT);
	assert_int_equal(check("192.0.2.7", "u1", "x", NULL), LOGIN_RIGHT);
	assert_int_equal(check("192.0.2.7", "u4096", "x", NULL), LOGIN_RIGHT);
	assert_int_equal(count_computed(), 1);
	assert_int_equal(ask("u0", "x"), LOGIN_RIGHT);
	assert_int_equal(count_computed(), 1);
	set_all_right(false);
}

/* A changed users file counts at once, whatever is remembered or under way. */
static void
test_reload(void **state)
{
	(void)state;
	assert_int_equal(ask("shop", "correct horse"), LOGIN_RIGHT);
	keyring_unref(rig.keys);
	rig.keys = make_keys("shop:" STAPLE "\n");
	assert_int_equal(ask("shop", "correct horse"), LOGIN_WRONG);
	assert_int_equal(ask("shop", "battery staple"), LOGIN_RIGHT);
	keyring_unref(rig.keys);
	rig.keys = make_keys("# nobody\n");
	assert_int_equal(ask("shop", "battery staple"), LOGIN_WRONG);
	keyring_unref(rig.keys);
	rig.keys = make_keys("shop:" HORSE "\n");
	/* The keys may go while a check needs them. */
	set_gate(true);
	assert_int_equal(check("192.0.2.7", "nobody", "x", NULL), LOGIN_WAIT);
	keyring_unref(rig.keys);
	rig.keys = make_keys("shop:" HORSE "\n");
	await(1);
	assert_int_equal(rig.answers[LOGIN_WRONG], 1);
}

/* The desk has 64 places. Whoever comes to a full one with a first check gets a place of the client
 * that has most, which is told; nobody else is. */
static void
test_busy(void **state)
{
	char password[32];
	int i;

	(void)state;
	set_gate(true);
	assert_int_equal(check("192.0.2.1", "shop", "first", NULL), LOGIN_WAIT);
	wait_for_desk();
	assert_int_equal(check("192.0.2.2", "shop", "one", NULL), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.2", "shop", "two", NULL), LOGIN_WAIT);
	for (i = 3; i < 80; i++) {
		snprintf(password, sizeof(password), "%d", i);
		assert_int_equal(check("192.0.2.1", "shop", password, NULL),
				 i < 64 ? LOGIN_WAIT : LOGIN_BUSY);
	}
	assert_int_equal(check("198.51.100.1", "shop", "correct horse", NULL), LOGIN_WAIT);
	assert_int_equal(check("2001:db8::1", "shop", "three", NULL), LOGIN_WAIT);
	assert_int_equal(check("2001:db8::2", "qa", "battery staple", NULL), LOGIN_WAIT);
	await(67);
	assert_int_equal(rig.answers[LOGIN_BUSY], 3);
	assert_int_equal(rig.answers[LOGIN_RIGHT], 2);
	assert_int_equal(rig.answers[LOGIN_WRONG], 62);
	assert_int_equal(count_computed(), 64);
	assert_int_equal(ask("shop", "correct horse"), LOGIN_RIGHT);
}

/* 64 clients with one check each: nobody has more than the newcomer. */
static void
test_full(void **state)
{
	char client[32];
	int i;

	(void)state;
	set_gate(true);
	for (i = 0; i < 70; i++) {
		snprintf(client, sizeof(client), "192.0.2.%d", i);
		assert_int_equal(check(client, "shop", client, NULL),
				 i < 64 ? LOGIN_WAIT : LOGIN_BUSY);
		if (i == 0)
			wait_for_desk();
	}
	await(64);
	assert_int_equal(rig.answers[LOGIN_WRONG], 64);
}

/* Everybody has one computed before anybody has two; a client's own come in their order. An IPv6
 * client is its /64. */
static void
test_turns(void **state)
{
	static const struct {
		const char *client, *password;
	} rows[] = {
	    {"192.0.2.1", "a1"},   {"192.0.2.1", "a2"},   {"192.0.2.1", "a3"},
	    {"192.0.2.1", "a4"},   {"192.0.2.2", "b1"},   {"192.0.2.2", "b2"},
	    {"2001:db8::1", "c1"}, {"2001:db8::2", "c2"}, {"2001:db8:0:1::", "d1"},
	};
	size_t i;

	(void)state;
	set_gate(true);
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(check(rows[i].client, "shop", rows[i].password, NULL), LOGIN_WAIT);
		if (i == 0)
			wait_for_desk();
	}
	await(COUNT(rows));
	assert_string_equal(order, "a1 a2 b1 c1 d1 a3 b2 c2 a4 ");
}

/* An application that opens many connections at once is computed once, right or wrong. */
static void
test_equal(void **state)
{
	int i;

	(void)state;
	set_gate(true);
	for (i = 0; i < 100; i++) {
		assert_int_equal(check("192.0.2.7", "shop", "correct horse", NULL), LOGIN_WAIT);
		assert_int_equal(check("192.0.2.7", "shop", "wrong", NULL), LOGIN_WAIT);
	}
	await(200);
	assert_int_equal(rig.answers[LOGIN_RIGHT], 100);
	assert_int_equal(rig.answers[LOGIN_WRONG], 100);
	assert_int_equal(count_computed(), 2);
}

/* A session may end at any moment: before the desk looks, while it computes, and when the answer is
 * on its way; whoever else waits for the same is answered. */
static void
test_forget(void **state)
{
	struct login *first, *second, *third;

	(void)state;
	set_gate(true);
	assert_int_equal(check("192.0.2.7", "shop", "one", &first), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.7", "shop", "two", &second), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.7", "shop", "correct horse", &third), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.8", "shop", "correct horse", NULL), LOGIN_WAIT);
	wait_for_desk();
	login_forget(first);
	login_forget(second);
	login_forget(third);
	await(1);
	assert_int_equal(rig.answers[LOGIN_RIGHT], 1);
	assert_int_equal(count_computed(), 2); /* the second was not worth it */

	/* The desk has answered this one before the next is computed. */
	assert_int_equal(check("192.0.2.7", "shop", "one", &first), LOGIN_WAIT);
	while (count_computed() == 0)
		usleep(1000);
	set_gate(true);
	assert_int_equal(check("192.0.2.7", "shop", "two", NULL), LOGIN_WAIT);
	wait_for_desk();
	login_forget(first);
	await(1);
	assert_int_equal(rig.answers[LOGIN_WRONG], 1);
}

/* An unknown user costs what a known one does, always the same one, and is never let in. */
static void
test_unknown(void **state)
{
	char first[sizeof(last_hash)], name[16];
	int i, horses = 0;

	(void)state;
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "nobody-%d", i);
		assert_int_equal(ask(name, "correct horse"), LOGIN_WRONG);
		snprintf(first, sizeof(first), "%s", last_hash);
		assert_int_equal(ask(name, "battery staple"), LOGIN_WRONG);
		assert_string_equal(first, last_hash);
		assert_true(strcmp(first, HORSE) == 0 || strcmp(first, STAPLE) == 0);
		horses += strcmp(first, HORSE) == 0;
	}
	assert_in_range(horses, 1, 39);
	keyring_unref(rig.keys);
	rig.keys = make_keys("");
	assert_int_equal(ask("shop", "correct horse"), LOGIN_WRONG);
	assert_string_equal(last_hash, "");
	users_free(rig.keys->users);
	rig.keys->users = NULL;
	assert_int_equal(ask("shop", "correct horse"), LOGIN_WRONG);
}

/* The desk goes while logins wait: they are told, or were forgotten, and nothing is computed for
 * them. */
static void
test_end(void **state)
{
	struct login *forgotten;

	(void)state;
	memset(rig.answers, 0, sizeof(rig.answers));
	set_gate(true);
	assert_int_equal(check("192.0.2.7", "shop", "correct horse", NULL), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.7", "shop", "one", NULL), LOGIN_WAIT);
	assert_int_equal(check("192.0.2.7", "shop", "two", &forgotten), LOGIN_WAIT);
	wait_for_desk();
	login_forget(forgotten);
	rig.awaited = 1000;
	set_gate(false);
	login_desk_free(rig.desk);
	rig.desk = NULL;
	/* It may have been at the second already when it was told to close. */
	assert_in_range(count_computed(), 1, 2);
	loop_drain(rig.loop);
	assert_int_equal(rig.answers[LOGIN_RIGHT], 1);
	assert_int_equal(rig.answers[LOGIN_BUSY] + rig.answers[LOGIN_WRONG], 1);
}

/* ---- several loops ---- */

enum { WORKERS = 3, ROUNDS = 40 };

struct worker {
	struct loop_post post;
	struct loop *loop;
	struct login_cache *cache;
	struct login_desk *desk;
	struct keyring *keys;
	struct login *pending[3];
	int number, round;
	int wrong_answers; /* that should not have been */
	_Atomic bool over;
};

static void worker_turn(struct loop_post *post);

static void
worker_answered(void *context, enum login_result result)
{
	struct worker *w = context;

	if (result != LOGIN_RIGHT)
		w->wrong_answers++;
	worker_turn(&w->post);
}

static void
worker_never(void *context, enum login_result result)
{
	struct worker *w = context;

	(void)result;
	w->wrong_answers++;
}

/* Two guesses that are forgotten at once, and a right login that is waited for. */
static void
worker_turn(struct loop_post *post)
{
	struct worker *w = (struct worker *)post;
	char client[32], guess[32];
	enum login_result result;
	int i;

	for (; w->round < ROUNDS; w->round++) {
		snprintf(client, sizeof(client), "10.0.%d.%d", w->number, w->round);
		for (i = 0; i < 2; i++) {
			snprintf(guess, sizeof(guess), "%d", i * w->number);
			if (login_check(w->desk, w->cache, w->loop, w->keys, client, "shop", guess,
					worker_never, w, &w->pending[i]) == LOGIN_WAIT)
				login_forget(w->pending[i]);
		}
		result = login_check(w->desk, w->cache, w->loop, w->keys, client,
				     w->round % 2 == 0 ? "shop" : "qa",
				     w->round % 2 == 0 ? "correct horse" : "battery staple",
				     worker_answered, w, &w->pending[2]);
		if (result == LOGIN_WAIT) {
			w->round++;
			return;
		}
		if (result == LOGIN_WRONG)
			w->wrong_answers++;
	}
	atomic_store(&w->over, true);
}

static void
test_loops(void **state)
{
	struct worker workers[WORKERS] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		w->loop = loop_new("worker");
		w->cache = login_cache_new();
		w->desk = rig.desk;
		w->keys = keyring_ref(rig.keys);
		w->number = (int)i + 1;
		w->post.run = worker_turn;
		loop_start(w->loop);
		loop_post(w->loop, &w->post);
	}
	for (i = 0; i < WORKERS; i++) {
		while (!atomic_load(&workers[i].over))
			usleep(1000);
		loop_stop(workers[i].loop);
		loop_join(workers[i].loop);
	}
	login_desk_free(rig.desk);
	rig.desk = NULL;
	for (i = 0; i < WORKERS; i++) {
		loop_drain(workers[i].loop);
		login_cache_free(workers[i].cache);
		loop_free(workers[i].loop);
		keyring_unref(workers[i].keys);
		assert_int_equal(workers[i].wrong_answers, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_answers), TEST(test_memory),  TEST(test_bound), TEST(test_reload),
	    TEST(test_busy),    TEST(test_full),    TEST(test_turns), TEST(test_equal),
	    TEST(test_forget),  TEST(test_unknown), TEST(test_end),   TEST(test_loops),
	};

	return cmocka_run_group_tests_name("login", tests, NULL, NULL);
}
