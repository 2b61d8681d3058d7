/*
 * net/tls: certificates and keys from files, the handshake on both sides, and what it refuses.
 * Names are in test_tls_names.c, the stream afterwards in test_tls_stream.c and test_tls_ends.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/tls.h"
#include "tests/unit/tls_certificate.h"
#include "tests/unit/tls_rig.h"

/* ---- files ---- */

static void
test_files(void **state)
{
	const char *key = certificate_write(mx, PART_KEY);
	const char *alone = certificate_write(mx, PART_CERTIFICATE);
	const char *locked = certificate_write(mx, PART_LOCKED_KEY);
	const char *empty = certificate_write_text("");
	const char *damaged = certificate_write_text("-----BEGIN CERTIFICATE-----\nAAAA\n"
						     "-----END CERTIFICATE-----\n");
	const struct {
		const char *certificate, *key, *client_ca, *wanted; /* NULL: taken */
	} rows[] = {
	    {mx_file, "", "", NULL},
	    {alone, key, "", NULL},
	    {mx_file, key, ca_file, NULL},
	    {"/nonexistent/x.pem", "", "",
	     "the certificate \"/nonexistent/x.pem\" cannot be read: No such file"},
	    {empty, key, "", "there is no certificate in"},
	    {key, key, "", "there is no certificate in"},
	    {damaged, key, "", "cannot be used"},
	    {alone, "", "", "there is no private key in"},
	    {alone, empty, "", "there is no private key in"},
	    {alone, "/nonexistent/k.pem", "",
	     "the key \"/nonexistent/k.pem\" cannot be read: No such file"},
	    {ca_file, key, "", "belongs to another certificate than the first in"},
	    {alone, locked, "", "has a passphrase; remove it: openssl pkey -in"},
	    {mx_file, "", "/nonexistent/ca.pem",
	     "the CA file \"/nonexistent/ca.pem\" cannot be read: No such file"},
	    {mx_file, "", empty, "there is no CA certificate in"},
	    {mx_file, "", key, "there is no CA certificate in"},
	};
	struct buf error = {0};
	struct tls *t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_clear(&error);
		t = tls_server_new(rows[i].certificate, rows[i].key, rows[i].client_ca, &error);
		if ((t == NULL) != (rows[i].wanted != NULL) ||
		    (t == NULL && strstr(buf_text(&error), rows[i].wanted) == NULL))
			fail_msg("row %zu: %s", i, buf_text(&error));
		if (t != NULL)
			assert_int_equal(error.len, 0);
		tls_unref(t);
		assert_int_equal(ERR_peek_error(), 0);
	}
	assert_null(tls_client_new(empty, true, &error));
	assert_null(tls_client_new("/nonexistent/ca.pem", false, &error));
	tls_unref(NULL);
	buf_free(&error);
}

static void
test_expiry(void **state)
{
	struct certificate *old = certificate_new(
	    &(struct certificate_wish){.common_name = "old.test", .has_expired = true}, ca);
	struct tls *fresh = rig_tls_server(mx_file, ""), *late, *out = rig_tls_client("", false);
	int64_t now = clock_wall();

	(void)state;
	late = rig_tls_server(certificate_write(old, PART_BOTH), "");
	assert_in_range(tls_expires_at(fresh) - now, 29 * CLOCK_DAY, 30 * CLOCK_DAY);
	assert_in_range(now - tls_expires_at(late), CLOCK_DAY - CLOCK_HOUR, CLOCK_DAY + CLOCK_HOUR);
	assert_int_equal(tls_expires_at(out), 0);
	assert_ptr_equal(tls_ref(fresh), fresh);
	tls_unref(fresh);
	tls_unref(fresh);
	tls_unref(late);
	tls_unref(out);
	certificate_free(old);
	assert_true(strncmp(tls_library_version(), "3.", 2) == 0);
}

/* ---- both sides of ours ---- */

static bool
both_said_hello(void)
{
	return server.got.len >= 5 && client.got.len >= 5;
}

static void
test_implicit(void **state)
{
	(void)state;
	rig_start();
	server.tls = rig_tls_server(mx_file, "");
	client.tls = rig_tls_client(ca_file, true);
	client.host = "mx.test";
	server.first = "howdy";
	client.first = "hello";
	rig_connect();
	rig_run_until(both_said_hello);
	assert_string_equal(buf_text(&server.got), "hello");
	assert_string_equal(buf_text(&client.got), "howdy");
	assert_string_equal(server.version, "TLSv1.3");
	assert_string_equal(client.version, "TLSv1.3");
	assert_string_equal(server.peer_name, "");
	assert_string_equal(client.peer_name, "");
	assert_false(server.was_secured_early);
	assert_int_equal(server.secured, 1);
	assert_int_equal(client.secured, 1);
	rig_stop();
}

