/*
 * net/conn with TLS: how it ends. Freed anywhere, by either side, with and without a goodbye, with
 * the last bytes, by a reset, by what is no TLS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "tests/unit/tls_certificate.h"
#include "tests/unit/tls_rig.h"

/* ---- freed anywhere ---- */

static void
free_at_once(struct end *e)
{
	conn_free(e->conn);
	e->conn = NULL;
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
		rig_start_tls();
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
		rig_start_tls();
		client.free_in = CONNECTED;
		rig_connect();
		rig_run_until(rig_server_is_there);
		if (turn == 1)
			rig_turns();
		if (server.conn != NULL)
			free_at_once(&server);
		rig_turns();
		rig_stop();
	}
	/* conn_finish() in the handshake is the end too: nothing can be said. */
	rig_start_tls();
	server.limit = 60 * CLOCK_SECOND;
	rig_peer_start(rig_peer_is_deaf);
	rig_run_until(rig_server_is_there);
	conn_write(server.conn, "never", 5);
	conn_finish(server.conn, 60 * CLOCK_SECOND);
	server.conn = NULL;
	rig_let_peer_go();
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
	rig_start_tls();
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
	return quit_is_whole(len) ? rig_answer_and_finish(e, data, len) : 0;
}

static void
test_half_closed(void **state)
{
	(void)state;
	rig_start_tls();
	server.input = take_quit;
	server.finish_at_end = true;
	rig_peer_start(peer_quits);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_EOF);
	assert_int_equal(server.got.len, WHOLE_LINE);
	assert_string_equal(buf_text(&peer.got), "bye");
	rig_stop();

	/* The owner finishes before it hears of the end. */
	rig_start_tls();
	released = 0;
	server.input = answer_quit;
	rig_peer_start(peer_quits);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.got.len, WHOLE_LINE);
	assert_int_equal(peer.got.len, RIG_LARGE);
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
		rig_write_large(e->conn);
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
	rig_start_tls();
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
	assert_int_equal(peer.got.len, RIG_LARGE + 3);
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
	rig_start_tls();
	rig_peer_start(peer_resets);
	rig_run_until(rig_server_heard);
	rig_let_peer_go();
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
	rig_start_tls();
	rig_peer_start(peer_goes_on_in_clear);
	rig_run_until(rig_server_closed);
	rig_let_peer_go();
	assert_int_equal(server.how, CONN_ERROR);
	assert_memory_equal(server.why, "TLS: ", 5);
	assert_string_equal(buf_text(&server.got), "go");
	assert_int_equal(server.closed, 1);
	rig_stop();
}

/* The head of a record of 16 KB, and then an octet of it at a time. */
static void
peer_trickles(struct peer *p)
{
	static const char head[] = {0x17, 0x03, 0x03, 0x40, 0x00};

	if (!rig_peer_shake(p) || SSL_write(p->ssl, "go", 2) != 2)
		return;
	send(p->fd, head, sizeof(head), MSG_NOSIGNAL);
	while (sem_trywait(&p->go_on) != 0 && send(p->fd, "x", 1, MSG_NOSIGNAL) == 1)
		usleep(10000);
}

/* Octets of a record that never becomes whole are none for the owner, and do not count as such. */
static void
test_trickled_record(void **state)
{
	(void)state;
	rig_start_tls();
	server.read_limit = CLOCK_SECOND;
	rig_peer_start(peer_trickles);
	rig_run_until(rig_server_closed);
	rig_let_peer_go();
	assert_int_equal(server.how, CONN_TIMEOUT);
	assert_string_equal(buf_text(&server.got), "go");
	rig_stop();
}

static void
peer_sips(struct peer *p)
{
	char bytes[16384];
	int n;

	if (!rig_peer_shake(p))
		return;
	while ((n = SSL_read(p->ssl, bytes, sizeof(bytes))) > 0) {
		buf_add(&p->got, bytes, (size_t)n);
		usleep(2000);
	}
}

static void
write_large_and_finish(struct end *e)
{
	rig_write_large(e->conn);
	conn_finish(e->conn, CLOCK_SECOND);
	e->conn = NULL;
}

/* Who takes the last words a sip at a time does not keep the connection beyond its limit. */
static void
test_finish_is_bounded(void **state)
{
	(void)state;
	rig_start_tls();
	released = 0;
	server.when_secured = write_large_and_finish;
	rig_peer_start(peer_sips);
	rig_run_until(rig_peer_done);
	assert_in_range(peer.got.len, 1, RIG_LARGE - 1);
	assert_int_equal(released, 1);
	rig_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_freed_in_callbacks),
	    cmocka_unit_test(test_freed_before_the_handshake),
	    cmocka_unit_test(test_end_without_goodbye),
	    cmocka_unit_test(test_half_closed),
	    cmocka_unit_test(test_end_waits_for_a_pause),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_clear_text_within),
	    cmocka_unit_test(test_trickled_record),
	    cmocka_unit_test(test_finish_is_bounded),
	};

	return cmocka_run_group_tests(tests, rig_make_all, rig_remove_all);
}
