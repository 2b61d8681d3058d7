/*
 * Reports to senders. Made and freed by relay.c; all on the main loop, but for the store's answers,
 * which come back by loop_post(). One look into the store is under way at a time, and at most
 * LOOK_LIMIT reports.
 */
#include "relay/bounce.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "mail/dsn_text.h"
#include "mail/xtext.h"
#include "relay/relay.h"
#include "relay/retry.h"
#include "relay/recall.h"

enum { LOOK_LIMIT = 50 };

/* After the store could not be read or written, or had no room. */
#define LOOK_AGAIN (10 * CLOCK_SECOND)

struct bounce {
	struct loop_post post;
	struct relay *relay;
	struct loop_timer *timer;
	struct store_job job;
	size_t under_way; /* reports that wait for the writer */
	bool looking;
	bool again; /* a poke came meanwhile, or there is more */
	bool failed;
	bool stopping;
};

/* One report, or the word that none is needed, on its way into the store. */
struct bounce_report {
	struct loop_post post;
	struct bounce *bounce;
	struct message *message; /* NULL: nobody is told */
	uint64_t about;
	uint32_t *numbers;
	size_t count;
	struct store_job job;
};

static void bounce_rest(struct bounce *b);

static void
bounce_report_free(struct bounce_report *report)
{
	if (report->message != NULL)
		message_free(report->message);
	free(report->numbers);
	free(report);
}

static void
bounce_report_stored(struct loop_post *post)
{
	struct bounce_report *report = (struct bounce_report *)post;
	struct bounce *b = report->bounce;
	char about[ID_TEXT_BYTES], id[ID_TEXT_BYTES];

	b->under_way--;
	if (report->job.result != STORE_OK) {
		log_warn("%s bounce.store-failed error=%s", id_format(report->about, about),
			 log_safe(report->job.error));
		b->failed = true;
		if (report->message != NULL)
			recall_not_stored(b->relay, report->message);
	} else if (report->message != NULL) {
		gate_count(b->relay->policy, report->message);
		recall_stored(b->relay, report->message);
		log_info("%s bounce.made report=%s recipient=%s", id_format(report->about, about),
			 id_format(report->message->id, id),
			 log_safe(report->message->recipients[0].address.text));
		relay_poke(b->relay);
	}
	bounce_report_free(report);
	bounce_rest(b);
}

static void
bounce_report_done(struct store_job *job)
{
	struct bounce_report *report = job->context;

	loop_post(report->bounce->relay->main, &report->post);
}

static void
bounce_submit(struct bounce *b, struct bounce_report *report)
{
	b->under_way++;
	report->bounce = b;
	report->post.run = bounce_report_stored;
	report->job.done = bounce_report_done;
	report->job.context = report;
	writer_submit(b->relay->store, &report->job);
}

static struct bounce_report *
bounce_report_new(const struct store_notice *n)
{
	struct bounce_report *report = mem_zalloc(sizeof(*report));
	size_t i;

	report->about = n->id;
	report->numbers = mem_zalloc(n->count * sizeof(*report->numbers));
	report->count = n->count;
	for (i = 0; i < n->count; i++)
		report->numbers[i] = n->deliveries[i].number;
	return report;
}

/* Nobody can be told; `mailfuse message` shows why. */
static void
bounce_give_up(struct bounce *b, const struct store_notice *n, const char *why)
{
	struct bounce_report *report = bounce_report_new(n);
	char id[ID_TEXT_BYTES];

	log_warn("%s bounce.impossible sender=%s why=%s", id_format(n->id, id), log_safe(n->sender),
		 log_safe(why));
	report->job.op = STORE_TOLD;
	report->job.u.told.id = n->id;
	report->job.u.told.numbers = report->numbers;
	report->job.u.told.count = report->count;
	report->job.u.told.why = why;
	bounce_submit(b, report);
}

/* Whom the sender wrote to, for a report that names another; as ORCPT has it (RFC 3461 4.2, RFC
 * 6533 3). */
static const char *
bounce_original(const struct store_notice_delivery *d, struct arena *arena)
{
	struct buf text = {0};
	const char *orcpt;

	if (*d->orcpt != '\0' || strcmp(d->recipient, d->final) == 0)
		return d->orcpt;
	xtext_encode(d->recipient, &text);
	orcpt = arena_printf(arena, "%s;%s",
			     text_is_ascii(d->recipient, strlen(d->recipient)) ? "rfc822" : "utf-8",
			     buf_text(&text));
	buf_free(&text);
	return orcpt;
}

/* Header and body of the report. */
static void
bounce_write(const struct bounce *b, const struct store_notice *n, struct message *m)
{
	char id[ID_TEXT_BYTES], about[ID_TEXT_BYTES];
	struct dsn_recipient *recipients = arena_zalloc(&m->arena, n->count * sizeof(*recipients));
	struct dsn d = {.hostname = policy_config(b->relay->policy)->hostname,
			.id = id_format(m->id, id),
			.about = id_format(n->id, about),
			.to = n->sender,
			.envid = n->envid,
			.arrived_at = n->accepted_at,
			.now = m->accepted_at,
			.recipients = recipients,
			.recipient_count = n->count,
			.header = buf_text(&n->header),
			.header_len = n->header.len};
	struct buf body = {0};
	size_t i;

	for (i = 0; i < n->count; i++) {
		const struct store_notice_delivery *one = &n->deliveries[i];

		recipients[i] =
		    (struct dsn_recipient){.action = one->failed ? DSN_FAILED : DSN_RELAYED,
					   .address = one->final,
					   .orcpt = bounce_original(one, &m->arena),
					   .reply = one->reply,
					   .remote_mta = one->remote_mta,
					   .last_attempt = one->at};
	}
	dsn_build(&d, &m->header, &body, &m->eightbit, &m->smtputf8);
	chunks_add(&m->body, body.data, body.len);
	m->body_bytes = body.len;
	buf_free(&body);
}

