/*
 * POST /v1/explain: the verdict of the gate on a message that is not sent, with the same functions
 * as the relay; counters are read, never changed. Called by api.c; main loop. The message it
 * makes is its own and freed before the answer.
 */
#include "control/explain.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"
#include "mail/message.h"

enum { RECIPIENTS_MAX = 1000, NAME_MAX_BYTES = 320, PATH_MAX_BYTES = 600 };

struct call {
	struct gate_client client;
	const char *helo, *from;
	json_t *to;
	bool has_message;
	struct buf message; /* as a client would send it */
};

static bool
read_client(struct request *r, struct call *call)
{
	const struct config *config = request_config(r);
	unsigned char address[sizeof(struct in6_addr)];
	const char *listener;
	bool known = false;

	if (!request_field_text(r, "client", NAME_MAX_BYTES, &call->client.address) ||
	    !request_field_text(r, "user", NAME_MAX_BYTES, &call->client.user) ||
	    !request_field_text(r, "tls_name", NAME_MAX_BYTES, &call->client.tls_name) ||
	    !request_field_text(r, "listener", NAME_MAX_BYTES, &listener) ||
	    !request_field_text(r, "helo", NAME_MAX_BYTES, &call->helo))
		return false;
	if (inet_pton(AF_INET, call->client.address, address) != 1 &&
	    inet_pton(AF_INET6, call->client.address, address) != 1) {
		request_fail(r, 400, "client: %s is no IP address; write one such as 10.2.0.7",
			     log_safe(call->client.address));
		return false;
	}
	if (listener[0] == '\0' && config->listener_count == 1)
		listener = config->listeners[0].name;
	for (size_t i = 0; i < config->listener_count; i++)
		known = known || strcmp(config->listeners[i].name, listener) == 0;
	if (listener[0] != '\0' && !known) {
		request_fail(r, 400, "there is no listener %s", log_safe(listener));
		return false;
	}
	call->client.listener = listener;
	return true;
}

/* JSON has no place for bytes that are no UTF-8: base64 has. */
static bool
read_message(struct request *r, struct call *call)
{
	json_t *text = json_object_get(r->body, "message");
	json_t *base64 = json_object_get(r->body, "message_base64");
	bool has_text = text != NULL && !json_is_null(text);
	bool has_base64 = base64 != NULL && !json_is_null(base64);

	if ((has_text && !json_is_string(text)) || (has_base64 && !json_is_string(base64))) {
		request_fail(r, 400, "message is not text: write it in quotes");
		return false;
	}
	if (has_text && has_base64) {
		request_fail(r, 400, "message and message_base64: give one of them");
		return false;
	}
	if (has_text)
		buf_add(&call->message, json_string_value(text), json_string_length(text));
	if (has_base64 &&
	    !base64_decode(json_string_value(base64), json_string_length(base64), &call->message)) {
		request_fail(r, 400, "message_base64 is no base64 (RFC 4648 4, in one line)");
		return false;
	}
	call->has_message = has_text || has_base64;
	return true;
}

static bool
read_call(struct request *r, struct call *call)
{
	static const char *const known[] = {"client", "user", "tls_name", "listener",       "helo",
					    "from",   "to",   "message",  "message_base64", NULL};

	if (!request_check_fields(r, known) || !read_client(r, call) ||
	    !request_field_text(r, "from", PATH_MAX_BYTES, &call->from))
		return false;
	call->to = json_object_get(r->body, "to");
	if (!json_is_array(call->to) || json_array_size(call->to) == 0 ||
	    json_array_size(call->to) > RECIPIENTS_MAX) {
		request_fail(r, 400,
			     "to: list the recipients, such as [\"a@example.com\"]; from 1 to %d",
			     RECIPIENTS_MAX);
		return false;
	}
	return read_message(r, call);
}

static bool
parse_address(struct request *r, const char *field, const char *text, struct arena *arena,
	      struct address *out)
{
	const char *wrong = address_parse(text, arena, out);

	if (wrong == NULL)
		return true;
	request_fail(r, 400, "%s: %s %s", field, log_safe(text), wrong);
	return false;
}

