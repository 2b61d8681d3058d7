/*
 * Reads a call of /v1/import. Everything is hostile: an export may have been edited, and whoever
 * holds a token may send anything. Addresses go through the parser of RCPT, the content through the
 * reader of DATA, and nothing is kept that a client could not have sent. Called by import.c; main
 * loop.
 */
#include "control/import_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/json.h"
#include "control/request.h"
#include "filters/gate.h"
#include "mail/body.h"
#include "mail/header.h"

enum {
	NAME_MAX_BYTES = 320,
	TEXT_MAX_BYTES = 2000,
	HEADER_MAX = 1 << 20, /* as at DATA */
	NUMBER_MAX = 50000    /* the highest recipient of one message */
};

/* ---- fields of objects within the body */

static bool
check_fields(struct request *r, const char *what, json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object)) {
		request_fail(r, 400, "%s: write an object in {}", what);
		return false;
	}
	json_object_foreach(object, key, value)
	{
		const char *const *k = known;

		while (*k != NULL && strcmp(*k, key) != 0)
			k++;
		if (*k != NULL)
			continue;
		request_fail(r, 400, "%s has an unknown field %s", what, log_safe(key));
		return false;
	}
	return true;
}

/* One line of text; "" where absent. */
static bool
read_text(struct request *r, const char *what, const json_t *object, const char *name, size_t max,
	  const char **out)
{
	const json_t *value = json_object_get(object, name);

	*out = "";
	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_string(value) && json_string_length(value) <= max &&
	    text_is_clean(json_string_value(value), json_string_length(value))) {
		*out = json_string_value(value);
		return true;
	}
	request_fail(r, 400, "%s.%s: write one line of text of at most %zu bytes", what, name, max);
	return false;
}

static bool
read_time(struct request *r, const char *what, const json_t *object, const char *name, int64_t *out)
{
	const char *text;

	*out = 0;
	if (!read_text(r, what, object, name, 40, &text))
		return false;
	if (text[0] == '\0' || clock_parse_iso(text, out))
		return true;
	request_fail(r, 400, "%s.%s: %s is no time such as 2026-11-21T12:00:00Z", what, name,
		     log_safe(text));
	return false;
}

static bool
read_count(struct request *r, const char *what, const json_t *object, const char *name,
	   int64_t most, int64_t *out)
{
	const json_t *value = json_object_get(object, name);

	*out = 0;
	if (value == NULL || json_is_null(value))
		return true;
	*out = json_integer_value(value);
	if (json_is_integer(value) && *out >= 0 && *out <= most)
		return true;
	request_fail(r, 400, "%s.%s: write a whole number from 0 to %lld", what, name,
		     (long long)most);
	return false;
}

/* A path as RCPT has it, without the brackets. */
static bool
read_address(struct request *r, const char *what, const char *text, bool sender,
	     struct arena *arena, struct address *out)
{
	char *path = mem_printf("<%s>", text);
	const char *p = path;
	const char *wrong = address_parse_path(&p, sender, !sender, arena, out);

	if (wrong == NULL && *p != '\0')
		wrong = "goes on behind its end";
	free(path);
	if (wrong == NULL)
		return true;
	request_fail(r, 400, "%s: the address %s %s", what, log_safe(text), wrong);
	return false;
}

/* ---- the batch */

