/*
 * What a packed message takes and costs: COUNT newsletters of one blast (letters.c) of SIZE bytes,
 * the first as dictionary of the rest, packed and unpacked; and the same without a dictionary, as
 * passing mail would be. One line each: bytes, packed bytes, microseconds to unwrap, to pack, to
 * unpack.
 *
 *     tests/bench/press [COUNT [SIZE]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/press.h"
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
	run("10 KB text, none", &plain, count, false);
	return 0;
}
