/*
 * Rows of a trace become messages. Called by run.c; one thread. An arrival owns copies of what the
 * row says; a message borrows them and has its recipients in its own arena.
 */
#include "simulate/arrival.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mail/mime.h"

enum { TO_MAX = 50 }; /* recipients that To names */

static bool
is_ip_address(const char *text)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* Control characters would end the field; the gate reads them as spaces as well. */
static char *
copy_line(struct arena *arena, const char *text)
{
	char *copy = arena_strdup(arena, text), *c;

	for (c = copy; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	return copy;
}

static bool
parse_recipients(struct arrival *a, const char *text, struct buf *error)
{
	size_t n = 0, cap = 0;
	struct address *list = NULL;
	const char *why = NULL;

	while (why == NULL && *(text += strspn(text, " \t\r\n")) != '\0') {
		size_t len = strcspn(text, " \t\r\n");
		char *word = arena_strndup(&a->arena, text, len);

		if (n == cap) {
			cap = cap > 0 ? 2 * cap : 4;
			list = mem_resize_array(list, cap, sizeof(*list));
		}
		why = address_parse(word, &a->arena, &list[n++]);
		if (why != NULL)
			buf_printf(error, "recipients: the address \"%s\" %s\n",
				   copy_line(&a->arena, word), why);
		text += len;
	}
	if (why == NULL) {
		a->recipients = arena_alloc(&a->arena, n * sizeof(*list));
		memcpy(a->recipients, list, n * sizeof(*list));
		a->count = n;
	}
	free(list);
	return why == NULL;
}

static bool
parse_sender(struct arrival *a, const char *text, struct buf *error)
{
	const char *why;

	if (*text == '\0' || strcmp(text, "<>") == 0) {
		a->sender.text = a->sender.local = a->sender.domain = arena_strdup(&a->arena, "");
		return true;
	}
	why = address_parse(text, &a->arena, &a->sender);
	if (why != NULL)
		buf_printf(error,
			   "sender: the address \"%s\" %s; write such as app@example.com, or "
			   "nothing for a null path\n",
			   copy_line(&a->arena, text), why);
	return why == NULL;
}

static bool
wants_body(const struct config_environment *e)
{
	size_t i;

	for (i = 0; i < e->content_count; i++) {
		if (e->contents[i].part != CONFIG_PART_HEADER)
			return true;
	}
	return false;
}

/* As message_read_header() judges the two fields. */
static const char *
declaration_refuse(const struct arrival *a)
{
	if (a->audience > 0 && *a->campaign == '\0')
		return "an audience without a campaign";
	if (strlen(a->campaign) > MESSAGE_CAMPAIGN_MAX)
		return "a campaign of over 200 bytes";
	return NULL;
}

static void
make_header(struct arrival *a)
{
	struct buf *h = &a->header;

	buf_printf(h, "From: %s\r\nSubject: %s\r\n",
		   *a->sender.text != '\0' ? a->sender.text : "MAILER-DAEMON",
		   mime_encode_text(a->subject, &a->arena));
	buf_add_text(h, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
			"Content-Transfer-Encoding: 8bit\r\n");
	a->header_shared = h->len;
}

bool
arrival_init(struct arrival *a, const struct policy *p, const struct trace_row *row,
	     uint64_t number, struct buf *error)
{
	struct gate_client client = {.listener = row->listener, .user = "", .tls_name = ""};

	*a = (struct arrival){.row = number,
			      .at = row->at,
			      .over = row->over,
			      .count = row->count,
			      .blast = row->blast,
			      .audience = row->audience,
			      .body = ""};
	if (!is_ip_address(row->client)) {
		buf_printf(error, "client: \"%s\" is no IP address; write such as 10.1.0.7\n",
			   copy_line(&a->arena, row->client));
		return false;
	}
	client.address = a->client = arena_strdup(&a->arena, row->client);
	client.user = arena_strdup(&a->arena, row->user);
	client.tls_name = arena_strdup(&a->arena, row->tls_name);
	a->environment = gate_identify(p, &client, NULL);
	a->source = gate_source(&client);
	a->subject = copy_line(&a->arena, row->subject);
	a->subject_key = mime_normal_subject(a->subject, &a->arena);
	a->campaign = copy_line(&a->arena, row->campaign);
	a->refused = declaration_refuse(a);
	if (!parse_sender(a, row->sender, error) ||
	    (row->recipients != NULL && !parse_recipients(a, row->recipients, error)))
		return false;
	if (wants_body(a->environment))
		a->body = arena_strdup(&a->arena, row->body);
	make_header(a);
	return true;
}

void
arrival_free(struct arrival *a)
{
	arena_free(&a->arena);
	buf_free(&a->header);
}

int64_t
arrival_next(const struct arrival *a)
{
	/* Over a year by a billion recipients is beyond 64 bits. */
	return a->at + (int64_t)((__int128)a->over * a->done / a->count);
}

/* Somebody who gets nothing else in the whole trace. The domain is nobody's (RFC 2606 2). */
static struct address
make_up(const struct arrival *a, uint64_t n, struct arena *arena)
{
	static const char domain[] = "somebody.invalid";
	char *text = arena_printf(arena, "p%llu-%llu@%s", (unsigned long long)a->row,
				  (unsigned long long)n + 1, domain);

	return (struct address){.text = text,
				.local = arena_strndup(arena, text, strlen(text) - sizeof(domain)),
				.domain = arena_strdup(arena, domain)};
}

static void
add_recipients(struct arrival *a, struct message *m, uint64_t count)
{
	struct buf *h = &a->header;
	uint64_t i;

	h->len = a->header_shared;
	buf_add_text(h, "To: ");
	for (i = 0; i < count; i++, a->done++) {
		struct address made, *address = &made;

		if (a->recipients != NULL)
			address = &a->recipients[a->done];
		else
			made = make_up(a, a->done, &m->arena);
		message_add_recipient(m, address);
		if (i < TO_MAX)
			buf_printf(h, "%s%s", i > 0 ? ",\r\n " : "", address->text);
	}
	buf_add_text(h, "\r\n");
}

void
arrival_fill(struct arrival *a, struct message *m)
{
	uint64_t left = a->count - a->done, count = left;

	if (count > ARRIVAL_RECIPIENTS)
		count = ARRIVAL_RECIPIENTS;
	if (a->over > 0)
		count = 1;
	arena_free(&m->arena);
	m->recipient_count = 0;
	m->environment = a->environment->name;
	m->source = a->source;
	m->client = a->client;
	m->sender = a->sender;
	m->subject = a->subject;
	m->subject_key = a->subject_key;
	m->campaign = a->campaign;
	m->audience = a->audience;
	m->header_from = a->sender.text;
	add_recipients(a, m, count);
	buf_clear(&m->header);
	buf_add(&m->header, a->header.data, a->header.len);
	chunks_clear(&m->body);
	m->body_unknown = *a->body == '\0'; /* few traces have bodies */
	if (!m->body_unknown)
		chunks_add(&m->body, a->body, strlen(a->body));
}
