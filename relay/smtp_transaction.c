/*
 * One SMTP transaction with an upstream: MAIL, RCPTs and DATA at once where it pipelines (RFC
 * 2920), else one by one; the body as it drains; the last reply. Called by smtp_client.c, on its
 * loop.
 *
 * Steps are numbered: 0 is MAIL, 1 to count are the RCPTs, count + 1 is DATA. `sent` and `answered`
 * count them, so the reply that comes is always that of step `answered`.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/seven.h"
#include "relay/smtp_client.h"
#include "relay/upstream.h"

/* Shorter slices are cheaper copied than counted. */
enum { COPY_BELOW = 1024 };

/* A chunk of a large body on its way from the store; outlives its client if that ends first. */
struct chunk_load {
	struct loop_post post;
	struct store_job job;
	struct loop *loop;
	struct smtp_client *client; /* NULL: nobody wants it any more */
};

size_t
smtp_transaction_outstanding(const struct smtp_client *c)
{
	if (c->state == CLIENT_ENVELOPE)
		return c->now->sent - c->now->answered;
	if (c->state == CLIENT_FINAL && smtp_transaction_is_ahead(c->ahead))
		return 1 + c->ahead->sent;
	return c->state == CLIENT_FINAL || c->state == CLIENT_RESET ? 1 : 0;
}

void
smtp_transaction_set_state(struct smtp_transaction *t, enum smtp_transaction_state next)
{
	static const char *const names[] = {"none", "taken", "ahead", "recalled", "said"};
#define TO(state) (1u << TRANSACTION_##state)
	static const unsigned allowed[] = {
	    [TRANSACTION_NONE] = TO(TAKEN),
	    [TRANSACTION_TAKEN] = TO(AHEAD) | TO(SAID) | TO(NONE),
	    [TRANSACTION_AHEAD] = TO(RECALLED) | TO(SAID) | TO(NONE),
	    [TRANSACTION_RECALLED] = TO(NONE),
	    [TRANSACTION_SAID] = TO(SAID) | TO(NONE),
	};
#undef TO

	log_debug("%s transaction.state old=%s new=%s", t->delivery != NULL ? t->delivery->id : "-",
		  names[t->state], names[next]);
	if (!(allowed[t->state] & 1u << next))
		panic("- transaction.state old=%s new=%s is not allowed", names[t->state],
		      names[next]);
	t->state = next;
}

bool
smtp_transaction_is_ahead(const struct smtp_transaction *t)
{
	return t->state == TRANSACTION_AHEAD || t->state == TRANSACTION_RECALLED;
}

/* The commands of a transaction from where it is to before step `end`, in one write. Returns its
 * length. */
static size_t
say_steps(struct smtp_client *c, struct smtp_transaction *t, size_t end)
{
	struct buf lines = {0};
	size_t len;

	buf_reserve(&lines, 240); /* one recipient's, mostly */
	for (; t->sent < end; t->sent++) {
		if (t->sent == 0)
			smtp_envelope_mail(c, t, &lines);
		else if (t->sent <= t->count)
			smtp_envelope_rcpt(c, t, t->sent - 1, &lines);
		else
			buf_add_text(&lines, "DATA");
		buf_add_text(&lines, "\r\n");
	}
	len = lines.len;
	conn_write(c->conn, lines.data, len);
	buf_free(&lines);
	return len;
}

static void
send_steps(struct smtp_client *c)
{
	struct smtp_transaction *t = c->now;

	say_steps(c, t, c->has.pipelining ? t->count + 2 : t->answered + 1);
	smtp_client_expect(c, c->config->timeout);
}

static void
answer_all(struct smtp_client *c, int code, const char *text, bool accepted_only)
{
	size_t i;

	for (i = 0; i < c->now->count; i++)
		if (!accepted_only || c->now->answers[i].code / 100 == 2)
			delivery_answer(c->now->delivery, c->now->recipients[i], code, text);
}

/*
 * Who was refused at MAIL or RCPT is told now, not then: only a reply to DATA or RSET that fits
 * shows that replies and commands are in step, and that it was this recipient who was refused.
 */
static void
settle(struct smtp_client *c)
{
	size_t i;

	for (i = 0; i < c->now->count; i++) {
		int code = c->now->answers[i].code;

		if (code != 0 && code / 100 != 2)
			delivery_answer(c->now->delivery, c->now->recipients[i], code,
					c->now->answers[i].text);
	}
}

static void
reset(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_RESET);
	smtp_client_say(c, "RSET");
}

