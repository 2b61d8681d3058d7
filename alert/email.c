/*
 * The e-mail channel: a message for the gate's own queue, under the channel's environment
 * (config.h, CONFIG_ALERTS), past rules and holds, to the channel's addresses and nobody else.
 * Called by outbox.c and trial.c on the main loop; the store's answer comes by loop_post(). A mail
 * ends with its answer, or, when a trial waits for the upstream's word, with that; cancelled, its
 * answer frees it.
 *
 * It is marked as a report: no notification is ever sent about it. What becomes of it afterwards is
 * the queue's matter, and a failure is an alert on the other channels (store/failures.c).
 */
#include <stdlib.h>

#include "alert/channel.h"
#include "alert/letter.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/message.h"

/* How often a trial looks for the upstream's word. */
#define LOOK_EVERY (CLOCK_SECOND / 10)

struct mail {
	struct loop_post post;
	struct store_job job;
	struct channel_services services;
	struct message *message;
	struct loop_timer *look; /* of a trial */
	uint64_t id;
	int64_t until; /* monotonic; 0 = nobody waits for the upstream */
	channel_done *done;
	void *context;
	bool cancelled, stored;
};

static void
mail_free(struct mail *m)
{
	if (m->message != NULL)
		message_free(m->message);
	if (m->look != NULL)
		loop_timer_free(m->look);
	free(m);
}

static void
mail_end(struct mail *m, bool ok, const char *why)
{
	channel_done *done = m->done;
	void *context = m->context;

	mail_free(m);
	done(context, &(struct channel_end){.ok = ok, .why = why});
}

/* ---- the upstream's word */

struct fate {
	unsigned open, failed;
	struct buf reply; /* of the last try of one that is not sent */
};

static bool
see_delivery(void *context, const struct store_delivery *d)
{
	struct fate *f = context;

	if (d->state == STORE_SENT)
		return true;
	if (d->state == STORE_FAILED)
		f->failed++;
	else
		f->open++;
	buf_clear(&f->reply);
	buf_printf(&f->reply, "%s: %s", d->final, d->reply[0] != '\0' ? d->reply : "not tried yet");
	return true;
}

static void
mail_look(void *context)
{
	struct mail *m = context;
	struct store_filter filter = {.state = -1, .message = m->id, .limit = 100};
	struct fate f = {0};
	struct buf why = {0};

	if (store_view_deliveries(m->services.view, &filter, see_delivery, &f) != STORE_OK)
		f.open++;
	if (f.open > 0 && clock_mono() < m->until) {
		loop_timer_set(m->look, LOOK_EVERY);
	} else {
		if (f.failed > 0)
			buf_printf(&why, "the upstream refused it for good: %s",
				   buf_text(&f.reply));
		else if (f.open > 0)
			buf_printf(&why,
				   "it is in the queue, but the upstream has not taken it yet "
				   "(mailfuse queue): %s",
				   f.reply.len > 0 ? buf_text(&f.reply) : "not tried yet");
		mail_end(m, f.open == 0 && f.failed == 0, buf_text(&why));
	}
	buf_free(&f.reply);
	buf_free(&why);
}

/* ---- into the store */

/* Main loop. */
static void
mail_stored(struct loop_post *post)
{
	struct mail *m = (struct mail *)(void *)post;
	char id[ID_TEXT_BYTES];

	m->stored = true;
	if (m->job.result == STORE_OK)
		log_info("%s alert.mailed environment=%s recipients=%zu", id_format(m->id, id),
			 m->message->environment, m->message->recipient_count);
	if (m->cancelled) {
		mail_free(m);
		return;
	}
	if (m->job.result != STORE_OK) {
		struct buf why = {0};

		buf_printf(&why, "the store did not take the mail: %s", m->job.error);
		mail_end(m, false, buf_text(&why));
		buf_free(&why);
		return;
	}
	if (m->services.mailed != NULL)
		m->services.mailed(m->services.mailed_context);
	if (m->until == 0 || m->services.view == NULL)
		mail_end(m, true, "");
	else
		loop_timer_set(m->look, 0);
}

/* Writer's thread. */
static void
mail_job_done(struct store_job *job)
{
	struct mail *m = job->context;

	loop_post(m->services.loop, &m->post);
}

static void
fill_body(struct message *m, const struct channel_note *note, const struct config_alert *channel)
{
	struct wording w;
	struct buf body = {0};

	wording_make(&w, note, channel);
	letter_build(&w, note, channel, &m->header, &body);
	wording_free(&w);
	chunks_add(&m->body, body.data, body.len);
	m->body_bytes = body.len;
	buf_free(&body);
}

/* NULL if one of its addresses is none, which config/ would have refused. */
static struct message *
make_message(const struct channel_note *note, const struct config_alert *channel)
{
	struct message *m = message_new();
	struct address address;

	m->id = id_next();
	m->accepted_at = clock_wall();
	m->environment = arena_printf(&m->arena, "%s%s", CONFIG_ALERTS, channel->name);
	m->source = arena_strdup(&m->arena, "mailfuse");
	m->client = "127.0.0.1";
	m->helo = arena_strdup(&m->arena, note->gate);
	m->protocol = "ESMTP";
	m->tls = "";
	m->report = true;
	if (address_parse(channel->from, &m->arena, &address) != NULL)
		goto bad;
	message_set_sender(m, &address);
	for (size_t i = 0; channel->to[i] != NULL; i++) {
		struct recipient *r;

		if (address_parse(channel->to[i], &m->arena, &address) != NULL)
			goto bad;
		r = message_add_recipient(m, &address);
		r->verdict.action = VERDICT_PASS;
		r->verdict.rule = "alert";
		r->verdict.reason = "an alert of the gate itself";
	}
	fill_body(m, note, channel);
	message_read_header(m);
	m->counted_at = clock_steady();
	m->edit.hostname = m->helo;
	m->edit.subject_prefix = "";
	message_apply(m);
	message_count_memory(m);
	return m;
bad:
	message_free(m);
	return NULL;
}

static void *
email_start(const struct channel_services *services, const struct config_alert *channel,
	    const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct message *message;
	struct mail *m;

	if (services->store == NULL) {
		buf_add_text(why, "mail goes through the store, which cannot be written");
		return NULL;
	}
	message = make_message(note, channel);
	if (message == NULL || message->recipient_count == 0) {
		if (message != NULL)
			message_free(message);
		buf_add_text(why, "from or to is no address");
		return NULL;
	}
	m = mem_zalloc(sizeof(*m));
	m->services = *services;
	m->message = message;
	m->id = message->id;
	m->done = done;
	m->context = context;
	m->look = loop_timer_new(services->loop, mail_look, m);
	m->until = note->trial ? clock_mono() + channel->timeout : 0;
	m->post.run = mail_stored;
	m->job.op = STORE_ADD;
	m->job.done = mail_job_done;
	m->job.context = m;
	m->job.bytes = message->header.len + message->body.bytes + message->arena.total;
	m->job.u.add.message = message;
	m->job.u.add.due_now = clock_steady();
	writer_submit(services->store, &m->job);
	return m;
}

/* What is at the store cannot be taken back: an alert may come twice. */
static void
email_cancel(void *attempt)
{
	struct mail *m = attempt;

	m->cancelled = true;
	loop_timer_free(m->look);
	m->look = NULL;
	if (m->stored)
		mail_free(m);
}

const struct channel_type channel_email = {email_start, email_cancel};