/*
 * Through the gate like any mail of its environment: what may not reach the sender is dropped or
 * rewritten, the panic button covers it, and a flood of reports is a blast too.
 */
static void
bounce_judge(struct bounce *b, struct message *m)
{
	struct policy *p = b->relay->policy;
	struct recipient *r = &m->recipients[0];

	message_read_header(m);
	gate_recipient(p, m, r);
	/* There is nobody to say 550 to. */
	if (r->verdict.action == VERDICT_REJECT)
		r->verdict.action = VERDICT_DROP;
	m->counted_at = clock_steady();
	gate_judge(p, b->relay->counters, m, m->counted_at - clock_steady_offset(), m->counted_at,
		   GATE_COUNT);
	message_apply(m);
	message_count_memory(m);
}

static struct message *
bounce_message(struct bounce *b, const struct store_notice *n)
{
	const struct config *c = policy_config(b->relay->policy);
	bool known = config_find_environment(c, n->environment) != NULL;
	struct message *m = message_new();
	struct address to;

	if (address_parse(n->sender, &m->arena, &to) != NULL) {
		message_free(m);
		return NULL;
	}
	m->id = id_next();
	m->accepted_at = clock_wall();
	m->environment = arena_strdup(&m->arena, known ? n->environment : "unknown");
	m->source = arena_strdup(&m->arena, n->source);
	m->client = "127.0.0.1";
	m->helo = arena_strdup(&m->arena, c->hostname);
	m->protocol = "ESMTP";
	m->report = true;
	message_add_recipient(m, &to);
	bounce_write(b, n, m);
	bounce_judge(b, m);
	return m;
}

static void
bounce_tell(struct bounce *b, const struct store_notice *n)
{
	struct message *m = bounce_message(b, n);
	struct bounce_report *report;

	if (m == NULL) {
		bounce_give_up(b, n, "the sender's address cannot be written to");
		return;
	}
	report = bounce_report_new(n);
	report->message = m;
	report->job.op = STORE_ADD;
	report->job.bytes = m->header.len + m->body.bytes + m->arena.total;
	report->job.u.add.message = m;
	report->job.u.add.due_now = clock_steady();
	report->job.u.add.told_id = n->id;
	report->job.u.add.told = report->numbers;
	report->job.u.add.told_count = report->count;
	bounce_submit(b, report);
}

static void
bounce_found(struct loop_post *post)
{
	struct bounce *b = (struct bounce *)post;
	struct store_notice *notices = b->job.u.notices.notices;
	size_t count = b->job.u.notices.notice_count, i;

	b->looking = false;
	if (b->job.result != STORE_OK) {
		log_warn("- bounce.look-failed error=%s", log_safe(b->job.error));
		b->failed = true;
	} else {
		for (i = 0; i < count && !b->stopping; i++)
			bounce_tell(b, &notices[i]);
		b->again = b->again || count == LOOK_LIMIT;
		store_notices_free(notices, count);
	}
	bounce_rest(b);
}

static void
bounce_look_done(struct store_job *job)
{
	struct bounce *b = job->context;

	loop_post(b->relay->main, &b->post);
}

/* Without room there is no look: a report that is judged counts as mail, stored or not. */
static void
bounce_look(struct bounce *b)
{
	const char *why;

	b->again = b->failed = false;
	if (!store_has_room(b->relay->store, &why)) {
		loop_timer_set(b->timer, LOOK_AGAIN);
		return;
	}
	b->looking = true;
	b->post.run = bounce_found;
	b->job = (struct store_job){.op = STORE_NOTICES,
				    .done = bounce_look_done,
				    .context = b,
				    .u.notices.limit = LOOK_LIMIT};
	writer_submit(b->relay->store, &b->job);
}

/* Nothing is under way any more: look again, if there may be more. */
static void
bounce_rest(struct bounce *b)
{
	if (b->looking || b->under_way > 0 || b->stopping)
		return;
	if (b->failed)
		loop_timer_set(b->timer, LOOK_AGAIN);
	else if (b->again)
		bounce_look(b);
}

void
bounce_poke(struct bounce *b)
{
	if (b->stopping)
		return;
	if (b->looking || b->under_way > 0)
		b->again = true;
	else
		bounce_look(b);
}

static void
bounce_timer(void *context)
{
	bounce_poke(context);
}

struct bounce *
bounce_new(struct relay *r)
{
	struct bounce *b = mem_zalloc(sizeof(*b));

	b->relay = r;
	b->timer = loop_timer_new(r->main, bounce_timer, b);
	return b;
}

void
bounce_stop(struct bounce *b)
{
	b->stopping = true;
	loop_timer_cancel(b->timer);
}

void
bounce_free(struct bounce *b)
{
	if (b == NULL)
		return;
	loop_timer_free(b->timer);
	free(b);
}
