/*
 * Cross checks of environments: who belongs to them, whom they may reach, where their mail goes,
 * and through check_rules.c their limits. Called by check.c. What is doubtful is refused: a mistake
 * here must fail closed.
 */
#include "config/check_environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/check_rules.h"
#include "config/value.h"
#include "mail/address.h"

enum { PREFIX_MAX = 200 };

struct check {
	const struct config *config;
	struct problems *problems;
};

/* ---- match */

static void
check_networks(struct check *k, char **networks, const struct text_section *at)
{
	struct buf why = {0};
	char one_form[VALUE_NETWORK_BYTES];

	for (size_t i = 0; networks != NULL && networks[i] != NULL; i++) {
		if (value_network(networks[i], one_form, &why)) {
			free(networks[i]);
			networks[i] = mem_strdup(one_form);
		} else {
			problem_add(k->problems, text_value_line(at, "network", i), "%s",
				    buf_text(&why));
		}
		buf_clear(&why);
	}
	buf_free(&why);
}

static void
check_match_listeners(struct check *k, char **names, const struct text_section *at)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		bool found = false;

		for (size_t j = 0; j < k->config->listener_count; j++)
			found = found || strcmp(k->config->listeners[j].name, names[i]) == 0;
		if (!found)
			problem_add(k->problems, text_value_line(at, "listener", i),
				    "there is no listener %s; define it or remove it here",
				    log_safe(names[i]));
	}
}

static void
check_list_filled(struct check *k, char *const *list, const struct text_section *at,
		  const char *name)
{
	if (list == NULL)
		return;
	if (list[0] == NULL)
		problem_add(k->problems, text_line(at, name),
			    "%s is empty and would match nothing; remove it", name);
	for (size_t i = 0; list[i] != NULL; i++)
		if (list[i][0] == '\0')
			problem_add(k->problems, text_value_line(at, name, i),
				    "%s has an empty value; remove it", name);
}

static void
check_match(struct check *k, struct config_match *m, const struct text_section *at)
{
	if (m->listeners == NULL && m->networks == NULL && m->users == NULL &&
	    m->tls_names == NULL) {
		problem_add(k->problems, at->line,
			    "match is empty and would take every source; name a network, listener, "
			    "user or tls_name");
		return;
	}
	check_list_filled(k, m->listeners, at, "listener");
	check_list_filled(k, m->networks, at, "network");
	check_list_filled(k, m->users, at, "user");
	check_list_filled(k, m->tls_names, at, "tls_name");
	check_match_listeners(k, m->listeners, at);
	check_networks(k, m->networks, at);
}

/* A value that both lists have, "" if neither key is set, NULL if they can be told apart by it. */
static const char *
shared_value(char *const *a, char *const *b)
{
	if (a == NULL && b == NULL)
		return "";
	if (a == NULL || b == NULL)
		return NULL;
	for (size_t i = 0; a[i] != NULL; i++)
		for (size_t j = 0; b[j] != NULL; j++)
			if (strcmp(a[i], b[j]) == 0)
				return a[i];
	return NULL;
}

/* "network 10.1.0.0/16" that two blocks have in common in every key, NULL if they differ. */
static const char *
shared_match(const struct config_match *a, const struct config_match *b, char *out, size_t size)
{
	const char *names[] = {"user", "tls_name", "network", "listener"};
	const char *values[] = {
	    shared_value(a->users, b->users), shared_value(a->tls_names, b->tls_names),
	    shared_value(a->networks, b->networks), shared_value(a->listeners, b->listeners)};
	const char *found = NULL;

	for (size_t i = 0; i < 4; i++) {
		if (values[i] == NULL)
			return NULL;
		if (found == NULL && values[i][0] != '\0') {
			snprintf(out, size, "%s %s", names[i], values[i]);
			found = out;
		}
	}
	return found;
}

/* Two environments that claim the same sources: which one wins would be a matter of luck. */
static void
check_overlap(struct check *k, const struct text_section *at, size_t later, size_t earlier)
{
	const struct config_environment *e = &k->config->environments[later];
	const struct config_environment *other = &k->config->environments[earlier];
	char what[200];

	for (size_t i = 0; i < e->match_count; i++) {
		for (size_t j = 0; j < other->match_count; j++) {
			if (shared_match(&e->matches[i], &other->matches[j], what, sizeof(what)) ==
			    NULL)
				continue;
			problem_add(
			    k->problems,
			    text_child(text_child(at, "environment", later), "match", i)->line,
			    "environment %s matches %s as environment %s does on line %d; a source "
			    "belongs to one "
			    "of them",
			    e->name, log_safe(what), other->name,
			    text_child(text_child(at, "environment", earlier), "match", j)->line);
			return;
		}
	}
}

/* ---- recipients */

static void
check_pattern(struct check *k, const char *pattern, int line)
{
	const char *end = strrchr(pattern, '/');

	if (pattern[0] == '/') {
		if (end == pattern || end[1 + strspn(end + 1, "i")] != '\0')
			problem_add(k->problems, line,
				    "%s is no regular expression; write /expression/, or "
				    "/expression/i to ignore case",
				    log_safe(pattern));
		return;
	}
	if (pattern[0] == '\0' || strcmp(pattern, "@") == 0 || strcmp(pattern, "@.") == 0)
		problem_add(k->problems, line,
			    "allow has an empty pattern; write an address or a domain such "
			    "as @example.com");
	else if (strpbrk(pattern, " \t") != NULL)
		problem_add(k->problems, line,
			    "%s has a space in it; write each pattern in quotes of its own",
			    log_safe(pattern));
	else if (strpbrk(pattern, "@*?") == NULL)
		problem_add(k->problems, line, "%s is no address; for a whole domain write @%s",
			    log_safe(pattern), log_safe(pattern));
}

