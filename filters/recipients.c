/*
 * The recipients filter. Called through gate_recipient() at each RCPT, on the relay
 * loop that has the session, and through the header map by message_apply(). Everything it makes
 * lives in the message's arena.
 */
#include "filters/recipients.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "filters/stream.h"

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 5322 3.2.3 */
static bool
is_atext(char c)
{
	return c != '\0' && (is_alnum(c) || strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Marks by which a server might send the mail on to a domain in the local part become "_". */
static void
add_unrouted(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		buf_add_char(out, *text == '%' || *text == '!' || *text == '@' ? '_' : *text);
}

static void
expand_template(const char *text, size_t len, const char *environment, const char *local,
		const char *domain, struct buf *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char next = i + 1 < len ? text[i + 1] : '\0';

		if (text[i] != '%') {
			buf_add_char(out, text[i]);
			continue;
		}
		i++;
		if (next == 'u')
			add_unrouted(out, local);
		else if (next == 'd')
			add_unrouted(out, domain);
		else if (next == 'e')
			buf_add_text(out, environment);
		else if (next == '%')
			buf_add_char(out, '%');
		else
			i--; /* refused by policy_new(); here it would be a lost '%' */
	}
}

/* A dot-atom (RFC 5322 3.2.3) of at most 64 octets. */
static void
make_local(struct buf *local, uint64_t whole)
{
	char hash[18];
	size_t i;

	for (i = 0; i < local->len; i++) {
		char c = local->data[i];
		bool dot_ok = c == '.' && i > 0 && local->data[i - 1] != '.' && i + 1 < local->len;

		if (!is_atext(c) && !dot_ok)
			local->data[i] = '_';
	}
	if (local->len <= ADDRESS_LOCAL_MAX)
		return;
	snprintf(hash, sizeof(hash), "-%016llx", (unsigned long long)whole);
	memcpy(local->data + ADDRESS_LOCAL_MAX - 17, hash, 17);
	local->len = ADDRESS_LOCAL_MAX;
	local->data[local->len] = '\0';
}

static void
make_domain(struct buf *domain)
{
	size_t i;

	for (i = 0; i < domain->len; i++) {
		if (!is_alnum(domain->data[i]) && domain->data[i] != '.')
			domain->data[i] = '-';
	}
}

const char *
recipient_rewrite(const char *rewrite_to, const char *environment, const char *local,
		  const char *domain, struct arena *arena)
{
	const char *at = strrchr(rewrite_to, '@'), *result = NULL;
	struct buf new_local = {0}, new_domain = {0};
	struct address address;
	uint64_t whole;

	if (at == NULL)
		return NULL;
	expand_template(rewrite_to, (size_t)(at - rewrite_to), environment, local, domain,
			&new_local);
	expand_template(at + 1, strlen(at + 1), environment, local, domain, &new_domain);
	whole = text_hash(TEXT_HASH_START, local, strlen(local) + 1);
	whole = text_hash(whole, domain, strlen(domain));
	if (new_local.len > 0 && new_domain.len > 0) {
		make_local(&new_local, whole);
		make_domain(&new_domain);
		result = arena_printf(arena, "%s@%s", new_local.data, new_domain.data);
		if (address_parse(result, arena, &address) != NULL)
			result = NULL;
	}
	buf_free(&new_local);
	buf_free(&new_domain);
	return result;
}

bool
recipient_is_allowed(const struct policy_environment *e, const struct address *address)
{
	size_t i;

	for (i = 0; i < e->allow_count; i++) {
		if (pattern_match_address(e->allow[i], address))
			return true;
	}
	return false;
}

/* The stream {environment, source} of a rule that holds by its nature; one for the message. */
static const struct verdict_stream *
source_stream(struct message *m, const char *rule)
{
	const unsigned per = CONFIG_PER_ENVIRONMENT | CONFIG_PER_SOURCE;
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict *v = &m->recipients[i].verdict;

		if (v->action == VERDICT_HOLD && v->rule != NULL && strcmp(v->rule, rule) == 0)
			return v->stream;
	}
	return stream_new(m, stream_hash(m->environment, rule, per, m, NULL), per, NULL);
}

void
recipient_hold(struct message *m, struct recipient *r, const char *rule, const char *reason)
{
	const struct verdict_stream *stream = source_stream(m, rule);

	r->verdict = (struct verdict){
	    .action = VERDICT_HOLD, .rule = rule, .reason = reason, .stream = stream};
}

void
recipients_hold_all(struct message *m, const char *rule, const char *reason)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		if (m->recipients[i].verdict.action == VERDICT_PASS)
			recipient_hold(m, &m->recipients[i], rule, reason);
	}
}

void
recipients_drop_all(struct message *m, const char *rule, const char *reason)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		struct verdict *v = &m->recipients[i].verdict;

		if (v->action == VERDICT_PASS)
			*v = (struct verdict){
			    .action = VERDICT_DROP, .rule = rule, .reason = reason};
	}
}

static void
rewrite_recipient(const struct policy_environment *e, struct message *m, struct recipient *r)
{
	const char *final = recipient_rewrite(e->config->rewrite_to, e->config->name,
					      r->address.local, r->address.domain, &m->arena);

	if (final == NULL) {
		recipient_hold(m, r, "recipients",
			       arena_printf(&m->arena,
					    "rewrite_to \"%s\" makes no valid address of it",
					    e->config->rewrite_to));
		return;
	}
	r->final = final;
	r->verdict.reason = arena_printf(&m->arena, "rewritten from %s", r->address.text);
}

void
recipient_judge(const struct policy_environment *e, struct message *m, struct recipient *r)
{
	const char *reason;

	r->final = r->address.text;
	r->verdict = (struct verdict){.action = VERDICT_PASS};
	if (e == NULL || strcmp(e->config->name, "unknown") == 0) {
		recipient_hold(m, r, "unknown", "its source belongs to no environment");
		return;
	}
	if (recipient_is_allowed(e, &r->address))
		return;
	reason =
	    arena_printf(&m->arena, "not on the allow list of environment %s", e->config->name);
	switch (e->config->others) {
	case CONFIG_OTHERS_REWRITE:
		rewrite_recipient(e, m, r);
		return;
	case CONFIG_OTHERS_REJECT:
		r->verdict = (struct verdict){
		    .action = VERDICT_REJECT, .rule = "recipients", .reason = reason};
		return;
	case CONFIG_OTHERS_HOLD:
		recipient_hold(m, r, "recipients", reason);
		return;
	case CONFIG_OTHERS_DROP:
	default:
		r->verdict = (struct verdict){
		    .action = VERDICT_DROP, .rule = "recipients", .reason = reason};
	}
}

const char *
recipient_make_harmless(const struct policy_environment *e, const char *address,
			struct arena *arena)
{
	const char *local = address, *domain = "", *at, *result = NULL;
	const char *environment = e == NULL ? "unknown" : e->config->name;
	struct address parsed;

	if (address_parse(address, arena, &parsed) == NULL) {
		if (e != NULL && recipient_is_allowed(e, &parsed))
			return address;
		local = parsed.local;
		domain = parsed.domain;
	} else if ((at = strrchr(address, '@')) != NULL) {
		local = arena_strndup(arena, address, (size_t)(at - address));
		domain = at + 1;
	}
	if (e != NULL && e->config->others == CONFIG_OTHERS_REWRITE)
		result =
		    recipient_rewrite(e->config->rewrite_to, environment, local, domain, arena);
	if (result == NULL)
		result =
		    recipient_rewrite("%u=%d@blocked.invalid", environment, local, domain, arena);
	return result != NULL ? result : "blocked@blocked.invalid";
}
