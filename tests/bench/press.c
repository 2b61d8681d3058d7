/*
 * What a packed message takes and costs, in bytes and microseconds of processor time. First press.h
 * alone: COUNT newsletters of one blast (letters.c) of SIZE bytes, the first as dictionary of the
 * rest, and the same without a dictionary. Then in a store of its own (in TMPDIR): the same mail
 * held, where it is packed, and passing, where it is not; the columns are bytes that came, bytes of
 * the store's file, and microseconds of all threads, with what goes into the file in the end.
 *
 *     tests/bench/press [COUNT [SIZE]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "store/press.h"
#include "store/store.h"
#include "tests/bench/jobs.h"
#include "tests/bench/letters.h"

struct sums {
	uint64_t raw, packed;
	int64_t unwrap, pack, unpack; /* nanoseconds */
};

/* Of this thread alone: the machine may be busy. */
static int64_t
processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct message *
make(struct letters *l, uint64_t number)
{
	struct message *m = message_new();
	struct buf text = {0};
	const char *body;

	letters_add(l, number, &text);
	body = strstr(text.data, "\r\n\r\n");
	if (body == NULL)
		abort();
	body += 4;
	buf_add(&m->header, text.data, (size_t)(body - text.data) - 2);
	m->body_bytes = text.len - (size_t)(body - text.data);
	chunks_add(&m->body, body, (size_t)m->body_bytes);
	buf_free(&text);
	return m;
}

static void
measure(struct press *p, const struct message *m, const struct press_maker *maker,
	const struct press_reader *reader, struct sums *s)
{
	struct buf blob = {0}, header = {0}, body = {0};
	int64_t start = processor_time();

	if (!press_take(p, m))
		abort();
	s->unwrap += processor_time() - start;
	start = processor_time();
	press_pack(p, 1, maker, &blob);
	s->pack += processor_time() - start;
	start = processor_time();
	if (press_unpack(p, blob.data, blob.len, reader, &header, &body) != NULL)
		abort();
	s->unpack += processor_time() - start;
	s->raw += m->header.len + m->body_bytes;
	s->packed += blob.len;
	buf_free(&blob);
	buf_free(&header);
	buf_free(&body);
}

static void
print(const char *name, const struct sums *s, uint64_t n)
{
	const double count = (double)n;

	printf("%-22s %8.0f %8.0f %8.1f %8.1f %8.1f\n", name, (double)s->raw / count,
	       (double)s->packed / count, (double)s->unwrap / count / 1e3,
	       (double)s->pack / count / 1e3, (double)s->unpack / count / 1e3);
}

static void
run(const char *name, const struct letters_options *options, uint64_t count, bool alike)
{
	struct letters *l = letters_new(options);
	struct press *p = press_new();
	struct press_maker *maker = NULL;
	struct press_reader *reader = NULL;
	struct sums sums = {0};
	struct message *m = make(l, 0);
	uint64_t i;

	if (!press_take(p, m))
		abort();
	if (alike) {
		maker = press_maker_new(press_plain(p)->data, press_plain(p)->len);
		reader = press_reader_new(press_plain(p)->data, press_plain(p)->len);
	}
	message_free(m);
	for (i = 1; i <= count; i++) {
		m = make(l, i);
		measure(p, m, maker, reader, &sums);
		message_free(m);
	}
	print(name, &sums, count);
	press_maker_free(maker);
	press_reader_free(reader);
	press_free(p);
	letters_free(l);
}

/* ---- in a store ---- */

enum { GROUP = 64 };

static void
complete(struct message *m, uint64_t number, enum verdict_action action)
{
	static const struct verdict_stream stream = {
	    .hash = 6, .key = "", .source = "", .sender = "", .subject = "", .tripped_at = 1};
	char text[LETTERS_ADDRESS_BYTES];
	struct address to = {.text = text};
	struct recipient *r;

	letters_address(number, 0, text);
	to.local = to.domain = text;
	m->id = id_next();
	m->accepted_at = clock_wall();
	m->environment = "production";
	m->source = m->client = "192.0.2.7";
	m->helo = "app";
	m->protocol = "ESMTP";
	message_set_sender(m, &to);
	message_read_header(m);
	r = message_add_recipient(m, &to);
	r->final = r->address.text;
	r->verdict = (struct verdict){.action = action,
				      .rule = action == VERDICT_HOLD ? "burst volume" : NULL,
				      .reason = "many",
				      .stream = action == VERDICT_HOLD ? &stream : NULL};
}