static bool
is_too_large(const struct smtp_client *c, const struct message *m)
{
	return c->has.size_max > 0 && smtp_envelope_size(m) > c->has.size_max;
}

/* None of its recipients can be sent here. */
static void
fail_too_large(struct smtp_transaction *t)
{
	struct delivery *d = t->delivery;

	for (; t->next_recipient < d->count; t->next_recipient++)
		delivery_answer(d, t->next_recipient, 552,
				"552 5.3.4 larger than the upstream's size limit");
}

/* False where there is nothing to say to this upstream: who cannot be sent is failed here. */
static bool
prepare(struct smtp_client *c, struct smtp_transaction *t)
{
	if (is_too_large(c, t->delivery->message))
		fail_too_large(t);
	smtp_envelope_choose(c, t);
	t->sent = t->answered = 0;
	t->accepted_count = 0;
	t->mail_refused = false;
	memset(t->answers, 0, sizeof(t->answers));
	return t->count > 0;
}

void
smtp_transaction_start(struct smtp_client *c)
{
	struct smtp_transaction *t = c->now;

	smtp_client_set_state(c, CLIENT_ENVELOPE);
	c->out = (struct body_out){0};
	c->next_chunk = 1;
	if (t->state == TRANSACTION_AHEAD) {
		smtp_client_expect(c, c->config->timeout);
		return;
	}
	smtp_transaction_set_state(t, TRANSACTION_SAID);
	if (prepare(c, t))
		send_steps(c);
	else
		reset(c); /* nothing to say after all */
}

/*
 * The envelope of the next message goes out behind the final dot of this one (RFC 2920 3.1), where
 * so many wait that it would not be sent sooner on another connection: one round trip a message
 * instead of two. Its content leaves only once this one is answered, and if it still may then.
 */
static void
say_ahead(struct smtp_client *c)
{
	struct smtp_transaction *t = c->ahead;
	struct delivery *d;

	if (!c->has.pipelining || c->now->next_recipient < c->now->delivery->count)
		return;
	d = upstream_take_ahead(c);
	if (d == NULL)
		return;
	smtp_client_take(c, t, d);
	if (!prepare(c, t))
		return;
	smtp_transaction_set_state(t, TRANSACTION_AHEAD);
	c->behind = say_steps(c, t, t->count + 2);
}

/* The body_sink of what goes out. */
static void
write_wire(void *context, const char *data, size_t len)
{
	struct smtp_client *c = context;

	if (c->writing == NULL || len < COPY_BELOW)
		conn_write(c->conn, data, len);
	else
		conn_write_ref(c->conn, data, len, (void (*)(void *))chunk_unref,
			       chunk_ref(c->writing));
}

static void
write_stuffed(void *context, const char *data, size_t len)
{
	struct smtp_client *c = context;

	body_stuff(&c->out, data, len, write_wire, c);
}

static void
write_content(struct smtp_client *c, const char *data, size_t len)
{
	if (c->seven != NULL)
		seven_feed(c->seven, data, len, write_stuffed, c);
	else
		body_stuff(&c->out, data, len, write_wire, c);
}

static void
write_chunk(struct smtp_client *c, struct chunk *chunk)
{
	c->writing = c->seven == NULL ? chunk : NULL; /* what becomes 7-bit lies elsewhere */
	write_content(c, chunk->data, chunk->len);
	c->writing = NULL;
}

static void
start_body(struct smtp_client *c)
{
	const struct message *m = c->now->delivery->message;
	struct chunk *chunk;

	smtp_client_set_state(c, CLIENT_BODY);
	loop_timer_cancel(c->timer); /* the connection's own limit watches that bytes go out */
	c->behind = 0;
	if (smtp_envelope_is_seven(c, m))
		c->seven = seven_new();
	write_content(c, m->header.data, m->header.len);
	write_content(c, "\r\n", 2);
	if (c->seven != NULL)
		c->in_memory = STAILQ_FIRST(&m->body.list);
	else
		STAILQ_FOREACH (chunk, &m->body.list, next)
			write_chunk(c, chunk);
	/* All of it is in memory: the end goes out with it. */
	c->dotted = c->seven == NULL && c->next_chunk >= c->now->delivery->chunk_count;
	if (c->dotted) {
		body_finish(&c->out, write_wire, c);
		say_ahead(c);
	}
	/* seven.c keeps a header section until it knows what follows: nothing was written. */
	conn_ask_drained(c->conn);
}

