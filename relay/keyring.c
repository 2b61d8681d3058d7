/*
 * Certificates, keys, users and tokens of one configuration. Made and let go of by daemon/ on the
 * main thread; each relay loop, and each login under way, holds a reference.
 */
#include "relay/keyring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* A certificate that ends sooner is worth a line in the log, and in status. */
#define EXPIRY_WARNING (14 * CLOCK_DAY)

struct keyring_entry {
	char *name;
	struct tls *tls;
};

struct keyring {
	_Atomic int refs;
	struct keyring_entry *listeners, *upstreams;
	size_t listener_count, upstream_count;
	struct tls *http; /* NULL: no TLS there */
	struct users *users;
	struct tokens *tokens;
};

static void
keyring_free_entries(struct keyring_entry *entries, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free(entries[i].name);
		tls_unref(entries[i].tls);
	}
	free(entries);
}

struct keyring *
keyring_ref(struct keyring *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void
keyring_unref(struct keyring *k)
{
	if (k == NULL || atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	keyring_free_entries(k->listeners, k->listener_count);
	keyring_free_entries(k->upstreams, k->upstream_count);
	tls_unref(k->http);
	users_free(k->users);
	tokens_free(k->tokens);
	free(k);
}

static void
keyring_say(const struct config *c, int line, const char *what, const char *name,
	    const struct buf *why, struct buf *errors)
{
	buf_printf(errors, "%s:%d: %s \"%s\": %s\n", c->path, line, what, name, buf_text(why));
}

static bool
keyring_add_listener(struct keyring *k, const struct config *c, const struct config_listener *l,
		     struct buf *errors)
{
	struct keyring_entry *e = &k->listeners[k->listener_count++];
	struct buf why = {0};

	e->name = mem_strdup(l->name);
	if (l->tls == CONFIG_TLS_OFF)
		return true;
	e->tls = tls_server_new(l->certificate, l->key, l->client_ca, &why);
	if (e->tls == NULL)
		keyring_say(c, l->line, "listener", l->name, &why, errors);
	buf_free(&why);
	return e->tls != NULL;
}

static bool
keyring_add_upstream(struct keyring *k, const struct config *c, const struct config_upstream *u,
		     struct buf *errors)
{
	struct keyring_entry *e = &k->upstreams[k->upstream_count++];
	struct buf why = {0};

	e->name = mem_strdup(u->name);
	if (u->tls == CONFIG_UPSTREAM_TLS_OFF)
		return true;
	e->tls = tls_client_new(u->ca, u->tls >= CONFIG_UPSTREAM_TLS_REQUIRED, &why);
	if (e->tls == NULL)
		keyring_say(c, u->line, "upstream", u->name, &why, errors);
	buf_free(&why);
	return e->tls != NULL;
}

static bool
keyring_add_http(struct keyring *k, const struct config *c, struct buf *errors)
{
	struct buf why = {0};

	k->tokens = tokens_load(c->http.tokens, errors);
	if (c->http.certificate[0] == '\0')
		return k->tokens != NULL;
	k->http = tls_server_new(c->http.certificate, c->http.key, "", &why);
	if (k->http == NULL)
		buf_printf(errors, "%s:%d: http: %s\n", c->path, c->http.line, buf_text(&why));
	buf_free(&why);
	return k->http != NULL && k->tokens != NULL;
}

struct keyring *
keyring_new(const struct config *c, struct buf *errors)
{
	struct keyring *k = mem_zalloc(sizeof(*k));
	bool ok = true;
	size_t i;

	k->refs = 1;
	k->listeners = mem_zalloc((c->listener_count + 1) * sizeof(*k->listeners));
	k->upstreams = mem_zalloc((c->upstream_count + 1) * sizeof(*k->upstreams));
	for (i = 0; i < c->listener_count; i++)
		ok = keyring_add_listener(k, c, &c->listeners[i], errors) && ok;
	for (i = 0; i < c->upstream_count; i++)
		ok = keyring_add_upstream(k, c, &c->upstreams[i], errors) && ok;
	if (c->users[0] != '\0') {
		k->users = users_load(c->users, errors);
		ok = k->users != NULL && ok;
	}
	if (c->http.set)
		ok = keyring_add_http(k, c, errors) && ok;
	if (ok) {
		keyring_warn_ending(k, c);
		return k;
	}
	keyring_unref(k);
	return NULL;
}

static struct tls *
keyring_find(const struct keyring_entry *entries, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(entries[i].name, name) == 0)
			return entries[i].tls;
	return NULL;
}

struct tls *
keyring_listener(const struct keyring *k, const char *name)
{
	return keyring_find(k->listeners, k->listener_count, name);
}

bool
keyring_is_ending(const struct tls *tls)
{
	int64_t end = tls_expires_at(tls);

	return end != 0 && end - clock_wall() <= EXPIRY_WARNING;
}

/* `tls` NULL: there is none. */
static void
warn_ending(const struct tls *tls, const char *listener, const char *certificate)
{
	char at[CLOCK_ISO_BYTES];

	if (tls == NULL || !keyring_is_ending(tls))
		return;
	clock_format_iso(tls_expires_at(tls), at);
	log_warn("- certificate.%s listener=%s certificate=%s until=%s",
		 tls_expires_at(tls) <= clock_wall() ? "expired" : "expires-soon", listener,
		 log_safe(certificate), at);
}

void
keyring_warn_ending(const struct keyring *k, const struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];

		warn_ending(keyring_listener(k, l->name), l->name, l->certificate);
	}
	warn_ending(k->http, "http", c->http.certificate);
}

struct tls *
keyring_upstream(const struct keyring *k, const char *name)
{
	return keyring_find(k->upstreams, k->upstream_count, name);
}

const struct users *
keyring_users(const struct keyring *k)
{
	return k->users;
}

struct tls *
keyring_http(const struct keyring *k)
{
	return k->http;
}

const struct tokens *
keyring_tokens(const struct keyring *k)
{
	return k->tokens;
}
