/*
 * net/tls: certificates and keys from files, the handshake on both sides, what each of them
 * refuses, and the name in a client's certificate. The stream afterwards is in test_tls_stream.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <signal.h>
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

static struct certificate *ca, *other_ca, *mx;
static const char *ca_file, *other_ca_file, *mx_file;

static int
make_all(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	ca = certificate_new(&(struct certificate_wish){.common_name = "CA", .is_ca = true}, NULL);
	other_ca = certificate_new(
	    &(struct certificate_wish){.common_name = "Other CA", .is_ca = true}, NULL);
	mx = certificate_new(
	    &(struct certificate_wish){.common_name = "mx.test", .alternative = "DNS:mx.test"}, ca);
	ca_file = certificate_write(ca, PART_CERTIFICATE);
	other_ca_file = certificate_write(other_ca, PART_CERTIFICATE);
	mx_file = certificate_write(mx, PART_BOTH);
	return 0;
}

static int
remove_all(void **state)
{
	(void)state;
	certificate_free(ca);
	certificate_free(other_ca);
	certificate_free(mx);
	certificate_remove_all();
	return 0;
}

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

static bool
server_is_there(void)
{
	return server.conn != NULL;
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
	rig_run_until(server_is_there);
	write_behind(&server);
	assert_int_equal(conn_pending(server.conn), 6);
	rig_run_until(client_heard_behind);
	assert_string_equal(buf_text(&client.got), "behind");
	assert_int_equal(client.secured, 1);
	rig_stop();
}

/* ---- the server's certificate ---- */

enum shown { GOOD, WILD, ADDRESS, EXPIRED, BROKEN, SELF_SIGNED, ONLY_CN, SHOWN_MAX };

static const struct certificate_wish shown_wishes[SHOWN_MAX] = {
    [GOOD] = {.common_name = "mx.test", .alternative = "DNS:mx.test"},
    [WILD] = {.common_name = "x", .alternative = "DNS:*.wild.test"},
    [ADDRESS] = {.common_name = "mx.test", .alternative = "IP:127.0.0.1,IP:::1"},
    [EXPIRED] = {.common_name = "mx.test", .alternative = "DNS:mx.test", .has_expired = true},
    [BROKEN] = {.common_name = "mx.test", .alternative = "DNS:mx.test", .is_broken = true},
    [SELF_SIGNED] = {.common_name = "mx.test", .alternative = "DNS:mx.test"},
    [ONLY_CN] = {.common_name = "mx.test"},
};

static void
check_shown(const char *path, const char *host, const char *trusted, bool verify,
	    const char *wanted)
{
	rig_start();
	server.tls = rig_tls_server(path, "");
	client.tls = rig_tls_client(trusted, verify);
	client.host = host;
	client.first = "hello";
	rig_connect();
	if (wanted == NULL) {
		rig_run_until(rig_both_secured);
	} else {
		rig_run_until(rig_both_closed);
		assert_int_equal(client.how, CONN_ERROR);
		assert_int_equal(server.how, CONN_ERROR);
		assert_string_equal(client.why, wanted);
		assert_non_null(strstr(server.why, "TLS: the peer refuses: "));
		assert_int_equal(client.secured + server.secured, 0);
		assert_int_equal(server.got.len, 0);
	}
	rig_stop();
}

