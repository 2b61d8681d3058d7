/*
 * relay/ over the store's memory twin: retry delays, shares of connections, and real transactions
 * with a scripted upstream, a row a script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mail/mime.h"
#include "relay/delivery.h"
#include "relay/keyring.h"
#include "relay/recall.h"
#include "relay/relay.h"
#include "store/views.h"
#include "relay/retry.h"
#include "relay/session.h"
#include "relay/upstream.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- a configuration and a relay in this process ---- */

static struct policy *
make_policy(uint16_t upstream_port, const char *upstream_keys)
{
	char path[] = "/tmp/mailfuse-test-XXXXXX";
	int fd = mkstemp(path);
	struct buf errors = {0};
	struct config *config;
	struct policy *policy;

	assert_true(fd >= 0);
	dprintf(
	    fd,
	    "hostname = \"gate.example\"\nstore = \"memory:\"\ncontrol = \"/nowhere\"\nloops = 1\n"
	    "min_free_space = \"0\"\n"
	    "listener \"apps\" { address = \"127.0.0.1:0\" }\n"
	    "upstream \"up\" { address = \"127.0.0.1:%u\" timeout = \"2s\" %s }\n"
	    "environment \"production\" { production = true match { network = {\"127.0.0.0/8\"} }\n"
	    "  burst \"b\" { limit = \"100000/1h\" per = {environment} } }\n",
	    upstream_port, upstream_keys);
	close(fd);
	config = config_load(path, &errors);
	if (config == NULL)
		fail_msg("%s", buf_text(&errors));
	policy = policy_new(config, &errors);
	assert_non_null(policy);
	config_unref(config);
	unlink(path);
	return policy;
}

static void
test_share(void **state)
{
	static const struct {
		uint32_t all;
		size_t loops, wanted[4];
	} rows[] = {
	    {20, 2, {10, 10}}, {5, 2, {3, 2}}, {1, 2, {1, 0}}, {3, 4, {1, 1, 1, 0}}, {4, 1, {4}}};
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		for (k = 0; k < rows[i].loops; k++)
			assert_int_equal(upstream_share(rows[i].all, k, rows[i].loops),
					 rows[i].wanted[k]);
}

static void
test_retry_delays(void **state)
{
	static const struct {
		const char *name;
		uint32_t tries;
		int64_t queued_before; /* seconds */
		int64_t least, most;   /* delay in seconds; 0: given up */
	} rows[] = {
	    {"first", 0, 0, 45, 75},
	    {"second", 1, 60, 90, 150},
	    {"fifth", 4, 900, 720, 1200},
	    {"never over an hour", 40, 3600, 2700, 4500},
	    {"almost too old", 9, 3590 * 24, 2700, 4500},
	    {"too old", 9, 3601 * 24, 0, 0},
	};
	struct policy *policy = make_policy(25, "retry_for = \"1d\"");
	struct delivery d = {.policy = policy, .upstream = (char *)"up"};
	size_t i;

	(void)state;
	unsetenv("MAILFUSE_TEST_RETRY_MS");
	for (i = 0; i < COUNT(rows); i++) {
		int64_t now = clock_wall();
		struct delivery_recipient r = {.tries = rows[i].tries,
					       .queued_at =
						   now - rows[i].queued_before * CLOCK_SECOND};

		r.result.state = STORE_QUEUED;
		print_message("  %s\n", rows[i].name);
		retry_schedule(&d, &r);
		if (rows[i].most == 0) {
			assert_int_equal(r.result.state, STORE_FAILED);
			continue;
		}
		assert_int_equal(r.result.state, STORE_QUEUED);
		assert_true(r.result.due_at - now >= rows[i].least * CLOCK_SECOND);
		assert_true(r.result.due_at - now <= (rows[i].most + 1) * CLOCK_SECOND);
	}
	policy_unref(policy);
}

/* ---- an upstream that answers as its script says ---- */

struct script {
	const char *name;
	const char *keys;     /* of the upstream's configuration */
	const char *greeting; /* NULL: 220 */
	/* "VERB" or "RCPT 2" -> what is answered; NULL text: hangs up; "" : says nothing */
	struct {
		const char *step, *answer;
	} answers[6];
	const char
	    *senders_wanted; /* states of the deliveries in order: s(ent) q(ueued) f(ailed) */
	const char *reply;   /* part of what the first delivery's reply says; NULL: any */
	bool no_pipelining;
};

