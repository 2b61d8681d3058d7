/*
 * C values as JSON, for all the nouns of control/. Nothing here fails: running out of memory ends
 * the process (base/mem.h). Main thread; whoever asks owns what it gets.
 */
#include "control/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

static json_t *
checked(json_t *value)
{
	if (value == NULL)
		fatal("out of memory");
	return value;
}

json_t *
json_make_object(void)
{
	return checked(json_object());
}

json_t *
json_make_array(void)
{
	return checked(json_array());
}

/* The length of the valid UTF-8 sequence at s (RFC 3629 4), 0 if there is none. */
static size_t
utf8_sequence(const unsigned char *s, size_t left)
{
	static const struct {
		unsigned char first, last, second_low, second_high, bytes;
	} forms[] = {
	    {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (s[0] < forms[i].first || s[0] > forms[i].last)
			continue;
		if (forms[i].bytes > left)
			return 0;
		if (forms[i].bytes > 1 &&
		    (s[1] < forms[i].second_low || s[1] > forms[i].second_high))
			return 0;
		for (size_t k = 2; k < forms[i].bytes; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].bytes;
	}
	return 0;
}

static json_t *
text_repaired(const char *bytes, size_t len)
{
	struct buf out = {0};
	json_t *value;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence((const unsigned char *)bytes + i, len - i);

		if (n == 0)
			buf_add_text(&out, "\xef\xbf\xbd");
		else
			buf_add(&out, bytes + i, n);
		i += n == 0 ? 1 : n;
	}
	value = json_stringn(buf_text(&out), out.len);
	buf_free(&out);
	return checked(value);
}

json_t *
json_text(const char *bytes, size_t len)
{
	json_t *value = NULL;

	if (memchr(bytes, '\0', len) == NULL)
		value = json_stringn(bytes, len); /* NULL where it is no UTF-8 */
	return value != NULL ? value : text_repaired(bytes, len);
}

void
json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, checked(value)) != 0)
		fatal("out of memory");
}

void
json_append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, checked(value)) != 0)
		fatal("out of memory");
}

void
json_put_text(json_t *object, const char *key, const char *value)
{
	json_put(object, key, value == NULL ? json_null() : json_text(value, strlen(value)));
}