/* rewrite_to with a sample put in; false and a problem if it has another % in it. */
static bool
expand_sample(struct check *k, const struct config_environment *e, int line, struct buf *out)
{
	for (const char *p = e->rewrite_to; *p != '\0'; p++) {
		if (*p != '%') {
			buf_add_char(out, *p);
			continue;
		}
		switch (*++p) {
		case 'u':
			buf_add_text(out, "user");
			break;
		case 'd':
			buf_add_text(out, "example.com");
			break;
		case 'e':
			buf_add_text(out, e->name);
			break;
		case '%':
			buf_add_char(out, '%');
			break;
		default:
			problem_add(
			    k->problems, line,
			    "rewrite_to may have %%u, %%d, %%e and %%%% in it, no other %%");
			return false;
		}
	}
	return true;
}

/*
 * True where the recipient chooses the end of the domain, as in `%u@%d` or `qa@sink.%d`: the mail
 * would go to whom it must not reach. Fixed labels must stand behind the last %u and %d.
 */
static bool
recipient_ends_domain(const char *rewrite_to)
{
	const char *p = strrchr(rewrite_to, '@'), *last = NULL;

	for (; p != NULL && *p != '\0'; p++) {
		if (*p == '%' && (p[1] == 'u' || p[1] == 'd'))
			last = p;
		if (*p == '%' && p[1] != '\0')
			p++;
	}
	return last != NULL && (last[2] != '.' || last[3] == '\0');
}

static void
check_rewrite(struct check *k, const struct config_environment *e, const struct text_section *at)
{
	int line = text_line(at, "rewrite_to");
	struct arena arena = {0};
	struct buf sample = {0};
	struct address address;
	const char *why;

	if (!text_is_set(at, "rewrite_to")) {
		if (e->others == CONFIG_OTHERS_REWRITE)
			problem_add(k->problems, text_line(at, "others"),
				    "others = rewrite needs rewrite_to; add rewrite_to = "
				    "\"qa+%%u=%%d@example.com\"");
		return;
	}
	if (expand_sample(k, e, line, &sample)) {
		why = address_parse(buf_text(&sample), &arena, &address);
		if (why != NULL)
			problem_add(k->problems, line,
				    "rewrite_to %s is no address (it %s); write one such as "
				    "qa+%%u=%%d@example.com",
				    log_safe(e->rewrite_to), why);
		else if (recipient_ends_domain(e->rewrite_to))
			problem_add(
			    k->problems, line,
			    "rewrite_to %s lets the recipient say which domain the mail goes "
			    "to; end it in a domain of yours, such as qa+%%u=%%d@example.com",
			    log_safe(e->rewrite_to));
	}
	buf_free(&sample);
	arena_free(&arena);
}

/* ---- upstream */

static void
check_upstream(struct check *k, const struct config_environment *e, const struct text_section *at)
{
	const struct config *c = k->config;
	int line = text_line(at, "upstream");

	if (!text_is_set(at, "upstream")) {
		if (c->upstream_count > 1)
			problem_add(k->problems, line,
				    "environment %s names no upstream and there are %zu; add "
				    "upstream = %s, or upstream = none "
				    "to capture",
				    e->name, c->upstream_count, c->upstreams[0].name);
		return;
	}
	if (strcmp(e->upstream, "none") == 0 || config_find_upstream(c, e->upstream) != NULL)
		return;
	problem_add(k->problems, line,
		    "there is no upstream %s; define it, or write none to capture",
		    log_safe(e->upstream));
}

static void
check_environment(struct check *k, struct config_environment *e, const struct text_section *at)
{
	if (strcmp(e->name, "unknown") == 0)
		problem_add(k->problems, at->line,
			    "environment unknown is built in and holds what matches no other; "
			    "choose another name");
	if (strcmp(e->name, CONFIG_DRILL) == 0)
		problem_add(k->problems, at->line,
			    "an environment cannot be called %s, which is kept for drills; choose "
			    "another name",
			    CONFIG_DRILL);
	if (e->match_count == 0)
		problem_add(k->problems, at->line,
			    "environment %s has no match, so nothing would belong to it; add match "
			    "{ network = "
			    "{\"10.1.0.0/16\"} }",
			    e->name);
	for (size_t i = 0; i < e->match_count; i++)
		check_match(k, &e->matches[i], text_child(at, "match", i));
	for (size_t i = 0; e->allow != NULL && e->allow[i] != NULL; i++)
		check_pattern(k, e->allow[i], text_value_line(at, "allow", i));
	if (strlen(e->subject_prefix) > PREFIX_MAX)
		problem_add(k->problems, text_line(at, "subject_prefix"),
			    "subject_prefix is longer than %d bytes; shorten it", PREFIX_MAX);
	check_rewrite(k, e, at);
	check_upstream(k, e, at);
	check_rules(e, at, k->problems);
}

void
check_environments(struct config *c, const struct text_section *at, struct problems *problems)
{
	struct check k = {c, problems};

	for (size_t i = 0; i < c->environment_count; i++)
		check_environment(&k, &c->environments[i], text_child(at, "environment", i));
	for (size_t i = 1; i < c->environment_count; i++)
		for (size_t j = 0; j < i; j++)
			check_overlap(&k, at, i, j);
}
