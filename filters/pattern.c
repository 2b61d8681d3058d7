/*
 * Patterns over addresses and text. Made when a policy is compiled or a person asks for a release,
 * then matched by any thread; a pattern holds nothing that a match changes. Whoever made it frees
 * it.
 *
 * A regex is the only kind that can cost more than pattern * text: it runs under PCRE2's match,
 * depth and heap limits, on match data of its own for each call. PCRE2 counts its match limit
 * afresh at every place where a match may start, which bounds an address but not a body; so a regex
 * for text also counts its steps itself, in callouts between the items of the expression. Always
 * interpreted: the JIT counts otherwise, and the service may not make memory executable. The only
 * user of <pcre2.h>.
 */
#include "filters/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	PATTERN_TEXT_MAX = 4096, /* bytes of a pattern */
	/* Backtracking steps: some milliseconds. What a person writes for an address needs under
	   1000. */
	MATCH_LIMIT = 200000,
	DEPTH_LIMIT = 20000,
	HEAP_LIMIT = 4096, /* KiB a match */
	TEXT_HEAP_LIMIT = 16384,
	/* Of a{1000}: a repeat that fails is passed over without a callout. */
	TEXT_REPEAT_MAX = 1000
};

/* The values are the ranks of pattern_rank(). */
enum pattern_kind {
	PATTERN_ANY = 1,
	PATTERN_REGEX,
	PATTERN_GLOB,
	PATTERN_SUBDOMAINS,
	PATTERN_DOMAIN,
	PATTERN_LITERAL
};

struct pattern {
	enum pattern_kind kind;
	char *local;  /* addresses: what the local part is compared with; text: the glob or word */
	char *domain; /* addresses: as A-labels, or a glob */
	pcre2_code *code;
	pcre2_match_context *limits; /* read only while matching */
	bool counts;                 /* has callouts: for text */
	bool refers;                 /* has back references: comparing one costs its length */
};

static struct pattern *
pattern_refuse(struct pattern *p, char **error, char *why)
{
	pattern_free(p);
	*error = why;
	return NULL;
}

void
pattern_free(struct pattern *p)
{
	if (p == NULL)
		return;
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
	free(p->local);
	free(p->domain);
	free(p);
}