static void
test_server_certificates(void **state)
{
	static const struct {
		enum shown shown;
		const char *host;
		bool other_ca, any;
		const char *wanted; /* NULL: good */
	} rows[] = {
	    {GOOD, "mx.test", false, false, NULL},
	    {GOOD, "MX.TEST", false, false, NULL},
	    {GOOD, "mx.test.", false, false, NULL},
	    {GOOD, "smtp.test", false, false,
	     "TLS: the certificate is for another name than smtp.test"},
	    {GOOD, "test", false, false, "TLS: the certificate is for another name than test"},
	    {GOOD, "127.0.0.1", false, false,
	     "TLS: the certificate is for another address than 127.0.0.1"},
	    {GOOD, "mx.test", true, false,
	     "TLS: certificate verify failed: unable to get local issuer certificate"},
	    {WILD, "a.wild.test", false, false, NULL},
	    {WILD, "a.b.wild.test", false, false,
	     "TLS: the certificate is for another name than a.b.wild.test"},
	    {ADDRESS, "127.0.0.1", false, false, NULL},
	    {ADDRESS, "::1", false, false, NULL},
	    {ADDRESS, "127.0.0.2", false, false,
	     "TLS: the certificate is for another address than 127.0.0.2"},
	    {EXPIRED, "mx.test", false, false,
	     "TLS: certificate verify failed: certificate has expired"},
	    {BROKEN, "mx.test", false, false,
	     "TLS: certificate verify failed: certificate signature failure"},
	    {SELF_SIGNED, "mx.test", false, false,
	     "TLS: certificate verify failed: self-signed certificate"},
	    {ONLY_CN, "mx.test", false, false, NULL},
	    {GOOD, "smtp.test", true, true, NULL},
	    {EXPIRED, "mx.test", false, true, NULL},
	    {SELF_SIGNED, "192.0.2.1", false, true, NULL},
	};
	const char *paths[SHOWN_MAX];
	struct certificate *c;
	size_t i;

	(void)state;
	for (i = 0; i < SHOWN_MAX; i++) {
		c = certificate_new(&shown_wishes[i], i == SELF_SIGNED ? NULL : ca);
		paths[i] = certificate_write(c, PART_BOTH);
		certificate_free(c);
	}
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		check_shown(paths[rows[i].shown], rows[i].host,
			    rows[i].other_ca ? other_ca_file : ca_file, !rows[i].any,
			    rows[i].wanted);
	}
}

/* "" is the system's list, where SSL_CERT_FILE counts. */
static void
test_system_ca(void **state)
{
	(void)state;
	setenv("SSL_CERT_FILE", ca_file, 1);
	check_shown(mx_file, "mx.test", "", true, NULL);
	setenv("SSL_CERT_FILE", other_ca_file, 1);
	check_shown(mx_file, "mx.test", "", true,
		    "TLS: certificate verify failed: unable to get local issuer certificate");
	unsetenv("SSL_CERT_FILE");
}

/* ---- the client's certificate, which only OpenSSL's own client shows ---- */

static const struct certificate *peer_shows;
static SSL_SESSION *peer_session;

static void
peer_says_hello(struct peer *p)
{
	p->context = SSL_CTX_new(TLS_client_method());
	if (peer_shows != NULL) {
		SSL_CTX_use_certificate(p->context, peer_shows->x509);
		SSL_CTX_use_PrivateKey(p->context, peer_shows->key);
	}
	p->ssl = SSL_new(p->context);
	SSL_set_fd(p->ssl, p->fd);
	if (peer_session != NULL)
		SSL_set_session(p->ssl, peer_session);
	if (SSL_connect(p->ssl) != 1 || SSL_write(p->ssl, "hello", 5) != 5)
		return;
	rig_peer_read_all(p);
	p->result = SSL_session_reused(p->ssl) ? 2 : 1;
	SSL_SESSION_free(peer_session);
	/* A copy: OpenSSL spoils the session of a connection that is freed like this. */
	peer_session = SSL_SESSION_dup(SSL_get0_session(p->ssl));
}

static bool
server_heard_or_ended(void)
{
	return server.got.len >= 5 || server.closed > 0;
}

/* Shows `c`; the name that the server sees, or why not. */
static const char *
show_to_server(const struct certificate *c)
{
	static char result[300];

	rig_start();
	peer_shows = c;
	server.tls = rig_tls_server(mx_file, ca_file);
	server.first = "howdy";
	rig_peer_start(peer_says_hello);
	rig_run_until(server_heard_or_ended);
	snprintf(result, sizeof(result), "%s", server.closed ? server.why : server.peer_name);
	if (server.conn != NULL)
		conn_free(server.conn);
	server.conn = NULL;
	rig_run_until(rig_peer_done);
	rig_stop();
	return result;
}

