/*
 * Helpers of the tests of copies. See backup_help.h.
 */
#include "tests/unit/backup_help.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
} answer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

void
copy_done(struct store_copy *copy)
{
	(void)copy;
	pthread_mutex_lock(&answer.lock);
	answer.done = true;
	pthread_cond_signal(&answer.wake);
	pthread_mutex_unlock(&answer.lock);
}

void
forget_copies(void)
{
	answer.done = false;
}

void
wait_for_copy(void)
{
	pthread_mutex_lock(&answer.lock);
	while (!answer.done)
		pthread_cond_wait(&answer.wake, &answer.lock);
	answer.done = false;
	pthread_mutex_unlock(&answer.lock);
}

struct store_copy
make_copy(struct fixture *f, const char *path)
{
	struct store_copy copy = {.path = path, .done = copy_done};

	store_copy_start(f->s, &copy);
	wait_for_copy();
	return copy;
}

struct message *
big_message(void)
{
	struct message *m =
	    make_message("staging", "big", 2, VERDICT_HOLD, "burst volume", &test_stream);
	char *body = mem_alloc(BIG_BYTES);
	size_t i;

	for (i = 0; i < BIG_BYTES; i++)
		body[i] = (char)('a' + i % 23);
	chunks_clear(&m->body);
	chunks_add(&m->body, body, BIG_BYTES);
	m->body_bytes = BIG_BYTES;
	m->recipients[0].notify = 5;
	m->recipients[0].orcpt = "rfc822;first@example.net";
	free(body);
	return m;
}

/* B1 holds 3 + 2 and has 1 discarded; 4 pass. */
void
fill(struct fixture *f)
{
	struct store_job job;
	struct store_delivery_id one;

	add_held(f, &test_stream, 3);
	one = (struct store_delivery_id){add_held(f, &test_stream, 1), 1};
	add_message(f, big_message());
	add_passing(f, "production", 4);
	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = &one;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

const char *
copy_path(const struct fixture *f)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/copy.db", f->dir);
	return path;
}

struct backup_report
make_good_copy(struct fixture *f)
{
	struct store_copy copy = make_copy(f, copy_path(f));

	if (copy.result != STORE_OK)
		fail_msg("%s", copy.error);
	return copy.report;
}

struct buf
read_file(const char *path)
{
	struct buf out = {0};
	FILE *in = fopen(path, "rb");
	char data[65536];
	size_t n;

	assert_non_null(in);
	while ((n = fread(data, 1, sizeof(data), in)) > 0)
		buf_add(&out, data, n);
	fclose(in);
	return out;
}

void
write_file(const char *path, const void *data, size_t len)
{
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}
