/*
 * restore-from FILE --batch B17 [--reason R] [--yes]. The copy is verified, then read one message
 * at a time; the store of the running gate is only reached through mailfused. Mail that is there
 * already is skipped, so that it may be repeated.
 */
#include "cli/restore_from.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "cli/backup.h"
#include "cli/bring.h"
#include "cli/screen.h"
#include "mail/message.h"
#include "store/backup.h"
#include "store/views.h"

struct restore {
	struct bring bring;
	struct backup_report report;
	uint64_t held, discarded;
};

static void
put_text(json_t *o, const char *name, const char *text)
{
	json_t *value = json_string(text);

	/* Bytes that are no UTF-8 cannot be told; mailfused then says that the field is missing. */
	json_object_set_new(o, name, value != NULL ? value : json_string(""));
}

static void
put_time(json_t *o, const char *name, int64_t at)
{
	char text[CLOCK_ISO_BYTES];

	if (at <= 0)
		return;
	clock_format_iso(at, text);
	json_object_set_new(o, name, json_string(text));
}

static void
take_batch(void *context, const struct store_batch *b)
{
	struct restore *r = context;
	char made[CLOCK_ISO_BYTES];
	char *key;
	json_t *o = r->bring.open = json_object();

	clock_format_iso(r->report.made_at, made);
	/* The same at every run: what was begun is gone on with, in the same batch. */
	key = mem_printf("B%" PRId64 " of the copy of %s, held by %s", b->id, made, b->rule);
	put_text(o, "environment", b->environment);
	put_text(o, "rule", "restored");
	put_text(o, "key", key);
	put_text(o, "source", b->source);
	put_text(o, "sender", b->sender);
	put_text(o, "subject", b->subject);
	put_time(o, "opened_at", b->opened_at);
	json_object_set_new(o, "limit", json_integer(b->limit));
	json_object_set_new(o, "window", json_integer(b->window / CLOCK_SECOND));
	json_object_set_new(o, "recipients",
			    json_integer((json_int_t)(b->held + b->discarded - b->purged)));
	r->held = b->held;
	r->discarded = b->discarded - b->purged;
	free(key);
}

static json_t *
make_message(const struct message *m)
{
	char id[ID_TEXT_BYTES];
	json_t *o = json_object();

	put_text(o, "id", id_format(m->id, id));
	put_text(o, "environment", m->environment);
	put_text(o, "source", m->source);
	put_text(o, "sender", m->sender.text);
	put_time(o, "accepted_at", m->accepted_at);
	json_object_set_new(o, "smtputf8", json_boolean(m->smtputf8));
	return o;
}

static bool
take_message(void *context, const struct message *m, const struct store_delivery *deliveries,
	     size_t count)
{
	struct restore *r = context;
	json_t *list = json_array();
	struct buf content = {0};
	const struct chunk *chunk;
	bool more;
	size_t i;

	for (i = 0; i < count; i++) {
		json_t *d = json_object();

		json_object_set_new(d, "number", json_integer(deliveries[i].number));
		put_text(d, "recipient", deliveries[i].recipient);
		put_text(d, "final", deliveries[i].final);
		put_text(d, "state", store_state_name(deliveries[i].state));
		json_array_append_new(list, d);
	}
	buf_add(&content, buf_text(&m->header), m->header.len);
	buf_add_text(&content, "\r\n");
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&content, chunk->data, chunk->len);
	more = bring_message(&r->bring, make_message(m), list, buf_text(&content), content.len);
	buf_free(&content);
	return more;
}

/* True if it may go on. */
static bool
confirm(const struct command *c, const struct restore *r, const char *batch)
{
	char *question;
	bool yes;

	command_note("%s was made %s ago. In it %s has %s held and %s discarded.",
		     screen_text(c->options->words[0]), backup_age(r->report.made_at),
		     screen_text(batch), screen_count((int64_t)r->held),
		     screen_count((int64_t)r->discarded));
	command_note(
	    "What of it was sent since then, and is forgotten here (keep_sent), comes back "
	    "as held: released again, it is sent again.");
	question =
	    mem_printf("Bring %s of %s back, held?",
		       screen_counted((int64_t)(r->held + r->discarded), "recipient", "recipients"),
		       screen_text(batch));
	yes = command_confirm(c, question, "");
	free(question);
	return yes;
}

static int
restore(struct command *c, struct backup *copy, struct restore *r, const char *batch)
{
	int64_t id = strtoll(batch + 1, NULL, 10);
	struct buf error = {0};
	int result = CLIENT_REFUSED;

	if (!backup_batch(copy, id, take_batch, r, &error)) {
		command_refused(c, "%s", screen_text(buf_text(&error)));
	} else if (r->held + r->discarded == 0) {
		command_refused(c,
				"%s has nothing held or discarded in this copy: there is nothing "
				"to bring back.",
				screen_text(batch));
	} else if (confirm(c, r, batch)) {
		if (!backup_messages(copy, id, take_message, r, &error) &&
		    r->bring.result == CLIENT_DONE && error.len > 0)
			r->bring.result = command_refused(c, "%s", screen_text(buf_text(&error)));
		buf_free(&error);
		return bring_finish(&r->bring);
	}
	json_decref(r->bring.open);
	buf_free(&error);
	return result;
}

int
restore_from_run(struct command *c)
{
	const char *file = c->options->words[0], *word = options_text(c->options, "batch");
	struct restore r = {.bring.c = c};
	struct buf error = {0};
	struct backup *copy;
	char *batch;
	int result;

	if (word == NULL)
		return command_usage(c, "which batch of it? Write --batch B17.");
	batch = command_batch_id(word);
	if (batch == NULL)
		return command_refused(c, "\"%s\" is no batch; batches look like B17.",
				       screen_text(word));
	copy = backup_open(file, &r.report, &error);
	if (copy == NULL) {
		result = command_refused(c, "%s", screen_text(buf_text(&error)));
	} else {
		/* Ids of the copy's store. */
		id_init(r.report.store_name, 0);
		result = restore(c, copy, &r, batch);
		backup_close(copy);
	}
	buf_free(&error);
	free(batch);
	return result;
}
