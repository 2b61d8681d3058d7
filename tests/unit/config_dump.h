/*
 * A configuration as text, and one from text: for the tests of config/.
 */
#ifndef TESTS_UNIT_CONFIG_DUMP_H
#define TESTS_UNIT_CONFIG_DUMP_H

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "config/config.h"
#include "config/load.h"

static void
dump_list(struct buf *out, const char *name, char *const *list)
{
	buf_printf(out, " %s=", name);
	if (list == NULL) {
		buf_add_text(out, "absent");
		return;
	}
	buf_add_char(out, '{');
	for (size_t i = 0; list[i] != NULL; i++)
		buf_printf(out, "%s%s", i > 0 ? "," : "", list[i]);
	buf_add_char(out, '}');
}

static void
dump_burst(struct buf *out, const struct config_burst *b)
{
	char rate[UNITS_BYTES];

	buf_printf(out, " burst=%s:%s:per%u", b->name, units_format_rate(b->limit, b->window, rate),
		   b->per);
	if (b->head > 0)
		buf_printf(out, ":head%s", units_format_rate(b->head, b->head_window, rate));
	buf_printf(out, ":settle%" PRId64 ":cooldown%" PRId64 "%s", b->settle / CLOCK_SECOND,
		   b->cooldown / CLOCK_SECOND, b->action == CONFIG_BURST_ALERT ? ":alert" : "");
	if (b->declared > 0)
		buf_printf(out, ":declared%s",
			   units_format_rate(b->declared, b->declared_window, rate));
}

static void
dump_content(struct buf *out, const struct config_content *c)
{
	static const char *const parts[] = {"header", "text", "html", "body"};

	buf_printf(out, " content=%s:%s %s:%s:above%u/%" PRId64 ":per%u:cooldown%" PRId64 "%s",
		   c->name, parts[c->part], c->header, c->match, c->above,
		   c->above_window / CLOCK_SECOND, c->per, c->cooldown / CLOCK_SECOND,
		   c->action == CONFIG_BURST_ALERT ? ":alert" : "");
}

static void
dump_environment(struct buf *out, const struct config_environment *e)
{
	static const char *const others[] = {"drop", "rewrite", "reject", "hold"};

	buf_printf(out, "environment %s%s upstream=%s prefix=[%s] others=%s rewrite_to=%s", e->name,
		   e->production ? " production" : "", e->upstream == NULL ? "NULL" : e->upstream,
		   e->subject_prefix, others[e->others], e->rewrite_to);
	dump_list(out, "allow", e->allow);
	for (size_t i = 0; i < e->match_count; i++) {
		buf_add_text(out, " match");
		if (e->matches[i].listeners != NULL)
			dump_list(out, "listener", e->matches[i].listeners);
		if (e->matches[i].networks != NULL)
			dump_list(out, "network", e->matches[i].networks);
		if (e->matches[i].users != NULL)
			dump_list(out, "user", e->matches[i].users);
		if (e->matches[i].tls_names != NULL)
			dump_list(out, "tls_name", e->matches[i].tls_names);
	}
	for (size_t i = 0; i < e->burst_count; i++)
		dump_burst(out, &e->bursts[i]);
	for (size_t i = 0; i < e->content_count; i++)
		dump_content(out, &e->contents[i]);
	if (e->campaign_window != 30 * CLOCK_DAY)
		buf_printf(out, " campaign=%" PRId64, e->campaign_window / CLOCK_SECOND);
	buf_add_char(out, '\n');
}

