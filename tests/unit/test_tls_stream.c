/*
 * net/conn with TLS, after the handshake: all that a connection in clear does, it does too. Much in
 * both directions, pauses, ends of every kind and order, time limits, the last word, and no way to
 * free it that is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "tests/unit/tls_certificate.h"
#include "tests/unit/tls_rig.h"

/* More than the kernel takes for one connection. */
enum { LARGE = 24 << 20, PIECE = 65536, FLOW = 6 << 20 };

static const char *mx_file;

static int
make_all(void **state)
{
	struct certificate *mx =
	    certificate_new(&(struct certificate_wish){.common_name = "mx.test"}, NULL);

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	mx_file = certificate_write(mx, PART_BOTH);
	certificate_free(mx);
	return 0;
}

static int
remove_all(void **state)
{
	(void)state;
	certificate_remove_all();
	return 0;
}

static void
start(void)
{
	rig_start();
	server.tls = rig_tls_server(mx_file, "");
	client.tls = rig_tls_client("", false);
	client.host = "mx.test";
}

static int released;

static void
release(void *memory)
{
	free(memory);
	released++;
	rig_look();
}

static void
write_large(struct conn *c)
{
	char *memory = mem_zalloc(LARGE);

	conn_write_ref(c, memory, LARGE, release, memory);
}

/* ---- much, both ways ---- */

struct flow {
	size_t in;
	int wrong, pauses;
	struct loop_timer *resume;
};

static struct flow flows[2];

static char
flow_byte(size_t at)
{
	return (char)(at * 31 + (at >> 8));
}

static void
flow_resume(void *context)
{
	conn_resume(((struct end *)context)->conn);
}

/* Takes half now and then, and pauses every 100 KB. */
static size_t
flow_take(struct end *e, const char *data, size_t len)
{
	struct flow *f = &flows[e == &server];
	size_t i, used = len > 5000 && f->in % 3 == 0 ? len / 2 : len;

	for (i = 0; i < used; i++)
		f->wrong += data[i] != flow_byte(f->in + i);
	if ((f->in + used) / 100000 > f->in / 100000 && f->in + used < FLOW) {
		f->pauses++;
		conn_pause(e->conn);
		loop_timer_set(f->resume, 500);
	}
	f->in += used;
	rig_look();
	return used;
}

static bool
flow_done(void)
{
	return flows[0].in >= FLOW && flows[1].in >= FLOW && conn_pending(server.conn) == 0 &&
	       conn_pending(client.conn) == 0;
}

static void
flow_write(struct end *e)
{
	size_t at, i;

	for (at = 0; at < FLOW; at += PIECE) {
		char *piece = mem_alloc(PIECE);

		for (i = 0; i < PIECE; i++)
			piece[i] = flow_byte(at + i);
		if (at / PIECE % 2 == 0) {
			conn_write_ref(e->conn, piece, PIECE, release, piece);
		} else {
			conn_write(e->conn, piece, PIECE);
			free(piece);
		}
	}
	assert_true(conn_pending(e->conn) == FLOW);
}

static void
test_much_both_ways(void **state)
{
	int i;

	(void)state;
	start();
	released = 0;
	memset(flows, 0, sizeof(flows));
	flows[0].resume = loop_timer_new(loop, flow_resume, &client);
	flows[1].resume = loop_timer_new(loop, flow_resume, &server);
	server.input = client.input = flow_take;
	server.when_secured = client.when_secured = flow_write;
	rig_connect();
	rig_run_until(rig_both_secured);
	rig_run_until(flow_done);
	for (i = 0; i < 2; i++) {
		assert_int_equal(flows[i].in, FLOW);
		assert_int_equal(flows[i].wrong, 0);
		assert_true(flows[i].pauses > 50);
		loop_timer_free(flows[i].resume);
	}
	rig_turns();
	assert_int_equal(released, 2 * FLOW / PIECE / 2);
	assert_true(server.drains > 0 && client.drains > 0);
	assert_int_equal(server.closed + client.closed, 0);
	assert_in_range(server.longest, 1, CONN_INPUT_MAX);
	rig_stop();
}

/* A token of nearly CONN_INPUT_MAX, of which the last bytes may be in OpenSSL already. */
enum { TOKEN = 65000 };

