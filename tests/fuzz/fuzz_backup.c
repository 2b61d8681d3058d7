/*
 * Fuzzes backup_open() and what reads a copy: a small sealed copy is made once, each input alters
 * bytes of it. As it is then it must be refused, unless nothing is different; sealed again, as
 * somebody would who means it, it may be refused or read, and no more.
 *
 * Input: one byte, 1 = seal again, 2 = cut off the last page; then records of five bytes: page,
 * offset in it (two bytes), how (0 the byte is set, 1 it is XORed, 2 a big-endian word of four is
 * set), value.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/seal.h"
#include "store/sqlite.h"
#include "tests/fuzz/fuzz.h"

enum { PAGE_BYTES = 512, RECORDS_MAX = 64 };

static char directory[64], store_path[96], path[96];
static unsigned char *whole, *altered; /* the copy; the input's */
static size_t whole_bytes;
static struct seal seal;
static int file = -1;

/* ---- the copy ---- */

static void
end_job(struct store_job *job)
{
	atomic_store((atomic_bool *)job->context, true);
}

static void
end_copy(struct store_copy *copy)
{
	atomic_store((atomic_bool *)copy->context, true);
}

static void
run(struct store *s, struct store_job *job)
{
	atomic_bool done = false;

	job->done = end_job;
	job->context = &done;
	writer_submit(s, job);
	while (!atomic_load(&done))
		sched_yield();
	FUZZ_CHECK(job->result == STORE_OK);
}

static void
add_message(struct store *s, bool chunked)
{
	static const struct verdict_stream stream = {
	    .hash = 1, .key = "k", .source = "s", .sender = "", .subject = "", .tripped_at = 1};
	static char text[] = "app@example.com", to[] = "r@example.net";
	struct address sender = {.local = text, .domain = text + 4, .text = text};
	struct address address = {.local = to, .domain = to + 2, .text = to};
	struct message *m = message_new();
	struct store_job begin = {.op = STORE_BEGIN}, chunk = {.op = STORE_CHUNK},
			 add = {.op = STORE_ADD, .u.add.message = m};
	int i;

	m->id = begin.u.body.id = chunk.u.body.id = id_next();
	m->accepted_at = clock_wall();
	m->environment = "staging";
	m->source = m->client = m->helo = m->protocol = "x";
	m->subject = m->subject_key = m->campaign = m->header_from = "";
	message_set_sender(m, &sender);
	for (i = 0; i < 3; i++)
		message_add_recipient(m, &address)->verdict = (struct verdict){
		    .action = VERDICT_HOLD, .rule = "burst volume", .stream = &stream};
	buf_add_text(&m->header, "Subject: x\r\n");
	chunks_init(&chunk.u.body.chunks);
	if (chunked) {
		chunks_add(&chunk.u.body.chunks, "first ", 6);
		m->chunks_stored = 1;
		run(s, &begin);
		run(s, &chunk);
	}
	chunks_clear(&chunk.u.body.chunks);
	chunks_add(&m->body, "body\r\n", 6);
	m->body_bytes = chunked ? 12 : 6;
	run(s, &add);
	message_free(m);
}

/* In small pages, so that the whole is small; the seal as it is then. */
static void
shrink(void)
{
	struct sqlite_db db = {.lock = -1};
	struct stat st;
	size_t i;

	FUZZ_CHECK(sqlite3_open(path, &db.sql) == SQLITE_OK);
	FUZZ_CHECK(sqlite3_exec(db.sql, "PRAGMA page_size = 512; VACUUM", NULL, NULL, NULL) ==
		   SQLITE_OK);
	file = open(path, O_RDWR);
	FUZZ_CHECK(file >= 0 && fstat(file, &st) == 0);
	FUZZ_CHECK(seal_find(&db.base, file, &seal) == STORE_OK);
	for (i = 0; i < SQL_CACHE_SLOTS; i++)
		sqlite3_finalize(db.cache[i].statement);
	FUZZ_CHECK(sqlite3_close(db.sql) == SQLITE_OK);
	whole_bytes = (size_t)st.st_size;
	FUZZ_CHECK(seal_compute(file, whole_bytes, seal.offset, NULL, seal.hash));
	FUZZ_CHECK(pwrite(file, seal.hash, SEAL_BYTES, (off_t)seal.offset) == SEAL_BYTES);
	whole = mem_alloc(whole_bytes);
	altered = mem_alloc(whole_bytes);
	FUZZ_CHECK(pread(file, whole, whole_bytes, 0) == (ssize_t)whole_bytes);
}

