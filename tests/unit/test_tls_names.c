/*
 * net/tls: whose certificate it is. What a client of ours takes from a server, and which name a
 * server of ours sees in a client's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "net/tls.h"
#include "tests/unit/tls_certificate.h"
#include "tests/unit/tls_rig.h"

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
	     "TLS: certificate verify failed: unable to get local issuer certificate; "
	     "to trust it, put its signer into ca"},
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
	     "TLS: certificate verify failed: self-signed certificate; "
	     "to trust it, put its signer into ca"},
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
		    "TLS: certificate verify failed: unable to get local issuer certificate; "
		    "to trust it, put its signer into ca");
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
	    "TLS: certificate verify failed: unable to get local issuer certificate; "
	    "to trust it, put its signer into client_ca");
	certificate_free(c);
	c = certificate_new(&wish, NULL);
	assert_string_equal(show_to_server(c),
			    "TLS: certificate verify failed: self-signed certificate; "
			    "to trust it, put its signer into client_ca");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_server_certificates),
	    cmocka_unit_test(test_system_ca),
	    cmocka_unit_test(test_client_certificates),
	    cmocka_unit_test(test_client_certificates_refused),
	    cmocka_unit_test(test_client_certificate_resumed),
	};

	return cmocka_run_group_tests(tests, rig_make_all, rig_remove_all);
}