static bool
read_open(struct request *r, struct import_call *c)
{
	static const char *const known[] = {
	    "environment", "rule",      "key",        "source", "sender",   "subject",    "limit",
	    "window",      "opened_at", "tripped_at", "leaked", "messages", "recipients", NULL};
	json_t *o = json_object_get(r->body, "open");
	struct store_batch *b = &c->open;
	int64_t limit, window, leaked, messages, recipients;

	if (!check_fields(r, "open", o, known) ||
	    !read_text(r, "open", o, "environment", NAME_MAX_BYTES, &b->environment) ||
	    !read_text(r, "open", o, "rule", NAME_MAX_BYTES, &b->rule) ||
	    !read_text(r, "open", o, "key", TEXT_MAX_BYTES, &b->key) ||
	    !read_text(r, "open", o, "source", NAME_MAX_BYTES, &b->source) ||
	    !read_text(r, "open", o, "sender", TEXT_MAX_BYTES, &b->sender) ||
	    !read_text(r, "open", o, "subject", TEXT_MAX_BYTES, &b->subject) ||
	    !read_time(r, "open", o, "opened_at", &b->opened_at) ||
	    !read_time(r, "open", o, "tripped_at", &b->tripped_at) ||
	    !read_count(r, "open", o, "limit", UINT32_MAX, &limit) ||
	    !read_count(r, "open", o, "window", 3660 * (CLOCK_DAY / CLOCK_SECOND), &window) ||
	    !read_count(r, "open", o, "leaked", UINT32_MAX, &leaked) ||
	    !read_count(r, "open", o, "messages", UINT32_MAX, &messages) ||
	    !read_count(r, "open", o, "recipients", UINT32_MAX, &recipients))
		return false;
	b->limit = (uint32_t)limit;
	b->window = window * CLOCK_SECOND;
	b->leaked = (uint64_t)leaked;
	b->messages = (uint64_t)messages;
	b->recipients = (uint64_t)recipients;
	b->decided_by = b->decided_reason = b->seen_by = "";
	if (b->rule[0] == '\0')
		b->rule = "import";
	if (b->opened_at == 0)
		b->opened_at = c->job.u.import.now;
	if (b->tripped_at == 0)
		b->tripped_at = b->opened_at;
	c->job.u.import.open = b;
	return true;
}

static bool
read_batch(struct request *r, struct import_call *c)
{
	const char *text;

	if (!request_field_text(r, "batch", 40, &text))
		return false;
	if (text[0] == '\0')
		return read_open(r, c);
	if (!store_batch_parse(text, &c->job.u.import.batch)) {
		request_fail(r, 400, "batch: %s is none; batches look like B17", log_safe(text));
		return false;
	}
	if (json_object_get(r->body, "open") == NULL)
		return true;
	request_fail(r, 400, "batch and open exclude each other: a batch is joined, or opened");
	return false;
}

/* ---- the message */

static void
add_content(void *context, const char *data, size_t len)
{
	buf_add(context, data, len);
}

/* False after it answered. Line ends as at DATA: LF becomes CRLF, a bare CR a blank. */
static bool
read_content(struct request *r, const json_t *message, bool *eightbit, struct buf *out)
{
	const json_t *text = json_object_get(message, "content_base64");
	struct body_in in = {0};
	struct buf raw = {0};

	if (!json_is_string(text) ||
	    !base64_decode(json_string_value(text), json_string_length(text), &raw)) {
		request_fail(r, 400,
			     "message.content_base64 is no base64 (RFC 4648 4, in one line)");
		return false;
	}
	body_feed_chunk(&in, buf_text(&raw), raw.len, add_content, out);
	body_end_chunks(&in, add_content, out);
	buf_free(&raw);
	*eightbit = in.eightbit;
	if (in.nul)
		request_fail(r, 400, "message.content_base64 has NUL bytes, which no mail has");
	return !in.nul;
}

/* Whether its client said SMTPUTF8 stands in the Received of the gate that took it (RFC 6531 4.3).
 */
static bool
was_smtputf8(const struct header *h)
{
	const struct header_field *f = header_find(h, "Received");

	return f != NULL && strstr(header_value(h, f), " with UTF8SMTP") != NULL;
}

