/*
 * load_store: puts held deliveries into a store, all into one batch or spread over many, through
 * the store's own interface (writer_submit, STORE_ADD), as the gate would: small personalised
 * messages, a few hundred in flight. tests/bench/run fills a store with it, and has it counted by
 * callgrind, what one more costs (--measure: only the jobs, after a warm-up).
 *
 *     load_store [--recipients N] [--batches N] [--environments N] [--in-flight N] [--seed N]
 *         [--measure] STORE DELIVERIES
 *
 * Batches other than the first are dealt to the environments env-0, env-1, ...; another --seed
 * makes others.
 *
 * Main thread; done() runs on the writer's. Prints one JSON object.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/message.h"
#include "store/store.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION ((void)0)
#endif

enum { WARM_UP = 256, IN_FLIGHT = 512, PER_MESSAGE_MAX = 1000 };

/* As the rule's trip that holds all of this would be. */
static const struct verdict_stream stream = {
    .hash = UINT64_C(0x6c6f61645f737472),
    .key = "source=127.0.0.1 subject=\"the autumn sale begins today\"",
    .source = "127.0.0.1",
    .sender = "",
    .subject = "the autumn sale begins today",
    .tripped_at = 1,
    .limit = 500,
    .window = 10 * CLOCK_MINUTE};

struct slot {
	struct store_job job;
	struct loader *loader;
	struct slot *next;
};

struct loader {
	struct store *store;
	unsigned recipients;
	uint64_t batches, environments;
	uint64_t first;  /* message's number */
	uint64_t number; /* of the next message */
	uint64_t bytes;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct slot *free;
	size_t in_flight;
	char error[256]; /* of the first job that failed; "" if none */
};

static uint64_t
read_number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || *text < '0' || *text > '9' || n < least || n > most) {
		fprintf(stderr, "load_store: %s is no number from %ju to %ju\n", text,
			(uintmax_t)least, (uintmax_t)most);
		exit(2);
	}
	return n;
}

/* ---- a message ---- */

/* The batch that a message joins: with one, that of `stream`. */
static struct verdict_stream *
make_stream(const struct loader *l, struct message *m, uint64_t number)
{
	struct verdict_stream *s = arena_alloc(&m->arena, sizeof(*s));
	uint64_t batch = number % l->batches;

	*s = stream;
	if (l->batches > 1) {
		s->hash += (l->first + batch + 1) * UINT64_C(0x9e3779b97f4a7c15);
		m->environment =
		    arena_printf(&m->arena, "env-%ju", (uintmax_t)(batch % l->environments));
	}
	return s;
}

static void
add_recipient(struct message *m, uint64_t number, unsigned copy, const struct verdict_stream *joins)
{
	struct verdict_key *key = arena_alloc(&m->arena, sizeof(*key));
	struct address a = {.utf8 = false};
	struct recipient *r;

	a.local = arena_printf(&m->arena, "c%ju.%u", (uintmax_t)number, copy);
	a.domain = arena_strdup(&m->arena, "customers.example");
	a.text = arena_printf(&m->arena, "%s@%s", a.local, a.domain);
	r = message_add_recipient(m, &a);
	r->final = r->address.text;
	*key = (struct verdict_key){.hash = joins->hash};
	r->verdict = (struct verdict){.action = VERDICT_HOLD,
				      .rule = "burst volume",
				      .reason = "more than 500 in 10m",
				      .stream = joins,
				      .keys = key,
				      .key_count = 1};
}

static struct message *
make_message(struct loader *l)
{
	struct message *m = message_new();
	struct address sender = {.local = arena_strdup(&m->arena, "news"),
				 .domain = arena_strdup(&m->arena, "shop.example"),
				 .text = arena_strdup(&m->arena, "news@shop.example")};
	uint64_t number = l->number++;
	const struct verdict_stream *joins;
	char body[400];
	unsigned i;
	int len;

	m->id = id_next();
	m->accepted_at = clock_wall();
	m->counted_at = clock_steady();
	m->environment = "production";
	m->source = m->client = "127.0.0.1";
	m->helo = "client.example";
	m->protocol = "ESMTP";
	m->tls = m->campaign = m->envid = "";
	m->subject = m->subject_key = "the autumn sale begins today";
	m->header_from = "news@shop.example";
	message_set_sender(m, &sender);
	buf_printf(&m->header,
		   "From: The Corner Shop <news@shop.example>\r\nTo: c%ju@customers.example\r\n"
		   "Subject: the autumn sale begins today\r\n"
		   "Date: Mon, 01 Jun 2026 08:00:00 +0000\r\nMessage-ID: <%jx@shop.example>\r\n",
		   (uintmax_t)number, (uintmax_t)m->id);
	len =
	    snprintf(body, sizeof(body),
		     "Good morning, customer %ju!\r\n\r\nYour code is %016jx. It takes ten percent "
		     "off everything\r\nuntil the end of the month.\r\n\r\nUnsubscribe: "
		     "https://click.shop.example/u/%016jx\r\n",
		     (uintmax_t)number, (uintmax_t)(number * UINT64_C(0x9e3779b97f4a7c15)),
		     (uintmax_t)(number * UINT64_C(0xbf58476d1ce4e5b9)));
	chunks_add(&m->body, body, (size_t)len);
	m->body_bytes = (uint64_t)len;
	l->bytes += m->header.len + (size_t)len + 2;
	joins = make_stream(l, m, number);
	for (i = 0; i < l->recipients; i++)
		add_recipient(m, number, i, joins);
	return m;
}

