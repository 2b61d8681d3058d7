/*
 * Messages in: header into memory, body into chunks, large bodies on to the store while they come,
 * then the gate, the edit, and the store. Called by session.c; the store's answers come back by
 * loop_post(). One object a message.
 *
 * Memory: a header of at most HEADER_MAX, and at most SPILL_BYTES of body (SPILL_TIGHT_BYTES when
 * the process is over half of memory_limit) a connection; the rest of a body is in the store.
 */
#include "relay/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mail/body.h"
#include "relay/delivery.h"
#include "relay/recall.h"
#include "relay/session.h"
#include "relay/upstream.h"

enum {
	HEADER_MAX = 1048576,
	SPILL_BYTES = CHUNK_BYTES,
	SPILL_TIGHT_BYTES = 16384,
	/* What a message may take beside its body however short memory is. */
	ORDINARY_BYTES = 32768,
	RECEIVED_MAX = 100, /* RFC 5321 6.3: more is a loop */
	WRITER_BUSY_BYTES = 64 * 1024 * 1024
};

enum intake_phase { INTAKE_HEADER, INTAKE_BODY, INTAKE_STORING };

/* What the answer to one of our jobs was about. */
enum intake_wait { WAIT_NONE, WAIT_CHUNK, WAIT_ADD, WAIT_ABANDON };

struct intake {
	struct loop_post post;
	struct relay_loop *rl;
	struct session *session; /* NULL once the client is gone */
	struct message *message;
	struct policy *policy;
	struct body_in in;
	enum intake_phase phase;
	enum intake_wait wait;
	uint64_t size, size_limit; /* content, in bytes */
	bool reject_bare;
	bool begun;      /* the store knows the message's id */
	int refuse_code; /* 0 = fine so far */
	const char *refuse_status, *refuse_text;
	char id[ID_TEXT_BYTES];
	struct store_job begin, job;
};

bool
intake_is_overloaded(const struct relay_loop *rl)
{
	uint64_t limit = policy_config(rl->policy)->memory_limit;

	return metric_get(METRIC_WRITER_BYTES_NOW) > WRITER_BUSY_BYTES ||
	       (uint64_t)metric_get(METRIC_BODY_BYTES_NOW) > limit;
}

bool
intake_is_too_much(const struct relay_loop *rl, struct message *m)
{
	message_count_memory(m);
	return m->counted > ORDINARY_BYTES && intake_is_overloaded(rl);
}

struct intake *
intake_start(struct session *s)
{
	struct intake *in = mem_zalloc(sizeof(*in));

	in->rl = s->rl;
	in->session = s;
	in->message = s->message;
	s->message = NULL;
	in->policy = policy_ref(s->policy);
	in->size_limit = s->limits->max_message_size;
	in->reject_bare = s->limits->bare_newline == CONFIG_BARE_REJECT;
	in->message->id = id_next();
	id_format(in->message->id, in->id);
	s->rl->pending++;
	return in;
}

static void
intake_free(struct intake *in)
{
	struct relay_loop *rl = in->rl;

	if (in->message != NULL)
		message_free(in->message);
	policy_unref(in->policy);
	free(in);
	rl->pending--;
	relay_check_quiet(rl);
}

/* The first reason stays: it is the cause. */
static void
intake_refuse(struct intake *in, int code, const char *status, const char *text)
{
	if (in->refuse_code != 0)
		return;
	in->refuse_code = code;
	in->refuse_status = status;
	in->refuse_text = text;
	buf_free(&in->message->header);
	buf_free(&in->message->sample);
	chunks_clear(&in->message->body);
	message_count_memory(in->message);
}

static void intake_answered(struct loop_post *post);

/* On the writer's thread: back to the loop. */
static void
intake_job_done(struct store_job *job)
{
	struct intake *in = job->context;

	loop_post(in->rl->loop, &in->post);
}

static void
intake_begin_done(struct store_job *job)
{
	(void)job; /* a failure shows in the chunk's answer, which follows */
}

static void
intake_submit(struct intake *in, enum store_op op, enum intake_wait wait, size_t bytes)
{
	in->job.op = op;
	in->job.done = intake_job_done;
	in->job.context = in;
	in->job.bytes = bytes;
	in->post.run = intake_answered;
	in->wait = wait;
	writer_submit(in->rl->relay->store, &in->job);
}