static const struct script scripts[] = {
    {"all is well", "", NULL, {{0}}, "sss", "250", false},
    {"without pipelining", "", NULL, {{0}}, "sss", "250", true},
    {"HELO only", "", NULL, {{"EHLO", "502 5.5.1 no"}}, "sss", "250", true},
    {"one of three refused", "", NULL, {{"RCPT 2", "550 5.1.1 nobody"}}, "sfs", NULL, false},
    {"one of three later",
     "",
     NULL,
     {{"RCPT 1", "450 4.2.0 greylisted"}},
     "qss",
     "450 4.2.0",
     false},
    {"the same, one by one", "", NULL, {{"RCPT 1", "450 4.2.0 greylisted"}}, "qss", "450", true},
    {"all refused",
     "",
     NULL,
     {{"RCPT 1", "550 a"}, {"RCPT 2", "550 b"}, {"RCPT 3", "451 c"}, {"DATA", "554 no"}},
     "ffq",
     "550",
     false},
    {"all refused, DATA taken all the same",
     "",
     NULL,
     {{"RCPT 1", "550 a"}, {"RCPT 2", "550 b"}, {"RCPT 3", "550 c"}},
     "fff",
     "550",
     false},
    {"sender refused", "", NULL, {{"MAIL", "553 5.1.8 no such sender"}}, "fff", "553 5.1.8", false},
    {"sender later", "", NULL, {{"MAIL", "451 4.3.0 later"}}, "qqq", "451", true},
    {"wants a login: that waits",
     "",
     NULL,
     {{"MAIL", "530 5.7.0 login first"}},
     "qqq",
     "530",
     false},
    {"DATA refused", "", NULL, {{"DATA", "554 5.5.0 no"}}, "fff", "554", false},
    {"DATA answered as if it were done", "", NULL, {{"DATA", "250 ok"}}, "qqq", "250", false},
    {"content refused", "", NULL, {{".", "550 5.7.1 spam"}}, "fff", "550 5.7.1", false},
    {"content later", "", NULL, {{".", "452 4.3.1 full"}}, "qqq", "452", false},
    {"refused while it is being sent",
     "",
     NULL,
     {{"DATA", "354 go\r\n552 5.3.4 too big"}},
     "fff",
     "552 5.3.4",
     false},
    {"taken before it was sent, it says",
     "",
     NULL,
     {{"DATA", "354 go\r\n250 2.0.0 taken"}},
     "qqq",
     "250 2.0.0",
     false},
    {"421 at RCPT", "", NULL, {{"RCPT 2", "421 4.3.2 closing"}}, "qqq", NULL, true},
    {"cut at MAIL", "", NULL, {{"MAIL", NULL}}, "qqq", "connection lost", false},
    {"cut after the final dot", "", NULL, {{".", NULL}}, "qqq", "connection lost", false},
    {"no SMTP", "", NULL, {{"MAIL", "hello there"}}, "qqq", "no SMTP reply", false},
    {"silence after the final dot", "", NULL, {{".", ""}}, "qqq", "no answer in time", false},
};

struct sink {
	const struct script *script;
	int listener;
	uint16_t port;
	_Atomic int messages; /* ends of data it has seen */
	_Atomic bool stop;
	pthread_t thread;
};

static bool
sink_say(int fd, const char *text)
{
	return dprintf(fd, "%s\r\n", text) > 0;
}

/* The script's answer to a step; *found false: the usual one. */
static const char *
sink_answer(const struct script *s, const char *step, bool *found)
{
	size_t i;

	*found = false;
	for (i = 0; i < COUNT(s->answers) && s->answers[i].step != NULL; i++)
		if (strcmp(s->answers[i].step, step) == 0) {
			*found = true;
			return s->answers[i].answer;
		}
	return NULL;
}

