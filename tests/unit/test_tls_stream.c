/*
 * net/conn with TLS, after the handshake: all that a connection in clear does, it does too. Much in
 * both directions, pauses, the last word, time limits. How it ends is in test_tls_ends.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "tests/unit/tls_certificate.h"
#include "tests/unit/tls_rig.h"

enum { PIECE = 65536, FLOW = 6 << 20 };

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
			conn_write_ref(e->conn, piece, PIECE, rig_release, piece);
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
	rig_start_tls();
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
	rig_start_tls();
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
		rig_start_tls();
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

static void
test_pause_in_handshake(void **state)
{
	(void)state;
	rig_start_tls();
	server.pause_at_once = true;
	client.first = "hello";
	rig_connect();
	rig_run_until(rig_both_secured);
	rig_turns();
	assert_int_equal(server.got.len, 0);
	conn_resume(server.conn);
	rig_run_until(rig_server_heard);
	assert_string_equal(buf_text(&server.got), "hello");
	rig_stop();
}

/* ---- the last word ---- */

static void
test_finish_sends_all(void **state)
{
	(void)state;
	rig_start_tls();
	released = 0;
	server.input = rig_answer_and_finish;
	client.first = "go";
	rig_connect();
	rig_run_until(rig_client_closed);
	assert_int_equal(client.how, CONN_EOF);
	assert_int_equal(client.got.len, RIG_LARGE);
	assert_int_equal(released, 1);
	assert_int_equal(server.closed, 0);
	rig_stop();
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
	rig_start_tls();
	server.input = say_bye;
	rig_peer_start(rig_peer_reads);
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
	rig_write_large(e->conn);
	conn_free(e->conn);
	e->conn = NULL;
	return len;
}

/* A stream that was cut short does not end like a whole one. */
static void
test_goodbye(void **state)
{
	(void)state;
	rig_start_tls();
	server.input = free_quietly;
	rig_peer_start(rig_peer_reads);
	rig_run_until(rig_peer_done);
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	rig_stop();

	rig_start_tls();
	released = 0;
	server.input = free_with_bytes_left;
	rig_peer_start(rig_peer_reads);
	rig_run_until(rig_peer_done);
	assert_int_not_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	assert_true(peer.got.len < RIG_LARGE);
	assert_int_equal(released, 1);
	rig_stop();
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
	rig_write_large(e->conn);
	conn_finish(e->conn, 50000);
	e->conn = NULL;
	return len;
}

static void
test_finish_has_a_limit(void **state)
{
	(void)state;
	rig_start_tls();
	released = 0;
	server.input = finish_soon;
	rig_peer_start(rig_peer_is_deaf);
	rig_run_until(all_released);
	rig_let_peer_go();
	rig_stop();
}

/* One that still sends when the loop ends. */
static size_t
finish_and_stop(struct end *e, const char *data, size_t len)
{
	(void)data;
	rig_write_large(e->conn);
	conn_finish(e->conn, 60 * CLOCK_SECOND);
	e->conn = NULL;
	loop_stop(loop);
	return len;
}

static void
test_loop_ends_first(void **state)
{
	(void)state;
	rig_start_tls();
	released = 0;
	server.input = finish_and_stop;
	rig_peer_start(rig_peer_is_deaf);
	loop_run(loop);
	sem_post(&peer.go_on);
	rig_peer_join();
	assert_int_equal(released, 0);
	rig_stop();
	assert_int_equal(released, 1);
}

/* ---- new keys ---- */

enum { KEY_UPDATES = 20 };

static void
update_keys(struct peer *p)
{
	int i;

	if (!rig_peer_shake(p))
		return;
	for (i = 0; i < KEY_UPDATES; i++)
		if (SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
		    SSL_write(p->ssl, "k", 1) != 1)
			return;
	p->result = rig_peer_read_all(p);
}

static size_t
answer_after_keys(struct end *e, const char *data, size_t len)
{
	if (e->got.len + len == KEY_UPDATES)
		return rig_answer_and_finish(e, data, len);
	buf_add(&e->got, data, len);
	return len;
}

/* RFC 8446 4.6.3: each wants one of ours in answer, ahead of what is said next. */
static void
test_new_keys(void **state)
{
	(void)state;
	rig_start_tls();
	server.input = answer_after_keys;
	rig_peer_start(update_keys);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.got.len, KEY_UPDATES);
	assert_int_equal(peer.got.len, RIG_LARGE);
	assert_int_equal(peer.result, SSL_ERROR_ZERO_RETURN);
	rig_stop();
}

/* ---- time limits ---- */

static void
test_silence(void **state)
{
	(void)state;
	rig_start_tls();
	server.read_limit = 30000; /* set in the handshake, for what comes after it */
	server.finish_at_end = true;
	rig_peer_start(rig_peer_reads);
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
	rig_start_tls();
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
	rig_write_large(e->conn);
}

static void
test_nothing_can_be_sent(void **state)
{
	(void)state;
	rig_start_tls();
	released = 0;
	server.write_limit = 50000;
	server.when_secured = write_large_when_secured;
	rig_peer_start(rig_peer_is_deaf);
	rig_run_until(rig_server_closed);
	rig_let_peer_go();
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
	    cmocka_unit_test(test_new_keys),
	    cmocka_unit_test(test_silence),
	    cmocka_unit_test(test_no_silence_while_paused),
	    cmocka_unit_test(test_nothing_can_be_sent),
	};

	return cmocka_run_group_tests(tests, rig_make_all, rig_remove_all);
}