static size_t
take_token(struct end *e, const char *data, size_t len)
{
	if (len < TOKEN)
		return 0;
	buf_add(&e->got, data, len);
	rig_look();
	return len;
}

static bool
server_has_token(void)
{
	return server.got.len >= TOKEN;
}

static void
write_token(struct end *e)
{
	char *bytes = mem_zalloc(TOKEN);

	conn_write(e->conn, bytes, TOKEN);
	free(bytes);
}

static void
test_long_token(void **state)
{
	(void)state;
	start();
	server.input = take_token;
	client.when_secured = write_token;
	rig_connect();
	rig_run_until(server_has_token);
	assert_int_equal(server.got.len, TOKEN);
	rig_stop();
}

static size_t
take_nothing(struct end *e, const char *data, size_t len)
{
	(void)e;
	(void)data;
	(void)len;
	return 0;
}

static void
write_too_much(struct end *e)
{
	char *bytes = mem_zalloc(3 * CONN_INPUT_MAX);

	conn_write(e->conn, bytes, 3 * CONN_INPUT_MAX);
	free(bytes);
}

/* Nobody can wait for more than CONN_INPUT_MAX; in clear neither. */
static void
test_endless_line(void **state)
{
	int with_tls;

	(void)state;
	for (with_tls = 0; with_tls <= 1; with_tls++) {
		start();
		if (!with_tls) {
			tls_unref(server.tls);
			tls_unref(client.tls);
			server.tls = client.tls = NULL;
		}
		server.input = take_nothing;
		client.when_secured = write_too_much;
		rig_connect();
		if (!with_tls)
			write_too_much(&client);
		rig_run_until(rig_server_closed);
		assert_int_equal(server.how, CONN_ERROR);
		assert_string_equal(server.why, "the peer sent too long a line");
		assert_int_equal(server.closed, 1);
		assert_int_equal(server.longest, CONN_INPUT_MAX);
		rig_stop();
	}
}

static bool
server_heard(void)
{
	return server.got.len > 0;
}

static void
test_pause_in_handshake(void **state)
{
	(void)state;
	start();
	server.pause_at_once = true;
	client.first = "hello";
	rig_connect();
	rig_run_until(rig_both_secured);
	rig_turns();
	assert_int_equal(server.got.len, 0);
	conn_resume(server.conn);
	rig_run_until(server_heard);
	assert_string_equal(buf_text(&server.got), "hello");
	rig_stop();
}

/* ---- the last word ---- */

static size_t
answer_and_finish(struct end *e, const char *data, size_t len)
{
	buf_add(&e->got, data, len);
	write_large(e->conn);
	conn_finish(e->conn, 60 * CLOCK_SECOND);
	e->conn = NULL;
	rig_look();
	return len;
}

static void
test_finish_sends_all(void **state)
{
	(void)state;
	start();
	released = 0;
	server.input = answer_and_finish;
	client.first = "go";
	rig_connect();
	rig_run_until(rig_client_closed);
	assert_int_equal(client.how, CONN_EOF);
	assert_int_equal(client.got.len, LARGE);
	assert_int_equal(released, 1);
	assert_int_equal(server.closed, 0);
	rig_stop();
}

static void
peer_reads(struct peer *p)
{
	if (rig_peer_shake(p) && SSL_write(p->ssl, "go", 2) == 2)
		p->result = rig_peer_read_all(p);
}

static size_t
say_bye(struct end *e, const char *data, size_t len)
{
	(void)data;
	conn_write(e->conn, "bye", 3);
	conn_finish(e->conn, CLOCK_SECOND);
	e->conn = NULL;
	loop_stop(loop);
	return len;
}

/* What the kernel takes goes out at once: the loop may be about to end. So does close_notify. */
static void
test_finish_needs_no_loop(void **state)
{
	(void)state;
	start();
	server.input = say_bye;
	rig_peer_start(peer_reads);
	loop_run(loop);
	rig_peer_join();
	assert_string_equal(buf_text(&peer.got), "bye");
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	rig_stop();
}

static size_t
free_quietly(struct end *e, const char *data, size_t len)
{
	(void)data;
	conn_free(e->conn);
	e->conn = NULL;
	return len;
}