static bool
is_wild(const char *text)
{
	return strpbrk(text, "*?") != NULL;
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

/*
 * The end of the expression in `/expression/flags`, NULL where there is none; sets the options.
 * `flags` are the ones it may have.
 */
static const char *
regex_end(const char *text, const char *flags, uint32_t *options)
{
	const char *end = strrchr(text + 1, '/'), *flag;

	if (end == NULL || end[1 + strspn(end + 1, flags)] != '\0')
		return NULL;
	for (flag = end + 1; *flag != '\0'; flag++)
		*options |= *flag == 'i'   ? PCRE2_CASELESS
			    : *flag == 'm' ? PCRE2_MULTILINE
					   : PCRE2_DOTALL;
	return end;
}

/* The number at `text`, 0 if there is none; as large as may be where it is larger. */
static unsigned long
repeat_number(const char *text)
{
	return *text >= '0' && *text <= '9' ? strtoul(text, NULL, 10) : 0;
}

/* The largest number of times that the expression repeats something: in {N}, {N,} and {N,M}. */
static unsigned long
repeat_max(const char *text, const char *end)
{
	unsigned long max = 0;

	for (; text < end; text++) {
		if (*text == '\\') {
			text++;
			/* \x{2800}, \p{Cf}, \N{U+2800}, \g{1}, \k{name}, \o{5000} */
			if (text[1] == '{' && strchr("xpPNgko", *text) != NULL)
				text += strcspn(text, "}");
		} else if (*text == '{') {
			unsigned long least = repeat_number(text + 1);
			const char *behind = text + 1 + strspn(text + 1, "0123456789");
			unsigned long most = *behind == ',' ? repeat_number(behind + 1) : 0;

			max = least > max ? least : max;
			max = most > max ? most : max;
		}
	}
	return max;
}

/* What a pattern of that kind may cost. */
static bool
regex_limit(struct pattern *p)
{
	uint32_t references = 0;

	p->limits = pcre2_match_context_create(NULL);
	if (p->limits == NULL)
		return false;
	pcre2_pattern_info(p->code, PCRE2_INFO_BACKREFMAX, &references);
	p->refers = references > 0;
	pcre2_set_match_limit(p->limits, p->counts ? UINT32_MAX : MATCH_LIMIT);
	pcre2_set_depth_limit(p->limits, p->counts ? UINT32_MAX : DEPTH_LIMIT);
	pcre2_set_heap_limit(p->limits, p->counts ? TEXT_HEAP_LIMIT : HEAP_LIMIT);
	return true;
}

/*
 * For text \w and \d take letters and digits of any script. Not for addresses: who allows qa\d+
 * means 0 to 9.
 */
static struct pattern *
regex_compile(struct pattern *p, const char *text, bool is_text, char **error)
{
	/* $ is the end and nothing else; \C could split a character; text that is no UTF-8 is
	 * matched around its bad bytes rather than refused. */
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_NEVER_BACKSLASH_C | (is_text ? PCRE2_UCP | PCRE2_AUTO_CALLOUT : 0);
	const char *end = regex_end(text, is_text ? "ims" : "i", &options);
	PCRE2_UCHAR why[160];
	size_t at;
	int code;

	p->kind = PATTERN_REGEX;
	p->counts = is_text;
	if (end == NULL)
		return pattern_refuse(
		    p, error,
		    mem_strdup(is_text ? "a regular expression is written /expression/, behind it "
					 "any of i, m and s"
				       : "a regular expression is written /expression/ or "
					 "/expression/i"));
	if (end == text + 1)
		return pattern_refuse(
		    p, error, mem_strdup("the regular expression is empty; write * for anything"));
	if (is_text && repeat_max(text + 1, end) > TEXT_REPEAT_MAX)
		return pattern_refuse(
		    p, error,
		    mem_printf("it repeats more than %d times; write + or * instead",
			       TEXT_REPEAT_MAX));
	p->code = pcre2_compile((PCRE2_SPTR)text + 1, (size_t)(end - text - 1), options, &code, &at,
				NULL);
	if (p->code == NULL) {
		pcre2_get_error_message(code, why, sizeof(why));
		return pattern_refuse(p, error,
				      mem_printf("%s, at character %zu of the regular expression",
						 (char *)why, at + 1));
	}
	if (!regex_limit(p))
		return pattern_refuse(p, error, mem_strdup("no memory for the regular expression"));
	return p;
}

/* A word for text with letters beyond ASCII: PCRE2 knows their other case. */
static struct pattern *
word_compile(struct pattern *p, char **error)
{
	size_t at;
	int code;

	p->counts = true;
	p->code = pcre2_compile((PCRE2_SPTR)p->local, PCRE2_ZERO_TERMINATED,
				PCRE2_LITERAL | PCRE2_CASELESS | PCRE2_UTF |
				    PCRE2_MATCH_INVALID_UTF | PCRE2_AUTO_CALLOUT,
				&code, &at, NULL);
	if (p->code == NULL || !regex_limit(p))
		return pattern_refuse(p, error, mem_strdup("no memory for it"));
	return p;
}

/* How far one match has come, in items of the expression and characters of the text. */
struct step_count {
	uint64_t steps, max;
	size_t at; /* of the last one */
	bool refers;
};

/* Of all that a back reference could be compared with now. */
static uint64_t
captured_length(const pcre2_callout_block *block)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 1; i < block->capture_top; i++) {
		const PCRE2_SIZE *pair = &block->offset_vector[2 * i];

		if (pair[0] != PCRE2_UNSET && pair[1] > pair[0])
			sum += pair[1] - pair[0];
	}
	return sum;
}

/* Before each item of the expression. */
static int
step_callout(pcre2_callout_block *block, void *context)
{
	size_t now = block->current_position;
	struct step_count *c = context;

	c->steps += 1 + (now > c->at ? now - c->at : c->at - now);
	c->at = now;
	if (c->refers)
		c->steps += captured_length(block);
	return c->steps > c->max ? PCRE2_ERROR_CALLOUT : 0;
}

static enum pattern_result
regex_result(int rc)
{
	if (rc >= 0)
		return PATTERN_MATCHES;
	return rc == PCRE2_ERROR_NOMATCH ? PATTERN_DIFFERS : PATTERN_GAVE_UP;
}

static bool
regex_match(const struct pattern *p, const char *text, size_t len)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int rc = PCRE2_ERROR_NOMEMORY;

	if (data != NULL)
		rc = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, 0, data, p->limits);
	pcre2_match_data_free(data);
	return regex_result(rc) == PATTERN_MATCHES;
}

