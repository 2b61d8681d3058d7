/*
 * Cross checks of a configuration: top level, listeners, upstreams, alerts; check_environment.c has
 * the environments, check_transport.c TLS and logins, check_access.c who may do what. Called by
 * load.c after all values were converted. Allocates nothing that lasts.
 */
#include "config/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/text.h"
#include "config/check_access.h"
#include "config/check_environment.h"
#include "config/check_transport.h"
#include "config/value.h"
#include "mail/address.h"

bool
check_is_domain(const char *name)
{
	struct arena arena = {0};
	bool ok = address_canonical_domain(name, &arena) != NULL;

	arena_free(&arena);
	return ok;
}

bool
check_is_loopback(const char *host)
{
	unsigned char bytes[16];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, bytes) == 1)
		return bytes[0] == 127;
	return inet_pton(AF_INET6, host, bytes) == 1 &&
	       memcmp(bytes, &in6addr_loopback, sizeof(bytes)) == 0;
}

static void
check_top(const struct config *c, const struct text_section *at, struct problems *problems)
{
	if (c->hostname[0] != '\0' && !check_is_domain(c->hostname))
		problem_add(problems, text_line(at, "hostname"),
			    "hostname %s is no domain name; write one such as mailfuse.example.com",
			    log_safe(c->hostname));
	if (strlen(c->control) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		problem_add(
		    problems, text_line(at, "control"),
		    "the path of control is too long for a Unix socket; use at most %zu bytes",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

static void
check_listeners(const struct config *c, const struct text_section *at, struct problems *problems)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];

		for (size_t j = 0; j < i && l->port != 0; j++) {
			if (strcmp(l->host, c->listeners[j].host) != 0 ||
			    l->port != c->listeners[j].port)
				continue;
			problem_add(
			    problems, text_line(text_child(at, "listener", i), "address"),
			    "listener %s has the address of listener %s; choose another port",
			    l->name, c->listeners[j].name);
			break;
		}
	}
}

static void
check_upstreams(const struct config *c, const struct text_section *at, struct problems *problems)
{
	for (size_t i = 0; i < c->upstream_count; i++) {
		int line = text_child(at, "upstream", i)->line;

		if (strcmp(c->upstreams[i].name, "none") == 0)
			problem_add(problems, line,
				    "an upstream cannot be called none, because upstream = none "
				    "captures; choose another "
				    "name");
		if (strcmp(c->upstreams[i].name, CONFIG_DRILL) == 0)
			problem_add(problems, line,
				    "an upstream cannot be called %s, which is kept for drills; "
				    "choose another name",
				    CONFIG_DRILL);
	}
}

/* ---- alerts */

/* docs/api.md, "Alerts". */
static const char *const event_names[] = {"batch.opened",
					  "batch.grown",
					  "batch.observed",
					  "batch.released",
					  "batch.discarded",
					  "batch.restored",
					  "upstream.down",
					  "upstream.up",
					  "hold.set",
					  "hold.cleared",
					  "delivery.failed",
					  "config.reloaded",
					  "config.refused",
					  "batch.asked",
					  "batch.approved",
					  "batch.lapsed",
					  "batch.paused",
					  "batch.resumed",
					  "batch.done",
					  "batch.waiting",
					  "batch.purged",
					  "batch.imported",
					  "drill.passed",
					  "drill.failed",
					  "login.failures",
					  "audit.broken",
					  "dropped.released",
					  "store.broken",
					  NULL};

static void
check_events(const struct config_alert *a, const struct text_section *at, struct problems *problems)
{
	if (a->events[0] == NULL)
		problem_add(
		    problems, text_line(at, "events"),
		    "events is empty, so alert %s would never tell anything; write {\"*\"} for all",
		    a->name);
	for (size_t i = 0; a->events[i] != NULL; i++) {
		const char *near;
		bool known = false;

		for (size_t j = 0; event_names[j] != NULL; j++)
			known = known || text_glob(a->events[i], event_names[j]);
		if (known)
			continue;
		near = options_nearest(event_names, a->events[i]);
		problem_add(problems, text_value_line(at, "events", i),
			    "there is no event %s; %s %s%s", log_safe(a->events[i]),
			    near != NULL ? "did you mean" : "write one such as",
			    near != NULL ? near : "batch.* or upstream.*", near != NULL ? "?" : "");
	}
}

/* The URL is a secret (it lets anybody post): never shown. */
static void
check_url(const struct config_alert *a, const struct text_section *at, bool secrets,
	  struct problems *problems)
{
	const char *host = a->url;

	if (!text_is_set(at, "url")) {
		problem_add(problems, at->line, "alert %s has no url; add url = \"https://...\"",
			    a->name);
		return;
	}
	if (!secrets)
		return;
	if (host[0] == '\0' && problem_is_at(problems, text_value_line(at, "url", 0)))
		return; /* its file or variable could not be read, which was said */
	if (strncasecmp(host, "https://", 8) == 0)
		host += 8;
	else if (strncasecmp(host, "http://", 7) == 0)
		host += 7;
	if (host == a->url || host[0] == '\0' || host[0] == '/' || strchr(host, ' ') != NULL)
		problem_add(
		    problems, text_value_line(at, "url", 0),
		    "url is no web address; it must begin with https:// or http:// and a host");
}

static void
check_command(const struct config_alert *a, const struct text_section *at,
	      struct problems *problems)
{
	if (!text_is_set(at, "command") || a->command[0] == NULL)
		problem_add(
		    problems, text_line(at, "command"),
		    "alert %s has no command; add command = {\"/path/of/program\", \"argument\"}",
		    a->name);
	else if (a->command[0][0] != '/')
		problem_add(problems, text_value_line(at, "command", 0),
			    "the program of command must be a path that begins with /, not %s",
			    log_safe(a->command[0]));
}

static void
check_alert(const struct config_alert *a, const struct text_section *at, bool secrets,
	    struct problems *problems)
{
	const char *unwanted = a->type == CONFIG_ALERT_EXEC ? "url" : "command";

	check_events(a, at, problems);
	if (!text_is_set(at, "type") || (int)a->type < 0)
		return;
	if (text_is_set(at, unwanted))
		problem_add(problems, text_line(at, unwanted),
			    "%s has no meaning for this type of alert; remove it", unwanted);
	if (a->type == CONFIG_ALERT_EXEC)
		check_command(a, at, problems);
	else
		check_url(a, at, secrets, problems);
}

void
check_config(struct config *c, const struct text_section *at, const struct check_scope *scope,
	     struct problems *problems)
{
	check_top(c, at, problems);
	check_listeners(c, at, problems);
	check_upstreams(c, at, problems);
	check_transport(c, at, scope, problems);
	check_environments(c, at, problems);
	check_access(c, at, problems);
	for (size_t i = 0; i < c->alert_count; i++)
		check_alert(&c->alerts[i], text_child(at, "alert", i), scope->secrets, problems);
	if (scope->files && scope->secrets && problems->count > 0)
		check_files(c, at, problems);
}
