/*
 * Packed messages: the blob and zstd. See press.h; called by sqlite_press.c on the writer's thread
 * (packing) and on those of readers and views (unpacking).
 */
#include "store/press.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/lines64.h"
#include "store/varint.h"

enum { PRESS_VERSION = 1, SCRATCH_KEPT = 512 * 1024 };

struct press_maker {
	ZSTD_CDict *zstd;
};

struct press_reader {
	ZSTD_DDict *zstd;
};

struct press {
	ZSTD_CCtx *pack; /* made when they are needed first */
	ZSTD_DCtx *unpack;
	size_t header_bytes, body_bytes; /* of what was taken last */
	struct buf whole, plain, runs;
};

struct press *
press_new(void)
{
	return mem_zalloc(sizeof(struct press));
}

void
press_free(struct press *p)
{
	if (p == NULL)
		return;
	ZSTD_freeCCtx(p->pack);
	ZSTD_freeDCtx(p->unpack);
	buf_free(&p->whole);
	buf_free(&p->plain);
	buf_free(&p->runs);
	free(p);
}

static void
check(size_t code)
{
	if (ZSTD_isError(code))
		panic("zstd: %s", ZSTD_getErrorName(code));
}

static ZSTD_CCtx *
packing(struct press *p)
{
	if (p->pack != NULL)
		return p->pack;
	p->pack = ZSTD_createCCtx();
	if (p->pack == NULL)
		fatal("out of memory");
	check(ZSTD_CCtx_setParameter(p->pack, ZSTD_c_compressionLevel, PRESS_LEVEL));
	check(ZSTD_CCtx_setParameter(p->pack, ZSTD_c_checksumFlag, 1));
	return p->pack;
}

static ZSTD_DCtx *
unpacking(struct press *p)
{
	if (p->unpack == NULL)
		p->unpack = ZSTD_createDCtx();
	if (p->unpack == NULL)
		fatal("out of memory");
	return p->unpack;
}

/* ---- dictionaries ---- */

static bool
is_raw(const char *data, size_t len)
{
	static const unsigned char trained[] = {0x37, 0xa4, 0x30, 0xec}; /* RFC 8878 5 */

	return len > 0 && len <= PRESS_DICTIONARY_MAX &&
	       (len < sizeof(trained) || memcmp(data, trained, sizeof(trained)) != 0);
}

struct press_maker *
press_maker_new(const char *data, size_t len)
{
	struct press_maker *d;

	if (!is_raw(data, len))
		return NULL;
	d = mem_alloc(sizeof(*d));
	d->zstd = ZSTD_createCDict(data, len, PRESS_LEVEL);
	if (d->zstd == NULL)
		fatal("out of memory");
	return d;
}

void
press_maker_free(struct press_maker *d)
{
	if (d != NULL)
		ZSTD_freeCDict(d->zstd);
	free(d);
}

size_t
press_maker_bytes(const struct press_maker *d)
{
	return ZSTD_sizeof_CDict(d->zstd);
}

struct press_reader *
press_reader_new(const char *data, size_t len)
{
	struct press_reader *d;

	if (!is_raw(data, len))
		return NULL;
	d = mem_alloc(sizeof(*d));
	d->zstd = ZSTD_createDDict(data, len);
	if (d->zstd == NULL)
		fatal("out of memory");
	return d;
}

void
press_reader_free(struct press_reader *d)
{
	if (d != NULL)
		ZSTD_freeDDict(d->zstd);
	free(d);
}

size_t
press_reader_bytes(const struct press_reader *d)
{
	return ZSTD_sizeof_DDict(d->zstd);
}

static void
add_frame(struct press *p, const char *data, size_t len, const ZSTD_CDict *d, struct buf *out)
{
	const size_t room = ZSTD_compressBound(len);
	ZSTD_CCtx *zstd = packing(p);
	size_t n;

	check(ZSTD_CCtx_refCDict(zstd, d));
	buf_reserve(out, room);
	n = ZSTD_compress2(zstd, out->data + out->len, room, data, len);
	check(n);
	out->len += n;
	out->data[out->len] = '\0';
}

void
press_store(struct press *p, const char *data, size_t len, struct buf *out)
{
	add_frame(p, data, len, NULL, out);
}

/* Exactly `len` bytes; `out` has room for them only after the frame has said the same. */
static bool
take_frame(struct press *p, const struct bytes *frame, const ZSTD_DDict *d, size_t len,
	   struct buf *out)
{
	size_t n;

	if (ZSTD_getFrameContentSize(frame->at, frame->left) != len)
		return false;
	buf_reserve(out, len + 1);
	n = d != NULL ? ZSTD_decompress_usingDDict(unpacking(p), out->data + out->len, len,
						   frame->at, frame->left, d)
		      : ZSTD_decompressDCtx(unpacking(p), out->data + out->len, len, frame->at,
					    frame->left);
	if (ZSTD_isError(n) || n != len)
		return false;
	out->len += n;
	out->data[out->len] = '\0';
	return true;
}

