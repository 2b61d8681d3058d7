/*
 * The gate on a clock of the caller's, as a program: test_model.py gives it policies and arrivals
 * and compares what it says with a model. One command a line on standard input, its words with tabs
 * between them; one line of answer each. Times are microseconds. MAIL is MONO WALL SOURCE SENDER
 * SUBJECT CAMPAIGN AUDIENCE MARKS RECIPIENT...
 *
 * - policy FILE: everything starts afresh under this configuration
 * - judge MAIL: a verdict per recipient; the message is kept as number 0, 1, ...
 * - explain MAIL: a row per key and rule, nothing is counted
 * - recall MESSAGE RECIPIENT: has joined the batch of a rule that tripped later; numbers
 * - decide MONO HASH release|discard: on the whole batch of that stream
 * - cool MONO: the streams whose trip has ended
 * - save MONO ok|failed: every shard of the counters
 * - restart SHIFT: new counters out of what was saved and the messages since; SHIFT is added to
 * what was measured on the old clock
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "filters/gate.h"
#include "mail/mime.h"

enum { WORDS_MAX = 4096 };

/* One message, or a decision, in the order in which they happened. */
struct past {
	struct message *message; /* NULL: a decision on `hash` */
	int64_t mono;
	uint64_t hash;
};

/* A batch that is collecting. */
struct batch {
	uint64_t hash;
	char *rule;
	int64_t tripped_at, last_at; /* wall; mono */
};

struct saved {
	uint64_t hash;
	int64_t clock; /* of all shifts until it was saved */
	char *data;
	size_t len;
};

static struct {
	struct policy *policy;
	struct counters *counters;
	struct past *past;
	size_t past_count;
	size_t *messages; /* number of a message -> its place in `past` */
	size_t message_count;
	struct batch *batches;
	size_t batch_count;
	struct saved *saved;
	size_t saved_count;
	int64_t clock; /* the sum of all shifts */
	uint32_t stamps[COUNTERS_SHARDS];
	bool has_stamp[COUNTERS_SHARDS];
	struct saved *fresh; /* what the save under way gave */
	size_t fresh_count;
} tool;

static int64_t
number(const char *text)
{
	return strtoll(text, NULL, 10);
}

static void
saved_free(struct saved **list, size_t *count)
{
	size_t i;

	for (i = 0; i < *count; i++)
		free((*list)[i].data);
	free(*list);
	*list = NULL;
	*count = 0;
}

static void
batch_drop(uint64_t hash)
{
	size_t i = 0;

	while (i < tool.batch_count) {
		if (tool.batches[i].hash != hash) {
			i++;
			continue;
		}
		free(tool.batches[i].rule);
		tool.batches[i] = tool.batches[--tool.batch_count];
	}
}

static void
tool_clear(void)
{
	size_t i;

	for (i = 0; i < tool.past_count; i++) {
		if (tool.past[i].message != NULL)
			message_free(tool.past[i].message);
	}
	free(tool.past);
	free(tool.messages);
	for (i = 0; i < tool.batch_count; i++)
		free(tool.batches[i].rule);
	free(tool.batches);
	saved_free(&tool.saved, &tool.saved_count);
	counters_free(tool.counters);
	policy_unref(tool.policy);
	memset(&tool, 0, sizeof(tool));
}

static void
take_policy(const char *path)
{
	struct buf errors = {0};
	struct config *config;

	tool_clear();
	config = config_load(path, &errors);
	if (config != NULL) {
		tool.policy = policy_new(config, &errors);
		config_unref(config);
	}
	tool.counters = counters_new();
	if (tool.policy == NULL) {
		fprintf(stderr, "%s", buf_text(&errors));
		exit(2);
	}
	puts("ok");
}

static struct past *
past_add(struct message *m, int64_t mono, uint64_t hash)
{
	tool.past = mem_resize_array(tool.past, tool.past_count + 1, sizeof(*tool.past));
	tool.past[tool.past_count] = (struct past){m, mono, hash};
	return &tool.past[tool.past_count++];
}

/* words: SOURCE SENDER SUBJECT CAMPAIGN AUDIENCE MARKS RECIPIENT... */
static struct message *
read_message(char **words, size_t count)
{
	struct message *m = message_new();
	struct address address;
	size_t i;

	m->environment = "production";
	m->source = arena_strdup(&m->arena, words[0]);
	if (address_parse(words[1], &m->arena, &address) != NULL)
		exit(2);
	message_set_sender(m, &address);
	buf_printf(&m->header, "Subject: %s\r\n", words[2]);
	if (*words[3] != '\0')
		buf_printf(&m->header, "X-Mailfuse-Campaign: %s\r\n", words[3]);
	if (strcmp(words[4], "0") != 0)
		buf_printf(&m->header, "X-Mailfuse-Audience: %s\r\n", words[4]);
	if (*words[5] != '\0')
		buf_printf(&m->header, "X-Mark: %s\r\n", words[5]);
	message_read_header(m);
	for (i = 6; i < count; i++) {
		if (address_parse(words[i], &m->arena, &address) != NULL)
			exit(2);
		gate_recipient(tool.policy, m, message_add_recipient(m, &address));
	}
	return m;
}

