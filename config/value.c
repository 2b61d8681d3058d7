/*
 * Converts one value by its row of the table of settings. Called by load.c with what the file says
 * and with the defaults; what it stores belongs to the struct config that load.c fills.
 */
#include "config/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"
#include "config/secret.h"

#define FIELD(p, type) ((type *)(void *)((char *)(p)->object + (p)->row->offset))
#define FIELD2(p, type) ((type *)(void *)((char *)(p)->object + (p)->row->offset2))

char **
value_list_new(void)
{
	return mem_zalloc(sizeof(char *));
}

size_t
value_list_count(char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

void
value_list_add(char ***list, const char *item)
{
	size_t n = value_list_count(*list);

	*list = mem_resize_array(*list, n + 2, sizeof(char *));
	(*list)[n] = mem_strdup(item);
	(*list)[n + 1] = NULL;
}

void
value_list_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

size_t
value_times_count(const int64_t *times)
{
	size_t n = 0;

	while (times != NULL && times[n] != 0)
		n++;
	return n;
}

static void
text_replace(char **field, const char *text, size_t len)
{
	free(*field);
	*field = mem_strndup(text, len);
}

void
value_reset(const struct value_place *p)
{
	switch (p->row->type) {
	case OPTION_TEXT:
	case OPTION_PATH:
	case OPTION_ADDRESS:
		text_replace(FIELD(p, char *), "", 0);
		break;
	case OPTION_LIST:
		value_list_free(*FIELD(p, char **));
		*FIELD(p, char **) = value_list_new();
		break;
	case OPTION_TIMES:
		free(*FIELD(p, int64_t *));
		*FIELD(p, int64_t *) = mem_zalloc(sizeof(int64_t));
		break;
	case OPTION_SET:
		*FIELD(p, unsigned) = 0;
		break;
	default:
		break;
	}
}

void
value_free(const struct value_place *p)
{
	switch (p->row->type) {
	case OPTION_TEXT:
	case OPTION_PATH:
	case OPTION_ADDRESS:
		if ((p->row->flags & OPTION_SECRET) != 0 && *FIELD(p, char *) != NULL)
			explicit_bzero(*FIELD(p, char *), strlen(*FIELD(p, char *)));
		free(*FIELD(p, char *));
		*FIELD(p, char *) = NULL;
		break;
	case OPTION_LIST:
		value_list_free(*FIELD(p, char **));
		*FIELD(p, char **) = NULL;
		break;
	case OPTION_TIMES:
		free(*FIELD(p, int64_t *));
		*FIELD(p, int64_t *) = NULL;
		break;
	default:
		break;
	}
}

bool
value_same(const struct value_place *a, const struct value_place *b)
{
	switch (a->row->type) {
	case OPTION_TEXT:
	case OPTION_PATH:
		return strcmp(*FIELD(a, char *), *FIELD(b, char *)) == 0;
	case OPTION_NUMBER:
		return *FIELD(a, uint32_t) == *FIELD(b, uint32_t);
	case OPTION_CHOICE:
		return *FIELD(a, int) == *FIELD(b, int);
	default:
		panic("value_same: no comparison for %s", a->row->name);
	}
}

/* ---- words */

static void
print_words(const char *const *words, struct buf *why)
{
	for (size_t i = 0; words[i] != NULL; i++)
		buf_printf(why, "%s%s",
			   i == 0                 ? ""
			   : words[i + 1] == NULL ? " or "
						  : ", ",
			   words[i]);
}

static int
find_word(const char *const *words, const char *text)
{
	for (int i = 0; words != NULL && words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return -1;
}

static int
word_add(const struct option *row, const char *text, struct buf *why)
{
	int found = find_word(row->words, text);

	if (found >= 0)
		return found + (int)row->min;
	if (find_word(row->later, text) >= 0)
		buf_printf(why, "%s = %s is not available in this version; write %s = ", row->name,
			   text, row->name);
	else
		buf_printf(why, "%s cannot be %s; write %s", row->name, log_safe(text),
			   row->type == OPTION_SET ? "any of " : "");
	print_words(row->words, why);
	return -1;
}

static bool
flag_add(const struct value_place *p, const char *text, struct buf *why)
{
	static const char *const yes[] = {"true", "yes", "on", NULL};
	static const char *const no[] = {"false", "no", "off", NULL};
	bool on = find_word(yes, text) >= 0;

	if (!on && find_word(no, text) < 0) {
		buf_printf(why, "%s cannot be %s; write true or false", p->row->name,
			   log_safe(text));
		return false;
	}
	*FIELD(p, bool) = on;
	return true;
}

/* ---- numbers */

static bool
number_add(const struct value_place *p, const char *text, struct buf *why)
{
	uint64_t n = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && digits <= 10 && text[digits] == '\0')
		n = strtoull(text, NULL, 10);
	else
		n = UINT64_MAX;
	if (n < p->row->min || n > p->row->max) {
		buf_printf(why, "%s cannot be %s; write a number from %" PRIu64 " to %" PRIu64,
			   p->row->name, log_safe(text), p->row->min, p->row->max);
		return false;
	}
	if ((p->row->flags & OPTION_WIDE) != 0)
		*FIELD(p, uint64_t) = n;
	else
		*FIELD(p, uint32_t) = (uint32_t)n;
	return true;
}

static bool
size_add(const struct value_place *p, const char *text, struct buf *why)
{
	char least[UNITS_BYTES], most[UNITS_BYTES];
	uint64_t n;

	if (!units_parse_size(text, &n)) {
		buf_printf(why, "%s cannot be %s; write a size such as 500KB, 25MB or 20GB",
			   p->row->name, log_safe(text));
		return false;
	}
	if (n < p->row->min) {
		buf_printf(why, "%s cannot be %s; the least is %s", p->row->name, log_safe(text),
			   units_format_size(p->row->min, least));
		return false;
	}
	if (n > p->row->max) {
		buf_printf(why, "%s cannot be %s; the most is %s", p->row->name, log_safe(text),
			   units_format_size(p->row->max, most));
		return false;
	}
	*FIELD(p, uint64_t) = n;
	return true;
}

static bool
duration_read(const struct value_place *p, const char *text, int64_t *out, struct buf *why)
{
	char least[UNITS_BYTES], most[UNITS_BYTES];
	int64_t t;

	if (!units_parse_duration(text, &t)) {
		buf_printf(why, "%s cannot be %s; write a duration such as 10s, 5m, 2h or 7d",
			   p->row->name, log_safe(text));
		return false;
	}
	if (t < (int64_t)p->row->min || t > (int64_t)p->row->max) {
		buf_printf(why, "%s cannot be %s; write from %s to %s", p->row->name,
			   log_safe(text), units_format_duration((int64_t)p->row->min, least),
			   units_format_duration((int64_t)p->row->max, most));
		return false;
	}
	*out = t;
	return true;
}

static bool
times_add(const struct value_place *p, const char *text, struct buf *why)
{
	int64_t **times = FIELD(p, int64_t *);
	size_t n = value_times_count(*times);
	int64_t t;

	if (!duration_read(p, text, &t, why))
		return false;
	*times = mem_resize_array(*times, n + 2, sizeof(int64_t));
	(*times)[n] = t;
	(*times)[n + 1] = 0;
	return true;
}

static bool
rate_add(const struct value_place *p, const char *text, struct buf *why)
{
	char least[UNITS_BYTES], most[UNITS_BYTES];
	uint32_t count;
	int64_t period;

	if (!units_parse_rate(text, &count, &period)) {
		buf_printf(why, "%s cannot be %s; write a rate such as 500/10m", p->row->name,
			   log_safe(text));
		return false;
	}
	if (period < (int64_t)p->row->min || period > (int64_t)p->row->max) {
		buf_printf(why, "the time of %s = %s must be from %s to %s", p->row->name,
			   log_safe(text), units_format_duration((int64_t)p->row->min, least),
			   units_format_duration((int64_t)p->row->max, most));
		return false;
	}
	*FIELD(p, uint32_t) = count;
	*FIELD2(p, int64_t) = period;
	return true;
}

/* ---- addresses */

/* Splits `host:port` or `[IPv6]:port`; false if it has neither form. */
static bool
split_address(const char *text, const char **host, size_t *host_len, const char **port)
{
	const char *colon = strrchr(text, ':');

	if (colon == NULL)
		return false;
	*host = text;
	*host_len = (size_t)(colon - text);
	*port = colon + 1;
	if (text[0] == '[') {
		if (colon < text + 3 || colon[-1] != ']')
			return false;
		*host = text + 1;
		*host_len -= 2;
		return true;
	}
	return *host_len > 0 && memchr(text, ':', *host_len) == NULL;
}

static bool
is_numeric(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Letters, digits, dashes and underscores in labels of 1 to 63: what a resolver can be asked for.
 */
static bool
is_host_name(const char *host)
{
	size_t label = 0;

	for (const char *p = host; *p != '\0'; p++) {
		if (*p == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_') {
			return false;
		} else if (++label > 63) {
			return false;
		}
	}
	/* All digits and dots is a mistyped IPv4 address. */
	return host[0] != '\0' && strlen(host) <= 253 && host[strspn(host, "0123456789.")] != '\0';
}

static bool
address_add(const struct value_place *p, const char *text, struct buf *why)
{
	bool numeric = (p->row->flags & OPTION_NUMERIC) != 0;
	const char *host, *port;
	char name[256];
	size_t host_len, digits;
	unsigned long number;

	if (!split_address(text, &host, &host_len, &port) || host_len >= sizeof(name)) {
		buf_printf(why, "%s cannot be %s; write %s, an IPv6 address as [::1]:2525",
			   p->row->name, log_safe(text),
			   numeric ? "127.0.0.1:2525" : "smtp.example.com:25");
		return false;
	}
	snprintf(name, sizeof(name), "%.*s", (int)host_len, host);
	digits = strspn(port, "0123456789");
	number =
	    digits > 0 && digits <= 5 && port[digits] == '\0' ? strtoul(port, NULL, 10) : 65536;
	if (number > 65535 || (number == 0 && !numeric)) {
		buf_printf(why, "%s has no valid port in %s; write a number from 1 to 65535",
			   p->row->name, log_safe(text));
		return false;
	}
	if (numeric
		? !is_numeric(name)
		: !(text[0] == '[' ? is_numeric(name) : is_numeric(name) || is_host_name(name))) {
		buf_printf(why, "%s: %s is no %s", p->row->name, log_safe(name),
			   numeric ? "IP address; write one such as 127.0.0.1, or 0.0.0.0 for all"
				   : "host name or IP address");
		return false;
	}
	text_replace(FIELD(p, char *), name, host_len);
	*FIELD2(p, uint16_t) = (uint16_t)number;
	return true;
}

bool
value_network(const char *text, char out[VALUE_NETWORK_BYTES], struct buf *why)
{
	unsigned char bytes[16];
	char host[INET6_ADDRSTRLEN + 1], fixed[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t host_len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	int family = memchr(text, ':', host_len) != NULL ? AF_INET6 : AF_INET;
	unsigned long most = family == AF_INET6 ? 128 : 32;
	unsigned long bits = most;
	bool changed = false;

	if (host_len >= sizeof(host))
		host_len = 0;
	snprintf(host, sizeof(host), "%.*s", (int)host_len, text);
	if (slash != NULL) {
		size_t digits = strspn(slash + 1, "0123456789");

		bits = digits > 0 && digits <= 3 && slash[1 + digits] == '\0'
			   ? strtoul(slash + 1, NULL, 10)
			   : 999;
	}
	if (inet_pton(family, host, bytes) != 1 || bits > most) {
		buf_printf(why, "%s is no network; write one such as 10.1.0.0/16 or 2001:db8::/32",
			   log_safe(text));
		return false;
	}
	for (unsigned long i = bits; i < most; i++) {
		unsigned char mask = (unsigned char)(0x80 >> (i % 8));

		changed = changed || (bytes[i / 8] & mask) != 0;
		bytes[i / 8] &= (unsigned char)~mask;
	}
	inet_ntop(family, bytes, fixed, sizeof(fixed));
	if (!changed) {
		snprintf(out, VALUE_NETWORK_BYTES, bits == most ? "%s" : "%s/%lu", fixed, bits);
		return true;
	}
	buf_printf(why,
		   "%s is an address inside a network; write %s/%lu for the network or %s for the "
		   "one address",
		   log_safe(text), fixed, bits, host);
	return false;
}

/* ---- all */

/* Control characters and broken UTF-8 have no place in any setting. */
static bool
is_clean(const struct value_place *p, const char *text, struct buf *why)
{
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			buf_printf(why, "%s has a control character in it; remove it",
				   p->row->name);
			return false;
		}
	}
	if (!text_is_utf8(text, strlen(text))) {
		buf_printf(why, "%s is not valid UTF-8; save the file as UTF-8", p->row->name);
		return false;
	}
	return true;
}

static bool
path_add(const struct value_place *p, const char *text, struct buf *why)
{
	bool memory = strcmp(p->row->name, "store") == 0 && strcmp(text, "memory:") == 0;
	bool none = text[0] == '\0' && p->row->def[0] == '\0';

	if (text[0] != '/' && !memory && !none) {
		buf_printf(why, "%s cannot be %s; write a path that begins with /", p->row->name,
			   log_safe(text));
		return false;
	}
	text_replace(FIELD(p, char *), text, strlen(text));
	return true;
}

static bool
convert(const struct value_place *p, const char *text, struct buf *why)
{
	int word;

	switch (p->row->type) {
	case OPTION_TEXT:
		text_replace(FIELD(p, char *), text, strlen(text));
		return true;
	case OPTION_PATH:
		return path_add(p, text, why);
	case OPTION_LIST:
		value_list_add(FIELD(p, char **), text);
		return true;
	case OPTION_FLAG:
		return flag_add(p, text, why);
	case OPTION_NUMBER:
		return number_add(p, text, why);
	case OPTION_SIZE:
		return size_add(p, text, why);
	case OPTION_DURATION:
		return duration_read(p, text, FIELD(p, int64_t), why);
	case OPTION_TIMES:
		return times_add(p, text, why);
	case OPTION_RATE:
		return rate_add(p, text, why);
	case OPTION_ADDRESS:
		return address_add(p, text, why);
	case OPTION_CHOICE:
	case OPTION_SET:
		word = word_add(p->row, text, why);
		if (p->row->type == OPTION_SET && word >= 0)
			*FIELD(p, unsigned) |= 1U << word;
		else if (p->row->type == OPTION_CHOICE)
			*FIELD(p, int) = word; /* -1: a problem, and checks ask no more */
		return word >= 0;
	default:
		return false;
	}
}

bool
value_add(const struct value_place *p, const char *text, struct buf *why)
{
	struct buf content = {0};
	bool ok;

	if ((p->row->flags & OPTION_FROM_FILE) == 0 || strncmp(text, "file:", 5) != 0)
		return is_clean(p, text, why) && convert(p, text, why);
	if (!p->files) {
		buf_printf(why, "%s: files are not read here", p->row->name);
		return false;
	}
	ok = secret_read(p->row->name, text + 5, (p->row->flags & OPTION_SECRET) != 0, &content,
			 why) &&
	     is_clean(p, buf_text(&content), why) && convert(p, buf_text(&content), why);
	buf_free(&content);
	return ok;
}

bool
value_add_default(const struct value_place *p, struct buf *why)
{
	const char *at = p->row->def;
	bool ok = true;

	if (p->row->type != OPTION_TIMES)
		return value_add(p, at, why);
	while (ok && *at != '\0') {
		size_t len = strcspn(at, ", ");
		char *one = mem_strndup(at, len);

		ok = value_add(p, one, why);
		free(one);
		at += len + strspn(at + len, ", ");
	}
	return ok;
}
