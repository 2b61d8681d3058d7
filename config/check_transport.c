/*
 * Cross checks of TLS and logins: no certificate without TLS, no password in clear, no secret that
 * others can read, nothing that would be passed over in silence. Called by check.c. Whether a
 * certificate is any good is for who loads it.
 */
#include "config/check_transport.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "config/secret.h"

struct check {
	const struct config *config;
	const struct text_section *at; /* of the listener or upstream */
	const struct check_scope *scope;
	struct problems *problems;
};

static const char *
chosen(const char *section, const char *setting, int value)
{
	return options_find(section, setting)->words[value];
}

/* ---- listeners */

static void
check_certificate(struct check *k, const struct config_listener *l)
{
	const char *const names[] = {"certificate", "key", "client_ca"};
	const char *const values[] = {l->certificate, l->key, l->client_ca};

	if (l->tls != CONFIG_TLS_OFF) {
		/* One that was set and is none was reported. */
		if (l->certificate[0] == '\0' &&
		    !problem_is_at(k->problems, text_value_line(k->at, "certificate", 0)))
			problem_add(k->problems, text_line(k->at, "tls"),
				    "tls = %s needs a certificate; add certificate = "
				    "\"/path/of/file.pem\"",
				    chosen("listener", "tls", l->tls));
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (values[i][0] != '\0')
			problem_add(
			    k->problems, text_line(k->at, names[i]),
			    "%s has no meaning with tls = off; set tls = starttls, required "
			    "or implicit, or remove it",
			    names[i]);
}

static void
check_auth(struct check *k, const struct config_listener *l)
{
	const char *auth;

	if (l->auth == CONFIG_AUTH_OFF)
		return;
	auth = chosen("listener", "auth", l->auth);
	if (k->config->users[0] == '\0')
		problem_add(k->problems, text_line(k->at, "auth"),
			    "auth = %s needs to know who may log in; add users = "
			    "\"/etc/mailfuse/users\" at the top level",
			    auth);
	if (l->tls == CONFIG_TLS_OFF && !check_is_loopback(l->host))
		problem_add(k->problems, text_line(k->at, "auth"),
			    "auth = %s would never be offered: passwords are taken in clear on "
			    "loopback only; set tls = starttls, required or implicit",
			    auth);
}

/* A file that is missing is reported by who loads it, or by check_files(). */
static void
check_mode(const char *name, const char *path, const struct text_section *at,
	   struct problems *problems)
{
	struct buf why = {0};
	struct stat st;

	if (path[0] == '\0' || stat(path, &st) != 0)
		return;
	if (!secret_check_mode(name, path, st.st_mode, &why))
		problem_add(problems, text_line(at, name), "%s", buf_text(&why));
	buf_free(&why);
}

/* `at` is of the listener, or of http. */
static void
check_key_mode(const char *certificate, const char *key, const struct text_section *at,
	       struct problems *problems)
{
	if (key[0] != '\0')
		check_mode("key", key, at, problems);
	else
		check_mode("certificate", certificate, at, problems);
}

/* ---- upstreams */

static void
check_login(struct check *k, const struct config_upstream *u)
{
	/* A password that is set and empty comes of a file or variable that was not read. */
	bool user = u->user[0] != '\0';
	bool unread = !k->scope->secrets;
	bool password =
	    u->password[0] != '\0' ||
	    (text_is_set(k->at, "password") &&
	     (unread || problem_is_at(k->problems, text_value_line(k->at, "password", 0))));

	if (user && !password)
		problem_add(k->problems, text_line(k->at, "user"),
			    "user needs a password; add password = \"file:/path\" or \"${NAME}\"");
	if (password && !user)
		problem_add(k->problems, text_line(k->at, "password"),
			    "password needs a user; add user = ...");
}

static void
check_upstream_tls(struct check *k, const struct config_upstream *u)
{
	bool login = u->user[0] != '\0' || u->password[0] != '\0';
	const char *tls = chosen("upstream", "tls", u->tls);

	if (u->tls == CONFIG_UPSTREAM_TLS_REQUIRED || u->tls == CONFIG_UPSTREAM_TLS_IMPLICIT)
		return;
	if (login && !check_is_loopback(u->host))
		problem_add(k->problems,
			    text_line(k->at, text_is_set(k->at, "tls")        ? "tls"
					     : text_is_set(k->at, "password") ? "password"
									      : "user"),
			    "tls = %s would show the password to whoever stands between; write tls "
			    "= required, or implicit for port 465",
			    tls);
	if (u->ca[0] != '\0')
		problem_add(k->problems, text_line(k->at, "ca"),
			    "ca has no meaning with tls = %s, which verifies nobody; write tls = "
			    "required or implicit, or remove it",
			    tls);
}

/* A password in the configuration makes the configuration a secret. */
static void
check_password_mode(struct check *k)
{
	mode_t mode = k->scope->mode;
	struct buf why = {0};

	if (mode != 0 && k->scope->secrets && text_is_literal(k->at, "password") &&
	    !secret_check_mode("password", k->config->path, mode, &why))
		problem_add(k->problems, text_line(k->at, "password"),
			    "%s, or write \"file:/path\" or \"${NAME}\"", buf_text(&why));
	buf_free(&why);
}

/* ---- match */

/* True if a source that a block could match can have a login, or a name in its certificate. */
static bool
is_offered(const struct config *c, const struct config_match *m, bool login)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		bool named = m->listeners == NULL;

		for (size_t j = 0; !named && m->listeners[j] != NULL; j++)
			named = strcmp(m->listeners[j], l->name) == 0;
		if (named && (login ? l->auth != CONFIG_AUTH_OFF : l->client_ca[0] != '\0'))
			return true;
	}
	return false;
}