/* Content rules look at the beginning of a body, which is leaving for the store. */
static void
intake_keep_sample(struct intake *in)
{
	struct message *m = in->message;
	const struct chunk *c;

	if (m->sample.len >= MESSAGE_SAMPLE_MAX || !gate_wants_body(in->policy, m->environment))
		return;
	STAILQ_FOREACH (c, &m->body.list, next) {
		size_t room = MESSAGE_SAMPLE_MAX - m->sample.len;

		buf_add(&m->sample, c->data, c->len < room ? c->len : room);
	}
	message_count_memory(m);
}

/* Gives what is in memory of the body to the store; the client waits meanwhile. */
static void
intake_spill(struct intake *in)
{
	struct message *m = in->message;

	if (!in->begun) {
		in->begun = true;
		in->begin.op = STORE_BEGIN;
		in->begin.u.body.id = m->id;
		chunks_init(&in->begin.u.body.chunks);
		in->begin.done = intake_begin_done;
		writer_submit(in->rl->relay->store, &in->begin);
	}
	in->job.u.body.id = m->id;
	in->job.u.body.number = m->chunks_stored;
	in->job.u.body.chunks.bytes = m->body.bytes;
	STAILQ_INIT(&in->job.u.body.chunks.list);
	STAILQ_CONCAT(&in->job.u.body.chunks.list, &m->body.list);
	chunks_init(&m->body);
	conn_pause(in->session->conn);
	intake_submit(in, STORE_CHUNK, WAIT_CHUNK, in->job.u.body.chunks.bytes);
}

static void
intake_add_body(struct intake *in, const char *data, size_t len)
{
	chunks_add(&in->message->body, data, len);
	in->message->body_bytes += len;
}

/*
 * Behind the empty line that ends the header, NULL if it has not come whole: it may lie across what
 * came before and `data`, and be the very first line.
 */
static const char *
find_body(const struct buf *h, const char *data, size_t len)
{
	static const char empty[] = "\r\n\r\n";
	/* The last three octets of what came, as if behind a line's end, and the first three of
	 * what comes. */
	char seam[6] = "\r\n";
	size_t kept = h->len < 3 ? h->len : 3, before = kept > 0 ? 3 : 2, more;
	const char *end;

	if (kept == 2)
		seam[0] = '\n';
	if (kept > 0)
		memcpy(seam + before - kept, h->data + h->len - kept, kept);
	more = len < sizeof(seam) - before ? len : sizeof(seam) - before;
	memcpy(seam + before, data, more);
	end = memmem(seam, before + more, empty, 4);
	if (end != NULL)
		return data + (end + 4 - seam - before);
	end = memmem(data, len, empty, 4);
	return end != NULL ? end + 4 : NULL;
}

/* Up to the empty line it is header; what follows is body. */
static void
intake_add_header(struct intake *in, const char *data, size_t len)
{
	struct buf *h = &in->message->header;
	const char *body = find_body(h, data, len);

	if (body == NULL) {
		buf_add(h, data, len);
		if (h->len > HEADER_MAX)
			intake_refuse(in, 552, "5.3.4", "Header section is larger than 1 MiB");
		else if (intake_is_too_much(in->rl, in->message))
			intake_refuse(in, 451, "4.3.2", "Busy; try again in a minute");
		return;
	}
	buf_add(h, data, (size_t)(body - data));
	h->len -= 2;
	h->data[h->len] = '\0';
	in->phase = INTAKE_BODY;
	intake_add_body(in, body, (size_t)(data + len - body));
}

/* The body_sink of what comes in: content, dots undone. */
static void
intake_sink(void *context, const char *data, size_t len)
{
	struct intake *in = context;

	if (in->refuse_code != 0)
		return;
	in->size += len;
	if (in->size > in->size_limit)
		intake_refuse(in, 552, "5.3.4", "Message is larger than the size limit");
	else if (in->phase == INTAKE_HEADER)
		intake_add_header(in, data, len);
	else
		intake_add_body(in, data, len);
}

