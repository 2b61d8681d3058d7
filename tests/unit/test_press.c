/*
 * Packed messages: each kind comes back byte for byte, with a dictionary and without; a blast costs
 * little; what is damaged is refused with a text; and families: when a dictionary is worn, and what
 * is forgotten first.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "store/family.h"
#include "store/press.h"

enum { KINDS = 7 };

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* ---- mail ---- */

static void
add_html(struct buf *out, unsigned person)
{
	uint32_t seed = 77; /* the same for everybody */
	unsigned i;

	buf_printf(out, "<html><body><p>Dear customer %u,</p>\r\n", person * 7919);
	for (i = 0; i < 400; i++)
		buf_printf(out,
			   "<tr><td class=\"c%u\">article %u</td><td><a href=\"https://shop."
			   "example.com/%u?u=%u\">%u</a></td></tr>\r\n",
			   next_random(&seed) % 9, next_random(&seed), i,
			   i % 40 == 0 ? person * 104729 : 0, next_random(&seed));
	buf_add_text(out, "</body></html>\r\n");
}

static void
add_lines64(struct buf *out, const struct buf *raw)
{
	struct buf text = {0};
	size_t i;

	base64_encode(raw->data, raw->len, &text);
	for (i = 0; i < text.len; i += 76) {
		buf_add(out, text.data + i, text.len - i < 76 ? text.len - i : 76);
		buf_add_text(out, "\r\n");
	}
	buf_free(&text);
}

static void
add_body(struct buf *out, int kind, unsigned person)
{
	uint32_t seed = person + 1;
	struct buf raw = {0};
	unsigned i;

	switch (kind) {
	case 0:
		add_html(out, person);
		break;
	case 1:
		add_html(&raw, person);
		buf_add_text(out, "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n");
		add_lines64(out, &raw);
		buf_add_text(out, "--b--\r\n");
		break;
	case 2:
		for (i = 0; i < 300; i++)
			buf_printf(out, "line %u of a quoted=20printable text for =C3=%02X=\r\n", i,
				   person % 256);
		break;
	case 3: /* what no compression shrinks */
		for (i = 0; i < 20000; i++)
			buf_add_char(out, (char)(next_random(&seed) >> 13));
		break;
	case 4:
		buf_add_char(out, (char)person);
		break;
	case 5:
		break;
	default:
		for (i = 0; i < CHUNK_BYTES; i++)
			buf_add_char(out, (char)(i % 251));
	}
	buf_free(&raw);
}

static struct message *
make(int kind, unsigned person)
{
	struct message *m = message_new();
	struct buf body = {0};

	buf_printf(&m->header, "From: shop@example.com\r\nTo: p%u@example.net\r\nSubject: s\r\n",
		   person);
	add_body(&body, kind, person);
	chunks_add(&m->body, buf_text(&body), body.len);
	m->body_bytes = body.len;
	buf_free(&body);
	return m;
}

static void
join(const struct message *m, struct buf *out)
{
	const struct chunk *chunk;

	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(out, chunk->data, chunk->len);
}

/* ---- both ways ---- */

static void
check_back(struct press *p, const struct buf *blob, const struct press_reader *d,
	   const struct message *m)
{
	struct buf header = {0}, body = {0}, wanted = {0};
	const char *wrong = press_unpack(p, blob->data, blob->len, d, &header, &body);

	if (wrong != NULL)
		fail_msg("%s", wrong);
	join(m, &wanted);
	assert_int_equal(header.len, m->header.len);
	assert_memory_equal(header.data, m->header.data, header.len);
	assert_int_equal(body.len, wanted.len);
	assert_memory_equal(buf_text(&body), buf_text(&wanted), body.len);
	buf_free(&header);
	buf_free(&body);
	buf_free(&wanted);
}

/* Packs `m`; the blob's size. */
static size_t
trip(struct press *p, const struct message *m, int64_t id, const struct press_maker *maker,
     const struct press_reader *reader)
{
	struct buf blob = {0};
	size_t bytes;

	assert_true(press_take(p, m));
	press_pack(p, id, maker, &blob);
	bytes = blob.len;
	assert_int_equal(
	    press_dictionary(blob.data, blob.len < PRESS_HEAD_MAX ? blob.len : PRESS_HEAD_MAX),
	    maker != NULL ? id : 0);
	check_back(p, &blob, reader, m);
	buf_free(&blob);
	return bytes;
}

