/*
 * A configuration with a drill in it: a shallow copy of its base that adds one environment and one
 * upstream. What it shows of the base belongs to the base, which it keeps; its own are the two
 * arrays, and the few texts that are made here. Called by daemon/drill.c on the main thread; freed
 * by the last reference, on any thread.
 */
#include "config/drill.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/value.h"

enum { DRILL_CONNECTIONS = 2 };
/* As long as a drill may take: what it could not deliver by then is over with it. */
#define DRILL_RETRY (10 * CLOCK_MINUTE)
#define DRILL_TIMEOUT (30 * CLOCK_SECOND)

static struct config_upstream
upstream_make(uint16_t sink_port)
{
	return (struct config_upstream){.name = mem_strdup(CONFIG_DRILL),
					.host = mem_strdup("127.0.0.1"),
					.port = sink_port,
					.connections = DRILL_CONNECTIONS,
					.retry_for = DRILL_RETRY,
					.timeout = DRILL_TIMEOUT,
					.tls = CONFIG_UPSTREAM_TLS_OFF,
					.ca = mem_strdup(""),
					.user = mem_strdup(""),
					.password = mem_strdup("")};
}

/*
 * The rules are those of `like`, and so is what they look at. Nobody matches it; and it may write
 * to drill.invalid only (RFC 2606 2: such a name never exists), so that even a sink that is none,
 * or somebody who has learnt the secret, reaches nobody.
 */
static struct config_environment
environment_make(const struct config_environment *like)
{
	struct config_environment e = *like;

	e.name = mem_strdup(CONFIG_DRILL);
	e.upstream = mem_strdup(CONFIG_DRILL);
	e.matches = NULL;
	e.match_count = 0;
	e.allow = value_list_new();
	value_list_add(&e.allow, "@" CONFIG_DRILL_DOMAIN);
	value_list_add(&e.allow, "@." CONFIG_DRILL_DOMAIN);
	e.others = CONFIG_OTHERS_REJECT;
	return e;
}

struct config *
config_with_drill(struct config *c, const char *environment, const char *helo, uint16_t sink_port)
{
	struct config *base = c->base != NULL ? c->base : c, *out;
	const struct config_environment *like = config_find_environment(base, environment);
	size_t last;

	/* Names that are kept for it; a file cannot have them. */
	if (like == NULL || base->environment_count == 0 ||
	    config_find_environment(base, CONFIG_DRILL) != NULL ||
	    config_find_upstream(base, CONFIG_DRILL) != NULL)
		return NULL;
	out = mem_alloc(sizeof(*out));
	*out = *base;
	out->refs = 1;
	out->base = config_ref(base);
	out->drill.helo = mem_strdup(helo);
	out->drill.environment = mem_strdup(environment);
	/* The built-in `unknown` stays the last. */
	last = base->environment_count - 1;
	out->environments = mem_zalloc((base->environment_count + 1) * sizeof(*out->environments));
	memcpy(out->environments, base->environments, last * sizeof(*out->environments));
	out->environments[last] = environment_make(like);
	out->environments[last + 1] = base->environments[last];
	out->environment_count++;
	out->upstreams = mem_zalloc((base->upstream_count + 1) * sizeof(*out->upstreams));
	if (base->upstream_count > 0)
		memcpy(out->upstreams, base->upstreams,
		       base->upstream_count * sizeof(*out->upstreams));
	out->upstreams[out->upstream_count++] = upstream_make(sink_port);
	return out;
}

void
config_drill_free(struct config *c)
{
	/* Where they were put: before the built-in one, and last. */
	struct config_environment *e = &c->environments[c->environment_count - 2];
	struct config_upstream *u = &c->upstreams[c->upstream_count - 1];

	value_list_free(e->allow);
	free(e->name);
	free(e->upstream);
	free(u->name);
	free(u->host);
	free(u->ca);
	free(u->user);
	free(u->password);
	free(c->environments);
	free(c->upstreams);
	free(c->drill.helo);
	free(c->drill.environment);
	config_unref(c->base);
	free(c);
}
