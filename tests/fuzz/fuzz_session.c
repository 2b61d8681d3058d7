/*
 * A whole session: the input is what a client sends, in segments, over a socket to a real session
 * with its loop, writer thread and login desk; nothing is faked but the network. Whatever comes,
 * each reply is a line of RFC 5321 4.2, the session ends, and what was stored is a message with
 * CRLF line ends only that carries our Received field once on top.
 *
 * The first byte says how long a segment is; the loop turns after each. The second one what happens
 * meanwhile (its low three bits, enum incident), and before which segment.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mail/mime.h"
#include "net/listener.h"
#include "relay/keyring.h"
#include "relay/recall.h"
#include "relay/relay.h"
#include "store/views.h"
#include "relay/session.h"
#include "tests/fuzz/fuzz.h"

/* A gate is made anew after so many inputs: what it stored would add up. */
enum { INPUTS_MAX = 500, RAW_MAX = 1 << 20 };

/* A hang guard, far beyond what any input takes. */
#define SESSION_LIMIT (20 * CLOCK_SECOND)

enum incident {
	INCIDENT_NONE,
	INCIDENT_RELOAD,       /* of a stricter configuration, with nobody of the old users */
	INCIDENT_STOP,         /* of the loop */
	INCIDENT_MEMORY_TIGHT, /* bodies go to the store early */
	INCIDENT_MEMORY_SHORT, /* no more mail is taken */
	INCIDENT_COUNT
};

enum { MEMORY_LIMIT = 1 << 20 };

static struct gate {
	struct loop *main;
	struct policy *policy, *strict;
	struct keyring *keys, *strict_keys;
	struct counters *counters;
	struct store *store;
	struct store_view *view;
	struct relay *relay;
	struct store_delivery_id seen;
	unsigned inputs;
} g;

/* "shop" with the password "secret"; the least cost that is allowed. */
static const char shop[] = "shop:$scrypt$ln=10,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$"
			   "punalsgLVDmabDdlbwVieUjVAmz5/abwyjX3gfy3Xlo\n";

static int
write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(dprintf(fd, "%s", text) > 0);
	return fd;
}

static struct policy *
make_policy(const char *user_line, const char *listener, struct keyring **keys)
{
	struct policy *policy;
	char path[] = "/tmp/mailfuse-fuzz-XXXXXX", users[] = "/tmp/mailfuse-fuzz-XXXXXX";
	struct buf errors = {0}, text = {0};
	struct config *config;

	close(write_file(users, user_line));
	buf_printf(&text,
		   "hostname = \"gate.example\"\nstore = \"memory:\"\ncontrol = \"/nowhere\"\n"
		   "loops = 1\nmin_free_space = \"0\"\nusers = \"%s\"\nmemory_limit = \"1MB\"\n"
		   "listener \"apps\" { address = \"127.0.0.1:0\" %s }\n"
		   "environment \"qa\" { match { network = {\"127.0.0.0/8\"} } upstream = none\n"
		   "  allow = {\"@b.example\"} others = drop subject_prefix = \"[QA] \" }\n",
		   users, listener);
	close(write_file(path, buf_text(&text)));
	config = config_load(path, &errors);
	if (config == NULL)
		panic("%s", buf_text(&errors));
	policy = policy_new(config, &errors);
	*keys = keyring_new(config, &errors);
	if (policy == NULL || *keys == NULL)
		panic("%s", buf_text(&errors));
	config_unref(config);
	buf_free(&text);
	unlink(path);
	unlink(users);
	return policy;
}

static void
gate_open(void)
{
	struct store_options options = {.path = "memory:", .size_limit = UINT64_MAX};
	struct buf error = {0};
	int fd;

	g.policy = make_policy(
	    shop, "auth = optional max_message_size = \"64KB\" max_recipients = 5", &g.keys);
	g.strict = make_policy("#\n", "auth = required max_message_size = \"2KB\"", &g.strict_keys);
	g.main = loop_new("main");
	g.counters = counters_new();
	options.counters = recall_counters(g.counters);
	g.store = store_open(&options, &error);
	FUZZ_CHECK(g.store != NULL);
	g.view = store_view_open(g.store, &error);
	fd = listener_open("apps", "127.0.0.1", 0, &error);
	FUZZ_CHECK(fd >= 0);
	g.relay = relay_new(g.main, g.policy, g.keys, &fd, g.store, g.counters);
}

static void
gate_close(void)
{
	store_view_close(g.view);
	store_close(g.store);
	loop_drain(g.main);
	relay_free(g.relay);
	loop_free(g.main);
	counters_free(g.counters);
	policy_unref(g.policy);
	policy_unref(g.strict);
	keyring_unref(g.keys);
	keyring_unref(g.strict_keys);
	g = (struct gate){0};
}