static void
chunk_loaded(struct loop_post *post)
{
	struct chunk_load *load = (struct chunk_load *)post;
	struct smtp_client *c = load->client;
	struct chunk *chunk = load->job.result == STORE_OK ? load->job.u.load.chunk : NULL;

	if (c != NULL)
		c->load = NULL;
	if (c != NULL && chunk != NULL) {
		write_chunk(c, chunk);
		conn_ask_drained(c->conn);
	} else if (c != NULL) {
		/* Half a message must not leave: the connection ends without the final dot. */
		smtp_client_end(c, "4.3.0 the message could not be read from the store");
	}
	if (chunk != NULL)
		chunk_unref(chunk);
	free(load);
}

static void
chunk_load_done(struct store_job *job)
{
	struct chunk_load *load = job->context;

	loop_post(load->loop, &load->post);
}

static void
load_chunk(struct smtp_client *c)
{
	struct chunk_load *load = mem_zalloc(sizeof(*load));

	load->post.run = chunk_loaded;
	load->loop = c->rl->loop;
	load->client = c;
	load->job.op = STORE_LOAD_CHUNK;
	load->job.u.load.id = c->now->delivery->message->id;
	load->job.u.load.number = c->next_chunk++;
	load->job.done = chunk_load_done;
	load->job.context = load;
	c->load = load;
	reader_submit(c->rl->relay->store, &load->job);
}

void
smtp_transaction_forget(struct smtp_client *c)
{
	if (c->load != NULL)
		c->load->client = NULL;
	c->load = NULL;
	c->in_memory = NULL;
	seven_free(c->seven);
	c->seven = NULL;
	if (c->now->state == TRANSACTION_SAID)
		settle(c);
}

/* RFC 5321 4.5.3.2.6: the longest wait is the one after the final dot. */
static void
await_final(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_FINAL);
	smtp_client_expect(c, 2 * c->config->timeout);
}

void
smtp_transaction_look(struct smtp_client *c)
{
	/* What was only thrown away has not gone: conn_unsent() counts it. */
	if (c->state == CLIENT_BODY && c->dotted && conn_unsent(c->conn) <= c->behind)
		await_final(c);
}

/*
 * All that was written is gone: the next chunk, or the end of data. What is in memory is written
 * chunk by chunk too where it becomes 7-bit, because then it is a copy, and larger.
 */
void
smtp_transaction_drained(struct smtp_client *c)
{
	if (c->load != NULL)
		return;
	if (c->dotted) {
		await_final(c);
		return;
	}
	while (c->in_memory != NULL) {
		struct chunk *chunk = c->in_memory;

		c->in_memory = STAILQ_NEXT(chunk, next);
		write_chunk(c, chunk);
		if (conn_pending(c->conn) > 0)
			return;
	}
	if (c->next_chunk < c->now->delivery->chunk_count) {
		load_chunk(c);
		return;
	}
	if (c->seven != NULL) {
		seven_finish(c->seven, write_stuffed, c);
		seven_free(c->seven);
		c->seven = NULL;
	}
	body_finish(&c->out, write_wire, c);
	say_ahead(c);
	await_final(c);
}

/* The upstream wants something of us (a login, TLS): that is not the message's fault, so it waits.
 */
static int
effective_code(const struct smtp_client *c, int code)
{
	bool ours = code == 530 || code == 534 || code == 535 || code == 538;

	return ours && c->now->answered == 0 ? 450 : code;
}

/*
 * A 2xx is no delivery: a reply too many has come before it. And where it has refused the sender
 * but taken recipients, a final dot would send them an empty message; or, where all was said ahead,
 * it was not this sender.
 */
static bool
is_out_of_step(const struct smtp_transaction *t, int code)
{
	return code / 100 == 2 || (t->mail_refused && t->accepted_count > 0 &&
				   (code == 354 || t->state == TRANSACTION_AHEAD));
}

static void
data_replied(struct smtp_client *c, int code, const char *text)
{
	struct smtp_transaction *t = c->now;

	if (is_out_of_step(t, code)) {
		smtp_client_nonsense(c, text);
		return;
	}
	if (t->state == TRANSACTION_AHEAD) {
		smtp_transaction_set_state(t, TRANSACTION_SAID);
		upstream_took_ahead(c);
	}
	settle(c);
	if (code == 354 && !t->mail_refused && t->accepted_count > 0) {
		if (delivery_may_leave(t->delivery))
			start_body(c);
		else
			smtp_client_move_on(c, "its content must not be sent any more");
		return;
	}
	if (code == 354) {
		/* It took DATA with nobody to send to (RFC 2920 3.1): an empty message, to nobody.
		 */
		conn_write(c->conn, ".\r\n", 3);
		await_final(c);
		return;
	}
	answer_all(c, code / 100 == 5 ? code : 451, text, true);
	reset(c);
}

