/*
 * A message and its recipients: made by a session at MAIL, filled while the client talks, freed by
 * its delivery after the last answer. One owner at a time, on one relay loop. Its strings are the
 * arena's; the recipients' array and the header are heap memory, freed with it.
 */
#include "mail/message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/id.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "mail/declaration.h"
#include "mail/header.h"
#include "mail/mime.h"

struct message *
message_new(void)
{
	struct message *m = mem_zalloc(sizeof(*m));

	chunks_init(&m->body);
	m->subject = m->subject_key = m->campaign = m->header_from = "";
	m->sender.text = m->sender.local = m->sender.domain = arena_strdup(&m->arena, "");
	m->edit.subject_prefix = m->tls = m->envid = "";
	return m;
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	metric_add(METRIC_BODY_BYTES_NOW, -(int64_t)m->counted);
	chunks_clear(&m->body);
	buf_free(&m->header);
	buf_free(&m->sample);
	free(m->recipients);
	arena_free(&m->arena);
	free(m);
}

void
message_count_memory(struct message *m)
{
	size_t now = m->arena.total + m->header.cap + m->sample.cap +
		     m->recipient_cap * sizeof(*m->recipients);

	metric_add(METRIC_BODY_BYTES_NOW, (int64_t)now - (int64_t)m->counted);
	m->counted = now;
}

static struct address
address_copy(struct arena *arena, const struct address *a)
{
	return (struct address){.text = arena_strdup(arena, a->text),
				.local = arena_strdup(arena, a->local),
				.domain = arena_strdup(arena, a->domain),
				.utf8 = a->utf8};
}

struct recipient *
message_add_recipient(struct message *m, const struct address *address)
{
	struct recipient *r;

	if (m->recipient_count == m->recipient_cap) {
		m->recipient_cap = m->recipient_cap > 0 ? 2 * m->recipient_cap : 4;
		m->recipients =
		    mem_resize_array(m->recipients, m->recipient_cap, sizeof(*m->recipients));
	}
	r = &m->recipients[m->recipient_count++];
	*r = (struct recipient){.address = address_copy(&m->arena, address), .orcpt = ""};
	r->final = r->address.text;
	return r;
}

void
message_set_sender(struct message *m, const struct address *address)
{
	m->sender = address_copy(&m->arena, address);
}

/* The first field of that name, decoded, in the message's arena; "" if there is none. */
static const char *
read_field(struct message *m, const struct header *h, const char *name)
{
	const struct header_field *f = header_find(h, name);

	return f != NULL ? mime_decode_text(header_value(h, f), &m->arena) : "";
}

void
message_read_header(struct message *m)
{
	struct arena arena = {0};
	struct header h;

	header_parse(&h, buf_text(&m->header), m->header.len, &arena);
	m->subject = read_field(m, &h, "Subject");
	m->subject_key = mime_normal_subject(m->subject, &m->arena);
	declaration_read(m, &h);
	m->header_from = read_field(m, &h, "From");
	arena_free(&arena);
}

size_t
message_count_received(const struct message *m)
{
	struct arena arena = {0};
	struct header h;
	size_t n;

	header_parse(&h, buf_text(&m->header), m->header.len, &arena);
	n = header_count(&h, "Received");
	arena_free(&arena);
	return n;
}

/* An id of ours at the start of `text`, whatever follows it. */
static bool
starts_with_id(const char *text)
{
	char id[ID_DELIVERY_BYTES];
	size_t len = strcspn(text, " \t;");
	uint32_t number;
	uint64_t value;

	if (len == 0 || len >= sizeof(id))
		return false;
	memcpy(id, text, len);
	id[len] = '\0';
	return id_parse(id, &value, &number);
}

/* `from ... by HOST (mailfuse) with PROTOCOL id ID;`, as message_apply() writes it. */
static bool
is_our_received(const char *value)
{
	static const char mark[] = " (mailfuse) with ", word[] = " id ";
	const char *p = value;

	while ((p = strstr(p, mark)) != NULL) {
		p += sizeof(mark) - 1;
		p += strcspn(p, " ");
		if (strncmp(p, word, sizeof(word) - 1) == 0 && starts_with_id(p + sizeof(word) - 1))
			return true;
	}
	return false;
}

bool
message_was_here(const struct message *m)
{
	struct arena arena = {0};
	bool here = false;
	struct header h;
	size_t i;

	header_parse(&h, buf_text(&m->header), m->header.len, &arena);
	for (i = 0; i < h.count && !here; i++) {
		const struct header_field *f = &h.fields[i];

		if (strcasecmp(f->name, "X-Mailfuse-Id") == 0)
			here = starts_with_id(header_value(&h, f));
		else if (strcasecmp(f->name, "Received") == 0)
			here = is_our_received(header_value(&h, f));
	}
	arena_free(&arena);
	return here;
}

bool
message_needs_smtputf8(const struct message *m)
{
	/* The text and not sender.utf8: what comes back from the store is only the text. */
	return m->smtputf8 && (!text_is_ascii(m->sender.text, strlen(m->sender.text)) ||
			       !text_is_ascii(buf_text(&m->header), m->header.len));
}