static void
test_client_certificates(void **state)
{
	static const struct {
		struct certificate_wish wish;
		const char *wanted;
	} rows[] = {
	    {{.common_name = "app 7"}, "app 7"},
	    {{.common_name = "cn.test", .alternative = "DNS:san.test,DNS:b.test"}, "san.test"},
	    {{.common_name = "cn.test", .alternative = "email:a@app.test,DNS:san.test"},
	     "san.test"},
	    {{.common_name = "cn.test", .alternative = "IP:192.0.2.1,email:a@app.test"},
	     "a@app.test"},
	    {{.common_name = "cn.test", .alternative = "IP:192.0.2.1"}, "cn.test"},
	    {{.common_name = NULL, .alternative = "URI:spiffe://x/y"}, ""},
	    {{.common_name = "cn.test", .raw_dns = "good.test\0.evil.test", .raw_dns_len = 20}, ""},
	    {{.common_name = "cn.test", .raw_dns = "a\r\n250 ok", .raw_dns_len = 9}, ""},
	    {{.common_name = "cn.test", .raw_dns = "", .raw_dns_len = 0}, ""},
	    {{.common_name = "cn.test", .raw_dns = "\xc3\xa4.test", .raw_dns_len = 7}, ""},
	    {{.common_name = "good\0evil", .common_name_len = 9}, ""},
	    {{.common_name = "m\xc3\xbcller.test"}, ""},
	    {{.common_name = "one.test", .second_name = "two.test"}, ""},
	};
	struct certificate *c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		c = certificate_new(&rows[i].wish, ca);
		assert_string_equal(show_to_server(c), rows[i].wanted);
		certificate_free(c);
	}
	assert_string_equal(show_to_server(NULL), "");
}

static void
test_client_certificates_refused(void **state)
{
	static const struct certificate_wish wish = {.common_name = "app.test"};
	struct certificate *c = certificate_new(&wish, other_ca);

	(void)state;
	assert_string_equal(
	    show_to_server(c),
	    "TLS: certificate verify failed: unable to get local issuer certificate");
	certificate_free(c);
	c = certificate_new(&wish, NULL);
	assert_string_equal(show_to_server(c),
			    "TLS: certificate verify failed: self-signed certificate");
	certificate_free(c);
}

/* A session that is resumed has the name too. */
static void
test_client_certificate_resumed(void **state)
{
	struct certificate *c =
	    certificate_new(&(struct certificate_wish){.common_name = "app.test"}, ca);
	struct tls *t = rig_tls_server(mx_file, ca_file);
	int i;

	(void)state;
	SSL_SESSION_free(peer_session);
	peer_session = NULL;
	peer_shows = c;
	for (i = 1; i <= 2; i++) {
		rig_start();
		server.tls = tls_ref(t);
		server.first = "howdy";
		rig_peer_start(peer_says_hello);
		rig_run_until(server_heard_or_ended);
		assert_string_equal(server.peer_name, "app.test");
		conn_free(server.conn);
		server.conn = NULL;
		rig_run_until(rig_peer_done);
		assert_int_equal(peer.result, i);
		rig_stop();
	}
	SSL_SESSION_free(peer_session);
	peer_session = NULL;
	tls_unref(t);
	certificate_free(c);
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

/* The bytes come one by one, and in time for any limit between them. */
static struct loop_timer *drip_timer;
static size_t dripped;

static void
drip(void *context)
{
	(void)context;
	if (server.closed == 0)
		send(peer.fd, dripped < sizeof(half) ? half + dripped : "", 1, 0);
	dripped++;
	loop_timer_set(drip_timer, 10000);
}

static void
peer_waits(struct peer *p)
{
	char byte;

	while (recv(p->fd, &byte, 1, 0) > 0)
		;
}

static void
test_handshake_has_a_limit(void **state)
{
	(void)state;
	rig_start();
	server.tls = rig_tls_server(mx_file, "");
	server.limit = CLOCK_SECOND / 5;
	dripped = 0;
	rig_peer_start(peer_waits);
	drip_timer = loop_timer_new(loop, drip, NULL);
	drip(NULL);
	rig_run_until(rig_server_closed);
	rig_run_until(rig_peer_done);
	assert_int_equal(server.how, CONN_ERROR);
	assert_string_equal(server.why, "TLS: the handshake took too long");
	assert_int_equal(server.closed, 1);
	assert_true(dripped < 512);
	loop_timer_free(drip_timer);
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
	    cmocka_unit_test(test_server_certificates),
	    cmocka_unit_test(test_system_ca),
	    cmocka_unit_test(test_client_certificates),
	    cmocka_unit_test(test_client_certificates_refused),
	    cmocka_unit_test(test_client_certificate_resumed),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_hostile_clients),
	    cmocka_unit_test(test_hostile_servers),
	    cmocka_unit_test(test_handshake_has_a_limit),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