static void
intake_check_content(struct intake *in)
{
	if (in->in.nul)
		intake_refuse(in, 554, "5.6.0", "Message contains NUL bytes; encode it as base64");
	else if (in->in.bare_newline && in->reject_bare)
		intake_refuse(in, 550, "5.6.0",
			      "Message contains a bare CR or LF; end each line with CRLF");
	else if (in->refuse_code == 0 && message_count_received(in->message) > RECEIVED_MAX)
		intake_refuse(in, 554, "5.4.6", "Too many hops: mail is going in a circle");
	else if (in->refuse_code == 0 && message_was_here(in->message))
		intake_refuse(in, 554, "5.4.6",
			      "This message was here before: mail is going in a circle");
}

/* The message will not be kept: says so, takes back what the store has, ends. */
static void
intake_give_up(struct intake *in)
{
	struct session *s = in->session;

	if (s != NULL) {
		log_info("%s intake.refused message=%s client=%s code=%d text=%s", s->id, in->id,
			 log_safe(s->client), in->refuse_code, log_safe(in->refuse_text));
		session_reply(s, in->refuse_code, in->refuse_status, "%s", in->refuse_text);
		metric_add(METRIC_MESSAGES_REFUSED, 1);
		in->session = NULL;
		session_message_done(s);
	}
	/* After the store is closed its next start takes back what was not complete. */
	if (!in->begun || in->rl->relay->stopped) {
		intake_free(in);
		return;
	}
	chunks_init(&in->job.u.body.chunks);
	in->job.u.body.id = in->message->id;
	intake_submit(in, STORE_ABANDON, WAIT_ABANDON, 0);
}

/* Bytes a message keeps in memory while it waits for the writer. */
static size_t
intake_weight(const struct message *m)
{
	return m->body.bytes + m->header.len + m->arena.total;
}

/*
 * True if this loop takes the message to its upstream straight from memory. Otherwise the store
 * keeps it as due, and retry.c fetches it when there is room.
 */
static bool
intake_can_take(const struct intake *in)
{
	const struct config *c = policy_config(in->policy);
	const struct config_environment *e = config_find_environment(c, in->message->environment);

	return !in->begun && !in->rl->stopping && e != NULL && e->upstream != NULL &&
	       *e->upstream != '\0' &&
	       (uint64_t)metric_get(METRIC_BODY_BYTES_NOW) < c->memory_limit / 2 &&
	       upstream_has_room(in->rl, e->upstream);
}

static void
intake_store(struct intake *in)
{
	session_storing(in->session);
	in->phase = INTAKE_STORING;
	in->job.u.add.message = in->message;
	in->job.u.add.taken = intake_can_take(in);
	in->job.u.add.due_now = clock_steady();
	intake_submit(in, STORE_ADD, WAIT_ADD, intake_weight(in->message));
}

static void
intake_complete(struct intake *in)
{
	struct message *m = in->message;

	intake_check_content(in);
	if (in->refuse_code != 0) {
		intake_give_up(in);
		return;
	}
	m->no_empty_line = in->phase == INTAKE_HEADER;
	m->eightbit = in->in.eightbit;
	m->accepted_at = clock_wall();
	message_read_header(m);
	if (m->declaration_error != NULL) {
		intake_refuse(in, 550, "5.6.0", m->declaration_error);
		intake_give_up(in);
		return;
	}
	if (m->sample.len > 0)
		intake_keep_sample(in); /* what came after the last piece that went to the store */
	m->counted_at = clock_steady();
	gate_judge(in->policy, in->rl->relay->counters, m, m->counted_at - clock_steady_offset(),
		   m->counted_at, GATE_COUNT);
	buf_free(&m->sample);
	message_apply(m);
	message_count_memory(m);
	intake_store(in);
}

/* What is in memory of the body goes to the store when it is much, or memory is short. */
static void
intake_check_spill(struct intake *in)
{
	uint64_t limit = policy_config(in->policy)->memory_limit;
	bool tight = (uint64_t)metric_get(METRIC_BODY_BYTES_NOW) > limit / 2;

	if (in->refuse_code != 0 ||
	    in->message->body.bytes < (tight ? SPILL_TIGHT_BYTES : SPILL_BYTES))
		return;
	/* What stays in memory of a body that goes to the store. */
	intake_keep_sample(in);
	if (in->message->sample.len > 0 && intake_is_too_much(in->rl, in->message))
		intake_refuse(in, 451, "4.3.2", "Busy; try again in a minute");
	else
		intake_spill(in);
}