/* One line without its end; false at the end of the connection. */
static bool
sink_line(FILE *in, char *line, size_t size)
{
	if (fgets(line, (int)size, in) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

/* False: it hung up. */
static bool
sink_step(struct sink *k, int fd, const char *step, const char *usual)
{
	bool found;
	const char *answer = sink_answer(k->script, step, &found);

	if (found && answer == NULL)
		return false;
	if (found && *answer == '\0')
		return true; /* says nothing */
	return sink_say(fd, found ? answer : usual);
}

static bool
sink_data(struct sink *k, int fd, FILE *in)
{
	char line[2048];
	bool found;
	const char *answer = sink_answer(k->script, "DATA", &found);

	if (found)
		return sink_say(fd, answer);
	sink_say(fd, "354 go");
	while (sink_line(in, line, sizeof(line)))
		if (strcmp(line, ".") == 0) {
			k->messages++;
			return sink_step(k, fd, ".", "250 2.0.0 taken");
		}
	return false;
}

static void
sink_serve(struct sink *k, int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[2048], step[32];
	unsigned rcpt = 0;
	bool on = sink_say(fd, k->script->greeting != NULL ? k->script->greeting : "220 sink");

	while (on && sink_line(in, line, sizeof(line))) {
		if (strncasecmp(line, "EHLO", 4) == 0)
			on = sink_step(k, fd, "EHLO",
				       k->script->no_pipelining ? "250 sink"
								: "250-sink\r\n250 PIPELINING");
		else if (strncasecmp(line, "MAIL", 4) == 0) {
			rcpt = 0;
			on = sink_step(k, fd, "MAIL", "250 ok");
		} else if (strncasecmp(line, "RCPT", 4) == 0) {
			snprintf(step, sizeof(step), "RCPT %u", ++rcpt);
			on = sink_step(k, fd, step, "250 ok");
		} else if (strncasecmp(line, "DATA", 4) == 0)
			on = sink_data(k, fd, in);
		else if (strncasecmp(line, "QUIT", 4) == 0)
			on = false;
		else
			on = sink_say(fd, "250 ok");
	}
	fclose(in);
}

static void *
sink_run(void *context)
{
	struct sink *k = context;
	struct pollfd p = {.fd = k->listener, .events = POLLIN};

	while (!k->stop) {
		int fd;

		if (poll(&p, 1, 20) <= 0)
			continue;
		fd = accept(k->listener, NULL, NULL);
		if (fd >= 0)
			sink_serve(k, fd);
	}
	return NULL;
}

static void
sink_open(struct sink *k, const struct script *script)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	memset(k, 0, sizeof(*k));
	k->script = script;
	k->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(k->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(k->listener, 10), 0);
	getsockname(k->listener, (struct sockaddr *)&a, &len);
	k->port = ntohs(a.sin_port);
	pthread_create(&k->thread, NULL, sink_run, k);
}

static void
sink_close(struct sink *k)
{
	k->stop = true;
	pthread_join(k->thread, NULL);
	close(k->listener);
}

/* ---- the gate ---- */

struct gate {
	struct loop *main;
	struct store *store;
	struct store_view *view;
	struct counters *counters;
	struct policy *policy;
	struct relay *relay;
	pthread_t client;
	struct loop_timer *look;
	const char *content; /* what the client says after DATA */
	char states[8], reply[600];
	uint16_t port;
	int looks;
	char refused[200];
};

static void
note_listener(void *context, const char *name, const char *address)
{
	struct gate *g = context;

	(void)name;
	g->port = (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

/* A message to three recipients; from nobody, so no report follows what fails. */
static void *
client_run(void *context)
{
	struct gate *g = context;
	const char *const lines[] = {
	    "EHLO c.example",     "MAIL FROM:<>", "RCPT TO:<1@x.test>", "RCPT TO:<2@x.test>",
	    "RCPT TO:<3@x.test>", "DATA",         g->content,           "QUIT"};
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(g->port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	FILE *in = fdopen(fd, "r");
	char line[600];
	size_t i = 0;

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		snprintf(g->refused, sizeof(g->refused), "cannot connect");
	while (fgets(line, sizeof(line), in) != NULL && i < COUNT(lines)) {
		if (line[0] != '2' && line[0] != '3')
			snprintf(g->refused, sizeof(g->refused), "%.190s", line);
		if (line[3] == ' ')
			dprintf(fd, "%s\r\n", lines[i++]);
	}
	fclose(in);
	return NULL;
}

static bool
note_delivery(void *context, const struct store_delivery *d)
{
	struct gate *g = context;
	size_t n = strlen(g->states);

	/* A queued one is settled once it has been tried. */
	g->states[n] = d->state == STORE_SENT                                      ? 's'
		       : d->state == STORE_FAILED                                  ? 'f'
		       : d->state == STORE_QUEUED && d->tries > 0 && d->due_at > 0 ? 'q'
										   : '.';
	if (n == 0)
		snprintf(g->reply, sizeof(g->reply), "%s", d->reply);
	return n < 6;
}

static void
relay_ended(void *context)
{
	loop_stop(((struct gate *)context)->main);
}

static void
look(void *context)
{
	struct gate *g = context;
	struct store_filter all = {.state = -1, .limit = 10};

	memset(g->states, 0, sizeof(g->states));
	assert_int_equal(store_view_deliveries(g->view, &all, note_delivery, g), STORE_OK);
	if ((strlen(g->states) == 3 && strchr(g->states, '.') == NULL) || ++g->looks > 2000)
		relay_stop(g->relay, CLOCK_SECOND, relay_ended, g);
	else
		loop_timer_set(g->look, 10000);
}

static void
gate_open(struct gate *g, uint16_t upstream_port, const char *upstream_keys)
{
	struct store_options options = {.path = "memory:", .size_limit = UINT64_MAX};
	struct buf error = {0};
	struct keyring *keys;
	int socket;

	g->main = loop_new("main");
	g->policy = make_policy(upstream_port, upstream_keys);
	g->counters = counters_new();
	options.counters = recall_counters(g->counters);
	g->store = store_open(&options, &error);
	assert_non_null(g->store);
	g->view = store_view_open(g->store, &error);
	socket = listener_open("apps", "127.0.0.1", 0, &error);
	if (socket < 0)
		fail_msg("%s", buf_text(&error));
	keys = keyring_new(policy_config(g->policy), &error);
	assert_non_null(keys);
	g->relay = relay_new(g->main, g->policy, keys, &socket, g->store, g->counters);
	keyring_unref(keys);
	buf_free(&error);
}

static void
gate_close(struct gate *g)
{
	store_view_close(g->view);
	store_close(g->store);
	loop_drain(g->main);
	relay_free(g->relay);
	loop_timer_free(g->look);
	counters_free(g->counters);
	policy_unref(g->policy);
	loop_free(g->main);
}

static void
run_script(const struct script *script, const char *content)
{
	struct gate g = {.content = content};
	struct sink sink;

	sink_open(&sink, script);
	gate_open(&g, sink.port, script->keys);
	relay_listeners(g.relay, note_listener, &g);
	relay_start(g.relay);
	pthread_create(&g.client, NULL, client_run, &g);
	g.look = loop_timer_new(g.main, look, &g);
	loop_timer_set(g.look, 10000);
	loop_run(g.main);
	pthread_join(g.client, NULL);
	gate_close(&g);
	sink_close(&sink);
	assert_string_equal(g.refused, "");
	assert_string_equal(g.states, script->senders_wanted);
	if (script->reply != NULL && strstr(g.reply, script->reply) == NULL)
		fail_msg("the reply \"%s\" does not say \"%s\"", g.reply, script->reply);
}

static void
test_scripts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(scripts); i++) {
		print_message("  %s\n", scripts[i].name);
		run_script(&scripts[i], "Subject: x\r\n\r\nhello\r\n.");
	}
}

/* What becomes 7-bit keeps its header until the body shows: at first nothing is written. */
static void
test_body_that_starts_with_nothing(void **state)
{
	static const struct script well = {.keys = "", .senders_wanted = "sss"};

	(void)state;
	run_script(&well, "MIME-Version: 1.0\r\nSubject: x\r\n\r\nh\u00e9llo\r\n.");
}

/* A reload is in force when relay_set_policy() returns, also on a loop that runs nothing meanwhile.
 */
static void
test_policy_in_force_at_once(void **state)
{
	struct gate g = {0};
	struct policy *second = make_policy(25, ""), *third = make_policy(26, "");
	struct session *s;
	int pair[2];

	(void)state;
	gate_open(&g, 24, "");
	relay_set_policy(g.relay, second, g.relay->keys);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	session_start(&g.relay->listeners[0], 0, pair[0], "127.0.0.1");
	s = LIST_FIRST(&g.relay->loops[0].sessions);
	assert_non_null(s);
	assert_ptr_equal(s->policy, second);
	relay_set_policy(g.relay, third, g.relay->keys);
	assert_true(session_take_policy(s));
	assert_ptr_equal(s->policy, third);
	policy_unref(second);
	policy_unref(third);
	relay_stop(g.relay, 1000, relay_ended, &g);
	loop_run(g.main);
	gate_close(&g);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_retry_delays),
	    cmocka_unit_test(test_scripts),
	    cmocka_unit_test(test_body_that_starts_with_nothing),
	    cmocka_unit_test(test_policy_in_force_at_once),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
