/*
 * The gate and the client for the tests of control/. A failing check ends the test that called.
 */
#include "tests/unit/control_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/message.h"

static const char config_text[] =
    "hostname = \"gate.example\"\n"
    "listener \"apps\" { address = \"127.0.0.1:2525\" }\n"
    "upstream \"smart\" { address = \"127.0.0.1:2526\" }\n"
    "upstream \"other\" { address = \"127.0.0.1:2527\" }\n"
    "environment \"staging\" {\n"
    "  match { network = {\"10.2.0.0/16\"} }\n"
    "  upstream = \"smart\"\n  subject_prefix = \"[STAGING] \"\n"
    "  allow = {\"@example.com\"}\n  others = rewrite\n"
    "  rewrite_to = \"qa+%u=%d@example.com\"\n"
    "  burst \"small\" { limit = \"5/10m\" per = {environment} }\n}\n"
    "environment \"box\" {\n  match { network = {\"10.3.0.0/16\"} }\n  upstream = none\n"
    "  allow = {\"*\"}\n}\n"
    "environment \"production\" {\n  production = true\n  upstream = \"smart\"\n"
    "  match { network = {\"10.1.0.0/16\"} }\n"
    "  burst \"watch\" { limit = \"5/1m\" per = {source} action = alert }\n}\n"
    "environment \"blasts\" {\n  production = true\n  upstream = \"smart\"\n"
    "  match { network = {\"10.4.0.0/16\"} }\n"
    "  burst \"volume\" { limit = \"9/10m\" per = {source, subject} head = \"2/10s\" settle = 7s "
    "declared = \"50/1d\" }\n"
    "  content \"test marker\" { header = \"Subject\" match = '/\\btest\\b/i' above = \"3/5m\" "
    "action = alert }\n"
    "  content \"placeholder\" { part = body match = \"{{\" }\n}\n";

/* ---- the gate around the API */

struct gate gate;
struct gate_http gate_http = {NULL, -1};

static const struct tokens *
gate_tokens(void *context)
{
	(void)context;
	return gate_http.tokens;
}

static struct policy *
gate_policy(void *context)
{
	return ((struct gate *)context)->policy;
}

static void
gate_upstreams(void *context, void (*row)(void *arg, const struct control_upstream *u), void *arg)
{
	const struct control_upstream down = {.name = "smart",
					      .address = "127.0.0.1:2526",
					      .why = "connection refused",
					      .up = false,
					      .since = INT64_C(1700000000000000),
					      .connections = 0};

	(void)context;
	row(arg, &down);
}

static void
gate_listeners(void *context, void (*row)(void *arg, const char *name, const char *address),
	       void *arg)
{
	(void)context;
	row(arg, "apps", "127.0.0.1:2525");
}

static void
gate_queue_poke(void *context)
{
	((struct gate *)context)->queue_pokes++;
}

static void
gate_alert_poke(void *context)
{
	((struct gate *)context)->alert_pokes++;
}

static void
gate_held(void *context)
{
	((struct gate *)context)->held++;
}

static void
gate_batch_paused(void *context, int64_t batch)
{
	((struct gate *)context)->paused_batch = (int)batch;
}

struct waited {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void
waited_done(struct store_job *job)
{
	struct waited *w = job->context;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void
submit_and_wait(struct store_job *job)
{
	struct waited w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

	job->done = waited_done;
	job->context = &w;
	writer_submit(gate.store, job);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.changed, &w.lock);
	pthread_mutex_unlock(&w.lock);
	assert_int_equal(job->result, STORE_OK);
}

void
gate_wait_writer(void)
{
	struct store_job job = {.op = STORE_CLAIM};

	submit_and_wait(&job);
}

/* One message: r1@a.example.com, r2@b.example.com, r3@a.example.com ... of one stream. */
static void
add_message(const char *environment, const char *source, const char *subject, unsigned recipients,
	    enum verdict_action action)
{
	struct message *m = message_new();
	struct verdict_stream *stream = arena_zalloc(&m->arena, sizeof(*stream));
	struct store_job job = {.op = STORE_ADD};
	struct address address;