static size_t
free_with_bytes_left(struct end *e, const char *data, size_t len)
{
	(void)data;
	write_large(e->conn);
	conn_free(e->conn);
	e->conn = NULL;
	return len;
}

/* A stream that was cut short does not end like a whole one. */
static void
test_goodbye(void **state)
{
	(void)state;
	start();
	server.input = free_quietly;
	rig_peer_start(peer_reads);
	rig_run_until(rig_peer_done);
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	rig_stop();

	start();
	released = 0;
	server.input = free_with_bytes_left;
	rig_peer_start(peer_reads);
	rig_run_until(rig_peer_done);
	assert_int_not_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	assert_true(peer.got.len < LARGE);
	assert_int_equal(released, 1);
	rig_stop();
}

/* Says something, then neither reads nor ends before it may. */
static void
peer_is_deaf(struct peer *p)
{
	if (rig_peer_shake(p))
		SSL_write(p->ssl, "go", 2);
	sem_wait(&p->go_on);
}

static void
let_peer_go(void)
{
	sem_post(&peer.go_on);
	rig_run_until(rig_peer_done);
}

static bool
all_released(void)
{
	return released > 0;
}

static size_t
finish_soon(struct end *e, const char *data, size_t len)
{
	(void)data;
	write_large(e->conn);
	conn_finish(e->conn, 50000);
	e->conn = NULL;
	return len;
}

static void
test_finish_has_a_limit(void **state)
{
	(void)state;
	start();
	released = 0;
	server.input = finish_soon;
	rig_peer_start(peer_is_deaf);
	rig_run_until(all_released);
	let_peer_go();
	rig_stop();
}

/* One that still sends when the loop ends. */
static size_t
finish_and_stop(struct end *e, const char *data, size_t len)
{
	(void)data;
	write_large(e->conn);
	conn_finish(e->conn, 60 * CLOCK_SECOND);
	e->conn = NULL;
	loop_stop(loop);
	return len;
}

static void
test_loop_ends_first(void **state)
{
	(void)state;
	start();
	released = 0;
	server.input = finish_and_stop;
	rig_peer_start(peer_is_deaf);
	loop_run(loop);
	sem_post(&peer.go_on);
	rig_peer_join();
	assert_int_equal(released, 0);
	rig_stop();
	assert_int_equal(released, 1);
}

/* ---- freed anywhere ---- */

static void
free_at_once(struct end *e)
{
	conn_free(e->conn);
	e->conn = NULL;
}

static bool
server_is_there(void)
{
	return server.conn != NULL;
}

/* Both are: freed, or told of the end. */
static bool
both_are_over(void)
{
	return (server.closed > 0 || server.was_freed) && (client.closed > 0 || client.was_freed);
}

static void
test_freed_in_callbacks(void **state)
{
	static const struct {
		enum rig_place server, client;
	} rows[] = {{NOWHERE, CONNECTED}, {NOWHERE, SECURED}, {SECURED, NOWHERE}, {NOWHERE, INPUT},
		    {INPUT, NOWHERE},     {NOWHERE, DRAINED}, {DRAINED, NOWHERE}, {INPUT, INPUT},
		    {DRAINED, INPUT},     {SECURED, SECURED}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		start();
		server.free_in = rows[i].server;
		client.free_in = rows[i].client;
		server.first = "howdy";
		client.first = "hello";
		rig_connect();
		rig_run_until(both_are_over);
		rig_turns();
		/* The one that was freed hears nothing more. */
		assert_int_equal(server.closed, !server.was_freed);
		assert_int_equal(client.closed, !client.was_freed);
		rig_stop();
	}
}

static void
test_freed_before_the_handshake(void **state)
{
	int turn;

	(void)state;
	for (turn = 0; turn < 2; turn++) {
		start();
		client.free_in = CONNECTED;
		rig_connect();
		rig_run_until(server_is_there);
		if (turn == 1)
			rig_turns();
		if (server.conn != NULL)
			free_at_once(&server);
		rig_turns();
		rig_stop();
	}
	/* conn_finish() in the handshake is the end too: nothing can be said. */
	start();
	server.limit = 60 * CLOCK_SECOND;
	rig_peer_start(peer_is_deaf);
	rig_run_until(server_is_there);
	conn_write(server.conn, "never", 5);
	conn_finish(server.conn, 60 * CLOCK_SECOND);
	server.conn = NULL;
	let_peer_go();
	assert_int_equal(server.closed, 0);
	rig_stop();
}

