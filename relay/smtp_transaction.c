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
		return c->sent - c->answered;
	return c->state == CLIENT_FINAL || c->state == CLIENT_RESET ? 1 : 0;
}

static void
send_steps(struct smtp_client *c)
{
	struct buf lines = {0};
	size_t last = c->has.pipelining ? c->count + 2 : c->answered + 1;

	buf_reserve(&lines, 240); /* one recipient's, mostly */
	for (; c->sent < last; c->sent++) {
		if (c->sent == 0)
			smtp_envelope_mail(c, &lines);
		else if (c->sent <= c->count)
			smtp_envelope_rcpt(c, c->sent - 1, &lines);
		else
			buf_add_text(&lines, "DATA");
		buf_add_text(&lines, "\r\n");
	}
	conn_write(c->conn, lines.data, lines.len);
	smtp_client_expect(c, c->config->timeout);
	buf_free(&lines);
}

static void
answer_all(struct smtp_client *c, int code, const char *text, bool accepted_only)
{
	size_t i;

	for (i = 0; i < c->count; i++)
		if (!accepted_only || c->answers[i].code / 100 == 2)
			delivery_answer(c->delivery, c->recipients[i], code, text);
}

/*
 * Who was refused at RCPT is told now, not then: only a reply to DATA or RSET that fits shows that
 * replies and commands are in step, and that it was this recipient who was refused.
 */
static void
settle(struct smtp_client *c)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		int code = c->answers[i].code;

		if (code != 0 && code / 100 != 2)
			delivery_answer(c->delivery, c->recipients[i], code, c->answers[i].text);
	}
}

static void
reset(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_RESET);
	smtp_client_say(c, "RSET");
}

void
smtp_transaction_start(struct smtp_client *c)
{
	const struct message *m = c->delivery->message;

	smtp_envelope_choose(c);
	smtp_client_set_state(c, CLIENT_ENVELOPE);
	c->sent = c->answered = 0;
	c->accepted_count = 0;
	c->mail_refused = false;
	c->out = (struct body_out){0};
	c->next_chunk = 1;
	memset(c->answers, 0, sizeof(c->answers));
	if (c->has.size_max > 0 && smtp_envelope_size(m) > c->has.size_max)
		answer_all(c, 552, "552 5.3.4 larger than the upstream's size limit", false);
	else if (c->count > 0) {
		send_steps(c);
		return;
	}
	reset(c); /* nothing to say after all */
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
	const struct message *m = c->delivery->message;
	struct chunk *chunk;

	smtp_client_set_state(c, CLIENT_BODY);
	loop_timer_cancel(c->timer); /* the connection's own limit watches that bytes go out */
	if (smtp_envelope_is_seven(c))
		c->seven = seven_new();
	write_content(c, m->header.data, m->header.len);
	write_content(c, "\r\n", 2);
	if (c->seven != NULL)
		c->in_memory = STAILQ_FIRST(&m->body.list);
	else
		STAILQ_FOREACH (chunk, &m->body.list, next)
			write_chunk(c, chunk);
	/* All of it is in memory: the end goes out with it. */
	c->dotted = c->seven == NULL && c->next_chunk >= c->delivery->chunk_count;
	if (c->dotted)
		body_finish(&c->out, write_wire, c);
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
	load->job.u.load.id = c->delivery->message->id;
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
	if (c->delivery != NULL)
		settle(c);
}

/* RFC 5321 4.5.3.2.6: the longest wait is the one after the final dot. */
static void
await_final(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_FINAL);
	smtp_client_expect(c, 2 * c->config->timeout);
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
	if (c->next_chunk < c->delivery->chunk_count) {
		load_chunk(c);
		return;
	}
	if (c->seven != NULL) {
		seven_finish(c->seven, write_stuffed, c);
		seven_free(c->seven);
		c->seven = NULL;
	}
	body_finish(&c->out, write_wire, c);
	await_final(c);
}

/* The upstream wants something of us (a login, TLS): that is not the message's fault, so it waits.
 */
static int
effective_code(const struct smtp_client *c, int code)
{
	bool ours = code == 530 || code == 534 || code == 535 || code == 538;

	return ours && c->answered == 0 ? 450 : code;
}

static void
data_replied(struct smtp_client *c, int code, const char *text)
{
	/*
	 * A 2xx is no delivery: a reply too many has come before it. And where it has refused the
	 * sender but taken recipients, a final dot would send them an empty message.
	 */
	if (code / 100 == 2 || (code == 354 && c->mail_refused && c->accepted_count > 0)) {
		smtp_client_nonsense(c, text);
		return;
	}
	settle(c);
	if (code == 354 && !c->mail_refused && c->accepted_count > 0) {
		start_body(c);
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

static void
rcpt_replied(struct smtp_client *c, size_t number, int code, const char *text)
{
	if (code == 552) /* "too many recipients" of old (RFC 5321 4.5.3.1.10) */
		code = 452;
	if (code / 100 == 2)
		c->accepted_count++;
	else if (code / 100 != 5)
		code = 451;
	c->answers[number].code = code;
	c->answers[number].text = arena_strdup(&c->delivery->arena, text);
}

/*
 * A 4xx to MAIL from one that has taken mail on this connection may say no more than that the
 * connection has had its share (OpenSMTPD: 452 after 100 messages): a new one shows.
 */
static bool
has_had_its_share(const struct smtp_client *c, int code)
{
	return c->answered == 0 && code / 100 == 4 && c->carried;
}

static void
envelope_replied(struct smtp_client *c, const char *text)
{
	int code = effective_code(c, c->reply.code);
	size_t step;

	if (has_had_its_share(c, code) && smtp_client_move_on(c, text))
		return;
	step = c->answered++;
	if (step <= c->count && code / 100 == 3) {
		smtp_client_nonsense(c, text);
	} else if (step == 0) {
		c->mail_refused = code / 100 != 2;
		if (c->mail_refused)
			answer_all(c, code / 100 == 5 ? code : 451, text, false);
	} else if (step <= c->count) {
		rcpt_replied(c, step - 1, code, text);
	} else {
		data_replied(c, code, text);
	}
	if (c->state != CLIENT_ENVELOPE)
		return;
	if (c->answered < c->sent)
		smtp_client_expect(c, c->config->timeout); /* for each reply its own time */
	else if (c->mail_refused || (c->answered == c->count + 1 && c->accepted_count == 0))
		reset(c); /* not pipelined: DATA is not worth sending where nobody was accepted */
	else
		send_steps(c);
}

static void
final_replied(struct smtp_client *c, const char *text)
{
	int code = c->reply.code;

	answer_all(c, code / 100 == 2 || code / 100 == 5 ? code : 451, text, true);
	if (code / 100 == 2 && c->accepted_count > 0) {
		c->carried = true;
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