/* Who decides, and when people are told again. */
static void
dump_decisions(struct buf *out, const struct config *c)
{
	buf_add_text(out, "remind");
	for (const int64_t *t = c->remind_after; *t != 0; t++)
		buf_printf(out, " %" PRId64, *t / CLOCK_SECOND);
	buf_printf(out, " drill=%" PRId64 " approval=%" PRIu64 ",%u,%" PRId64 "\n",
		   c->drill_every / CLOCK_SECOND, c->approval.above, c->approval.approvers,
		   c->approval.expires / CLOCK_SECOND);
	buf_printf(out, "access %s", c->access.set ? "set" : "unset");
	dump_list(out, "viewers", c->access.viewers);
	dump_list(out, "operators", c->access.operators);
	dump_list(out, "approvers", c->access.approvers);
	buf_printf(out, "\nhttp %s host=%s port=%u tokens=%s line=%d",
		   c->http.set ? "set" : "unset", c->http.host, c->http.port, c->http.tokens,
		   c->http.line);
	if (c->http.certificate[0] != '\0')
		buf_printf(out, " certificate=%s key=%s", c->http.certificate, c->http.key);
	if (c->http.hosts[0] != NULL)
		dump_list(out, "hosts", c->http.hosts);
	if (c->http.url[0] != '\0')
		buf_printf(out, " url=%s", c->http.url);
	buf_printf(out, "%s\n", c->http.console ? "" : " console=off");
}

static void
dump(struct buf *out, const struct config *c)
{
	buf_printf(out,
		   "hostname=%s store=%s control=%s users=%s user=%s log=%d loops=%u keep=%" PRId64
		   ",%" PRId64 ",%" PRId64 " limit=%" PRIu64 " free=%" PRIu64 " memory=%" PRIu64
		   " traffic=%" PRId64 " keys=%u\n",
		   c->hostname, c->store, c->control, c->users, c->user, (int)c->log, c->loops,
		   c->keep_dropped / CLOCK_SECOND, c->keep_discarded / CLOCK_SECOND,
		   c->keep_sent / CLOCK_SECOND, c->quarantine_limit, c->min_free_space,
		   c->memory_limit, c->keep_traffic / CLOCK_SECOND, c->counter_keys);
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];

		buf_printf(out,
			   "listener %s %s port %u size=%" PRIu64
			   " recipients=%u connections=%u idle=%" PRId64
			   " bare=%d tls=%d certificate=%s key=%s client_ca=%s auth=%d client=%u "
			   "errors=%u/%" PRId64 " line=%d\n",
			   l->name, l->host, l->port, l->max_message_size, l->max_recipients,
			   l->max_connections, l->idle_timeout / CLOCK_SECOND, (int)l->bare_newline,
			   (int)l->tls, l->certificate, l->key, l->client_ca, (int)l->auth,
			   l->max_client_connections, l->max_client_errors,
			   l->client_errors_window / CLOCK_SECOND, l->line);
	}
	for (size_t i = 0; i < c->upstream_count; i++) {
		const struct config_upstream *u = &c->upstreams[i];

		buf_printf(out,
			   "upstream %s %s port %u connections=%u retry=%" PRId64
			   " timeout=%" PRId64 " tls=%d ca=%s user=%s password=%s line=%d\n",
			   u->name, u->host, u->port, u->connections, u->retry_for / CLOCK_SECOND,
			   u->timeout / CLOCK_SECOND, (int)u->tls, u->ca, u->user, u->password,
			   u->line);
	}
	for (size_t i = 0; i < c->environment_count; i++)
		dump_environment(out, &c->environments[i]);
	for (size_t i = 0; i < c->alert_count; i++) {
		const struct config_alert *a = &c->alerts[i];

		buf_printf(out, "alert %s type=%d url=%s retry=%" PRId64 " timeout=%" PRId64,
			   a->name, (int)a->type, a->url, a->retry_for / CLOCK_SECOND,
			   a->timeout / CLOCK_SECOND);
		if (a->per_hour != 0)
			buf_printf(out, " hour=%u", a->per_hour);
		dump_list(out, "command", a->command);
		dump_list(out, "events", a->events);
		buf_add_char(out, '\n');
	}
	dump_decisions(out, c);
}

/* A copy, as load_text() changes what it reads. */
static struct config *
load(const char *text, struct buf *errors)
{
	char *copy = mem_strdup(text);
	struct config *c = load_text(copy, "t", true, errors);

	free(copy);
	return c;
}

#endif