static void
set_starttls(const char *answer)
{
	server.tls = rig_tls_server(mx_file, "");
	client.tls = rig_tls_client(ca_file, true);
	client.host = "mx.test.";
	server.word = "STARTTLS\n";
	server.answer = answer;
	client.word = "220 go\n";
	server.first = "howdy";
	client.first = "after";
}

static bool
server_has_all(void)
{
	return server.got.len >= 14 && client.got.len >= 12;
}

static void
test_starttls(void **state)
{
	(void)state;
	rig_start();
	set_starttls("220 go\n");
	rig_connect();
	conn_write(client.conn, "STARTTLS\n", 9);
	rig_run_until(server_has_all);
	assert_string_equal(buf_text(&server.got), "STARTTLS\nafter");
	assert_string_equal(buf_text(&client.got), "220 go\nhowdy");
	assert_int_equal(client.connected, 1);
	rig_stop();
}

/* RFC 3207 4.2, CVE-2011-0411. */
static void
test_injected_commands_are_lost(void **state)
{
	(void)state;
	rig_start();
	set_starttls("220 go\n");
	rig_connect();
	conn_write(client.conn, "STARTTLS\nMAIL FROM:<x@y.z>\n", 27);
	rig_run_until(server_has_all);
	rig_turns();
	assert_string_equal(buf_text(&server.got), "STARTTLS\nafter");
	rig_stop();
}

/* CVE-2011-1926 and the like: the answers behind the answer are not the server's. */
static void
test_injected_answers_are_refused(void **state)
{
	(void)state;
	rig_start();
	set_starttls("220 go\n250 AUTH PLAIN\n");
	rig_connect();
	conn_write(client.conn, "STARTTLS\n", 9);
	rig_run_until(rig_both_closed);
	assert_int_equal(client.how, CONN_ERROR);
	assert_string_equal(client.why, "TLS: the peer sent clear text before the handshake");
	assert_int_equal(client.secured, 0);
	assert_int_equal(client.closed, 1);
	assert_string_equal(buf_text(&client.got), "220 go\n");
	rig_stop();
}

/* What is written after conn_start_tls() waits for the handshake. */
static void
write_behind(struct end *e)
{
	conn_write(e->conn, "behind", 6);
}

static bool
client_heard_behind(void)
{
	return client.got.len >= 6;
}

static void
test_nothing_more_goes_in_clear(void **state)
{
	(void)state;
	rig_start();
	server.tls = rig_tls_server(mx_file, "");
	client.tls = rig_tls_client(ca_file, true);
	client.host = "mx.test";
	rig_connect();
	rig_run_until(rig_server_is_there);
	write_behind(&server);
	assert_int_equal(conn_pending(server.conn), 6);
	rig_run_until(client_heard_behind);
	assert_string_equal(buf_text(&client.got), "behind");
	assert_int_equal(client.secured, 1);
	rig_stop();
}

/* ---- other peers ---- */

static int peer_version;

