/*
 * press.h: a message of any bytes, packed with a dictionary of any bytes or without one, comes back
 * as it was, and not with another dictionary; any bytes as a blob, and a good blob with one byte
 * changed, are unpacked to the lengths they claim or refused. The first byte of the input says
 * where it is divided into dictionary, header and body, and which byte is changed.
 */
#include <string.h>

#include "base/mem.h"
#include "mail/message.h"
#include "store/press.h"
#include "tests/fuzz/fuzz.h"

static struct message *
make(const char *header, size_t header_len, const char *body, size_t body_len)
{
	struct message *m = message_new();

	buf_add(&m->header, header, header_len);
	chunks_add(&m->body, body, body_len);
	m->body_bytes = body_len;
	return m;
}

/* Returns whether it could be unpacked. */
static bool
unpack(struct press *p, const char *blob, size_t len, const struct press_reader *d,
       const struct message *m)
{
	struct buf header = {0}, body = {0};
	const char *wrong = press_unpack(p, blob, len, d, &header, &body);

	FUZZ_CHECK(header.len + body.len <= PRESS_PLAIN_MAX);
	FUZZ_CHECK(wrong == NULL || header.len == 0);
	if (m != NULL) {
		const struct chunk *chunk = STAILQ_FIRST(&m->body.list);

		FUZZ_CHECK(wrong == NULL);
		FUZZ_CHECK(header.len == m->header.len && body.len == m->body_bytes);
		FUZZ_CHECK(memcmp(buf_text(&header), buf_text(&m->header), header.len) == 0);
		FUZZ_CHECK(body.len == 0 || memcmp(body.data, chunk->data, body.len) == 0);
	}
	buf_free(&header);
	buf_free(&body);
	return wrong == NULL;
}

static void
round_trip(struct press *p, const struct message *m, const char *dictionary, size_t len,
	   uint8_t change)
{
	struct press_maker *maker = press_maker_new(dictionary, len);
	struct press_reader *reader = press_reader_new(dictionary, len);
	struct buf blob = {0}, stored = {0}, restored = {0};

	FUZZ_CHECK((maker != NULL) == (reader != NULL));
	FUZZ_CHECK(press_take(p, m));
	press_pack(p, 7, maker, &blob);
	FUZZ_CHECK(press_dictionary(blob.data, blob.len) == (maker != NULL ? 7 : 0));
	unpack(p, blob.data, blob.len, reader, m);
	if (maker != NULL) {
		FUZZ_CHECK(!unpack(p, blob.data, blob.len, NULL, NULL));
		press_store(p, dictionary, len, &stored);
		FUZZ_CHECK(press_restore(p, stored.data, stored.len, &restored));
		FUZZ_CHECK(restored.len == len && memcmp(restored.data, dictionary, len) == 0);
	}
	blob.data[change % blob.len] ^= (char)(1 + change);
	(void)unpack(p, blob.data, blob.len, reader, NULL);
	(void)unpack(p, blob.data, change % blob.len, reader, NULL);
	press_maker_free(maker);
	press_reader_free(reader);
	buf_free(&blob);
	buf_free(&stored);
	buf_free(&restored);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct press *p = press_new();
	const char *text = (const char *)data + 1;
	struct press_reader *reader;
	size_t third, header;
	struct message *m;

	if (size > 1) {
		size--;
		third = size / 3;
		header = (size - third) * (data[0] % 16) / 16;
		m = make(text + third, header, text + third + header, size - third - header);
		round_trip(p, m, text, third, data[0]);
		message_free(m);
		reader = press_reader_new(text, third);
		(void)unpack(p, text, size, reader, NULL);
		(void)unpack(p, text, size, NULL, NULL);
		press_reader_free(reader);
	}
	press_free(p);
	return 0;
}