/* ---- the message */

/* Line ends as body_feed() makes them: LF becomes CRLF, a bare CR a space. Ends with one. */
static void
normalise(const struct buf *text, struct buf *out)
{
	const char *p = buf_text(text), *end = p + text->len;

	buf_reserve(out, text->len + 2);
	for (; p < end; p++) {
		bool pair = *p == '\r' && p + 1 < end && p[1] == '\n';

		if (*p == '\n' || pair)
			buf_add_text(out, "\r\n");
		else
			buf_add_char(out, *p == '\r' ? ' ' : *p);
		p += pair;
	}
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		buf_add_text(out, "\r\n");
}

/* Header and body, parted by the first empty line, which belongs to neither. */
static void
message_split(struct message *m, const struct buf *text)
{
	struct buf whole = {0};
	size_t header, body;
	const char *end;

	normalise(text, &whole);
	header = body = whole.len;
	if (whole.len >= 2 && memcmp(whole.data, "\r\n", 2) == 0) {
		header = 0;
		body = 2;
	} else if (whole.len > 0 && (end = memmem(whole.data, whole.len, "\r\n\r\n", 4)) != NULL) {
		header = (size_t)(end + 2 - whole.data);
		body = header + 2;
	}
	buf_add(&m->header, buf_text(&whole), header);
	chunks_add(&m->body, buf_text(&whole) + body, whole.len - body);
	m->body_bytes = whole.len - body;
	m->no_empty_line = header == whole.len;
	buf_free(&whole);
}

/* What a client would send at the least. */
static void
message_write_minimal(struct message *m)
{
	m->body_unknown = true;
	buf_printf(&m->header, "From: <%s>\r\n", m->sender.text);
	for (size_t i = 0; i < m->recipient_count; i++)
		buf_printf(&m->header, "%s<%s>%s", i == 0 ? "To: " : " ",
			   m->recipients[i].address.text,
			   i + 1 < m->recipient_count ? ",\r\n" : "\r\n");
}

/* NULL after it answered 400. */
static struct message *
make_message(struct request *r, const struct call *call)
{
	struct message *m = message_new();
	struct address address = {.text = arena_strdup(&m->arena, ""),
				  .local = arena_strdup(&m->arena, ""),
				  .domain = arena_strdup(&m->arena, "")};
	json_t *item;
	size_t i;

	if (call->from[0] != '\0' && strcmp(call->from, "<>") != 0 &&
	    !parse_address(r, "from", call->from, &m->arena, &address))
		goto bad;
	message_set_sender(m, &address);
	json_array_foreach(call->to, i, item)
	{
		const char *text = json_is_string(item) ? json_string_value(item) : "";

		if (!parse_address(r, "to", text, &m->arena, &address))
			goto bad;
		message_add_recipient(m, &address);
	}
	m->accepted_at = clock_wall();
	m->client = call->client.address;
	m->helo = call->helo[0] != '\0' ? call->helo : "explain";
	m->protocol = "ESMTP";
	if (call->has_message)
		message_split(m, &call->message);
	else
		message_write_minimal(m);
	message_read_header(m);
	return m;
bad:
	message_free(m);
	return NULL;
}

/* ---- the answer */

static const char *
verdict_name(const struct recipient *rcpt)
{
	switch (rcpt->verdict.action) {
	case VERDICT_PASS:
		return rcpt->final != NULL && strcmp(rcpt->final, rcpt->address.text) != 0
			   ? "rewrite"
			   : "pass";
	case VERDICT_WAIT:
		return "wait";
	case VERDICT_HOLD:
		return "hold";
	case VERDICT_DROP:
		return "drop";
	case VERDICT_REJECT:
		return "reject";
	}
	return "hold";
}

static json_t *
seconds(int64_t microseconds)
{
	return json_integer(microseconds / CLOCK_SECOND);
}