static void
remove_store(void)
{
	static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
	char name[128];
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", store_path, endings[i]);
		unlink(name);
	}
}

static void
clean_up(void)
{
	unlink(path);
	rmdir(directory);
	free(whole);
	free(altered);
}

static void
make_copy(void)
{
	atomic_bool done = false;
	struct store_copy copy = {.path = path, .done = end_copy, .context = &done};
	struct store_options options = {.path = store_path};
	struct buf error = {0};
	struct store *s;

	snprintf(directory, sizeof(directory), "%s/mailfuse-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(directory) != NULL);
	atexit(clean_up);
	snprintf(store_path, sizeof(store_path), "%s/store.db", directory);
	snprintf(path, sizeof(path), "%s/copy.db", directory);
	s = store_open(&options, &error);
	FUZZ_CHECK(s != NULL);
	add_message(s, false);
	add_message(s, true);
	store_copy_start(s, &copy);
	while (!atomic_load(&done))
		sched_yield();
	FUZZ_CHECK(copy.result == STORE_OK);
	store_close(s);
	remove_store();
	shrink();
}

/* ---- one input ---- */

static void
alter(const uint8_t *data, size_t size)
{
	size_t i, pages = whole_bytes / PAGE_BYTES, records = 0;

	memcpy(altered, whole, whole_bytes);
	for (i = 0; i + 5 <= size && records < RECORDS_MAX; i += 5, records++) {
		size_t at = data[i] % pages * PAGE_BYTES +
			    ((size_t)data[i + 1] << 8 | data[i + 2]) % (PAGE_BYTES - 3);
		const unsigned char word[4] = {0, 0, 0, data[i + 4]};

		if (data[i + 3] % 3 == 0)
			altered[at] = data[i + 4];
		else if (data[i + 3] % 3 == 1)
			altered[at] ^= data[i + 4];
		else
			memcpy(altered + at, word, sizeof(word));
	}
}

static void
seal_again(size_t bytes)
{
	unsigned char hash[SEAL_BYTES];

	FUZZ_CHECK(seal_compute(file, bytes, seal.offset, NULL, hash));
	FUZZ_CHECK(pwrite(file, hash, SEAL_BYTES, (off_t)seal.offset) == SEAL_BYTES);
}

static void
see_batch(void *context, const struct store_batch *b)
{
	*(size_t *)context += strlen(b->environment) + strlen(b->rule) + strlen(b->key) +
			      strlen(b->source) + strlen(b->decided_by);
}

static bool
see_message(void *context, const struct message *m, const struct store_delivery *deliveries,
	    size_t count)
{
	uint64_t bytes = 0;
	struct chunk *chunk;
	size_t i;

	FUZZ_CHECK(m->recipient_count == count);
	for (i = 0; i < count; i++) {
		FUZZ_CHECK(deliveries[i].state == STORE_HELD ||
			   deliveries[i].state == STORE_DISCARDED);
		*(size_t *)context +=
		    strlen(deliveries[i].recipient) + strlen(m->recipients[i].orcpt);
	}
	STAILQ_FOREACH (chunk, &m->body.list, next)
		bytes += chunk->len;
	FUZZ_CHECK(bytes == m->body_bytes);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backup_report report;
	struct buf error = {0};
	struct backup *b;
	size_t bytes, seen = 0;
	bool same;

	if (whole == NULL)
		make_copy();
	if (size < 1)
		return 0;
	alter(data + 1, size - 1);
	bytes = whole_bytes - ((data[0] & 2) != 0 ? PAGE_BYTES : 0);
	same = bytes == whole_bytes && memcmp(whole, altered, whole_bytes) == 0;
	FUZZ_CHECK(pwrite(file, altered, bytes, 0) == (ssize_t)bytes);
	FUZZ_CHECK(ftruncate(file, (off_t)bytes) == 0);
	if ((data[0] & 1) != 0 && seal.offset + SEAL_BYTES <= bytes)
		seal_again(bytes);
	b = backup_open(path, &report, &error);
	FUZZ_CHECK((b == NULL) == (error.len > 0));
	FUZZ_CHECK(b != NULL || !same);
	FUZZ_CHECK(b == NULL || same || (data[0] & 1) != 0);
	if (b != NULL) {
		(void)backup_batch(b, 1, see_batch, &seen, &error);
		(void)backup_messages(b, 1, see_message, &seen, &error);
	}
	backup_close(b);
	buf_free(&error);
	return 0;
}