/* ---- ends ---- */

static void
peer_just_closes(struct peer *p)
{
	char bytes[16];

	if (rig_peer_shake(p) && SSL_write(p->ssl, "go", 2) == 2)
		SSL_read(p->ssl, bytes, sizeof(bytes)); /* or what is unread makes it a reset */
}

static void
test_end_without_goodbye(void **state)
{
	(void)state;
	start();
	server.first = "howdy";
	rig_peer_start(peer_just_closes);
	rig_run_until(rig_server_closed);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_EOF);
	assert_int_equal(server.closed, 1);
	assert_string_equal(buf_text(&server.got), "go");
	rig_stop();
}

/*
 * The end of a long line, and that it says no more, in one segment. libevent reads both at once,
 * but only into two pieces of memory: when less than 4096 octets are left of its first one (8144).
 */
enum { LINE = 5000, WHOLE_LINE = LINE + 4 };

static void
peer_quits(struct peer *p)
{
	BIO *buffer = BIO_new(BIO_f_buffer());
	char line[LINE] = {0};

	if (!rig_peer_shake(p))
		return;
	BIO_up_ref(SSL_get_rbio(p->ssl));
	SSL_set0_wbio(p->ssl, BIO_push(buffer, SSL_get_rbio(p->ssl)));
	SSL_write(p->ssl, line, LINE);
	BIO_flush(SSL_get_wbio(p->ssl));
	sem_wait(&p->go_on);
	SSL_write(p->ssl, "QUIT", 4);
	SSL_shutdown(p->ssl);
	BIO_flush(SSL_get_wbio(p->ssl));
	p->result = rig_peer_read_all(p);
}

/* True for the whole line. */
static bool
quit_is_whole(size_t len)
{
	if (len == LINE)
		sem_post(&peer.go_on);
	return len >= WHOLE_LINE;
}

static size_t
take_quit(struct end *e, const char *data, size_t len)
{
	if (!quit_is_whole(len))
		return 0;
	buf_add(&e->got, data, len);
	return len;
}

static size_t
answer_quit(struct end *e, const char *data, size_t len)
{
	return quit_is_whole(len) ? answer_and_finish(e, data, len) : 0;
}

static void
test_half_closed(void **state)
{
	(void)state;
	start();
	server.input = take_quit;
	server.finish_at_end = true;
	rig_peer_start(peer_quits);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_EOF);
	assert_int_equal(server.got.len, WHOLE_LINE);
	assert_string_equal(buf_text(&peer.got), "bye");
	rig_stop();

	/* The owner finishes before it hears of the end. */
	start();
	released = 0;
	server.input = answer_quit;
	rig_peer_start(peer_quits);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.got.len, WHOLE_LINE);
	assert_int_equal(peer.got.len, LARGE);
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	assert_int_equal(released, 1);
	rig_stop();
}

/* A little at a time, and a pause after each; the first is answered at length. */
static size_t
take_some_and_pause(struct end *e, const char *data, size_t len)
{
	if (e->got.len == 0 && !quit_is_whole(len))
		return 0;
	if (e->got.len == 0)
		write_large(e->conn);
	if (len > 2000)
		len = 2000;
	buf_add(&e->got, data, len);
	conn_pause(e->conn);
	rig_look();
	return len;
}

static bool
server_took_some(void)
{
	return server.got.len > 0;
}

static bool
server_took_more(void)
{
	return server.got.len > 2000;
}

static bool
server_took_line(void)
{
	return server.got.len == WHOLE_LINE;
}

static void
resume_when_drained(struct end *e)
{
	if (e->got.len > 0)
		conn_resume(e->conn);
}

static void
test_end_waits_for_a_pause(void **state)
{
	(void)state;
	start();
	server.input = take_some_and_pause;
	server.drained = resume_when_drained; /* what was written goes out meanwhile */
	rig_peer_start(peer_quits);
	rig_run_until(server_took_some);
	rig_run_until(server_took_more);
	assert_int_equal(server.closed, 0);
	conn_resume(server.conn);
	rig_run_until(server_took_line);
	rig_turns();
	assert_int_equal(server.closed, 0);
	conn_resume(server.conn);
	server.finish_at_end = true;
	rig_run_until(rig_peer_done);
	assert_int_equal(server.got.len, WHOLE_LINE);
	assert_int_equal(server.how, CONN_EOF);
	assert_int_equal(server.closed, 1);
	assert_int_equal(peer.got.len, LARGE + 3);
	rig_stop();
}

