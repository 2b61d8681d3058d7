/*
 * What `mailfuse status` should tell a person, and only the daemon knows: a configuration that was
 * refused, certificates that end, users of the section access that this machine does not know.
 * Called by control/ through its deps; main thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/access.h"
#include "daemon/daemon.h"

void
warnings_set_refused(struct daemon *d, const char *why)
{
	free(d->refused);
	d->refused = why != NULL ? mem_strdup(why) : NULL;
	d->refused_at = why != NULL ? clock_wall() : 0;
}

/* Its first line; the rest is where the sentence says. */
static void
tell_refused(const struct daemon *d, struct buf *text)
{
	char at[CLOCK_ISO_BYTES];

	clock_format_iso(d->refused_at, at);
	buf_printf(text, "a reload was refused at %s and the old configuration is in force: ", at);
	buf_add(text, d->refused, strcspn(d->refused, "\n"));
	buf_add_text(text, ". mailfuse log has all of it; correct it and reload again.");
}

static void
list_ending(const struct tls *tls, const char *whose, const char *certificate,
	    void (*row)(void *arg, const char *text), void *arg)
{
	char at[CLOCK_ISO_BYTES];
	struct buf text = {0};

	if (tls == NULL || !keyring_is_ending(tls))
		return;
	clock_format_iso(tls_expires_at(tls), at);
	buf_printf(&text, "the certificate of %s %s at %s: put its successor into %s and reload.",
		   whose, tls_expires_at(tls) <= clock_wall() ? "ended" : "ends", at, certificate);
	row(arg, buf_text(&text));
	buf_free(&text);
}

/* What is most likely misspelt. */
static void
list_names(const struct config *c, void (*row)(void *arg, const char *text), void *arg)
{
	struct buf names = {0};

	access_check_names(c, &names);
	for (char *line = names.data, *next; line != NULL && *line != '\0'; line = next) {
		next = strchr(line, '\n');
		*next++ = '\0';
		row(arg, line);
	}
	buf_free(&names);
}

void
warnings_list(void *context, void (*row)(void *arg, const char *text), void *arg)
{
	struct daemon *d = context;
	const struct config *c = policy_config(d->policy);
	struct buf text = {0};

	if (d->refused != NULL) {
		tell_refused(d, &text);
		row(arg, buf_text(&text));
	}
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		char *whose = mem_printf("listener %s", l->name);

		list_ending(keyring_listener(d->keys, l->name), whose, l->certificate, row, arg);
		free(whose);
	}
	list_ending(keyring_http(d->keys), "http", c->http.certificate, row, arg);
	list_names(c, row, arg);
	buf_free(&text);
}

static void
log_name(void *arg, const char *text)
{
	(void)arg;
	log_warn("- config.stranger %s", text);
}

void
warnings_log_names(const struct config *c)
{
	list_names(c, log_name, NULL);
}
