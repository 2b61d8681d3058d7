/*
 * Cross checks of a configuration: top level, listeners, upstreams; check_environment.c has the
 * environments, check_transport.c TLS and logins, check_access.c who may do what, check_alert.c the
 * channels. Called by load.c after all values were converted. Allocates nothing that lasts.
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
#include "config/check_alert.h"
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
	check_alerts(c, at, scope, problems);
	if (scope->files && scope->secrets && problems->count > 0)
		check_files(c, at, problems);
}