static void
each_kind_comes_back(void **state)
{
	/* The most that the second of a kind may take, after the first as its dictionary. */
	static const size_t most[KINDS] = {1500, 1500, 700, 20400, 150, 150, 400};
	struct press *p = press_new();
	int kind;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		struct message *first = make(kind, 1), *second = make(kind, 2);
		struct press_maker *maker;
		struct press_reader *reader;
		struct buf plain = {0};
		size_t bytes;

		trip(p, first, 0, NULL, NULL);
		buf_add(&plain, press_plain(p)->data, press_plain(p)->len);
		if (plain.len > PRESS_DICTIONARY_MAX)
			plain.len = PRESS_DICTIONARY_MAX;
		maker = press_maker_new(plain.data, plain.len);
		reader = press_reader_new(plain.data, plain.len);
		assert_non_null(maker);
		assert_non_null(reader);
		bytes = trip(p, second, INT64_MAX - kind, maker, reader);
		if (bytes > most[kind])
			fail_msg("kind %d takes %zu bytes, not %zu", kind, bytes, most[kind]);
		assert_int_equal(press_pays(p, bytes), kind != 3);
		press_maker_free(maker);
		press_reader_free(reader);
		message_free(first);
		message_free(second);
		buf_free(&plain);
	}
	press_free(p);
}

/* Base64 hides likeness: decoded it is as small as the same mail without it. */
static void
base64_costs_no_more(void **state)
{
	struct press *p = press_new();
	size_t bytes[2];
	int kind;

	(void)state;
	for (kind = 0; kind < 2; kind++) {
		struct message *first = make(kind, 1), *second = make(kind, 2);
		struct press_maker *maker;
		struct press_reader *reader;

		assert_true(press_take(p, first));
		maker = press_maker_new(press_plain(p)->data, press_plain(p)->len);
		reader = press_reader_new(press_plain(p)->data, press_plain(p)->len);
		bytes[kind] = trip(p, second, 1, maker, reader);
		press_maker_free(maker);
		press_reader_free(reader);
		message_free(first);
		message_free(second);
	}
	assert_in_range(bytes[1], 1, bytes[0] * 5 / 4);
	press_free(p);
}

static void
what_is_not_packed(void **state)
{
	static const char trained[] = "\x37\xa4\x30\xec and more";
	struct press *p = press_new();
	struct message *m = make(5, 1);

	(void)state;
	m->chunks_stored = 1; /* part of it is in the store already */
	assert_false(press_take(p, m));
	m->chunks_stored = 0;
	m->body_bytes = 1;
	assert_false(press_take(p, m));
	m->body_bytes = 0;
	while (m->header.len <= PRESS_PLAIN_MAX)
		buf_add(&m->header, trained, sizeof(trained));
	assert_false(press_take(p, m));
	assert_null(press_maker_new(trained, sizeof(trained)));
	assert_null(press_reader_new(trained, sizeof(trained)));
	assert_null(press_maker_new("", 0));
	assert_null(press_maker_new(m->header.data, PRESS_DICTIONARY_MAX + 1));
	message_free(m);
	press_free(p);
}

/* ---- damage ---- */

/* Every byte changed, every length cut: a text, or what the lengths claim; never other mail. */
static void
damaged_blobs(void **state)
{
	struct press *p = press_new();
	struct message *m = make(1, 1), *other = make(0, 2);
	struct buf blob = {0}, header = {0}, body = {0}, wanted = {0};
	struct press_maker *maker;
	struct press_reader *reader, *wrong;
	size_t i;

	(void)state;
	assert_true(press_take(p, other));
	maker = press_maker_new(press_plain(p)->data, press_plain(p)->len);
	reader = press_reader_new(press_plain(p)->data, press_plain(p)->len);
	wrong = press_reader_new("something else", 14);
	assert_true(press_take(p, m));
	press_pack(p, 3, maker, &blob);
	join(m, &wanted);
	for (i = 0; i < blob.len; i++) {
		if (press_unpack(p, blob.data, i, reader, &header, &body) == NULL)
			fail_msg("%zu bytes of %zu were enough", i, blob.len);
		blob.data[i] ^= 0x10;
		/* The id of the dictionary says only which one to fetch. */
		if (press_unpack(p, blob.data, blob.len, reader, &header, &body) == NULL &&
		    (body.len != wanted.len || memcmp(body.data, wanted.data, body.len) != 0))
			fail_msg("byte %zu makes it another message", i);
		buf_clear(&header);
		blob.data[i] ^= 0x10;
	}
	assert_non_null(press_unpack(p, blob.data, blob.len, NULL, &header, &body));
	assert_non_null(press_unpack(p, blob.data, blob.len, wrong, &header, &body));
	assert_int_equal(header.len, 0);
	assert_null(press_unpack(p, blob.data, blob.len, reader, &header, &body));
	press_maker_free(maker);
	press_reader_free(reader);
	press_reader_free(wrong);
	message_free(m);
	message_free(other);
	buf_free(&blob);
	buf_free(&header);
	buf_free(&body);
	buf_free(&wanted);
	press_free(p);
}