/* What the writer takes for them, without making them. */
static int64_t
add_group(struct store *store, struct letters *l, uint64_t first, enum verdict_action action,
	  uint64_t *bytes)
{
	struct jobs group = JOBS_INIT;
	static struct store_job jobs[GROUP];
	int64_t start;
	size_t i;

	for (i = 0; i < GROUP; i++) {
		struct message *m = make(l, first + i);

		complete(m, first + i, action);
		*bytes += m->header.len + m->body_bytes;
		jobs[i] = (struct store_job){
		    .op = STORE_ADD, .done = jobs_done, .context = &group, .u.add.message = m};
	}
	jobs_expect(&group, GROUP);
	start = jobs_cpu_time();
	for (i = 0; i < GROUP; i++)
		writer_submit(store, &jobs[i]);
	jobs_wait(&group);
	start = jobs_cpu_time() - start;
	for (i = 0; i < GROUP; i++)
		message_free(jobs[i].u.add.message);
	return start;
}

static void
run_store(const char *name, const struct letters_options *options, uint64_t count,
	  enum verdict_action action)
{
	struct letters *l = letters_new(options);
	const char *tmp = getenv("TMPDIR");
	struct buf path = {0}, error = {0};
	struct store_options wanted = {0};
	struct store *store;
	uint64_t i, bytes = 0;
	int64_t time = 0;
	struct stat st;

	buf_printf(&path, "%s/press-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(path.data) == NULL)
		abort();
	buf_add_text(&path, "/store.db");
	wanted.path = path.data;
	store = store_open(&wanted, &error);
	if (store == NULL) {
		fprintf(stderr, "%s\n", buf_text(&error));
		exit(1);
	}
	for (i = 0; i < count; i += GROUP)
		time += add_group(store, l, i, action, &bytes);
	time -= jobs_cpu_time();
	store_close(store);
	time += jobs_cpu_time();
	if (stat(path.data, &st) != 0)
		abort();
	printf("%-22s %8.0f %8.0f %8.1f\n", name, (double)bytes / (double)i,
	       (double)st.st_size / (double)i, (double)time / (double)i / 1e3);
	unlink(path.data);
	buf_add_text(&path, ".lock");
	unlink(path.data);
	*strrchr(path.data, '/') = '\0';
	rmdir(path.data);
	buf_free(&path);
	letters_free(l);
}

int
main(int argc, char **argv)
{
	const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
	const size_t size = argc > 2 ? strtoull(argv[2], NULL, 10) : 28600;
	struct letters_options o = {.kind = LETTERS_HTML, .size = size, .seed = 6};
	struct letters_options plain = {.kind = LETTERS_PLAIN, .size = 10240, .seed = 6};

	if (count == 0)
		return 2;
	printf("%-22s %8s %8s %8s %8s %8s\n", "", "bytes", "packed", "unwrap", "pack", "unpack");
	run("newsletter", &o, count, true);
	o.encoding = LETTERS_QP;
	run("in quoted-printable", &o, count, true);
	o.encoding = LETTERS_BASE64;
	run("in base64", &o, count, true);
	o.encoding = LETTERS_8BIT;
	run("no dictionary", &o, count, false);
	run("10 KB text", &plain, count, false);
	run("10 KB text, alike", &plain, count, true);
	printf("%-22s %8s %8s %8s\n", "in a store", "bytes", "file", "add");
	run_store("newsletter, held", &o, count, VERDICT_HOLD);
	run_store("newsletter, passing", &o, count, VERDICT_PASS);
	o.encoding = LETTERS_BASE64;
	run_store("in base64, held", &o, count, VERDICT_HOLD);
	run_store("10 KB text, held", &plain, count, VERDICT_HOLD);
	run_store("10 KB text, passing", &plain, count, VERDICT_PASS);
	return 0;
}