static void
peer_shakes(struct peer *p)
{
	p->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(p->context, 0); /* or it would not try the old ones itself */
	SSL_CTX_set_min_proto_version(p->context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(p->context, peer_version);
	p->result = rig_peer_shake(p);
	if (p->result == 0)
		return;
	SSL_write(p->ssl, "hello", 5);
	if (peer_version == TLS1_2_VERSION) {
		SSL_renegotiate(p->ssl);
		p->result += SSL_do_handshake(p->ssl) == 1;
	}
}

static void
test_versions(void **state)
{
	static const struct {
		int version;
		const char *wanted; /* the version that is agreed on */
	} rows[] = {{TLS1_1_VERSION, ""}, {TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_start();
		peer_version = rows[i].version;
		server.tls = rig_tls_server(mx_file, "");
		rig_peer_start(peer_shakes);
		rig_run_until(rig_peer_done);
		rig_run_until(rig_server_closed);
		assert_string_equal(server.version, rows[i].wanted);
		assert_int_equal(peer.result, i > 0); /* and nobody renegotiates */
		if (i == 0)
			assert_string_equal(server.why, "TLS: unsupported protocol");
		else
			assert_string_equal(buf_text(&server.got), "hello");
		rig_stop();
	}
}

/* A record of a ClientHello, 512 bytes, of which only the first are sent. */
static const char half[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

static const struct hostile {
	const char *data;
	size_t len;
	bool reset;
	const char
	    *wanted; /* of the server's reasons; of a client's too, unless there is another */
	const char *client_wanted;
} hostiles[] = {
    {"EHLO mail.test\r\n", 16, false, "TLS: the peer does not speak TLS", NULL},
    {"220 mail.test ESMTP\r\n", 21, false, "TLS: the peer does not speak TLS", NULL},
    {"GET / HTTP/1.1\r\n\r\n", 18, false, "TLS: the peer speaks HTTP", NULL},
    {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, false, "TLS: ", NULL},
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, false, "TLS: ", NULL},
    {"\x16\x03\x01\xff\xff\x01\x00\x01\xfc\x03\x03", 11, false, "TLS: ", NULL},
    {half, 11, false, "TLS: the peer closed the connection", NULL},
    {"", 0, false, "TLS: the peer closed the connection", NULL},
    {half, 11, true, "TLS: Connection reset by peer", NULL},
    {"\x15\x03\x01\x00\x02\x02\x28", 7, false, "TLS: ", "TLS: the peer refuses: handshake failure"},
};

static const struct hostile *hostile;

static void
peer_is_hostile(struct peer *p)
{
	const struct linger at_once = {.l_onoff = 1};
	char bytes[4096];

	if (p->listens) /* not before our side has begun */
		recv(p->fd, bytes, 1, 0);
	send(p->fd, hostile->data, hostile->len, 0);
	if (hostile->reset) {
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		return;
	}
	shutdown(p->fd, SHUT_WR);
	while (recv(p->fd, bytes, sizeof(bytes), 0) > 0)
		;
}

static void
check_hostile(struct end *e, const char *wanted)
{
	rig_turns();
	assert_int_equal(e->closed, 1);
	assert_int_equal(e->how, CONN_ERROR);
	assert_int_equal(e->secured, 0);
	assert_int_equal(e->got.len, 0);
	if (strncmp(e->why, wanted, strlen(wanted)) != 0)
		fail_msg("%s", e->why);
	rig_stop();
}

static void
test_hostile_clients(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hostiles) / sizeof(hostiles[0]); i++) {
		print_message("row %zu\n", i);
		rig_start();
		hostile = &hostiles[i];
		server.tls = rig_tls_server(mx_file, "");
		rig_peer_start(peer_is_hostile);
		rig_run_until(rig_peer_done);
		rig_run_until(rig_server_closed);
		check_hostile(&server, hostile->wanted);
	}
}

static void
test_hostile_servers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hostiles) / sizeof(hostiles[0]); i++) {
		print_message("row %zu\n", i);
		rig_start();
		hostile = &hostiles[i];
		client.tls = rig_tls_client(ca_file, i % 2 == 0);
		client.host = "mx.test";
		rig_peer_listen(peer_is_hostile);
		rig_connect();
		rig_run_until(rig_client_closed);
		rig_run_until(rig_peer_done);
		check_hostile(&client, hostile->client_wanted != NULL ? hostile->client_wanted
								      : hostile->wanted);
	}
}

/* The bytes come one by one, and in time for any limit between them, until the server hangs up. */
static size_t dripped;

static void
peer_drips(struct peer *p)
{
	struct pollfd hung_up = {.fd = p->fd, .events = POLLIN};
	char byte;

	while (poll(&hung_up, 1, 10) == 0 || recv(p->fd, &byte, 1, 0) > 0) {
		send(p->fd, dripped < sizeof(half) ? half + dripped : "", 1, MSG_NOSIGNAL);
		dripped++;
	}
}

static void
test_handshake_has_a_limit(void **state)
{
	(void)state;
	rig_start();
	server.tls = rig_tls_server(mx_file, "");
	server.limit = CLOCK_SECOND / 5;
	dripped = 0;
	rig_peer_start(peer_drips);
	rig_run_until(rig_server_closed);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_ERROR);
	assert_string_equal(server.why, "TLS: the handshake took too long");
	assert_int_equal(server.closed, 1);
	assert_true(dripped < 512);
	rig_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_expiry),
	    cmocka_unit_test(test_implicit),
	    cmocka_unit_test(test_starttls),
	    cmocka_unit_test(test_injected_commands_are_lost),
	    cmocka_unit_test(test_injected_answers_are_refused),
	    cmocka_unit_test(test_nothing_more_goes_in_clear),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_hostile_clients),
	    cmocka_unit_test(test_hostile_servers),
	    cmocka_unit_test(test_handshake_has_a_limit),
	};

	return cmocka_run_group_tests(tests, rig_make_all, rig_remove_all);
}