/* Small blobs that claim much. */
static void
bombs(void **state)
{
	static const struct {
		const char *name, *blob;
		size_t len;
	} table[] = {
	    {"nothing", "", 0},
	    {"another version", "\x02\0\0\x01\x01\x02\0", 7},
	    {"unknown flags", "\x01\x01\0\x01\x01\x02\0", 7},
	    {"a header of 4 GB", "\x01\0\0\xff\xff\xff\xff\x0f\x01\x02\0", 11},
	    {"a body of 2^63 bytes", "\x01\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x02\0", 15},
	    {"more unwrapped than wrapped", "\x01\0\0\x01\x01\x03\0", 7},
	    {"more runs than there is", "\x01\0\0\x01\x01\x02\x7f", 7},
	    {"no frame", "\x01\0\0\x01\x01\x02\0", 7},
	    {"a frame that says 1 GB",
	     "\x01\0\0\x01\x01\x02\0\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x01\x00\x00", 19},
	};
	struct press *p = press_new();
	struct buf header = {0}, body = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (press_unpack(p, table[i].blob, table[i].len, NULL, &header, &body) == NULL)
			fail_msg("%s", table[i].name);
		assert_int_equal(header.len, 0);
		assert_true(body.cap <= 1024 && header.cap <= 1024);
	}
	assert_false(press_restore(p, table[8].blob + 7, 12, &body));
	buf_free(&header);
	buf_free(&body);
	press_free(p);
}

/* ---- families ---- */

static void
what_makes_a_family(void **state)
{
	struct message *a = make(0, 1), *b = make(0, 2);

	(void)state;
	a->environment = b->environment = "staging";
	a->source = b->source = "10.2.0.7";
	a->subject_key = b->subject_key = "news";
	assert_true(family_hash(a) == family_hash(b));
	b->subject_key = "new";
	assert_true(family_hash(a) != family_hash(b));
	b->subject_key = "news";
	b->source = "10.2.0.8";
	assert_true(family_hash(a) != family_hash(b));
	b->source = "10.2.0.7";
	b->environment = "qa";
	assert_true(family_hash(a) != family_hash(b));
	message_free(a);
	message_free(b);
}

static void
used_longest_ago_goes_first(void **state)
{
	struct buf plain = {0};
	struct families f;
	uint64_t i;

	(void)state;
	families_init(&f);
	for (i = 1; i <= FAMILY_MAX; i++)
		families_add(&f, i, (int64_t)i);
	assert_non_null(families_find(&f, 1, 100));
	families_add(&f, 99, 101);
	assert_null(families_find(&f, 2, 102));
	assert_non_null(families_find(&f, 1, 103));
	/* And by bytes. */
	for (i = 0; i < PRESS_DICTIONARY_MAX * 2; i++)
		buf_add_char(&plain, 'x');
	for (i = 1000; i < 1100; i++) {
		family_keep_first(&f, families_add(&f, i, 104), &plain);
		assert_true(f.bytes <= FAMILY_BYTES_MAX);
		assert_true(families_find(&f, i, 104)->first.len == PRESS_DICTIONARY_MAX);
	}
	assert_true(f.count < FAMILY_MAX);
	families_clear(&f);
	assert_int_equal(f.bytes, 0);
	assert_int_equal(f.count, 0);
	buf_free(&plain);
}

/* So many messages of 1,000 bytes each; true if it was worn at one of them. */
static bool
feed(struct family *it, size_t n, size_t packed)
{
	bool worn = false;

	for (; n > 0; n--) {
		family_count(it, 1000, packed);
		worn |= family_is_worn(it);
	}
	return worn;
}

static void
a_dictionary_wears_out(void **state)
{
	static const struct {
		const char *name;
		size_t first, then, messages;
		bool worn;
	} rows[] = {
	    {"as it was", 100, 100, 1000, false},
	    {"worse, but not twice", 100, 195, 1000, false},
	    {"twice as much, yet small", 50, 140, 1000, false},
	    {"three times as much", 100, 300, 1000, true},
	    {"for a few messages only", 100, 300, 30, false},
	    {"bad from the beginning", 600, 600, 1000, false},
	};
	struct families f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct family *it;

		families_init(&f);
		it = families_add(&f, 1, 1);
		family_begin(&f, it, 5, press_maker_new("hello", 5));
		assert_false(feed(it, 64, rows[i].first));
		if (feed(it, rows[i].messages, rows[i].then) != rows[i].worn)
			fail_msg("%s", rows[i].name);
		family_begin(&f, it, 6, press_maker_new("hello", 5));
		assert_false(family_is_worn(it));
		assert_false(feed(it, 1000, rows[i].then));
		families_clear(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_kind_comes_back),
	    cmocka_unit_test(base64_costs_no_more),
	    cmocka_unit_test(what_is_not_packed),
	    cmocka_unit_test(damaged_blobs),
	    cmocka_unit_test(bombs),
	    cmocka_unit_test(what_makes_a_family),
	    cmocka_unit_test(used_longest_ago_goes_first),
	    cmocka_unit_test(a_dictionary_wears_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