static void
check_match(const struct config *c, const struct config_match *m, const struct text_section *at,
	    struct problems *problems)
{
	const char *which = m->listeners == NULL ? "no listener" : "none of these listeners";

	if (m->users != NULL && !is_offered(c, m, true))
		problem_add(problems, text_line(at, "user"),
			    "user would match nothing, as %s has auth; set auth = optional or "
			    "required there, or remove it here",
			    which);
	if (m->tls_names != NULL && !is_offered(c, m, false))
		problem_add(problems, text_line(at, "tls_name"),
			    "tls_name would match nothing, as %s has client_ca; set it there, or "
			    "remove it here",
			    which);
}

void
check_transport(const struct config *c, const struct text_section *at,
		const struct check_scope *scope, struct problems *problems)
{
	struct check k = {.config = c, .scope = scope, .problems = problems};
	bool files = scope->files && scope->secrets;

	if (files)
		check_mode("users", c->users, at, problems);
	if (files && c->http.set) {
		k.at = text_child(at, "http", 0);
		check_mode("tokens", c->http.tokens, k.at, problems);
		check_key_mode(c->http.certificate, c->http.key, k.at, problems);
	}
	for (size_t i = 0; i < c->listener_count; i++) {
		k.at = text_child(at, "listener", i);
		/* -1: a word that is none, which was reported. */
		if ((int)c->listeners[i].tls < 0 || (int)c->listeners[i].auth < 0)
			continue;
		check_certificate(&k, &c->listeners[i]);
		check_auth(&k, &c->listeners[i]);
		if (files && c->listeners[i].tls != CONFIG_TLS_OFF)
			check_key_mode(c->listeners[i].certificate, c->listeners[i].key, k.at,
				       problems);
	}
	for (size_t i = 0; i < c->upstream_count; i++) {
		k.at = text_child(at, "upstream", i);
		check_login(&k, &c->upstreams[i]);
		if ((int)c->upstreams[i].tls >= 0)
			check_upstream_tls(&k, &c->upstreams[i]);
		check_password_mode(&k);
	}
	for (size_t i = 0; i < c->environment_count; i++)
		for (size_t j = 0; j < c->environments[i].match_count; j++)
			check_match(c, &c->environments[i].matches[j],
				    text_child(text_child(at, "environment", i), "match", j),
				    problems);
}

/* ---- files, where nobody will load them */

static void
check_readable(const char *name, const char *path, const char *cure, const struct text_section *at,
	       struct problems *problems)
{
	/* One that was set and is none was reported. */
	if (path[0] == '\0' || access(path, R_OK) == 0)
		return;
	problem_add(problems, text_line(at, name), "%s: cannot read %s: %s%s", name, log_safe(path),
		    strerror(errno), cure);
}

void
check_files(const struct config *c, const struct text_section *at, struct problems *problems)
{
	const struct text_section *http = c->http.set ? text_child(at, "http", 0) : at;

	check_readable("users", c->users, "; mailfuse passwd NAME --users FILE makes it", at,
		       problems);
	check_readable("tokens", c->http.tokens, "; mailfuse token NAME --tokens FILE makes it",
		       http, problems);
	check_readable("certificate", c->http.certificate, "", http, problems);
	check_readable("key", c->http.key, "", http, problems);
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		const struct text_section *own = text_child(at, "listener", i);

		if (l->tls == CONFIG_TLS_OFF)
			continue;
		check_readable("certificate", l->certificate, "", own, problems);
		check_readable("key", l->key, "", own, problems);
		check_readable("client_ca", l->client_ca, "", own, problems);
	}
	for (size_t i = 0; i < c->upstream_count; i++)
		check_readable("ca", c->upstreams[i].ca, "", text_child(at, "upstream", i),
			       problems);
}
