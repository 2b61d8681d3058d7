/*
 * Writes alerts as JSON. Called by outbox.c and direct.c on the main thread; the buffers are the
 * caller's. Subjects and addresses in here were chosen by strangers: what is no UTF-8 is replaced.
 */
#include "alert/payload.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

static void
put(json_t *object, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(object, key, value) != 0)
		fatal("out of memory");
}

static void
put_text(json_t *object, const char *key, const char *text)
{
	struct buf clean = {0};

	if (text == NULL)
		text = "";
	if (!text_is_utf8(text, strlen(text))) {
		for (; *text != '\0'; text++) {
			if ((unsigned char)*text < 0x80)
				buf_add_char(&clean, *text);
			else
				buf_add_text(&clean, "\xef\xbf\xbd");
		}
		text = buf_text(&clean);
	}
	put(object, key, json_string(text));
	buf_free(&clean);
}

static void
put_count(json_t *object, const char *key, uint64_t n)
{
	put(object, key, json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static void
put_time(json_t *object, const char *key, int64_t wall)
{
	char text[CLOCK_ISO_BYTES];

	if (wall <= 0) {
		put(object, key, json_null());
		return;
	}
	clock_format_iso(wall, text);
	put(object, key, json_string(text));
}

/* The same fields as GET /v1/batches/B17, but for its story. */
static json_t *
batch_object(const struct store_batch *b, uint64_t distinct)
{
	char id[32];
	json_t *o = json_object();

	snprintf(id, sizeof(id), "B%" PRId64, b->id);
	put_text(o, "id", id);
	put_text(o, "state", store_batch_state_name(b->state));
	put_text(o, "environment", b->environment);
	put_text(o, "rule", b->rule);
	put_text(o, "key", b->key);
	put_text(o, "source", b->source);
	put_text(o, "sender", b->sender);
	put_text(o, "subject", b->subject);
	put_time(o, "opened_at", b->opened_at);
	put_time(o, "last_at", b->last_at);
	put_count(o, "messages", b->messages);
	put_count(o, "recipients", b->recipients);
	put_count(o, "distinct_recipients", distinct);
	put(o, "sampled", json_boolean(b->recipients > STORE_EXACT_MAX));
	put_count(o, "leaked", b->leaked);
	put_count(o, "bytes", b->bytes);
	put_count(o, "held", b->held);
	put_count(o, "released", b->released);
	put_count(o, "sent", b->sent);
	put_count(o, "failed", b->failed);
	put_count(o, "discarded", b->discarded);
	put_count(o, "purged", b->purged);
	put_count(o, "limit", b->limit);
	put_count(o, "window", (uint64_t)(b->window / CLOCK_SECOND));
	put(o, "collecting", json_boolean(b->collecting));
	put_text(o, "decided_by", b->decided_by);
	put_text(o, "decided_reason", b->decided_reason);
	put_time(o, "decided_at", b->decided_at);
	return o;
}

static void
dump(json_t *object, struct buf *out)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);

	if (text == NULL)
		fatal("out of memory");
	buf_add_text(out, text);
	free(text);
	json_decref(object);
}

/* The head of the audit log's chain: whoever keeps alerts can prove a rewritten database. */
static json_t *
audit_object(const struct store_alert *alert)
{
	json_t *o;

	if (alert->audit_id == 0)
		return json_null();
	o = json_object();
	put_count(o, "id", (uint64_t)alert->audit_id);
	put_text(o, "hash", alert->audit_hash);
	return o;
}

void
payload_json(const struct store_alert *alert, const struct store_batch *batch, uint64_t distinct,
	     const char *gate, struct buf *out)
{
	json_t *o = json_object();

	put_text(o, "event", alert->event);
	put_count(o, "id", (uint64_t)alert->event_id);
	put_time(o, "at", alert->at);
	put_text(o, "environment", alert->environment);
	put_text(o, "text", alert->text);
	put_text(o, "who", alert->who);
	put_text(o, "reason", alert->reason);
	put(o, "batch", batch == NULL ? json_null() : batch_object(batch, distinct));
	put_text(o, "gate", gate);
	put(o, "audit", audit_object(alert));
	dump(o, out);
}
