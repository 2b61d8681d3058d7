/*
 * Cross checks of alert channels: what each type needs and what means nothing to it, events that
 * exist, whom an e-mail may reach, templates, secrets. Called by check.c. Allocates nothing that
 * lasts.
 */
#include "config/check_alert.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/template.h"
#include "base/text.h"
#include "config/value.h"
#include "mail/address.h"

/* A few people and lists; whoever needs more has a mailing list. */
enum { TO_MAX = 20, TEMPLATE_MAX = 2000, SECRET_MIN = 16 };

const char check_alert_letters[] = "ebtugnl";

struct check {
	const struct config *config;
	const struct config_alert *alert;
	const struct text_section *at;
	struct problems *problems;
	bool secrets;
};

/* docs/api.md, "Alerts". */
static const char *const event_names[] = {"batch.opened",     "batch.grown",
					  "batch.observed",   "batch.released",
					  "batch.discarded",  "batch.restored",
					  "upstream.down",    "upstream.up",
					  "hold.set",         "hold.cleared",
					  "delivery.failed",  "config.reloaded",
					  "config.refused",   "batch.asked",
					  "batch.approved",   "batch.lapsed",
					  "batch.paused",     "batch.resumed",
					  "batch.done",       "batch.waiting",
					  "batch.purged",     "batch.imported",
					  "drill.passed",     "drill.failed",
					  "login.failures",   "audit.broken",
					  "dropped.released", "store.filling",
					  "store.full",       "store.recovered",
					  "store.broken",     "alert.failed",
					  "alert.recovered",  NULL};

static void
check_events(const struct check *k)
{
	const struct config_alert *a = k->alert;

	if (a->events[0] == NULL)
		problem_add(
		    k->problems, text_line(k->at, "events"),
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
		problem_add(k->problems, text_value_line(k->at, "events", i),
			    "there is no event %s; %s %s%s", log_safe(a->events[i]),
			    near != NULL ? "did you mean" : "write one such as",
			    near != NULL ? near : "batch.* or upstream.*", near != NULL ? "?" : "");
	}
}

/* The URL is a secret (it lets anybody post): never shown. */
static void
check_url(const struct check *k)
{
	const struct config_alert *a = k->alert;
	const char *host = a->url;

	if (!text_is_set(k->at, "url")) {
		problem_add(k->problems, k->at->line,
			    "alert %s has no url; add url = \"https://...\"", a->name);
		return;
	}
	if (!k->secrets)
		return;
	if (host[0] == '\0' && problem_is_at(k->problems, text_value_line(k->at, "url", 0)))
		return; /* its file or variable could not be read, which was said */
	if (strncasecmp(host, "https://", 8) == 0)
		host += 8;
	else if (strncasecmp(host, "http://", 7) == 0)
		host += 7;
	if (host == a->url || host[0] == '\0' || host[0] == '/' || strchr(host, ' ') != NULL)
		problem_add(
		    k->problems, text_value_line(k->at, "url", 0),
		    "url is no web address; it must begin with https:// or http:// and a host");
}

/* Never in the file itself, which many people read: who has it can tell lies in our name. */
static void
check_secret(const struct check *k)
{
	int line;

	if (!text_is_set(k->at, "secret"))
		return;
	line = text_value_line(k->at, "secret", 0);
	if (text_is_literal(k->at, "secret"))
		problem_add(k->problems, line,
			    "a secret does not belong in this file; write secret = \"file:/path\" "
			    "or secret = \"${NAME}\"");
	else if (k->secrets && strlen(k->alert->secret) < SECRET_MIN &&
		 !problem_is_at(k->problems, line))
		problem_add(k->problems, line,
			    "secret has less than %d characters, which can be guessed; make one "
			    "with openssl rand -hex 32",
			    SECRET_MIN);
}

static void
check_command(const struct check *k)
{
	const struct config_alert *a = k->alert;

	if (!text_is_set(k->at, "command") || a->command[0] == NULL)
		problem_add(
		    k->problems, text_line(k->at, "command"),
		    "alert %s has no command; add command = {\"/path/of/program\", \"argument\"}",
		    a->name);
	else if (a->command[0][0] != '/')
		problem_add(k->problems, text_value_line(k->at, "command", 0),
			    "the program of command must be a path that begins with /, not %s",
			    log_safe(a->command[0]));
}

/* ---- email */

/* Characters of patterns and lists that the grammar of an address would let pass. */
static const char *
why_no_mailbox(const char *text, struct arena *arena)
{
	struct address address;
	const char *why;

	if (text[0] == '@' || strpbrk(text, "*?/|") != NULL)
		return "is a pattern: write each address in full";
	if (strpbrk(text, "<>,; \t") != NULL)
		return "is more than an address: write just name@example.com, each a value of its "
		       "own";
	why = address_parse(text, arena, &address);
	if (why == NULL && address.utf8)
		return "has letters beyond ASCII before the @, which many servers do not take";
	return why;
}