/* ---- jobs ---- */

/* The writer's thread. */
static void
job_done(struct store_job *job)
{
	struct slot *slot = job->context;
	struct loader *l = slot->loader;

	pthread_mutex_lock(&l->lock);
	if (job->result != STORE_OK && l->error[0] == '\0')
		snprintf(l->error, sizeof(l->error), "%s",
			 job->error[0] != '\0' ? job->error : "a job failed");
	slot->next = l->free;
	l->free = slot;
	l->in_flight--;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

static struct slot *
take_slot(struct loader *l)
{
	struct slot *slot;

	pthread_mutex_lock(&l->lock);
	while (l->free == NULL)
		pthread_cond_wait(&l->wake, &l->lock);
	slot = l->free;
	l->free = slot->next;
	l->in_flight++;
	pthread_mutex_unlock(&l->lock);
	if (slot->job.u.add.message != NULL)
		message_free(slot->job.u.add.message);
	return slot;
}

static void
load(struct loader *l, uint64_t messages)
{
	for (; messages > 0 && l->error[0] == '\0'; messages--) {
		struct slot *slot = take_slot(l);

		slot->job = (struct store_job){
		    .op = STORE_ADD, .done = job_done, .context = slot, .bytes = 1000};
		slot->job.u.add.message = make_message(l);
		writer_submit(l->store, &slot->job);
	}
	pthread_mutex_lock(&l->lock);
	while (l->in_flight > 0)
		pthread_cond_wait(&l->wake, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

static void
print_result(const struct loader *l, uint64_t messages, int64_t took, const char *path)
{
	struct stat st = {.st_size = 0};

	stat(path, &st);
	printf("{\"messages\": %ju, \"deliveries\": %ju, \"seconds\": %.6f, \"bytes\": %ju, "
	       "\"file_bytes\": %jd}\n",
	       (uintmax_t)messages, (uintmax_t)(messages * l->recipients), (double)took / 1e6,
	       (uintmax_t)l->bytes, (intmax_t)st.st_size);
}

/* ---- start ---- */

static void
run(struct loader *l, uint64_t deliveries, bool measure, const char *path)
{
	uint64_t messages = deliveries / l->recipients;
	int64_t began_at, took;

	if (measure)
		load(l, WARM_UP);
	began_at = clock_mono();
	if (measure)
		CALLGRIND_START_INSTRUMENTATION;
	load(l, messages);
	if (measure)
		CALLGRIND_STOP_INSTRUMENTATION;
	took = clock_mono() - began_at;
	store_close(l->store); /* whose checkpoint makes the file what it will be */
	if (l->error[0] != '\0') {
		fprintf(stderr, "load_store: %s\n", l->error);
		exit(1);
	}
	print_result(l, messages, took, path);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"recipients", required_argument, NULL, 'r'},
						{"batches", required_argument, NULL, 'b'},
						{"environments", required_argument, NULL, 'e'},
						{"in-flight", required_argument, NULL, 'i'},
						{"seed", required_argument, NULL, 's'},
						{"measure", no_argument, NULL, 'm'},
						{NULL, 0, NULL, 0}};
	struct loader l = {.recipients = 1,
			   .batches = 1,
			   .environments = 1,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .wake = PTHREAD_COND_INITIALIZER};
	struct store_options wanted = {.path = NULL};
	struct buf error = {0};
	size_t in_flight = IN_FLIGHT, i;
	bool measure = false;
	struct slot *slots;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r')
			l.recipients = (unsigned)read_number(optarg, 1, PER_MESSAGE_MAX);
		else if (option == 'i')
			in_flight = read_number(optarg, 1, 100000);
		else if (option == 'b')
			l.batches = read_number(optarg, 1, 1000000);
		else if (option == 'e')
			l.environments = read_number(optarg, 1, 10000);
		else if (option == 's')
			l.number = l.first = read_number(optarg, 0, UINT64_MAX / 2);
		else if (option == 'm')
			measure = true;
		else
			return 2;
	}
	if (argc - optind != 2) {
		fputs("Usage: load_store [OPTION..] STORE DELIVERIES\n", stderr);
		return 2;
	}
	wanted.path = argv[optind];
	l.store = store_open(&wanted, &error);
	if (l.store == NULL) {
		fprintf(stderr, "load_store: %s\n", buf_text(&error));
		return 1;
	}
	slots = mem_zalloc(in_flight * sizeof(*slots));
	for (i = 0; i < in_flight; i++) {
		slots[i].loader = &l;
		slots[i].next = l.free;
		l.free = &slots[i];
	}
	run(&l, read_number(argv[optind + 1], 1, UINT32_MAX), measure, wanted.path);
	for (i = 0; i < in_flight; i++)
		if (slots[i].job.u.add.message != NULL)
			message_free(slots[i].job.u.add.message);
	free(slots);
	return 0;
}