	m->id = id_next();
	m->accepted_at = clock_wall();
	m->environment = environment;
	m->source = source;
	m->client = source;
	m->helo = "app";
	m->protocol = "ESMTP";
	assert_null(address_parse("shop@example.com", &m->arena, &address));
	message_set_sender(m, &address);
	buf_printf(&m->header, "From: shop@example.com\r\nSubject: %s\r\n", subject);
	chunks_add(&m->body, "Hello \xff there.\r\n", 16);
	m->body_bytes = 16;
	message_read_header(m);
	m->subject = subject; /* also bytes that are no UTF-8 */
	*stream = (struct verdict_stream){
	    .hash = text_hash(TEXT_HASH_START, environment, strlen(environment)),
	    .key = "source=x",
	    .source = source,
	    .sender = "",
	    .subject = subject,
	    .tripped_at = INT64_C(1700000000000000),
	    .counted = 3,
	    .limit = 5,
	    .window = 600 * CLOCK_SECOND};
	for (unsigned i = 1; i <= recipients; i++) {
		char text[64];
		struct recipient *r;

		snprintf(text, sizeof(text), "r%u@%s.example.com", i, i % 2 ? "a" : "b");
		assert_null(address_parse(text, &m->arena, &address));
		r = message_add_recipient(m, &address);
		r->final = r->address.text;
		if (action == VERDICT_HOLD)
			r->verdict = (struct verdict){.action = VERDICT_HOLD,
						      .rule = "burst small",
						      .reason = "6 of 5",
						      .stream = stream};
	}
	job.u.add.message = m;
	submit_and_wait(&job);
	if (gate.message[0] == '\0')
		id_format(m->id, gate.message);
	message_free(m);
}

void
gate_add_held(const char *environment, unsigned recipients)
{
	add_message(environment, "10.7.0.1", "Held", recipients, VERDICT_HOLD);
}

void
gate_add_queued(const char *environment, const char *source)
{
	add_message(environment, source, "Queued", 1, VERDICT_PASS);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

struct control_deps
gate_deps(void)
{
	return (struct control_deps){.loop = gate.loop,
				     .store = gate.store,
				     .view = gate.view,
				     .counters = gate.counters,
				     .context = &gate,
				     .policy = gate_policy,
				     .upstreams = gate_upstreams,
				     .listeners = gate_listeners,
				     .tokens = gate_tokens,
				     .queue_poke = gate_queue_poke,
				     .alert_poke = gate_alert_poke,
				     .held = gate_held,
				     .batch_paused = gate_batch_paused,
				     .started_at = clock_wall()};
}

static void
gate_begin(const char *settings, const char *drill)
{
	const struct store_options options = {
	    .path = "memory:", .size_limit = UINT64_C(1) << 40, .min_free_space = 0};
	struct control_deps deps;
	struct buf error = {0}, text = {0};
	struct config *config;

	memset(&gate, 0, sizeof(gate));
	snprintf(gate.directory, sizeof(gate.directory), "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(gate.directory));
	snprintf(gate.path, sizeof(gate.path), "%s/control.sock", gate.directory);
	snprintf(gate.config_path, sizeof(gate.config_path), "%s/mailfuse.conf", gate.directory);
	buf_printf(&text, "%s%s\n", config_text, settings);
	write_file(gate.config_path, buf_text(&text));
	buf_free(&text);
	config = config_load(gate.config_path, &error);
	if (config == NULL)
		fail_msg("%s", buf_text(&error));
	if (drill != NULL) {
		struct config *with = config_with_drill(
		    config, drill, "drill-00112233445566778899aabbccddeeff.mailfuse.invalid", 2599);

		config_unref(config);
		config = with;
	}
	gate.policy = policy_new(config, &error);
	config_unref(config);
	gate.store = store_open(&options, &error);
	assert_non_null(gate.store);
	gate.view = store_view_open(gate.store, &error);
	assert_non_null(gate.view);
	gate.counters = counters_new();
	gate.loop = loop_new("main");
	deps = gate_deps();
	gate.control = control_new(&deps, gate.path, &error);
	if (gate.control == NULL)
		fail_msg("%s", buf_text(&error));
	if (gate_http.fd >= 0)
		control_serve_http(gate.control, gate_http.fd);
	buf_free(&error);
	add_message("staging", "10.2.0.7", "Order \xff 1", 4, VERDICT_HOLD);
	add_message("staging", "10.2.0.7", "Order 2", 4, VERDICT_HOLD);
	add_message("box", "10.3.0.1", "Captured", 1, VERDICT_HOLD);
	add_message("unknown", "10.9.0.1", "Who", 1, VERDICT_HOLD);
	add_message("gone", "10.8.0.1", "Old", 1, VERDICT_HOLD);
	loop_start(gate.loop);
}

void
gate_start(void)
{
	gate_start_with("");
}

void
gate_start_with(const char *settings)
{
	gate_begin(settings, NULL);
}

void
gate_start_drill(const char *settings)
{
	gate_begin(settings, "staging");
}

void
gate_stop(void)
{
	loop_stop(gate.loop);
	loop_join(gate.loop);
	control_free(gate.control);
	store_view_close(gate.view);
	store_close(gate.store);
	counters_free(gate.counters);
	policy_unref(gate.policy);
	loop_free(gate.loop);
	unlink(gate.config_path);
	assert_int_equal(rmdir(gate.directory), 0); /* the socket went too */
}

/* ---- a client */

int
client_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {20, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", gate.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

void
client_send(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the answer tells why */
		data += n;
		len -= (size_t)n;
	}
}

/* The status, 0 where none came; what follows the header in `body`. */
int
client_read(int fd, struct buf *body)
{
	char data[65536];
	const char *end;
	int status = 0;
	ssize_t n;

	buf_clear(body);
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		buf_add(body, data, (size_t)n);
	close(fd);
	sscanf(buf_text(body), "HTTP/1.1 %d", &status);
	end = strstr(buf_text(body), "\r\n\r\n");
	if (end != NULL)
		buf_drop(body, (size_t)(end + 4 - body->data));
	return status;
}

int
client_call(const char *method, const char *path, const char *text, size_t len, struct buf *body)
{
	struct buf head = {0};
	int fd = client_connect();

	buf_printf(
	    &head,
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
	    method, path, len);
	client_send(fd, head.data, head.len);
	client_send(fd, text, len);
	buf_free(&head);
	return client_read(fd, body);
}

/* @M stands for the first message of B1. */
static char *
fill_in(const char *text)
{
	struct buf out = {0};
	const char *at;

	while ((at = strstr(text, "@M")) != NULL) {
		buf_add(&out, text, (size_t)(at - text));
		buf_add_text(&out, gate.message);
		text = at + 2;
	}
	buf_add_text(&out, text);
	return buf_take(&out);
}

/* Every answer is JSON; every error is a problem that says what to do. */
void
check_row(const struct row *row)
{
	char *path = fill_in(row->path), *text = fill_in(row->body != NULL ? row->body : "");
	struct buf answer = {0};
	int status = client_call(row->method, path, text, strlen(text), &answer);
	char *wanted = row->wanted != NULL ? fill_in(row->wanted) : NULL;
	json_t *json = json_loadb(buf_text(&answer), answer.len, 0, NULL);

	if (status != row->status)
		fail_msg("%s: status %d, wanted %d: %s", row->name, status, row->status,
			 buf_text(&answer));
	if (wanted != NULL && strstr(buf_text(&answer), wanted) == NULL)
		fail_msg("%s: no %s in: %s", row->name, wanted, buf_text(&answer));
	if (row->unwanted != NULL && strstr(buf_text(&answer), row->unwanted) != NULL)
		fail_msg("%s: %s in: %s", row->name, row->unwanted, buf_text(&answer));
	if (json == NULL && strstr(path, "/raw") == NULL)
		fail_msg("%s: no JSON: %s", row->name, buf_text(&answer));
	if (status >= 400 && (json_integer_value(json_object_get(json, "status")) != status ||
			      !json_is_string(json_object_get(json, "detail"))))
		fail_msg("%s: no problem: %s", row->name, buf_text(&answer));
	json_decref(json);
	free(wanted);
	free(path);
	free(text);
	buf_free(&answer);
}

void
check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_row(&rows[i]);
}