static struct batch *
batch_find(const struct verdict *v)
{
	size_t i;

	for (i = 0; i < tool.batch_count; i++) {
		if (tool.batches[i].hash == v->stream->hash &&
		    tool.batches[i].tripped_at == v->stream->tripped_at)
			return &tool.batches[i];
	}
	batch_drop(v->stream->hash);
	tool.batches = mem_resize_array(tool.batches, tool.batch_count + 1, sizeof(*tool.batches));
	tool.batches[tool.batch_count] =
	    (struct batch){v->stream->hash, mem_strdup(v->rule), v->stream->tripped_at, 0};
	return &tool.batches[tool.batch_count++];
}

static void
print_verdict(const struct verdict *v)
{
	static const char *const actions[] = {"pass", "wait", "hold", "drop", "reject"};
	const struct verdict_stream *s = v->stream;
	size_t i;

	printf("%s|%s|%" PRId64 "|%s|", actions[v->action], v->rule != NULL ? v->rule : "",
	       v->settle, v->observed != NULL ? v->observed : "");
	if (s != NULL)
		printf("%016" PRIx64 " %" PRId64 " %" PRIu32 " %" PRIu32 " %d", s->hash,
		       s->tripped_at, s->counted, s->limit, s->trips_now);
	putchar('|');
	for (i = 0; i < v->key_count; i++)
		printf("%s%016" PRIx64, i > 0 ? " " : "", v->keys[i].hash);
}

static void
judge(char **words, size_t count)
{
	int64_t mono = number(words[0]);
	struct message *m = read_message(words + 2, count - 2);
	size_t i;

	m->accepted_at = number(words[1]);
	gate_judge(tool.policy, tool.counters, m, mono, m->accepted_at, GATE_COUNT);
	tool.messages =
	    mem_resize_array(tool.messages, tool.message_count + 1, sizeof(*tool.messages));
	tool.messages[tool.message_count++] = tool.past_count;
	past_add(m, mono, 0);
	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict *v = &m->recipients[i].verdict;

		if (i > 0)
			putchar('\t');
		print_verdict(v);
		if (v->action == VERDICT_HOLD && v->stream != NULL)
			batch_find(v)->last_at = mono;
	}
	putchar('\n');
}

static void
print_row(void *context, const struct gate_rule_row *row)
{
	bool *first = context;

	if (!row->applies)
		return;
	printf("%s%s|%" PRIu32 "|%" PRIu32 "|%" PRIu32 "|%" PRIu32 "|%d", *first ? "" : "\t",
	       row->rule, row->before, row->after, row->head_before, row->limit, row->trips);
	*first = false;
}

static void
explain(char **words, size_t count)
{
	struct message *m = read_message(words + 2, count - 2);
	bool first = true;

	gate_explain_rules(tool.policy, tool.counters, m, number(words[0]), print_row, &first);
	putchar('\n');
	message_free(m);
}

static void
recall(size_t message, size_t recipient)
{
	struct message *m = tool.past[tool.messages[message]].message;
	struct verdict *v = &m->recipients[recipient].verdict;
	size_t i;

	v->action = VERDICT_HOLD;
	v->rule = "burst recalled";
	for (i = 0; i < v->key_count; i++)
		counters_unleave(tool.counters, v->keys[i].hash, 1);
	puts("ok");
}

/* What a release lets go is no longer of the stream that held it. */
static void
release_from(struct verdict *v, uint64_t hash)
{
	struct verdict_key *keys = (struct verdict_key *)v->keys;
	size_t i = 0;

	while (i < v->key_count) {
		if (keys[i].hash == hash)
			keys[i] = keys[--v->key_count];
		else
			i++;
	}
}

static void
decide(int64_t mono, uint64_t hash, bool release)
{
	size_t i, j;

	counters_forget(tool.counters, hash);
	for (i = 0; release && i < tool.past_count; i++) {
		struct message *m = tool.past[i].message;

		for (j = 0; m != NULL && j < m->recipient_count; j++) {
			struct verdict *v = &m->recipients[j].verdict;

			if (v->action == VERDICT_HOLD)
				release_from(v, hash);
		}
	}
	past_add(NULL, mono, hash);
	batch_drop(hash);
	puts("ok");
}

static void
cooled(void *context, uint64_t hash)
{
	(void)context;
	printf("%016" PRIx64 " ", hash);
	batch_drop(hash);
}