/* Header and body, parted by the first empty line, which belongs to neither. */
static bool
split_content(struct request *r, const struct buf *content, struct message *m)
{
	size_t header = content->len, body = content->len;
	struct arena arena = {0};
	struct header h;
	const char *end;
	bool clean;

	if (content->len >= 2 && memcmp(content->data, "\r\n", 2) == 0) {
		header = 0;
		body = 2;
	} else if (content->len > 0 &&
		   (end = memmem(content->data, content->len, "\r\n\r\n", 4)) != NULL) {
		header = (size_t)(end + 2 - content->data);
		body = header + 2;
	}
	if (header > HEADER_MAX) {
		request_fail(r, 400, "message.content_base64: its header has more than 1 MiB");
		return false;
	}
	buf_add(&m->header, buf_text(content), header);
	if (header > 0 && (header < 2 || memcmp(m->header.data + header - 2, "\r\n", 2) != 0))
		buf_add_text(&m->header, "\r\n");
	header_parse(&h, buf_text(&m->header), m->header.len, &arena);
	clean = header_is_clean(&h);
	m->smtputf8 |= was_smtputf8(&h);
	arena_free(&arena);
	if (!clean) {
		request_fail(r, 400,
			     "message.content_base64: its header has a line that is no field");
		return false;
	}
	chunks_add(&m->body, buf_text(content) + body, content->len - body);
	m->body_bytes = content->len - body;
	return true;
}

/* Its own id where it is of this store; else where it was before. */
static bool
read_message_id(struct request *r, struct import_call *c, const json_t *message)
{
	uint64_t id, store;
	const char *text;

	if (!read_text(r, "message", message, "id", 40, &text))
		return false;
	if (text[0] == '\0')
		return true;
	if (!id_parse_foreign(text, &id, &store)) {
		request_fail(r, 400, "message.id: %s is no message's id", log_safe(text));
		return false;
	}
	if (store == id_store_name()) {
		if (id > id_highest()) {
			request_fail(r, 400, "message.id: %s is of this store and was never given",
				     log_safe(text));
			return false;
		}
		c->message->id = id;
	} else {
		c->job.u.import.origin_store = store;
		c->job.u.import.origin_id = id;
	}
	return true;
}

static bool
read_envelope(struct request *r, struct import_call *c, const json_t *o)
{
	struct message *m = c->message;
	const char *environment, *source, *sender;
	json_t *utf8 = json_object_get(o, "smtputf8");
	struct address address;

	if (!read_text(r, "message", o, "environment", NAME_MAX_BYTES, &environment) ||
	    !read_text(r, "message", o, "source", NAME_MAX_BYTES, &source) ||
	    !read_text(r, "message", o, "sender", TEXT_MAX_BYTES, &sender) ||
	    !read_time(r, "message", o, "accepted_at", &m->accepted_at) ||
	    !read_address(r, "message.sender", sender, true, &m->arena, &address))
		return false;
	if (strcmp(environment, CONFIG_DRILL) == 0) {
		request_fail(
		    r, 409,
		    "mail of a drill does not come back: nobody approves what it releases, "
		    "and its way out is another one each time");
		return false;
	}
	if (config_find_environment(request_config(r), environment) == NULL) {
		request_fail(r, 409,
			     "there is no environment %s: mail of it could never be released. Name "
			     "it in the configuration first",
			     log_safe(environment));
		return false;
	}
	if (m->accepted_at <= 0 || m->accepted_at > c->job.u.import.now)
		m->accepted_at = c->job.u.import.now;
	m->counted_at = m->accepted_at;
	m->environment = arena_strdup(&m->arena, environment);
	m->source = arena_strdup(&m->arena, source);
	m->client = m->helo = m->tls = m->envid = "";
	m->protocol = "import";
	m->smtputf8 = json_is_true(utf8) || address.utf8;
	message_set_sender(m, &address);
	return true;
}

static bool
read_message(struct request *r, struct import_call *c)
{
	static const char *const known[] = {"id",          "environment",    "source",   "sender",
					    "accepted_at", "content_base64", "smtputf8", NULL};
	const json_t *o = json_object_get(r->body, "message");
	struct message *m = c->message = message_new();
	struct buf content = {0};
	bool good;

	c->job.u.import.message = m;
	if (!check_fields(r, "message", json_object_get(r->body, "message"), known) ||
	    !read_message_id(r, c, o) || !read_envelope(r, c, o))
		return false;
	good = read_content(r, o, &m->eightbit, &content) && split_content(r, &content, m);
	buf_free(&content);
	if (good)
		message_read_header(m);
	return good;
}

/* ---- its recipients */

/*
 * True where the recipients filter of today would let mail for `recipient` go to `target`, or hold
 * it: an import is no way round the allow list.
 */
