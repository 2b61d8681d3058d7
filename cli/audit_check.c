/*
 * The audit log's chain, row by row. See audit_check.h. Called by cli/audit.c.
 *
 * A row's hash covers the hash before it, so the first row that does not fit is the first that was
 * touched; only where somebody computed one row's hash anew does the next row give it away.
 */
#include "cli/audit_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "cli/field.h"

void
audit_check_free(struct audit_check *c)
{
	buf_free(&c->problem);
}

#define FAIL(c, row, ...) (buf_printf(&(c)->problem, __VA_ARGS__), (c)->problem_row = (row), false)

bool
audit_head_parse(const char *text, struct audit_head *out)
{
	size_t digits = strspn(text, "0123456789");
	const char *hash = text + digits + 1;

	errno = 0;
	if (digits == 0 || text[digits] != ':' ||
	    strspn(hash, "0123456789abcdef") != AUDIT_CHAIN_HEX_BYTES - 1 ||
	    hash[AUDIT_CHAIN_HEX_BYTES - 1] != '\0')
		return false;
	out->id = strtoll(text, NULL, 10);
	memcpy(out->hash, hash, AUDIT_CHAIN_HEX_BYTES);
	return errno == 0 && out->id > 0;
}

/* The text that was hashed: of one that is no UTF-8 there is a copy in `raw`. */
static const char *
field_bytes(const json_t *row, const char *name, struct buf *space)
{
	const char *raw = field_text(json_object_get(row, "raw"), name);

	if (*raw == '\0' || !base64_decode(raw, strlen(raw), space))
		return field_text(row, name);
	return buf_text(space);
}

static void
hash_row(const struct audit_check *c, const json_t *row, unsigned char out[AUDIT_CHAIN_BYTES])
{
	struct buf space[5] = {{0}};
	struct audit_link link = {
	    .id = json_integer_value(json_object_get(row, "id")),
	    .at = json_integer_value(json_object_get(row, "at_us")),
	    .who = field_bytes(row, "who", &space[0]),
	    .action = field_bytes(row, "action", &space[1]),
	    .object = field_bytes(row, "object", &space[2]),
	    .reason = field_bytes(row, "reason", &space[3]),
	    .detail = field_bytes(row, "detail", &space[4]),
	};
	int i;

	audit_chain_next(c->hash, &link, out);
	for (i = 0; i < 5; i++)
		buf_free(&space[i]);
}

/* Whether it is the row that comes next. */
static bool
check_place(struct audit_check *c, int64_t id)
{
	int64_t next = c->last.id + 1;

	if (id == next)
		return true;
	if (id < 1)
		return FAIL(c, id, "row %" PRId64 " was added: mailfuse counts from 1", id);
	if (id < next)
		return FAIL(c, id,
			    "row %" PRId64 " stands behind row %" PRId64 ": rows were reordered or "
			    "repeated",
			    id, c->last.id);
	if (id == next + 1)
		return FAIL(c, next, "row %" PRId64 " is missing", next);
	return FAIL(c, next, "rows %" PRId64 " to %" PRId64 " are missing", next, id - 1);
}

static bool
check_wanted(struct audit_check *c)
{
	if (c->wanted.id != c->last.id)
		return true;
	c->wanted_seen = true;
	if (strcmp(c->wanted.hash, c->last.hash) == 0)
		return true;
	return FAIL(c, c->last.id,
		    "row %" PRId64
		    " is not the one whose hash was noted: it has %.12s..., noted was "
		    "%.12s...; the log was rewritten up to there",
		    c->last.id, c->last.hash, c->wanted.hash);
}

