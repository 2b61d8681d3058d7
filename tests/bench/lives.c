/*
 * What the writer spends on a message that passes: each is stored as taken (STORE_ADD) and, a group
 * later, its delivery is sent (STORE_RESULTS). So each group has that many of both, as when
 * connections are busy. Over the store's interface, without network or gate.
 *
 *     tests/bench/lives FILE MESSAGES GROUP BODY_BYTES    lives a second, and CPU time of one
 *
 * Instructions a message: run it under `valgrind --tool=callgrind` with two counts of messages; the
 * difference leaves out the start.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/store.h"
#include "store/writer.h"
#include "tests/bench/jobs.h"

struct life {
	struct store_job add, results;
	struct store_delivery_result result;
	struct message *message;
};

struct bench {
	struct store *store;
	size_t group, body_bytes;
	char *body;
	struct life *lives; /* two groups: one comes in, the one before goes */
	struct jobs jobs;   /* of the group */
};

static struct message *
make_message(const struct bench *b)
{
	struct message *m = message_new();
	struct address a = {.local = (char *)"r", .domain = (char *)"example.com"};
	struct recipient *r;

	m->id = id_next();
	m->accepted_at = m->counted_at = clock_wall();
	m->environment = "production";
	m->source = m->client = "127.0.0.1";
	m->helo = "app.example";
	m->protocol = "ESMTP";
	m->subject = m->subject_key = m->campaign = m->envid = "";
	m->header_from = "app@mailfuse.example";
	a.text = (char *)"app@mailfuse.example";
	message_set_sender(m, &a);
	a.text = (char *)"r@example.com";
	r = message_add_recipient(m, &a);
	r->final = r->address.text;
	r->verdict.action = VERDICT_PASS;
	buf_printf(&m->header, "Received: from app.example (127.0.0.1)\r\n\tby mailfuse.example\r\n"
			       "From: <app@mailfuse.example>\r\nTo: <r@example.com>\r\n");
	chunks_add(&m->body, b->body, b->body_bytes);
	m->body_bytes = b->body_bytes;
	return m;
}

static void
prepare(struct bench *b, struct life *l)
{
	static const struct verdict_key keys[] = {{.hash = UINT64_C(0x9e3779b97f4a7c15)}};

	memset(l, 0, sizeof(*l));
	l->message = make_message(b);
	l->message->recipients[0].verdict.keys = keys;
	l->message->recipients[0].verdict.key_count = 1;
	l->add = (struct store_job){.op = STORE_ADD, .done = jobs_done, .context = &b->jobs};
	l->add.bytes = l->message->body_bytes;
	l->add.u.add.message = l->message;
	l->add.u.add.taken = true;
	l->result = (struct store_delivery_result){.id = l->message->id,
						   .number = 1,
						   .environment = "production",
						   .state = STORE_SENT,
						   .tried = true,
						   .reply = "250 2.0.0 Ok",
						   .remote_mta = "127.0.0.1"};
	l->results =
	    (struct store_job){.op = STORE_RESULTS, .done = jobs_done, .context = &b->jobs};
	l->results.u.results.results = &l->result;
	l->results.u.results.count = 1;
}

/* All at once, so that each group is one commit; nothing comes in and nothing goes if NULL. */
static void
run_group(struct bench *b, struct life *come, struct life *go)
{
	struct queue *q = &b->store->writer_queue;
	size_t i;

	jobs_expect(&b->jobs, (come != NULL ? b->group : 0) + (go != NULL ? b->group : 0));
	pthread_mutex_lock(&q->lock);
	for (i = 0; i < b->group && come != NULL; i++)
		STAILQ_INSERT_TAIL(&q->jobs, &come[i].add, next);
	for (i = 0; i < b->group && go != NULL; i++)
		STAILQ_INSERT_TAIL(&q->jobs, &go[i].results, next);
	q->hurried += come != NULL ? b->group : 0;
	q->patient += go != NULL ? b->group : 0;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_signal(&q->wake);
	jobs_wait(&b->jobs);
}

static void
run(struct bench *b, size_t messages)
{
	struct life *come = b->lives, *go = NULL, *other = b->lives + b->group;
	size_t i, done;

	for (done = 0; done < messages; done += b->group) {
		for (i = 0; i < b->group; i++)
			prepare(b, &come[i]);
		run_group(b, come, go);
		for (i = 0; i < b->group && go != NULL; i++)
			message_free(go[i].message);
		go = come;
		come = other;
		other = go;
	}
	run_group(b, NULL, go);
	for (i = 0; i < b->group; i++)
		message_free(go[i].message);
}

int
main(int argc, char **argv)
{
	struct bench b = {.jobs = JOBS_INIT};
	struct store_options options = {.path = argc == 5 ? argv[1] : NULL};
	struct buf error = {0};
	int64_t start, cpu;
	size_t messages;

	if (argc != 5) {
		fprintf(stderr, "usage: lives FILE MESSAGES GROUP BODY_BYTES\n");
		return 2;
	}
	messages = strtoul(argv[2], NULL, 10);
	b.group = strtoul(argv[3], NULL, 10);
	b.body_bytes = strtoul(argv[4], NULL, 10);
	if (messages == 0 || b.group == 0 || b.group > 128 ||
	    (b.store = store_open(&options, &error)) == NULL) {
		fprintf(stderr, "%s\n",
			error.len > 0 ? buf_text(&error) : "1 to 128 messages a group");
		return 2;
	}
	b.body = mem_alloc(b.body_bytes);
	memset(b.body, 'x', b.body_bytes);
	b.lives = mem_zalloc(2 * b.group * sizeof(*b.lives));
	start = clock_mono();
	cpu = jobs_cpu_time();
	run(&b, messages);
	printf("lives/s %" PRId64 "\ncpu us/message %.1f\n",
	       (int64_t)messages * CLOCK_SECOND / (clock_mono() - start + 1),
	       (double)(jobs_cpu_time() - cpu) / 1e3 / (double)messages);
	store_close(b.store);
	free(b.lives);
	free(b.body);
	return 0;
}