static bool
may_reach(const struct policy *policy, struct message *m, const struct address *recipient,
	  const struct address *target)
{
	struct recipient direct = {.address = *target}, rewritten = {.address = *recipient};

	gate_recipient(policy, m, &direct);
	if (direct.verdict.action == VERDICT_HOLD)
		return true;
	if (direct.verdict.action == VERDICT_PASS && strcmp(direct.final, target->text) == 0)
		return true;
	gate_recipient(policy, m, &rewritten);
	return rewritten.verdict.action == VERDICT_PASS &&
	       strcmp(rewritten.final, target->text) == 0;
}

static bool
check_reach(struct request *r, struct message *m, const struct address *recipient,
	    const struct address *target)
{
	if (may_reach(r->deps->policy(r->deps->context), m, recipient, target))
		return true;
	request_fail(
	    r, 409,
	    "environment %s may not write to %s: allow that in the configuration first, or "
	    "leave this recipient out",
	    log_safe(m->environment), log_safe(target->text));
	return false;
}

static bool
add_delivery(struct request *r, struct import_call *c, json_t *o)
{
	static const char *const known[] = {"number", "recipient", "final", "state", NULL};
	char empty[] = "";
	const struct address nobody = {.text = empty, .local = empty, .domain = empty};
	struct message *m = c->message;
	const char *recipient, *final, *state;
	struct address address, target;
	struct recipient *rcpt;
	int64_t number;

	if (!check_fields(r, "deliveries", o, known) ||
	    !read_count(r, "deliveries", o, "number", NUMBER_MAX, &number) ||
	    !read_text(r, "deliveries", o, "recipient", TEXT_MAX_BYTES, &recipient) ||
	    !read_text(r, "deliveries", o, "final", TEXT_MAX_BYTES, &final) ||
	    !read_text(r, "deliveries", o, "state", 20, &state) ||
	    !read_address(r, "deliveries.recipient", recipient, false, &m->arena, &address) ||
	    !read_address(r, "deliveries.final", *final != '\0' ? final : recipient, false,
			  &m->arena, &target) ||
	    !check_reach(r, m, &address, &target))
		return false;
	if (number <= (int64_t)m->recipient_count) {
		request_fail(r, 400, "deliveries: number them from 1, each once, in rising order");
		return false;
	}
	if (strcmp(state, "held") != 0 && strcmp(state, "discarded") != 0) {
		request_fail(r, 400,
			     "deliveries.state: %s can not come back; held and discarded can",
			     *state != '\0' ? log_safe(state) : "nothing");
		return false;
	}
	c->states = mem_resize_array(c->states, (size_t)number, sizeof(*c->states));
	while ((int64_t)m->recipient_count < number - 1) {
		c->states[m->recipient_count] = STORE_HELD;
		message_add_recipient(m, &nobody);
	}
	c->states[number - 1] = state[0] == 'h' ? STORE_HELD : STORE_DISCARDED;
	rcpt = message_add_recipient(m, &address);
	rcpt->final = target.text;
	rcpt->orcpt = "";
	rcpt->verdict.action = VERDICT_HOLD;
	rcpt->verdict.rule = "import";
	rcpt->verdict.reason = c->job.u.import.reason;
	return true;
}

static bool
read_deliveries(struct request *r, struct import_call *c)
{
	json_t *list = json_object_get(r->body, "deliveries"), *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0) {
		request_fail(r, 400, "deliveries: list at least one recipient of the message");
		return false;
	}
	json_array_foreach(list, i, item)
	{
		if (!add_delivery(r, c, item))
			return false;
	}
	c->job.u.import.states = c->states;
	return true;
}

bool
import_read(struct request *r, struct import_call *c)
{
	static const char *const known[] = {"batch",      "open",   "message",
					    "deliveries", "reason", NULL};

	c->job.u.import.now = clock_wall();
	c->job.u.import.who = r->who;
	return request_check_fields(r, known) && request_field_reason(r, &c->job.u.import.reason) &&
	       read_batch(r, c) && read_message(r, c) && read_deliveries(r, c);
}
