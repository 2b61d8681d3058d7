/*
 * Fuzzes load_text(): a file is either taken or refused with lines that a terminal can show, and
 * what the walk over the text lets pass is what libConfuse reads. No file is opened.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "config/load.h"
#include "tests/fuzz/fuzz.h"

/* How complaints of libConfuse itself begin: the walk must have seen each of these before. */
static const char *const confuse_texts[] = {
    "no such option",       "unexpected token",         "premature end",
    "missing equal",        "missing opening brace",    "missing title",
    "found duplicate",      "unexpected closing brace", "bad escape",
    "invalid octal",        "unterminated string",      "attempt to append",
    "cannot be read; check"};

static void
check_errors(const char *errors, size_t lines_of_text)
{
	const char *line = errors;

	FUZZ_CHECK(*errors != '\0');
	for (const char *p = errors; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
	while (*line != '\0') {
		unsigned long number;
		int used = 0;

		FUZZ_CHECK(sscanf(line, "f:%lu: %n", &number, &used) == 1 && used > 0);
		FUZZ_CHECK(number >= 1 && number <= lines_of_text);
		for (size_t i = 0; i < sizeof(confuse_texts) / sizeof(confuse_texts[0]); i++)
			FUZZ_CHECK(
			    strncmp(line + used, confuse_texts[i], strlen(confuse_texts[i])) != 0);
		line = strchr(line, '\n');
		FUZZ_CHECK(line != NULL);
		line++;
	}
}

/* What is taken shows no password in clear and lets nothing pass in silence. */
static void
check_transport(const struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		bool off = l->tls == CONFIG_TLS_OFF;

		FUZZ_CHECK(off == (l->certificate[0] == '\0') && off == (l->key[0] == '\0'));
		FUZZ_CHECK(!off || l->client_ca[0] == '\0');
		FUZZ_CHECK(l->auth == CONFIG_AUTH_OFF || c->users[0] == '/');
		FUZZ_CHECK(l->max_client_errors > 0 && l->client_errors_window > 0);
	}
	for (size_t i = 0; i < c->upstream_count; i++) {
		const struct config_upstream *u = &c->upstreams[i];
		bool verified = u->tls == CONFIG_UPSTREAM_TLS_REQUIRED ||
				u->tls == CONFIG_UPSTREAM_TLS_IMPLICIT;

		FUZZ_CHECK((u->user[0] == '\0') == (u->password[0] == '\0'));
		FUZZ_CHECK(verified || u->ca[0] == '\0');
		FUZZ_CHECK(verified || u->user[0] == '\0' || u->host[0] == '1' ||
			   u->host[0] == ':' || u->host[0] == '0' ||
			   strcasecmp(u->host, "localhost") == 0);
	}
}

static void
check_rules(const struct config_environment *e)
{
	for (size_t i = 0; i < e->burst_count; i++) {
		const struct config_burst *b = &e->bursts[i];

		FUZZ_CHECK(b->limit > 0 && b->window > 0 && b->per != 0);
		FUZZ_CHECK((b->head > 0) == (b->settle > 0) &&
			   (b->head > 0) == (b->head_window > 0));
		FUZZ_CHECK(b->declared == 0 || (b->declared >= b->limit && b->declared_window > 0));
	}
	for (size_t i = 0; i < e->content_count; i++) {
		const struct config_content *c = &e->contents[i];

		FUZZ_CHECK(c->part >= CONFIG_PART_HEADER && c->part <= CONFIG_PART_BODY);
		FUZZ_CHECK((c->part == CONFIG_PART_HEADER) == (c->header[0] != '\0'));
		FUZZ_CHECK(c->match[0] != '\0' && c->above_window > 0 && c->per != 0);
	}
}

/* Nobody decides alone where two are asked, and nothing listens beyond this machine. */
static void
check_decisions(const struct config *c)
{
	FUZZ_CHECK(c->approval.approvers >= 2 && c->approval.expires > 0);
	FUZZ_CHECK(c->access.set == (c->access.operators[0] != NULL));
	FUZZ_CHECK(!c->http.set || (c->http.tokens[0] == '/' &&
				    (strncmp(c->http.host, "127.", 4) == 0 ||
				     c->http.host[0] == ':' || c->http.host[0] == '0')));
	for (const int64_t *t = c->remind_after; *t != 0; t++)
		FUZZ_CHECK(*t > 0 && (t == c->remind_after || t[-1] < *t));
	FUZZ_CHECK(config_find_upstream(c, CONFIG_DRILL) == NULL);
	FUZZ_CHECK(config_find_environment(c, CONFIG_DRILL) == NULL);
}

static void
check_config(const struct config *c)
{
	const struct config_environment *last = &c->environments[c->environment_count - 1];

	FUZZ_CHECK(c->listener_count > 0 && c->hostname[0] != '\0');
	FUZZ_CHECK(strcmp(last->name, "unknown") == 0 && !last->production);
	FUZZ_CHECK(last->allow[0] == NULL && last->others == CONFIG_OTHERS_HOLD);
	check_transport(c);
	check_decisions(c);
	for (size_t i = 0; i < c->environment_count; i++) {
		const struct config_environment *e = &c->environments[i];

		FUZZ_CHECK(e->allow != NULL && e->burst_count > 0);
		FUZZ_CHECK(e->upstream == NULL || e->upstream[0] == '\0' ||
			   config_find_upstream(c, e->upstream) != NULL);
		FUZZ_CHECK(e->others != CONFIG_OTHERS_REWRITE || e->rewrite_to[0] != '\0');
		check_rules(e);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_strndup((const char *)data, size);
	struct buf errors = {0};
	struct config *c;
	size_t lines = 1;

	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	c = load_text(text, "f", false, &errors);
	if (c != NULL) {
		FUZZ_CHECK(errors.len == 0);
		check_config(c);
	} else {
		check_errors(buf_text(&errors), lines);
	}
	config_unref(c);
	buf_free(&errors);
	free(text);
	return 0;
}