bool
press_restore(struct press *p, const char *frame, size_t len, struct buf *out)
{
	const struct bytes in = {frame, len};
	const unsigned long long bytes = ZSTD_getFrameContentSize(frame, len);

	return bytes > 0 && bytes <= PRESS_DICTIONARY_MAX &&
	       take_frame(p, &in, NULL, (size_t)bytes, out);
}

/* ---- packing ---- */

/* One large message must not stay in memory until the next one. */
static void
clear_scratch(struct buf *b)
{
	if (b->cap > SCRATCH_KEPT)
		buf_free(b);
	else
		buf_clear(b);
}

bool
press_take(struct press *p, const struct message *m)
{
	const struct chunk *chunk;

	clear_scratch(&p->whole);
	clear_scratch(&p->plain);
	buf_clear(&p->runs);
	if (m->chunks_stored != 0 || m->body.bytes != m->body_bytes ||
	    m->header.len > PRESS_PLAIN_MAX || m->body_bytes > PRESS_PLAIN_MAX - m->header.len)
		return false;
	p->header_bytes = m->header.len;
	p->body_bytes = (size_t)m->body_bytes;
	buf_reserve(&p->whole, p->header_bytes + p->body_bytes);
	buf_add(&p->whole, m->header.data, m->header.len);
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&p->whole, chunk->data, chunk->len);
	lines64_unwrap(p->whole.data, p->whole.len, &p->runs, &p->plain);
	return true;
}

const struct buf *
press_plain(const struct press *p)
{
	return &p->plain;
}

void
press_pack(struct press *p, int64_t id, const struct press_maker *d, struct buf *blob)
{
	buf_add_char(blob, PRESS_VERSION);
	buf_add_char(blob, 0);
	varint_add(blob, d != NULL ? (uint64_t)id : 0);
	varint_add(blob, p->header_bytes);
	varint_add(blob, p->body_bytes);
	varint_add(blob, p->plain.len);
	varint_add(blob, p->runs.len);
	buf_add(blob, p->runs.data, p->runs.len);
	add_frame(p, buf_text(&p->plain), p->plain.len, d != NULL ? d->zstd : NULL, blob);
}

bool
press_pays(const struct press *p, size_t blob_bytes)
{
	const size_t whole = p->header_bytes + p->body_bytes;

	return blob_bytes <= whole - whole / 10;
}

/* ---- unpacking ---- */

struct blob {
	int64_t dictionary;
	uint64_t header, body, plain;
	struct bytes runs, frame;
};

static bool
read_head(struct bytes *in, int64_t *dictionary)
{
	uint64_t id;

	if (in->left < 2 || in->at[0] != PRESS_VERSION || in->at[1] != 0)
		return false;
	in->at += 2;
	in->left -= 2;
	if (!varint_take(in, &id) || id > INT64_MAX)
		return false;
	*dictionary = (int64_t)id;
	return true;
}

static bool
read_blob(const char *data, size_t len, struct blob *out)
{
	struct bytes in = {data, len};
	uint64_t runs;

	if (!read_head(&in, &out->dictionary) || !varint_take(&in, &out->header) ||
	    !varint_take(&in, &out->body) || !varint_take(&in, &out->plain) ||
	    !varint_take(&in, &runs) || runs > in.left || out->header > PRESS_PLAIN_MAX ||
	    out->body > PRESS_PLAIN_MAX - out->header || out->plain > out->header + out->body)
		return false;
	out->runs = (struct bytes){in.at, (size_t)runs};
	out->frame = (struct bytes){in.at + runs, in.left - (size_t)runs};
	return true;
}

int64_t
press_dictionary(const char *blob, size_t len)
{
	struct bytes in = {blob, len};
	int64_t id;

	return read_head(&in, &id) ? id : -1;
}

const char *
press_unpack(struct press *p, const char *blob, size_t len, const struct press_reader *d,
	     struct buf *header, struct buf *body)
{
	struct blob b;

	clear_scratch(&p->plain);
	buf_clear(body);
	if (!read_blob(blob, len, &b))
		return "a packed message is damaged: its lengths make no sense";
	if (b.dictionary != 0 && d == NULL)
		return "a packed message's dictionary is missing";
	if (!take_frame(p, &b.frame, b.dictionary != 0 ? d->zstd : NULL, (size_t)b.plain,
			&p->plain))
		return "a packed message is damaged: its content cannot be unpacked";
	if (!lines64_wrap(b.runs.at, b.runs.left, buf_text(&p->plain), p->plain.len,
			  (size_t)(b.header + b.body), body))
		return "a packed message is damaged: its base64 lines make no sense";
	buf_add(header, body->data, (size_t)b.header);
	buf_drop(body, (size_t)b.header);
	return NULL;
}
