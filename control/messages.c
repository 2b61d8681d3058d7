/*
 * GET /v1/messages/ID, /raw and /html: one message as it would leave, for an operator. Reads the
 * body on the main loop: some tens of milliseconds for a large one. Called by api.c.
 */
#include "control/messages.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "control/json.h"
#include "control/request.h"
#include "mail/mime.h"

enum {
	RAW_MAX = 256 << 20, /* more than any listener's sane max_message_size */
	SHOWN_MAX = 4 << 20, /* of the message, to find its HTML in */
	READ_MAX = 1 << 20,  /* to find its text in */
	TEXT_MAX = 64 << 10,
	HTML_MAX = 2 << 20,
	HEADER_MAX = 256 << 10,
	DELIVERIES_MAX = 1000
};

static bool
read_id(struct request *r, uint64_t *id)
{
	static const char *const none[] = {NULL};
	uint32_t number;

	if (!request_check_query(r, none))
		return false;
	if (id_parse(r->id, id, &number))
		return true;
	request_fail(r, 404,
		     "%s is no id of a message of this store; `mailfuse messages` lists them",
		     log_safe(r->id));
	return false;
}

static bool
read_raw(struct request *r, uint64_t id, size_t max, struct buf *raw, bool *cut)
{
	char what[ID_TEXT_BYTES + 16], text[ID_TEXT_BYTES];
	enum store_result result = store_view_raw(r->deps->view, id, max, raw, cut);

	if (result == STORE_OK)
		return true;
	snprintf(what, sizeof(what), "message %s", id_format(id, text));
	buf_free(raw);
	request_fail_store(r, result, what, "");
	return false;
}

/* The first row has what all deliveries of a message share. */
static bool
add_row(void *context, const struct store_delivery *d)
{
	json_t *answer = context, *deliveries = json_object_get(answer, "deliveries");

	if (json_array_size(deliveries) == 0) {
		json_put_text(answer, "environment", d->environment);
		json_put_text(answer, "source", d->source);
		json_put_text(answer, "sender", d->sender);
		json_put_text(answer, "subject", d->subject);
		json_put_count(answer, "bytes", d->bytes);
		json_put_time(answer, "accepted_at", d->accepted_at);
	}
	if (json_array_size(deliveries) == DELIVERIES_MAX)
		json_put_bool(answer, "deliveries_cut", true);
	else
		json_append(deliveries, json_from_delivery(d));
	return true;
}

/* Where the header ends: at the empty line, or with the message. */
static size_t
header_length(const struct buf *raw)
{
	const char *end;

	if (raw->len >= 2 && memcmp(raw->data, "\r\n", 2) == 0)
		return 0;
	end = raw->len == 0 ? NULL : memmem(raw->data, raw->len, "\r\n\r\n", 4);
	return end == NULL ? raw->len : (size_t)(end + 2 - raw->data);
}

static void
put_content(json_t *answer, const struct buf *raw, bool cut)
{
	struct buf text = {0};
	size_t header = header_length(raw), len;

	if (header > HEADER_MAX)
		header = HEADER_MAX;
	json_put(answer, "header", json_text(raw->len > 0 ? raw->data : "", header));
	mime_message_text(buf_text(raw), raw->len, TEXT_MAX + 1, &text);
	len = text.len;
	if (len > TEXT_MAX) {
		cut = true;
		len = TEXT_MAX;
		while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
			len--; /* not in the middle of a character */
	}
	json_put(answer, "text", json_text(buf_text(&text), len));
	json_put_bool(answer, "text_cut", cut);
	buf_free(&text);
}

void
messages_get(struct request *r)
{
	struct store_filter filter = {.state = -1, .limit = DELIVERIES_MAX + 1};
	char text[ID_TEXT_BYTES];
	struct buf raw = {0};
	enum store_result result;
	bool cut = false;
	json_t *answer;

	if (!read_id(r, &filter.message) || !read_raw(r, filter.message, READ_MAX, &raw, &cut))
		return;
	answer = json_make_object();
	json_put_text(answer, "id", id_format(filter.message, text));
	json_put(answer, "deliveries", json_make_array());
	json_put_bool(answer, "deliveries_cut", false);
	result = store_view_deliveries(r->deps->view, &filter, add_row, answer);
	if (result != STORE_OK) {
		json_decref(answer);
		buf_free(&raw);
		request_fail_store(r, result, "message", "");
		return;
	}
	put_content(answer, &raw, cut);
	buf_free(&raw);
	request_reply(r, answer);
}

void
messages_get_raw(struct request *r)
{
	struct buf raw = {0};
	uint64_t id;
	bool cut = false;

	if (!read_id(r, &id) || !read_raw(r, id, RAW_MAX, &raw, &cut))
		return;
	if (cut) {
		buf_free(&raw);
		request_fail(r, 413, "the message has more than %d MB, which is too much to show",
			     RAW_MAX >> 20);
		return;
	}
	request_reply_bytes(r, "message/rfc822", &raw);
}

/*
 * Whatever the message says, a browser that shows this runs nothing, sends nothing and loads
 * nothing: also where it is opened on its own. Only a page of ours may frame it.
 */
#define HTML_POLICY                                                                                \
	"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "                  \
	"frame-ancestors 'self'"

void
messages_get_html(struct request *r)
{
	struct buf raw = {0}, html = {0};
	uint64_t id;
	bool cut = false, found;

	if (!read_id(r, &id) || !read_raw(r, id, SHOWN_MAX, &raw, &cut))
		return;
	found = mime_message_html(buf_text(&raw), raw.len, HTML_MAX, &html, &cut);
	buf_free(&raw);
	if (!found) {
		buf_free(&html);
		request_fail(r, 404, "message %s has no HTML; /v1/messages/%s has its text", r->id,
			     r->id);
		return;
	}
	request_add_header(r, "Content-Security-Policy", HTML_POLICY);
	/* Names in it would be looked up before anybody clicks. */
	request_add_header(r, "X-DNS-Prefetch-Control", "off");
	request_reply_bytes(r, "text/html; charset=utf-8", &html);
}