/* What the client has got so far; false once the session has closed the connection. */
static bool
hear(int fd, struct buf *replies)
{
	char data[4096];
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		buf_add(replies, data, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void
turn(void)
{
	event_base_loop(loop_base(g.relay->loops[0].loop), EVLOOP_NONBLOCK);
	loop_drain(g.main);
}

static void
happen(enum incident what)
{
	struct relay_loop *rl = &g.relay->loops[0];
	struct session *s = LIST_FIRST(&rl->sessions);

	switch (what) {
	case INCIDENT_RELOAD:
		relay_set_policy(g.relay, g.strict, g.strict_keys);
		break;
	case INCIDENT_STOP:
		rl->quiet_told = true; /* main does not end the loop: it is used again */
		rl->stopping = true;
		if (s != NULL)
			session_stop(s);
		break;
	case INCIDENT_MEMORY_TIGHT:
		metric_add(METRIC_BODY_BYTES_NOW, MEMORY_LIMIT / 2 + 1);
		break;
	case INCIDENT_MEMORY_SHORT:
		metric_add(METRIC_BODY_BYTES_NOW, MEMORY_LIMIT + 1);
		break;
	case INCIDENT_NONE:
	case INCIDENT_COUNT:
		break;
	}
}

static void
undo(enum incident what)
{
	struct relay_loop *rl = &g.relay->loops[0];

	if (what == INCIDENT_RELOAD)
		relay_set_policy(g.relay, g.policy, g.keys);
	rl->quiet_told = rl->stopping = false;
	if (what == INCIDENT_MEMORY_TIGHT)
		metric_add(METRIC_BODY_BYTES_NOW, -(MEMORY_LIMIT / 2 + 1));
	if (what == INCIDENT_MEMORY_SHORT)
		metric_add(METRIC_BODY_BYTES_NOW, -(MEMORY_LIMIT + 1));
	turn();
}

/* A wrong login is answered late; nobody waits for it here. */
static void
end_slow_logins(void)
{
	struct session *s = LIST_FIRST(&g.relay->loops[0].sessions);

	if (s != NULL && s->state == SESSION_LOGIN)
		session_end(s, "fuzz");
}

static void
finish(int fd, struct buf *replies)
{
	int64_t start = clock_mono();
	struct pollfd p = {.fd = fd, .events = POLLIN};

	shutdown(fd, SHUT_WR);
	while (hear(fd, replies)) {
		turn();
		poll(&p, 1, 1);
		if (clock_mono() - start > CLOCK_SECOND / 10)
			end_slow_logins();
		FUZZ_CHECK(clock_mono() - start < SESSION_LIMIT);
	}
	while (!LIST_EMPTY(&g.relay->loops[0].sessions) || g.relay->loops[0].pending > 0) {
		turn();
		FUZZ_CHECK(clock_mono() - start < SESSION_LIMIT);
	}
	turn();
	FUZZ_CHECK(atomic_load(&g.relay->listeners[0].connections) == 0);
}

static void
check_replies(const struct buf *replies)
{
	const char *line = buf_text(replies), *end = line + replies->len, *lf, *p;

	FUZZ_CHECK(replies->len > 0);
	for (; line < end; line = lf + 1) {
		lf = memchr(line, '\n', (size_t)(end - line));
		FUZZ_CHECK(lf != NULL && lf[-1] == '\r' && lf - line + 1 <= 1024);
		FUZZ_CHECK(line[0] >= '2' && line[0] <= '5' && strchr(" -", line[3]) != NULL);
		for (p = line; p < lf - 1; p++)
			FUZZ_CHECK((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
	}
}

static bool
check_delivery(void *context, const struct store_delivery *d)
{
	struct buf raw = {0};
	bool cut = false;
	size_t i;

	(void)context;
	g.seen = (struct store_delivery_id){d->id, d->number};
	FUZZ_CHECK(store_view_raw(g.view, d->id, RAW_MAX, &raw, &cut) == STORE_OK);
	FUZZ_CHECK(strncmp(buf_text(&raw), "Received: ", 10) == 0);
	for (i = 0; i < raw.len; i++) {
		FUZZ_CHECK(raw.data[i] != '\0');
		FUZZ_CHECK(raw.data[i] != '\n' || (i > 0 && raw.data[i - 1] == '\r'));
		FUZZ_CHECK(raw.data[i] != '\r' || (i + 1 < raw.len && raw.data[i + 1] == '\n'));
	}
	buf_free(&raw);
	return true;
}

static void
check_stored(void)
{
	struct store_filter f = {.state = -1, .limit = 1000, .after = g.seen};

	FUZZ_CHECK(store_view_deliveries(g.view, &f, check_delivery, NULL) == STORE_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf replies = {0};
	size_t step = size > 0 && data[0] > 0 ? data[0] * (size_t)8 : 65536, at, n;
	size_t left = size > 1 ? data[1] >> 3 : 0;
	enum incident what = size > 1 ? data[1] % 8 : INCIDENT_NONE, happened = INCIDENT_NONE;
	char client[INET_ADDRSTRLEN + 20];
	int fds[2];

	mime_init();
	if (g.relay == NULL)
		gate_open();
	/* A client of its own each time, or its errors would add up. */
	snprintf(client, sizeof(client), "127.%u.%u.1", g.inputs / 250 + 1, g.inputs % 250);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	session_start(&g.relay->listeners[0], 0, fds[0], client);
	for (at = 2; at < size && hear(fds[1], &replies); at += n) {
		if (left-- == 0 && what < INCIDENT_COUNT)
			happen(happened = what);
		n = step < size - at ? step : size - at;
		if (send(fds[1], data + at, n, MSG_NOSIGNAL) < (ssize_t)n)
			break;
		turn();
	}
	finish(fds[1], &replies);
	undo(happened);
	close(fds[1]);
	check_replies(&replies);
	check_stored();
	buf_free(&replies);
	if (++g.inputs == INPUTS_MAX)
		gate_close();
	return 0;
}