void
json_put_count(json_t *object, const char *key, uint64_t value)
{
	json_put(object, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

void
json_put_bool(json_t *object, const char *key, bool value)
{
	json_put(object, key, json_boolean(value));
}

void
json_put_time(json_t *object, const char *key, int64_t wall)
{
	char text[CLOCK_ISO_BYTES];

	if (wall <= 0) {
		json_put(object, key, json_null());
		return;
	}
	clock_format_iso(wall, text);
	json_put_text(object, key, text);
}

json_t *
json_make_list(json_t *items, json_t *next)
{
	json_t *list = json_make_object();

	json_put(list, "items", items);
	json_put(list, "next", next != NULL ? next : json_null());
	return list;
}

bool
json_add_counted(void *context, const char *value, uint64_t count)
{
	json_t *o = json_make_object();

	json_put_text(o, "value", value);
	json_put_count(o, "count", count);
	json_append(context, o);
	return true;
}

const char *
json_batch_id(int64_t id, char out[JSON_BATCH_BYTES])
{
	snprintf(out, JSON_BATCH_BYTES, "B%" PRId64, id);
	return out;
}

static void
put_batch_id(json_t *object, const char *key, int64_t id)
{
	char text[JSON_BATCH_BYTES];

	json_put_text(object, key, id == 0 ? NULL : json_batch_id(id, text));
}

static json_t *
json_from_ruling(const struct store_batch *b)
{
	json_t *o;

	if (b->ruling == STORE_RULING_NONE)
		return json_null();
	o = json_make_object();
	json_put_text(o, "goes", b->ruling == STORE_RULING_PASS ? "pass" : "discard");
	json_put_time(o, "until", clock_steady_as_wall(b->ruling_until));
	return o;
}

json_t *
json_from_batch(const struct store_batch *b)
{
	json_t *o = json_make_object();

	put_batch_id(o, "id", b->id);
	json_put_text(o, "state", store_batch_state_name(b->state));
	json_put_text(o, "environment", b->environment);
	json_put_text(o, "rule", b->rule);
	json_put_text(o, "key", b->key);
	json_put_text(o, "source", b->source);
	json_put_text(o, "sender", b->sender);
	json_put_text(o, "subject", b->subject);
	json_put_time(o, "opened_at", b->opened_at);
	json_put_time(o, "last_at", b->last_at);
	json_put_count(o, "messages", b->messages);
	json_put_count(o, "recipients", b->recipients);
	json_put_count(o, "leaked", b->leaked);
	json_put_count(o, "bytes", b->bytes);
	json_put_count(o, "held", b->held);
	json_put_count(o, "released", b->released);
	json_put_count(o, "sent", b->sent);
	json_put_count(o, "failed", b->failed);
	json_put_count(o, "discarded", b->discarded);
	json_put_count(o, "purged", b->purged);
	json_put_count(o, "limit", b->limit);
	json_put_count(o, "window", (uint64_t)(b->window / CLOCK_SECOND));
	json_put_bool(o, "collecting", b->collecting);
	json_put_text(o, "decided_by", b->decided_by);
	json_put_text(o, "decided_reason", b->decided_reason);
	json_put_time(o, "decided_at", b->decided_at);
	json_put_time(o, "seen_at", b->seen_at);
	json_put_text(o, "seen_by", b->seen_by);
	json_put(o, "ruling", json_from_ruling(b));
	return o;
}

static const char *
told_name(enum store_notice_state notice)
{
	switch (notice) {
	case STORE_NOTICE_PENDING:
		return "pending";
	case STORE_NOTICE_TOLD:
		return "yes";
	case STORE_NOTICE_NONE:
		break;
	}
	return "no";
}

json_t *
json_from_delivery(const struct store_delivery *d)
{
	char text[ID_DELIVERY_BYTES], message[ID_TEXT_BYTES];
	json_t *o = json_make_object();

	json_put_text(o, "id", id_format_delivery(d->id, d->number, text));
	json_put_text(o, "message", id_format(d->id, message));
	json_put_count(o, "number", d->number);
	json_put_text(o, "state", store_state_name(d->state));
	json_put_text(o, "environment", d->environment);
	json_put_text(o, "source", d->source);
	json_put_text(o, "sender", d->sender);
	json_put_text(o, "recipient", d->recipient);
	json_put_text(o, "final", d->final);
	json_put_text(o, "subject", d->subject);
	put_batch_id(o, "batch", d->batch);
	json_put_text(o, "rule", d->rule);
	json_put_text(o, "reason", d->reason);
	json_put_text(o, "reply", d->reply);
	json_put_count(o, "bytes", d->bytes);
	json_put_time(o, "accepted_at", d->accepted_at);
	json_put_time(o, "changed_at", d->changed_at);
	json_put_time(o, "next_try_at", d->due_at > 0 ? clock_steady_as_wall(d->due_at) : 0);
	json_put_count(o, "tries", d->tries);
	json_put_text(o, "sender_told", told_name(d->notice));
	json_put_text(o, "sender_notice", d->told);
	return o;
}

json_t *
json_from_audit(const struct store_audit *a)
{
	json_t *o = json_make_object();

	json_put_count(o, "id", (uint64_t)a->id);
	json_put_time(o, "at", a->at);
	json_put_text(o, "who", a->who);
	json_put_text(o, "action", a->action);
	json_put_text(o, "object", a->object);
	json_put_text(o, "reason", a->reason);
	json_put_text(o, "detail", a->detail);
	json_put_text(o, "hash", a->hash);
	return o;
}

size_t
json_estimate_values(const char *text, size_t len)
{
	bool quoted = false;
	size_t n = 1;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == ',' || text[i] == '[' || text[i] == '{'))
			n++;
	}
	return n;
}
