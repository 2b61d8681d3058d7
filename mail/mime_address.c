/*
 * Address lists through a map, so that none leads to somebody outside. Called by message_apply.c on
 * the relay loops. GMime reads and writes the lists; what it is given is tamed before, and what it
 * read is checked, because it forgives more than a gate may. Results are the arena's.
 */
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

enum {
	GROUP_DEPTH_MAX = 4, /* RFC 5322 knows one */
	ADDRESS_MAX = 320    /* 64 of local part, '@', 255 of domain (RFC 5321 4.5.3.1) */
};

/*
 * Length of the encoded word at p ("=?utf-8?q?a?="), 0 if it is none that everybody would see as
 * one; *name gets the length of its charset's name, *rest where what follows the name starts.
 */
static size_t
word_length(const char *p, size_t *name, size_t *rest)
{
	size_t n, text;

	if (p[0] != '=' || p[1] != '?')
		return 0;
	*name = strcspn(p + 2, "*?\"()<>,;: \t\\");
	n = 2 + *name;
	if (p[n] == '*')
		n += strcspn(p + n, "?\"()<>,;: \t\\");
	*rest = n;
	if (p[n] != '?' || p[n + 1] == '\0' || strchr("qQbB", p[n + 1]) == NULL || p[n + 2] != '?')
		return 0;
	n += 3;
	text = strcspn(p + n, "?\"()<>,;: \t\\");
	n += text;
	if (p[n] != '?' || p[n + 1] != '=' || strchr("\"),;<> \t", p[n + 2]) == NULL)
		return 0;
	return n + 2;
}

/* Length of an address literal at p ("[192.0.2.1]"), 0 if it is none that ends. */
static size_t
literal_length(const char *p)
{
	size_t n = 1;

	while (g_ascii_isalnum(p[n]) || p[n] == '.' || p[n] == ':' || p[n] == '-')
		n++;
	return p[n] == ']' ? n + 1 : 0;
}