static void
check_mailbox(const struct check *k, const char *name, size_t i, const char *text)
{
	struct arena arena = {0};
	const char *why = why_no_mailbox(text, &arena);

	if (why != NULL)
		problem_add(k->problems, text_value_line(k->at, name, i), "%s: %s %s", name,
			    log_safe(text), why);
	arena_free(&arena);
}

static void
check_to(const struct check *k)
{
	size_t count = value_list_count(k->alert->to);

	if (count == 0)
		problem_add(k->problems, text_line(k->at, "to"),
			    "alert %s writes to nobody; add to = {\"ops@example.com\"}",
			    k->alert->name);
	if (count > TO_MAX)
		problem_add(k->problems, text_line(k->at, "to"),
			    "to has %zu addresses, and may have %d; write to a mailing list", count,
			    TO_MAX);
	for (size_t i = 0; i < count; i++)
		check_mailbox(k, "to", i, k->alert->to[i]);
}

static void
check_mail_upstream(const struct check *k)
{
	const struct config *c = k->config;
	const char *name = k->alert->upstream;
	int line = text_line(k->at, "upstream");

	if (c->upstream_count == 0)
		problem_add(k->problems, line,
			    "alert %s has no upstream to send mail by; add upstream \"smarthost\" "
			    "{ address = ... } to this file",
			    k->alert->name);
	else if (!text_is_set(k->at, "upstream") && c->upstream_count > 1)
		problem_add(k->problems, line,
			    "alert %s names no upstream and there are %zu; add upstream = %s",
			    k->alert->name, c->upstream_count, c->upstreams[0].name);
	else if (text_is_set(k->at, "upstream") && config_find_upstream(c, name) == NULL)
		problem_add(k->problems, line,
			    "there is no upstream %s; define it, or name another", log_safe(name));
}

static void
check_email(const struct check *k)
{
	check_to(k);
	if (text_is_set(k->at, "from"))
		check_mailbox(k, "from", 0, k->alert->from);
	check_mail_upstream(k);
}

/* ---- all types */

static void
check_template(const struct check *k, const char *name, const char *text)
{
	char bad[TEMPLATE_BAD_BYTES];

	if (strlen(text) > TEMPLATE_MAX)
		problem_add(k->problems, text_line(k->at, name), "%s has more than %d bytes", name,
			    TEMPLATE_MAX);
	else if (!text_is_utf8(text, strlen(text)))
		problem_add(k->problems, text_line(k->at, name), "%s is no UTF-8", name);
	else if (!template_check(text, check_alert_letters, bad))
		problem_add(k->problems, text_line(k->at, name),
			    "%s: there is no %s; write %%e for the environment, %%b the batch, %%t "
			    "what happened, %%u a link, %%g the gate, %%n the event, %%l a "
			    "line end, %%%% a percent sign",
			    name, log_safe(bad));
}

/* What is not for every type. */
static const struct {
	const char *name;
	unsigned types; /* of 1 << enum config_alert_type */
} kept[] = {
    {"url", 1 << CONFIG_ALERT_WEBHOOK | 1 << CONFIG_ALERT_SLACK | 1 << CONFIG_ALERT_TEAMS},
    {"secret", 1 << CONFIG_ALERT_WEBHOOK},
    {"command", 1 << CONFIG_ALERT_EXEC},
    {"to", 1 << CONFIG_ALERT_EMAIL},
    {"from", 1 << CONFIG_ALERT_EMAIL},
    {"upstream", 1 << CONFIG_ALERT_EMAIL},
    {"per_hour", 1 << CONFIG_ALERT_EMAIL | 1 << CONFIG_ALERT_SLACK | 1 << CONFIG_ALERT_TEAMS},
    {"subject", 1 << CONFIG_ALERT_EMAIL | 1 << CONFIG_ALERT_SLACK | 1 << CONFIG_ALERT_TEAMS},
    {"text", 1 << CONFIG_ALERT_EMAIL | 1 << CONFIG_ALERT_SLACK | 1 << CONFIG_ALERT_TEAMS},
};

static void
check_alert(const struct check *k)
{
	const struct config_alert *a = k->alert;

	check_events(k);
	if (!text_is_set(k->at, "type") || (int)a->type < 0)
		return;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((kept[i].types & 1U << a->type) == 0 && text_is_set(k->at, kept[i].name))
			problem_add(k->problems, text_line(k->at, kept[i].name),
				    "%s has no meaning for this type of alert; remove it",
				    kept[i].name);
	check_template(k, "subject", a->subject);
	check_template(k, "text", a->text);
	check_secret(k);
	if (a->type == CONFIG_ALERT_EXEC)
		check_command(k);
	else if (a->type == CONFIG_ALERT_EMAIL)
		check_email(k);
	else
		check_url(k);
}

void
check_alerts(const struct config *c, const struct text_section *at, const struct check_scope *scope,
	     struct problems *problems)
{
	for (size_t i = 0; i < c->alert_count; i++) {
		const struct check k = {.config = c,
					.alert = &c->alerts[i],
					.at = text_child(at, "alert", i),
					.problems = problems,
					.secrets = scope->secrets};

		check_alert(&k);
	}
}