static void
peer_resets(struct peer *p)
{
	const struct linger at_once = {.l_onoff = 1};

	if (rig_peer_shake(p))
		SSL_write(p->ssl, "go", 2);
	sem_wait(&p->go_on);
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void
test_reset(void **state)
{
	(void)state;
	start();
	rig_peer_start(peer_resets);
	rig_run_until(server_heard);
	let_peer_go();
	rig_run_until(rig_server_closed);
	assert_int_equal(server.how, CONN_ERROR);
	assert_string_equal(server.why, "Connection reset by peer");
	assert_int_equal(server.closed, 1);
	rig_stop();
}

static void
peer_goes_on_in_clear(struct peer *p)
{
	if (rig_peer_shake(p) && SSL_write(p->ssl, "go", 2) == 2)
		send(p->fd, "MAIL FROM:<a@b.test>\r\n", 22, 0);
	sem_wait(&p->go_on);
}

static void
test_clear_text_within(void **state)
{
	(void)state;
	start();
	rig_peer_start(peer_goes_on_in_clear);
	rig_run_until(rig_server_closed);
	let_peer_go();
	assert_int_equal(server.how, CONN_ERROR);
	assert_memory_equal(server.why, "TLS: ", 5);
	assert_string_equal(buf_text(&server.got), "go");
	assert_int_equal(server.closed, 1);
	rig_stop();
}

/* ---- time limits ---- */

static void
test_silence(void **state)
{
	(void)state;
	start();
	server.read_limit = 30000; /* set in the handshake, for what comes after it */
	server.finish_at_end = true;
	rig_peer_start(peer_reads);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_TIMEOUT);
	assert_int_equal(server.closed, 1);
	assert_string_equal(buf_text(&server.got), "go");
	assert_string_equal(buf_text(&peer.got), "bye");
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	rig_stop();
}

static void
test_no_silence_while_paused(void **state)
{
	(void)state;
	start();
	server.read_limit = 3000;
	server.pause_at_once = true;
	rig_connect();
	rig_run_until(rig_both_secured);
	rig_turns(); /* at least 20 ms */
	assert_int_equal(server.closed, 0);
	conn_resume(server.conn);
	rig_run_until(rig_server_closed);
	assert_int_equal(server.how, CONN_TIMEOUT);
	rig_stop();
}

static void
write_large_when_secured(struct end *e)
{
	write_large(e->conn);
}

static void
test_nothing_can_be_sent(void **state)
{
	(void)state;
	start();
	released = 0;
	server.write_limit = 50000;
	server.when_secured = write_large_when_secured;
	rig_peer_start(peer_is_deaf);
	rig_run_until(rig_server_closed);
	let_peer_go();
	assert_int_equal(server.how, CONN_ERROR);
	assert_string_equal(server.why, "timed out");
	assert_int_equal(server.closed, 1);
	rig_stop();
	assert_int_equal(released, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_much_both_ways),
	    cmocka_unit_test(test_long_token),
	    cmocka_unit_test(test_endless_line),
	    cmocka_unit_test(test_pause_in_handshake),
	    cmocka_unit_test(test_finish_sends_all),
	    cmocka_unit_test(test_finish_needs_no_loop),
	    cmocka_unit_test(test_goodbye),
	    cmocka_unit_test(test_finish_has_a_limit),
	    cmocka_unit_test(test_loop_ends_first),
	    cmocka_unit_test(test_freed_in_callbacks),
	    cmocka_unit_test(test_freed_before_the_handshake),
	    cmocka_unit_test(test_end_without_goodbye),
	    cmocka_unit_test(test_half_closed),
	    cmocka_unit_test(test_end_waits_for_a_pause),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_clear_text_within),
	    cmocka_unit_test(test_silence),
	    cmocka_unit_test(test_no_silence_while_paused),
	    cmocka_unit_test(test_nothing_can_be_sent),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
