/*
 * One SMTP transaction with an upstream: MAIL, RCPTs and DATA at once where it pipelines (RFC
 * 2920), else one by one; the body as it drains; the last reply. Called by smtp_client.c, on its
 * loop.
 *
 * Steps are numbered: 0 is MAIL, 1 to count are the RCPTs, count + 1 is DATA. `sent` and `answered`
 * count them, so the reply that comes is always that of step `answered`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
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

static uint64_t
message_size(const struct message *m)
{
	return m->header.len + 2 + m->body_bytes;
}

static void
send_line(struct smtp_client *c, struct buf *line)
{
	buf_add_text(line, "\r\n");
	conn_write(c->conn, line->data, line->len);
	buf_clear(line);
}

static void
write_step(struct smtp_client *c, struct buf *line)
{
	const struct delivery *d = c->delivery;
	const struct message *m = d->message;

	if (c->sent == 0) {
		buf_printf(line, "MAIL FROM:<%s>", m->sender.text);
		if (c->size)
			buf_printf(line, " SIZE=%" PRIu64, message_size(m));
		if (c->eightbit && m->eightbit)
			buf_add_text(line, " BODY=8BITMIME");
	} else if (c->sent <= c->count) {
		buf_printf(line, "RCPT TO:<%s>", d->recipients[c->recipients[c->sent - 1]].address);
	} else {
		buf_add_text(line, "DATA");
	}
	c->sent++;
	send_line(c, line);
}

static void
send_steps(struct smtp_client *c)
{
	struct buf line = {0};
	size_t last = c->pipelining ? c->count + 2 : c->answered + 1;

	while (c->sent < last)
		write_step(c, &line);
	buf_free(&line);
	smtp_client_expect(c, c->config->timeout);
}

/* What could end the line early, or pass for something else, is refused by us, not tried on them.
 */
static bool
is_sendable(const char *address)
{
	for (; *address != '\0'; address++)
		if ((unsigned char)*address <= 0x20 || (unsigned char)*address >= 0x7f ||
		    *address == '<' || *address == '>')
			return false;
	return true;
}

/* Picks up to CLIENT_RECIPIENTS_MAX recipients; a second one with the same address is not sent. */
static void
choose_recipients(struct smtp_client *c)
{
	struct delivery *d = c->delivery;

	c->count = 0;
	for (; c->next_recipient < d->count && c->count < CLIENT_RECIPIENTS_MAX;
	     c->next_recipient++) {
		size_t i = c->next_recipient;

		if (d->recipients[i].lead != i)
			continue;
		if (!is_sendable(d->recipients[i].address))
			delivery_answer(d, i, 550,
					"550 5.1.3 the address cannot be sent over SMTP");
		else
			c->recipients[c->count++] = i;
	}
}

static void
answer_all(struct smtp_client *c, int code, const char *text, bool accepted_only)
{
	size_t i;

	for (i = 0; i < c->count; i++)
		if (!accepted_only || c->accepted[i])
			delivery_answer(c->delivery, c->recipients[i], code, text);
}

void
smtp_transaction_start(struct smtp_client *c)
{
	const struct message *m = c->delivery->message;

	choose_recipients(c);
	smtp_client_set_state(c, CLIENT_ENVELOPE);
	c->sent = c->answered = 0;
	c->accepted_count = 0;
	c->mail_refused = false;
	c->out = (struct body_out){0};
	c->next_chunk = 1;
	memset(c->accepted, 0, sizeof(c->accepted));
	if (c->size && c->size_max > 0 && message_size(m) > c->size_max)
		answer_all(c, 552, "552 5.3.4 larger than the upstream's size limit", false);
	else if (c->count > 0) {
		send_steps(c);
		return;
	}
	/* Nothing to say after all. */
	smtp_client_set_state(c, CLIENT_RESET);
	conn_write(c->conn, "RSET\r\n", 6);
	smtp_client_expect(c, c->config->timeout);
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
write_chunk(struct smtp_client *c, struct chunk *chunk)
{
	c->writing = chunk;
	body_stuff(&c->out, chunk->data, chunk->len, write_wire, c);
	c->writing = NULL;
}

static void
start_body(struct smtp_client *c)
{
	const struct message *m = c->delivery->message;
	struct chunk *chunk;

	smtp_client_set_state(c, CLIENT_BODY);
	loop_timer_cancel(c->timer); /* the connection's own limit watches that bytes go out */
	body_stuff(&c->out, m->header.data, m->header.len, write_wire, c);
	body_stuff(&c->out, "\r\n", 2, write_wire, c);
	STAILQ_FOREACH (chunk, &m->body.list, next)
		write_chunk(c, chunk);
	if (conn_pending(c->conn) == 0)
		smtp_transaction_drained(c);
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
		if (chunk->len == 0)
			smtp_transaction_drained(c);
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
}

/* All that was written is gone: the next chunk, or the end of data. */
void
smtp_transaction_drained(struct smtp_client *c)
{
	if (c->load != NULL)
		return;
	if (c->next_chunk < c->delivery->chunk_count) {
		load_chunk(c);
		return;
	}
	body_finish(&c->out, write_wire, c);
	smtp_client_set_state(c, CLIENT_FINAL);
	/* RFC 5321 4.5.3.2.6: the longest wait is the one after the final dot. */
	smtp_client_expect(c, 2 * c->config->timeout);
}

static void
reset(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_RESET);
	conn_write(c->conn, "RSET\r\n", 6);
	smtp_client_expect(c, c->config->timeout);
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
	if (code == 354 && !c->mail_refused && c->accepted_count > 0) {
		start_body(c);
		return;
	}
	if (code == 354) {
		/* It took DATA with nobody to send to (RFC 2920 3.1): an empty message, to nobody.
		 */
		conn_write(c->conn, ".\r\n", 3);
		smtp_client_set_state(c, CLIENT_FINAL);
		smtp_client_expect(c, 2 * c->config->timeout);
		return;
	}
	/* A 2xx to DATA is nonsense, and no delivery. */
	answer_all(c, code / 100 == 5 ? code : 451, text, true);
	reset(c);
}

static void
envelope_replied(struct smtp_client *c, const char *text)
{
	int code = effective_code(c, c->reply.code);
	size_t step = c->answered++;

	if (step == 0) {
		c->mail_refused = code / 100 != 2;
		if (c->mail_refused)
			answer_all(c, code / 100 == 5 ? code : 451, text, false);
	} else if (step <= c->count && !c->mail_refused) {
		if (code == 552) /* "too many recipients" of old (RFC 5321 4.5.3.1.10) */
			code = 452;
		c->accepted[step - 1] = code / 100 == 2;
		if (code / 100 == 2)
			c->accepted_count++;
		else
			delivery_answer(c->delivery, c->recipients[step - 1],
					code / 100 == 5 ? code : 451, text);
	} else if (step > c->count) {
		data_replied(c, code, text);
		return;
	}
	if (c->answered < c->sent)
		return;
	/* Not pipelined: DATA is not worth sending where nobody was accepted. */
	if (c->mail_refused || (c->answered == c->count + 1 && c->accepted_count == 0))
		reset(c);
	else
		send_steps(c);
}

static void
final_replied(struct smtp_client *c, const char *text)
{
	int code = c->reply.code;

	answer_all(c, code / 100 == 2 || code / 100 == 5 ? code : 451, text, true);
	if (code / 100 == 2 && c->accepted_count > 0)
		smtp_client_transaction_over(c);
	else
		reset(c);
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