/* Length of the quoted string at p, 0 if there is none that ends. */
static size_t
quoted_length(const char *p)
{
	size_t i;

	for (i = 1; p[0] == '"' && p[i] != '\0'; i++) {
		if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 127)
			return 0;
		if (p[i] == '\\' && (unsigned char)p[i + 1] >= ' ')
			i++;
		else if (p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Length of the comment at p (RFC 5322 3.2.2), 0 if there is none that ends. */
static size_t
comment_length(const char *p)
{
	size_t depth = 0, i;

	for (i = 0; p[i] != '\0'; i++) {
		if (p[i] == '\\' && p[i + 1] != '\0')
			i++;
		else if (p[i] == '(')
			depth++;
		else if (p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Where list_tame() is. */
struct list_scan {
	const char *end; /* of the quoted string or comment it is in or was in last */
	bool unended;    /* one did not end; no more is looked for, so that all costs O(length) */
	bool at;         /* it has an '@' so far */
};

/*
 * How many bytes at p GMime may see as they are: it takes quotes, backslashes and comments away
 * before it looks for encoded words, and it loses memory on some broken address literals, quoted
 * strings and comments. 0: not even one.
 */
static size_t
tame_length(struct list_scan *scan, const char *p)
{
	bool inside = scan->end != NULL && p < scan->end;
	size_t len;

	if (*p == '?' || ((unsigned char)*p < ' ' && *p != '\t'))
		return 0;
	/* It also looks for addresses in a name that none follows: a literal there must not break.
	 */
	if (inside && *p == '[' && scan->at)
		return 0;
	scan->at = inside && (scan->at || *p == '@');
	if (inside)
		return *p == '\\' && (unsigned char)p[1] >= ' ' && p[1] != '?' ? 2 : 1;
	if (*p == '[')
		return literal_length(p);
	if (*p == '"' || *p == '(') {
		len = scan->unended ? 0 : *p == '"' ? quoted_length(p) : comment_length(p);
		scan->end = p + len;
		scan->unended = len == 0;
		return len > 0;
	}
	return 1;
}

/*
 * An address list that is safe to give to GMime: encoded words have a charset that we know, and
 * what tame_length() says becomes '_'. True if anything did.
 */
static bool
list_tame(struct buf *out, const char *value)
{
	struct list_scan scan = {0};
	bool changed = false;
	size_t name, rest, len;

	while (*value != '\0') {
		if ((len = word_length(value, &name, &rest)) > 0) {
			bool known = mime_knows_charset(value + 2, name);

			buf_add_text(out, "=?");
			buf_add(out, known ? value + 2 : "utf-8", known ? name : 5);
			buf_add(out, value + rest, len - rest);
		} else if ((len = tame_length(&scan, value)) > 0) {
			buf_add(out, value, len);
		} else {
			buf_add_char(out, '_');
			changed = true;
			len = 1;
		}
		value += len;
	}
	return changed;
}

struct map_walk {
	struct arena *arena;
	mime_map *map;
	void *context;
	bool changed;
	size_t ats; /* '@' in the addresses that were kept */
};

static size_t
count_char(const char *text, char c)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

/*
 * True if an address reads the same for everybody: GMime forgives a lot, and another reader may
 * find a second address in what it let pass.
 */
static bool
address_is_plain(const char *address)
{
	const char *p = address + quoted_length(address), *domain = NULL;

	if (strlen(address) > ADDRESS_MAX)
		return false;
	for (; *p != '\0'; p++) {
		if (*p == '@' && domain == NULL)
			domain = p + 1;
		else if ((unsigned char)*p <= ' ' || *p == 127 || strchr("()<>@,;\\\"", *p) != NULL)
			return false;
		else if (strchr("[]:", *p) != NULL && (domain == NULL || domain[0] != '['))
			return false;
	}
	return p > address && (domain == NULL || (domain > address + 1 && domain[0] != '\0'));
}

/*
 * A display name that holds an address would be one more way to it. What is not plain is encoded
 * here: GMime leaves a '=' in an encoded word, and a quote in a plain name, as they are.
 */
static void
name_clean(struct map_walk *walk, InternetAddress *ia)
{
	bool group = INTERNET_ADDRESS_IS_GROUP(ia);
	const char *name = internet_address_get_name(ia);
	char *text;

	if (name == NULL || text_is_blank(name) || strchr(name, '@') != NULL) {
		internet_address_set_name(ia, group ? "group" : NULL);
		return;
	}
	text = arena_strdup(walk->arena, name);
	mime_blank_controls(text, false);
	text = strpbrk(text, "\"\\") != NULL ? mime_encode_words(text, walk->arena)
					     : mime_encode_text(text, walk->arena);
	if (strcmp(text, name) != 0)
		internet_address_set_name(ia, text);
}

/* False if the mailbox has to go. */
static bool
mailbox_map(struct map_walk *walk, InternetAddressMailbox *mailbox)
{
	const char *address = internet_address_mailbox_get_addr(mailbox);
	const char *mapped;

	if (address == NULL || !address_is_plain(address))
		return false;
	mapped = walk->map(walk->context, address);
	if (mapped == address) {
		walk->ats += count_char(address, '@');
		return true;
	}
	if (mapped == NULL || !address_is_plain(mapped))
		return false;
	walk->changed = true;
	internet_address_mailbox_set_addr(mailbox, mapped);
	return true;
}

static void
list_map(struct map_walk *walk, InternetAddressList *list, int depth)
{
	int in, out = 0, count = internet_address_list_length(list);

	for (in = 0; in < count; in++) {
		InternetAddress *ia = internet_address_list_get_address(list, in);
		bool keep;

		name_clean(walk, ia);
		if (INTERNET_ADDRESS_IS_GROUP(ia)) {
			keep = depth < GROUP_DEPTH_MAX;
			if (keep)
				list_map(
				    walk,
				    internet_address_group_get_members(INTERNET_ADDRESS_GROUP(ia)),
				    depth + 1);
		} else {
			keep = mailbox_map(walk, INTERNET_ADDRESS_MAILBOX(ia));
		}
		if (!keep)
			continue;
		if (out != in) /* keep order, without the square cost of removing one by one */
			internet_address_list_set_address(list, out, ia);
		out++;
	}
	walk->changed = walk->changed || out < count;
	while (count > out)
		internet_address_list_remove_at(list, --count);
}

char *
mime_map_addresses(const char *value, mime_map *map, void *context, struct arena *arena)
{
	struct map_walk walk = {.arena = arena, .map = map, .context = context};
	InternetAddressList *list = NULL;
	struct buf tamed = {0};
	char *result, *text;

	if (text_is_blank(value))
		return NULL;
	walk.changed = list_tame(&tamed, value);
	if (count_char(value, ':') <= MIME_COLONS_MAX)
		list = internet_address_list_parse(mime_options, buf_text(&tamed));
	buf_free(&tamed);
	if (list == NULL)
		return arena_strdup(arena, "");
	list_map(&walk, list, 0);
	if (!walk.changed && walk.ats == count_char(value, '@')) {
		result = NULL;
	} else {
		text = internet_address_list_to_string(list, NULL, FALSE);
		result = arena_strdup(arena, text != NULL ? text : "");
		mime_blank_controls(result, false);
		g_free(text);
	}
	g_object_unref(list);
	return result;
}