static void
save_row(void *context, uint64_t hash, int64_t idle_at, const char *data, size_t len)
{
	(void)context;
	(void)idle_at;
	tool.fresh = mem_resize_array(tool.fresh, tool.fresh_count + 1, sizeof(*tool.fresh));
	tool.fresh[tool.fresh_count] = (struct saved){hash, tool.clock, mem_alloc(len + 1), len};
	memcpy(tool.fresh[tool.fresh_count++].data, data, len);
}

/* A commit: the rows of one save take the place of older ones. */
static void
save_keep(void)
{
	size_t i, j;

	for (i = 0; i < tool.fresh_count; i++) {
		for (j = 0; j < tool.saved_count && tool.saved[j].hash != tool.fresh[i].hash; j++)
			;
		if (j == tool.saved_count) {
			tool.saved =
			    mem_resize_array(tool.saved, ++tool.saved_count, sizeof(*tool.saved));
		} else {
			free(tool.saved[j].data);
		}
		tool.saved[j] = tool.fresh[i];
	}
	free(tool.fresh);
	tool.fresh = NULL;
	tool.fresh_count = 0;
}

static void
save(int64_t mono, bool failed, unsigned first, unsigned count)
{
	unsigned shard;

	for (shard = first; shard < first + count && shard < COUNTERS_SHARDS; shard++) {
		uint32_t stamp = counters_save(tool.counters, shard, mono, save_row, NULL);

		if (failed) {
			saved_free(&tool.fresh, &tool.fresh_count);
			counters_save_failed(tool.counters, shard);
			continue;
		}
		save_keep();
		tool.stamps[shard] = stamp;
		tool.has_stamp[shard] = true;
	}
	puts("ok");
}

/* Each delivery as a message of its own, as the store gives it back. */
static void
replay_message(const struct past *past)
{
	size_t i;

	for (i = 0; i < past->message->recipient_count; i++) {
		struct message one = *past->message;

		one.recipients = &past->message->recipients[i];
		one.recipient_count = 1;
		counters_replay(tool.counters, tool.policy, &one, past->mono);
	}
}

static void
restart(int64_t shift)
{
	size_t i;

	tool.clock += shift;
	counters_free(tool.counters);
	tool.counters = counters_new();
	for (i = 0; i < COUNTERS_SHARDS; i++) {
		if (tool.has_stamp[i])
			counters_load_stamp(tool.counters, (unsigned)i, tool.stamps[i]);
	}
	for (i = 0; i < tool.saved_count; i++) {
		if (tool.saved[i].len > 0 &&
		    !counters_load(tool.counters, tool.saved[i].hash, tool.saved[i].data,
				   tool.saved[i].len, tool.clock - tool.saved[i].clock))
			exit(3);
	}
	for (i = 0; i < tool.past_count; i++) {
		tool.past[i].mono += shift;
		if (tool.past[i].message != NULL)
			replay_message(&tool.past[i]);
		else
			counters_replay_forget(tool.counters, tool.past[i].hash, tool.past[i].mono);
	}
	for (i = 0; i < tool.batch_count; i++) {
		tool.batches[i].last_at += shift;
		counters_restore_trip(tool.counters, tool.policy, "production",
				      tool.batches[i].rule, tool.batches[i].hash,
				      tool.batches[i].tripped_at, tool.batches[i].last_at);
	}
	puts("ok");
}

static void
run(char **words, size_t count)
{
	const char *verb = words[0];

	if (strcmp(verb, "policy") == 0 && count == 2) {
		take_policy(words[1]);
	} else if (strcmp(verb, "judge") == 0 && count > 9) {
		judge(words + 1, count - 1);
	} else if (strcmp(verb, "explain") == 0 && count > 9) {
		explain(words + 1, count - 1);
	} else if (strcmp(verb, "recall") == 0 && count == 3) {
		recall((size_t)number(words[1]), (size_t)number(words[2]));
	} else if (strcmp(verb, "decide") == 0 && count == 4) {
		decide(number(words[1]), strtoull(words[2], NULL, 16),
		       strcmp(words[3], "release") == 0);
	} else if (strcmp(verb, "cool") == 0 && count == 2) {
		counters_cool(tool.counters, number(words[1]), cooled, NULL);
		putchar('\n');
	} else if (strcmp(verb, "save") == 0 && count == 5) {
		save(number(words[1]), strcmp(words[2], "failed") == 0, (unsigned)number(words[3]),
		     (unsigned)number(words[4]));
	} else if (strcmp(verb, "restart") == 0 && count == 2) {
		restart(number(words[1]));
	} else {
		fprintf(stderr, "gate_tool: what is \"%s\" with %zu words?\n", verb, count);
		exit(2);
	}
}

int
main(void)
{
	char *line = NULL, *words[WORDS_MAX], *rest;
	size_t cap = 0, count;

	mime_init();
	while (getline(&line, &cap, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		rest = line;
		for (count = 0; rest != NULL && count < WORDS_MAX; count++)
			words[count] = strsep(&rest, "\t");
		run(words, count);
		fflush(stdout);
	}
	free(line);
	tool_clear();
	return 0;
}