/* In its turn nothing else can have been meant; of what was said ahead settle() tells. */
static void
mail_replied(struct smtp_client *c, int code, const char *text)
{
	struct smtp_transaction *t = c->now;
	size_t i;

	t->mail_refused = code / 100 != 2;
	if (!t->mail_refused)
		return;
	if (code / 100 != 5)
		code = 451;
	if (t->state == TRANSACTION_SAID)
		answer_all(c, code, text, false);
	text = arena_strdup(&t->delivery->arena, text);
	for (i = 0; i < t->count; i++)
		t->answers[i] = (struct smtp_answer){code, text};
}

static void
rcpt_replied(struct smtp_client *c, size_t number, int code, const char *text)
{
	if (code == 552) /* "too many recipients" of old (RFC 5321 4.5.3.1.10) */
		code = 452;
	if (code / 100 == 2)
		c->now->accepted_count++;
	else if (code / 100 != 5)
		code = 451;
	if (c->now->mail_refused) /* what that was answered is the reason */
		return;
	c->now->answers[number].code = code;
	c->now->answers[number].text = arena_strdup(&c->now->delivery->arena, text);
}

/*
 * A 4xx to MAIL from one that has taken mail on this connection may say no more than that the
 * connection has had its share (OpenSMTPD: 452 after 100 messages): a new one shows.
 */
static bool
has_had_its_share(const struct smtp_client *c, int code)
{
	return c->now->answered == 0 && code / 100 == 4 && c->carried;
}

static void
envelope_replied(struct smtp_client *c, const char *text)
{
	int code = effective_code(c, c->reply.code);
	size_t step;

	if (has_had_its_share(c, code)) {
		smtp_client_move_on(c, text);
		return;
	}
	/* Bad sequence of commands: it cannot take what comes behind a final dot after all. */
	if (c->now->state == TRANSACTION_AHEAD && c->now->answered == 0 && code == 503) {
		upstream_no_ahead(c, true);
		smtp_client_move_on(c, text);
		return;
	}
	step = c->now->answered++;
	if (step <= c->now->count && code / 100 == 3) {
		smtp_client_nonsense(c, text);
	} else if (step == 0) {
		mail_replied(c, code, text);
	} else if (step <= c->now->count) {
		rcpt_replied(c, step - 1, code, text);
	} else {
		data_replied(c, code, text);
	}
	if (c->state != CLIENT_ENVELOPE)
		return;
	if (c->now->answered < c->now->sent)
		smtp_client_expect(c, c->config->timeout); /* for each reply its own time */
	else if (c->now->mail_refused ||
		 (c->now->answered == c->now->count + 1 && c->now->accepted_count == 0))
		reset(c); /* not pipelined: DATA is not worth sending where nobody was accepted */
	else
		send_steps(c);
}

static void
final_replied(struct smtp_client *c, const char *text)
{
	bool ahead = smtp_transaction_is_ahead(c->ahead);
	int code = c->reply.code;

	if (code / 100 == 3) {
		smtp_client_nonsense(c, text);
		return;
	}
	if (code == 503 && ahead) { /* about what came behind the dot, not about the content */
		upstream_no_ahead(c, true);
		code = 451;
	}
	answer_all(c, code / 100 == 2 || code / 100 == 5 ? code : 451, text, true);
	if (code / 100 == 2 && c->now->accepted_count > 0) {
		c->carried = true;
		smtp_client_transaction_over(c);
	} else if (ahead) { /* the end of data has ended it (RFC 5321 4.1.1.4) */
		smtp_client_transaction_over(c);
	} else {
		reset(c);
	}
}

void
smtp_transaction_reply(struct smtp_client *c)
{
	struct buf text = {0};

	reply_format(&c->reply, &text);
	if (c->reply.code == 421) {
		smtp_client_end(c, buf_text(&text));
	} else if (c->state == CLIENT_ENVELOPE) {
		envelope_replied(c, buf_text(&text));
	} else if (c->state == CLIENT_FINAL) {
		final_replied(c, buf_text(&text));
	} else if (c->state == CLIENT_RESET) {
		settle(c);
		if (c->reply.code / 100 == 2)
			smtp_client_transaction_over(c);
		else
			smtp_client_end(c, "4.5.0 it refused RSET");
	} else {
		/* A word before the final dot: no 2xx can be meant, and a 5xx will not change. */
		answer_all(c, c->reply.code / 100 == 5 ? c->reply.code : 451, buf_text(&text),
			   true);
		smtp_client_end(c, buf_text(&text));
	}
	buf_free(&text);
}