/* The same, counted. */
static enum pattern_result
regex_search(const struct pattern *p, const char *text, size_t len, uint64_t *steps)
{
	struct step_count count = {.max = PATTERN_STEPS + PATTERN_STEPS_BYTE * (uint64_t)len,
				   .refers = p->refers};
	pcre2_match_context *limits = pcre2_match_context_copy(p->limits);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int rc = PCRE2_ERROR_NOMEMORY;

	if (limits != NULL && data != NULL) {
		pcre2_set_callout(limits, step_callout, &count);
		rc = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, 0, data, limits);
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	*steps += count.steps;
	return regex_result(rc);
}

/* The domain of a pattern in the form that addresses have; NULL and *why, for free(), if it is
 * none. */
static char *
domain_compile(const char *domain, struct arena *arena, char **why)
{
	const char *canonical = NULL, *c;
	struct address address;

	if (is_wild(domain)) {
		for (c = domain; (unsigned char)*c >= ' ' && (unsigned char)*c < 0x80;)
			c++;
		if (*c == '\0')
			return mem_strdup(domain);
		*why = mem_strdup(
		    "a domain with wildcards must be ASCII; write its labels as xn--...");
		return NULL;
	}
	if (*domain != '[')
		canonical = address_canonical_domain(domain, arena);
	else if (address_parse(arena_printf(arena, "x@%s", domain), arena, &address) == NULL)
		canonical = address.domain; /* [192.0.2.1] */
	if (canonical != NULL)
		return mem_strdup(canonical);
	*why = mem_printf("\"%s\" is no domain name", domain);
	return NULL;
}

/* `@domain`, `@.domain`, `local@domain`, with wildcards or without; `at` is the last @. */
static struct pattern *
address_compile(struct pattern *p, const char *text, const char *at, char **error)
{
	struct arena arena = {0};
	const char *domain = at + 1, *reason;
	struct address address;
	char *why = NULL;

	if (at > text && !is_wild(text)) {
		p->kind = PATTERN_LITERAL;
		reason = address_parse(text, &arena, &address);
		if (reason != NULL) {
			why = mem_printf("as an address it %s", reason);
			goto out;
		}
		p->local = mem_strdup(address.local);
		p->domain = mem_strdup(address.domain);
		goto out;
	}
	p->kind = is_wild(text) ? PATTERN_GLOB : PATTERN_DOMAIN;
	if (p->kind == PATTERN_DOMAIN && *domain == '.') {
		p->kind = PATTERN_SUBDOMAINS;
		domain++;
	}
	p->local = at == text ? mem_strdup("*") : mem_strndup(text, (size_t)(at - text));
	p->domain = domain_compile(domain, &arena, &why);
out:
	arena_free(&arena);
	return why == NULL ? p : pattern_refuse(p, error, why);
}

/* What no kind of pattern may be; NULL if it is fine. */
static char *
text_refuse(const char *text)
{
	if (*text == '\0')
		return mem_strdup("it is empty; write * for anything");
	if (strlen(text) > PATTERN_TEXT_MAX)
		return mem_printf("it is longer than %d bytes", PATTERN_TEXT_MAX);
	if (!is_printable(text))
		return mem_strdup("it has a control character in it");
	if (!text_is_utf8(text, strlen(text)))
		return mem_strdup("it is not valid UTF-8");
	return NULL;
}

struct pattern *
pattern_for_address(const char *text, char **error)
{
	struct pattern *p = mem_zalloc(sizeof(*p));
	const char *at = strrchr(text, '@');
	char *why = text_refuse(text);

	*error = NULL;
	if (why != NULL)
		return pattern_refuse(p, error, why);
	if (*text == '/')
		return regex_compile(p, text, false, error);
	if (strcmp(text, "*") == 0) {
		p->kind = PATTERN_ANY;
		return p;
	}
	if (at == NULL)
		return pattern_refuse(
		    p, error,
		    mem_printf("it has no \"@\"; write \"@%s\" for a whole domain", text));
	if (at[1] == '\0')
		return pattern_refuse(
		    p, error,
		    mem_strdup("there is no domain behind its \"@\"; write \"@*\" for any"));
	return address_compile(p, text, at, error);
}

struct pattern *
pattern_for_text(const char *text, char **error)
{
	struct pattern *p = mem_zalloc(sizeof(*p));
	char *why = text_refuse(text);

	*error = NULL;
	if (why != NULL)
		return pattern_refuse(p, error, why);
	if (*text == '/')
		return regex_compile(p, text, true, error);
	p->kind = strcmp(text, "*") == 0 ? PATTERN_ANY
		  : is_wild(text)        ? PATTERN_GLOB
					 : PATTERN_LITERAL;
	p->local = mem_strdup(text);
	return p->kind == PATTERN_LITERAL && !is_ascii(text) ? word_compile(p, error) : p;
}