static json_t *
json_from_recipients(const struct message *m)
{
	json_t *array = json_make_array();

	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct recipient *rcpt = &m->recipients[i];
		json_t *o = json_make_object();

		json_put_text(o, "address", rcpt->address.text);
		json_put_text(o, "final", rcpt->final);
		json_put_text(o, "verdict", verdict_name(rcpt));
		json_put_text(o, "rule", rcpt->verdict.rule);
		json_put_text(o, "reason", rcpt->verdict.reason);
		json_put(o, "settle",
			 rcpt->verdict.action == VERDICT_WAIT ? seconds(rcpt->verdict.settle)
							      : json_null());
		json_put_text(o, "observed", rcpt->verdict.observed);
		json_append(array, o);
	}
	return array;
}

static void
add_rule(void *context, const struct gate_rule_row *row)
{
	json_t *o = json_make_object();

	json_put_text(o, "rule", row->rule);
	json_put_text(o, "key", row->key);
	json_put_bool(o, "applies", row->applies);
	json_put_text(o, "note", row->note != NULL ? row->note : "");
	json_put_count(o, "limit", row->limit);
	json_put(o, "window", seconds(row->window));
	json_put_count(o, "before", row->before);
	json_put_count(o, "after", row->after);
	json_put_count(o, "head", row->head);
	json_put(o, "head_window", seconds(row->head_window));
	json_put_count(o, "head_before", row->head_before);
	json_put(o, "settle", seconds(row->settle));
	json_put_bool(o, "holds", row->holds);
	json_put_bool(o, "trips", row->trips);
	json_append(context, o);
}

/* As the answer to its data would be; nothing of such a message is counted. */
static void
refuse(struct message *m)
{
	static const struct verdict refused = {.action = VERDICT_REJECT, .rule = "audience"};

	for (size_t i = 0; i < m->recipient_count; i++) {
		m->recipients[i].verdict = refused;
		m->recipients[i].verdict.reason = m->declaration_error;
	}
}

static void
put_declared(json_t *answer, const struct message *m)
{
	char *reply = NULL;

	if (m->declaration_error != NULL)
		reply = mem_printf("550 5.6.0 %s", m->declaration_error);
	json_put_text(answer, "refused", reply);
	json_put_text(answer, "campaign", m->campaign[0] != '\0' ? m->campaign : NULL);
	json_put(answer, "audience", m->audience > 0 ? json_integer(m->audience) : json_null());
	free(reply);
}

/* The verdicts, and the rules behind them. */
static json_t *
judge(struct request *r, const struct call *call, struct message *m)
{
	struct policy *policy = r->deps->policy(r->deps->context);
	struct counters *counters = r->deps->counters;
	json_t *answer = json_make_object(), *rules = json_make_array();
	const struct config_environment *env;
	int64_t mono = clock_mono();
	const char *why = "";

	env = gate_identify(policy, &call->client, &why);
	m->environment = env->name;
	m->source = gate_source(&call->client);
	for (size_t i = 0; i < m->recipient_count; i++)
		gate_recipient(policy, m, &m->recipients[i]);
	gate_judge(policy, counters, m, mono, m->accepted_at, GATE_PEEK);
	if (m->declaration_error != NULL)
		refuse(m);
	else
		gate_explain_rules(policy, counters, m, mono, add_rule, rules);
	json_put_text(answer, "environment", env->name);
	json_put_bool(answer, "production", env->production);
	json_put_text(answer, "match", why);
	json_put_text(answer, "source", m->source);
	json_put_text(answer, "upstream",
		      env->upstream != NULL && env->upstream[0] == '\0' ? "none" : env->upstream);
	put_declared(answer, m);
	json_put(answer, "recipients", json_from_recipients(m));
	json_put(answer, "rules", rules);
	return answer;
}

void
explain_post(struct request *r)
{
	struct call call = {0};
	struct message *m;
	json_t *answer;

	if (!read_call(r, &call) || (m = make_message(r, &call)) == NULL) {
		buf_free(&call.message);
		return;
	}
	answer = judge(r, &call, m);
	if (m->declaration_error == NULL)
		message_apply(m);
	else
		buf_clear(&m->header); /* nothing leaves */
	json_put(answer, "header", json_text(buf_text(&m->header), m->header.len));
	message_free(m);
	buf_free(&call.message);
	request_reply(r, answer);
}
