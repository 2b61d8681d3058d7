/*
 * The life of a struct config, and questions about it. The counting is atomic: every thread holds
 * references; the last one frees. config_load() is in load.c.
 */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "config/drill.h"
#include "config/options.h"
#include "config/value.h"

struct config *
config_ref(struct config *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

static void
free_fields(const char *kind, void *object)
{
	for (const struct option *row = options_table(); row->name != NULL; row++) {
		struct value_place place = {row, object, false};

		if (strcmp(row->section, kind) == 0)
			value_free(&place);
	}
}

static void
free_environment(struct config_environment *e)
{
	for (size_t i = 0; i < e->match_count; i++)
		free_fields("match", &e->matches[i]);
	for (size_t i = 0; i < e->burst_count; i++) {
		free_fields("burst", &e->bursts[i]);
		free(e->bursts[i].name);
	}
	for (size_t i = 0; i < e->content_count; i++) {
		free_fields("content", &e->contents[i]);
		free(e->contents[i].name);
	}
	free(e->matches);
	free(e->bursts);
	free(e->contents);
	free(e->name);
	free_fields("environment", e);
}

void
config_unref(struct config *c)
{
	if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (c->base != NULL) {
		config_drill_free(c);
		return;
	}
	for (size_t i = 0; i < c->listener_count; i++) {
		free_fields("listener", &c->listeners[i]);
		free(c->listeners[i].name);
	}
	for (size_t i = 0; i < c->upstream_count; i++) {
		free_fields("upstream", &c->upstreams[i]);
		free(c->upstreams[i].name);
	}
	for (size_t i = 0; i < c->environment_count; i++)
		free_environment(&c->environments[i]);
	for (size_t i = 0; i < c->alert_count; i++) {
		free_fields("alert", &c->alerts[i]);
		free(c->alerts[i].name);
	}
	free(c->listeners);
	free(c->upstreams);
	free(c->environments);
	free(c->alerts);
	free_fields("approval", &c->approval);
	free_fields("access", &c->access);
	free_fields("http", &c->http);
	free_fields("", c);
	free(c->path);
	free(c);
}

/* ---- questions */

const struct config_environment *
config_find_environment(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->environment_count; i++)
		if (strcmp(c->environments[i].name, name) == 0)
			return &c->environments[i];
	return NULL;
}

const struct config_upstream *
config_find_upstream(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->upstream_count; i++)
		if (strcmp(c->upstreams[i].name, name) == 0)
			return &c->upstreams[i];
	return NULL;
}

static bool
same_listeners(const struct config *a, const struct config *b)
{
	if (a->listener_count != b->listener_count)
		return false;
	for (size_t i = 0; i < a->listener_count; i++) {
		bool found = false;

		for (size_t j = 0; j < b->listener_count; j++)
			found = found || (strcmp(a->listeners[i].name, b->listeners[j].name) == 0 &&
					  strcmp(a->listeners[i].host, b->listeners[j].host) == 0 &&
					  a->listeners[i].port == b->listeners[j].port);
		if (!found)
			return false;
	}
	return true;
}

void
config_diff_fixed(const struct config *now, const struct config *next, struct buf *out)
{
	const char *between = "";

	for (const struct option *row = options_table(); row->name != NULL; row++) {
		struct value_place a = {row, (void *)(uintptr_t)now, false};
		struct value_place b = {row, (void *)(uintptr_t)next, false};

		if (row->section[0] != '\0' || (row->flags & OPTION_FIXED) == 0 ||
		    value_same(&a, &b))
			continue;
		buf_printf(out, "%s%s", between, row->name);
		between = ", ";
	}
	if (!same_listeners(now, next)) {
		buf_printf(out, "%slistener addresses", between);
		between = ", ";
	}
	if (now->http.set != next->http.set || now->http.port != next->http.port ||
	    strcmp(now->http.host, next->http.host) != 0)
		buf_printf(out, "%shttp address", between);
	else if ((now->http.certificate[0] != '\0') != (next->http.certificate[0] != '\0'))
		buf_printf(out, "%shttp certificate (TLS on or off)", between);
}

/* ---- documentation */

static const char *
type_name(const struct option *row)
{
	switch (row->type) {
	case OPTION_TEXT:
		return "text";
	case OPTION_PATH:
		return "path";
	case OPTION_LIST:
		return "list";
	case OPTION_FLAG:
		return "true|false";
	case OPTION_NUMBER:
		return "number";
	case OPTION_SIZE:
		return "size";
	case OPTION_DURATION:
		return "duration";
	case OPTION_TIMES:
		return "durations";
	case OPTION_RATE:
		return "rate";
	case OPTION_CHOICE:
		return "word";
	case OPTION_SET:
		return "words";
	case OPTION_ADDRESS:
		return "host:port";
	default:
		return "section";
	}
}

/* "environment.burst.limit": these stand inside of an environment. */
static void
document_name(const struct option *row, struct buf *out)
{
	if (strcmp(row->section, "match") == 0 || strcmp(row->section, "burst") == 0 ||
	    strcmp(row->section, "content") == 0)
		buf_add_text(out, "environment.");
	if (row->section[0] != '\0')
		buf_printf(out, "%s.", row->section);
	buf_add_text(out, row->name);
}

void
config_document(struct buf *out)
{
	for (const struct option *row = options_table(); row->name != NULL; row++) {
		struct buf name = {0};
		const char *def = row->def;

		if (row->type == OPTION_SECTION)
			def = (row->flags & OPTION_TITLE) != 0 ? "\"name\" { }" : "{ }";
		else if ((row->flags & OPTION_REQUIRED) != 0)
			def = "(required)";
		else if (def[0] == '\0')
			def = "-";
		document_name(row, &name);
		buf_printf(out, "%-31s %-10s %-34s %-7s  %s\n", buf_text(&name), type_name(row),
			   def, (row->flags & OPTION_FIXED) != 0 ? "restart" : "reload", row->help);
		buf_free(&name);
	}
}