/*
 * Two characters fold to ASCII letters, U+212A KELVIN SIGN to k and U+017F LONG S to s: /^kate@/i
 * would take a stranger for Kate. Others of the same length stand for them.
 */
static void
hide_folding(char *text)
{
	static const char *const pairs[][2] = {{"\xe2\x84\xaa", "\xef\xbf\xbd"},
					       {"\xc5\xbf", "\xc2\xa4"}};
	size_t i;
	char *p;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		for (p = strstr(text, pairs[i][0]); p != NULL; p = strstr(p, pairs[i][0]))
			memcpy(p, pairs[i][1], strlen(pairs[i][1]));
}

static bool
regex_match_address(const struct pattern *p, const struct address *address)
{
	/* A local part is at most what the path was; A-labels may be longer than the path. */
	char text[ADDRESS_PATH_MAX + ADDRESS_DOMAIN_MAX + 2];
	int n;

	n = snprintf(text, sizeof(text), "%s@%s", address->local, address->domain);
	if (n < 0 || (size_t)n >= sizeof(text))
		return false;
	hide_folding(text);
	return regex_match(p, text, (size_t)n);
}

/*
 * victim%customer.com@example.com, customer.com!victim@example.com,
 * "victim@customer.com"@example.com: servers of example.com may send these on to customer.com
 * (Postfix: allow_percent_hack, swap_bangpath, resolve_dequoted_address, all on by default). Who
 * allows example.com has not allowed customer.com. The same in wide and small forms, which become
 * the others where a server normalises (NFKC).
 */
static bool
is_routed(const struct address *address)
{
	static const char *const forms[] = {
	    "\xef\xbc\x85", "\xef\xbc\x81", "\xef\xbc\xa0",  /* U+FF05, U+FF01, U+FF20 */
	    "\xef\xb9\xaa", "\xef\xb9\x97", "\xef\xb9\xab"}; /* U+FE6A, U+FE57, U+FE6B */
	size_t i;

	for (i = 0; address->utf8 && i < sizeof(forms) / sizeof(forms[0]); i++)
		if (strstr(address->local, forms[i]) != NULL)
			return true;
	return strpbrk(address->local, "%!@") != NULL;
}

bool
pattern_match_address(const struct pattern *p, const struct address *address)
{
	size_t len, tail;

	if (p->kind == PATTERN_ANY)
		return true;
	if (address->domain == NULL || *address->domain == '\0')
		return false; /* the null path, and a bare postmaster */
	if (p->kind != PATTERN_LITERAL && is_routed(address))
		return false;
	switch (p->kind) {
	case PATTERN_REGEX:
		return regex_match_address(p, address);
	case PATTERN_GLOB:
		return text_glob(p->local, address->local) && text_glob(p->domain, address->domain);
	case PATTERN_DOMAIN:
		return strcmp(p->domain, address->domain) == 0;
	case PATTERN_SUBDOMAINS:
		len = strlen(address->domain);
		tail = strlen(p->domain);
		if (len < tail || strcmp(address->domain + len - tail, p->domain) != 0)
			return false;
		return len == tail || address->domain[len - tail - 1] == '.';
	case PATTERN_LITERAL:
		return strcasecmp(p->local, address->local) == 0 &&
		       strcmp(p->domain, address->domain) == 0;
	default:
		return false;
	}
}

enum pattern_result
pattern_search_text(const struct pattern *p, const char *text, uint64_t *steps)
{
	bool matches;

	switch (p->kind) {
	case PATTERN_ANY:
		return PATTERN_MATCHES;
	case PATTERN_REGEX:
		return regex_search(p, text, strlen(text), steps);
	case PATTERN_GLOB:
		matches = text_glob(p->local, text);
		break;
	default:
		if (p->code != NULL)
			return regex_search(p, text, strlen(text), steps);
		matches = strcasestr(text, p->local) != NULL;
	}
	return matches ? PATTERN_MATCHES : PATTERN_DIFFERS;
}

bool
pattern_match_text(const struct pattern *p, const char *text)
{
	uint64_t steps = 0;

	return pattern_search_text(p, text, &steps) == PATTERN_MATCHES;
}

int
pattern_rank(const struct pattern *p)
{
	return (int)p->kind;
}

const char *
pattern_library_version(void)
{
	static char text[64]; /* "10.42 2022-12-11"; PCRE2 says at most 24 */

	pcre2_config(PCRE2_CONFIG_VERSION, text);
	return text;
}