size_t
intake_feed(struct intake *in, const char *data, size_t len)
{
	size_t used;

	if (in->wait != WAIT_NONE)
		return 0;
	used = body_feed(&in->in, data, len, intake_sink, in);
	if (in->in.state == BODY_DONE)
		intake_complete(in);
	else
		intake_check_spill(in);
	return used;
}

bool
intake_feed_chunk(struct intake *in, const char *data, size_t len, bool last)
{
	if (in->wait != WAIT_NONE)
		return false;
	body_feed_chunk(&in->in, data, len, intake_sink, in);
	if (last) {
		body_end_chunks(&in->in, intake_sink, in);
		intake_complete(in);
	} else {
		intake_check_spill(in);
	}
	return true;
}

bool
intake_end_chunk(struct intake *in)
{
	/* While the store has a piece, the answer to it decides; the next chunk's end tells. */
	if (in->refuse_code == 0 || in->wait != WAIT_NONE)
		return true;
	intake_give_up(in);
	return false;
}

bool
intake_is_waiting(const struct intake *in)
{
	return in->wait != WAIT_NONE;
}

/* Logs one line a recipient group: what became of the message. */
static void
intake_log(const struct intake *in)
{
	const struct message *m = in->message;
	unsigned n[5] = {0};
	size_t i;

	for (i = 0; i < m->recipient_count; i++)
		n[m->recipients[i].verdict.action]++;
	log_info("%s message.accepted environment=%s source=%s sender=%s bytes=%llu recipients=%zu "
		 "pass=%u "
		 "wait=%u hold=%u drop=%u",
		 in->id, m->environment, log_safe(m->source), log_safe(m->sender.text),
		 (unsigned long long)(m->header.len + 2 + m->body_bytes), m->recipient_count,
		 n[VERDICT_PASS], n[VERDICT_WAIT], n[VERDICT_HOLD], n[VERDICT_DROP]);
	metric_add(METRIC_MESSAGES_ACCEPTED, 1);
	metric_add(METRIC_RECIPIENTS_ACCEPTED, (int64_t)m->recipient_count);
}

static bool
intake_has_waiting(const struct message *m)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].verdict.action == VERDICT_WAIT)
			return true;
	return false;
}

/* The commit is on disk: 250, and on the way to the upstream. */
static void
intake_stored(struct intake *in)
{
	struct session *s = in->session;
	int64_t now = clock_mono();
	bool taken = in->job.u.add.taken;
	bool look = !taken || in->job.u.add.released || intake_has_waiting(in->message);

	intake_log(in);
	gate_count(in->policy, in->message);
	if (s != NULL) {
		histogram_observe(HISTOGRAM_ACCEPT, now - in->message->begun_at);
		session_reply(s, 250, "2.0.0", "Ok: queued as %s", in->id);
		in->session = NULL;
		session_message_done(s);
	}
	recall_stored(in->rl->relay, in->message);
	if (look)
		relay_request_poke(in->rl->relay);
	if (taken)
		delivery_start_accepted(in->rl, in->policy, in->message, now);
	in->message = taken ? NULL : in->message;
	intake_free(in);
}

static void
intake_store_failed(struct intake *in)
{
	log_warn("%s intake.store-failed error=%s", in->id, log_safe(in->job.error));
	if (in->job.result == STORE_FULL)
		intake_refuse(in, 452, "4.3.1", "No room for mail now; try again later");
	else
		intake_refuse(in, 451, "4.3.0", "The message could not be stored; try again later");
}

/* The client's message goes on, or is taken back, now that the writer has answered. */
static void
intake_answered(struct loop_post *post)
{
	struct intake *in = (struct intake *)post;
	enum intake_wait wait = in->wait;

	in->wait = WAIT_NONE;
	if (wait == WAIT_ABANDON) {
		intake_free(in);
		return;
	}
	if (in->job.result != STORE_OK)
		intake_store_failed(in);
	if (wait == WAIT_ADD) {
		if (in->job.result == STORE_OK) {
			intake_stored(in);
		} else {
			recall_not_stored(in->rl->relay, in->message);
			intake_give_up(in);
		}
		return;
	}
	chunks_clear(&in->job.u.body.chunks);
	in->message->chunks_stored++;
	if (in->session == NULL)
		intake_give_up(in);
	else
		session_go_on(in->session);
}

void
intake_lost_session(struct intake *in)
{
	in->session = NULL;
	if (in->wait == WAIT_NONE)
		intake_give_up(in);
}