static bool
check_hash(struct audit_check *c, const json_t *row, int64_t id)
{
	unsigned char hash[AUDIT_CHAIN_BYTES];
	char hex[AUDIT_CHAIN_HEX_BYTES];

	/* The first row of an export that begins later: what is before it is not there. */
	if (c->rows == 0 && c->start > 0) {
		struct audit_head self;
		struct buf text = {0};
		bool ok;
		int i;

		buf_printf(&text, "%" PRId64 ":%s", id, field_text(row, "hash"));
		ok = audit_head_parse(buf_text(&text), &self);
		buf_free(&text);
		if (!ok)
			return FAIL(c, id, "row %" PRId64 " was altered: its hash is none", id);
		for (i = 0; i < AUDIT_CHAIN_BYTES; i++) {
			char pair[3] = {self.hash[2 * i], self.hash[2 * i + 1], '\0'};

			hash[i] = (unsigned char)strtoul(pair, NULL, 16);
		}
	} else {
		hash_row(c, row, hash);
	}
	audit_chain_format(hash, hex);
	if (strcmp(hex, field_text(row, "hash")) != 0 && id == 1)
		return FAIL(c, id, "row 1 was altered: its hash does not fit what it says");
	if (strcmp(hex, field_text(row, "hash")) != 0)
		return FAIL(c, id,
			    "row %" PRId64
			    " was altered: its hash does not fit what it says (or row "
			    "%" PRId64 " before it was altered, and its hash computed anew)",
			    id, id - 1);
	memcpy(c->hash, hash, sizeof(hash));
	memcpy(c->last.hash, hex, sizeof(hex));
	return true;
}

/*
 * mailfused itself has found the end of the log altered, and went on from what was left. Who noted
 * a later head knows of it.
 */
static bool
check_noted(struct audit_check *c, const json_t *row)
{
	if (strcmp(field_text(row, "action"), "audit.broken") != 0 || c->last.id <= c->wanted.id)
		return true;
	return FAIL(c, c->last.id, "row %" PRId64 " is mailfuse's own note that %s", c->last.id,
		    field_text(row, "reason"));
}

bool
audit_check_row(struct audit_check *c, const json_t *row)
{
	const json_t *id = json_object_get(row, "id"), *at = json_object_get(row, "at_us");

	if (c->problem.len > 0)
		return false;
	if (!json_is_integer(id) || !json_is_integer(at))
		return FAIL(c, c->last.id + 1,
			    "what follows row %" PRId64 " is no row of an audit log (no id, or no "
			    "at_us)",
			    c->last.id);
	if (c->rows == 0 && c->start > 0)
		c->last.id = c->start;
	if (!check_place(c, json_integer_value(id)))
		return false;
	if (field_is_true(row, "malformed"))
		return FAIL(c, json_integer_value(id),
			    "row %" PRId64 " was altered: it has a field that is not of the kind "
			    "that mailfuse writes",
			    (int64_t)json_integer_value(id));
	if (!check_hash(c, row, json_integer_value(id)))
		return false;
	c->last.id = json_integer_value(id);
	if (c->rows > 0 && json_integer_value(at) < c->at) {
		c->times_back++;
		c->times_back_row = c->last.id;
	}
	c->at = json_integer_value(at);
	if (!check_wanted(c) || !check_noted(c, row))
		return false;
	c->rows++;
	return true;
}

static bool
check_head(struct audit_check *c, const struct audit_head *head)
{
	int64_t last = c->last.id, next = last + 1;

	if (head->id == 0 && last != 0)
		return FAIL(c, last,
			    "the head that mailfuse keeps beside the rows is gone: whether rows "
			    "behind row %" PRId64 " are missing cannot be told",
			    last);
	if (head->id == next)
		return FAIL(c, next, "row %" PRId64 ", the last one, is missing", next);
	if (head->id > last)
		return FAIL(c, next, "rows %" PRId64 " to %" PRId64 ", the last ones, are missing",
			    next, head->id);
	if (head->id < last)
		return FAIL(c, head->id + 1,
			    "row %" PRId64 " was added: the head that mailfuse keeps beside the "
			    "rows is %" PRId64,
			    head->id + 1, head->id);
	if (head->id != 0 && strcmp(head->hash, c->last.hash) != 0)
		return FAIL(c, last,
			    "row %" PRId64 " is not the one that mailfuse wrote last: its hash is "
			    "%.12s..., that of the head beside the rows %.12s...; one of them was "
			    "altered",
			    last, c->last.hash, head->hash);
	return true;
}

bool
audit_check_end(struct audit_check *c, const struct audit_head *head)
{
	if (c->problem.len > 0)
		return false;
	if (head != NULL && !check_head(c, head))
		return false;
	if (c->wanted.id == 0 || c->wanted_seen)
		return true;
	if (c->wanted.id <= c->start)
		return FAIL(c, c->wanted.id, "row %" PRId64 " of --head is not among these rows",
			    c->wanted.id);
	return FAIL(c, c->last.id + 1,
		    "row %" PRId64 " is missing: there was a row %" PRId64
		    " when the hash of --head was noted",
		    c->last.id + 1, c->wanted.id);
}
