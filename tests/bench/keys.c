/*
 * What a key of the burst counters costs: fills the counters with N distinct keys through the gate,
 * then has DECISIONS messages judged, spread over all of them. keys.py runs it, natively for memory
 * and time and under callgrind, which counts only what is in decide().
 *
 *     tests/bench/keys N DECISIONS
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/counters.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION ((void)0)
#endif

#define TEXT(literal) ((char *)(literal))

enum { SOURCES = 64 };

/* As in a shipped configuration: one counter of many, and one for each recipient. */
static struct config_burst bursts[] = {
    {.name = TEXT("volume"),
     .limit = 200,
     .window = 10 * CLOCK_MINUTE,
     .per = CONFIG_PER_SOURCE | CONFIG_PER_SUBJECT,
     .head = 15,
     .head_window = 10 * CLOCK_SECOND,
     .settle = 10 * CLOCK_SECOND},
    {.name = TEXT("person"), .limit = 20, .window = 30 * CLOCK_DAY, .per = CONFIG_PER_RECIPIENT},
};
static char *everybody[] = {TEXT("*"), NULL};
static char *nobody[] = {NULL};
static struct config_environment environments[] = {
    {.name = TEXT("production"),
     .production = true,
     .allow = everybody,
     .upstream = TEXT("out"),
     .subject_prefix = TEXT(""),
     .rewrite_to = TEXT(""),
     .bursts = bursts,
     .burst_count = sizeof(bursts) / sizeof(bursts[0])},
    {.name = TEXT("unknown"),
     .allow = nobody,
     .others = CONFIG_OTHERS_HOLD,
     .subject_prefix = TEXT(""),
     .rewrite_to = TEXT("")},
};

struct bench {
	struct policy *policy;
	struct counters *counters;
	int64_t mono;
};

/* All that is counted as a decision. */
void decide(struct bench *b, struct message *m);

__attribute__((noinline)) void
decide(struct bench *b, struct message *m)
{
	gate_judge(b->policy, b->counters, m, b->mono, b->mono, GATE_COUNT);
}

/* A message to one recipient, one second after the last; how long its decision took, in ns. */
static int64_t
bench_send(struct bench *b, uint64_t number)
{
	struct message *m = message_new();
	struct address address = {.local = TEXT("shop"), .domain = TEXT("example.com")};
	char text[64], source[32];
	struct timespec begin, end;

	snprintf(source, sizeof(source), "10.2.0.%u", (unsigned)(number % SOURCES));
	snprintf(text, sizeof(text), "customer%010llu@example.com", (unsigned long long)number);
	m->environment = "production";
	m->source = source;
	m->subject = m->subject_key = "your order #";
	m->campaign = "";
	address.text = TEXT("shop@example.com");
	message_set_sender(m, &address);
	if (address_parse(text, &m->arena, &address) != NULL)
		abort();
	message_add_recipient(m, &address);
	gate_recipient(b->policy, m, &m->recipients[0]);
	b->mono += CLOCK_SECOND;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	decide(b, m);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (m->recipients[0].verdict.action != VERDICT_PASS)
		abort();
	message_free(m);
	return (end.tv_sec - begin.tv_sec) * INT64_C(1000000000) + end.tv_nsec - begin.tv_nsec;
}

static size_t
bytes_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* One after the other in an order without a pattern that a cache could learn. */
static uint64_t
bench_pick(uint64_t i, uint64_t keys)
{
	return i * UINT64_C(2654435761) % keys;
}

int
main(int argc, char **argv)
{
	struct config config = {.path = TEXT(""),
				.hostname = TEXT("mailfuse.test"),
				.environments = environments,
				.environment_count = 2,
				.refs = 1};
	uint64_t keys = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t decisions = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	struct buf errors = {0};
	struct bench b;
	int64_t *ns;
	size_t before;
	uint64_t i;

	if (keys == 0 || decisions == 0) {
		fprintf(stderr, "usage: %s KEYS DECISIONS\n", argv[0]);
		return 2;
	}
	b = (struct bench){.policy = policy_new(&config, &errors), .counters = counters_new()};
	counters_set_cap(b.counters, 2 * keys + SOURCES);
	before = bytes_in_use();
	for (i = 0; i < keys; i++)
		bench_send(&b, i);
	printf("keys %zu\n", counters_key_count(b.counters));
	printf("bytes %zu\n", (bytes_in_use() - before) / counters_key_count(b.counters));
	ns = mem_resize_array(NULL, decisions, sizeof(*ns));
	CALLGRIND_START_INSTRUMENTATION;
	for (i = 0; i < decisions; i++)
		ns[i] = bench_send(&b, bench_pick(i, keys));
	CALLGRIND_STOP_INSTRUMENTATION;
	qsort(ns, decisions, sizeof(*ns), by_size);
	printf("ns %lld\n", (long long)ns[decisions / 2]);
	free(ns);
	counters_free(b.counters);
	policy_unref(b.policy);
	return 0;
}
