/*
 * Everything that needs GMime or GLib: encoded words, address lists, the normal form of subjects,
 * readable text. Called by message.c on the relay loops and by control/ for display. GMime guards
 * its own caches with locks; the options made by mime_init() are only read afterwards. What GMime
 * allocates is freed here, results are the arena's or the buffer's.
 */
#include "mail/mime.h"

#include <gmime/gmime.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mail/html.h"

enum {
	COLONS_MAX = 1000,   /* GMime recurses once for each group in a group */
	GROUP_DEPTH_MAX = 4, /* RFC 5322 knows one */
	PARTS_MAX = 200,     /* parts looked at for the readable one */
	PART_DEPTH_MAX = 20,
	MESSAGE_MAX = 4 << 20, /* bytes of a message that are parsed for display */
	WORD_BYTES = 63,       /* encoded; with its marks a word has 75 at most (RFC 2047 2) */
	ADDRESS_MAX = 320,     /* 64 of local part, '@', 255 of domain (RFC 5321 4.5.3.1) */
	BRACKET_MAX = 40       /* bytes of a "[prefix]" at the start of a subject */
};

static GMimeParserOptions *options;

/*
 * The charsets that are converted. GMime remembers every name it ever met, and each may load a
 * converter, so an outsider must not choose names freely.
 */
static const char *const charsets[] = {
    "us-ascii",       "ascii",        "utf-8",        "utf8",
    "iso-8859-1",     "iso-8859-2",   "iso-8859-3",   "iso-8859-4",
    "iso-8859-5",     "iso-8859-6",   "iso-8859-7",   "iso-8859-8",
    "iso-8859-8-i",   "iso-8859-9",   "iso-8859-10",  "iso-8859-11",
    "iso-8859-13",    "iso-8859-14",  "iso-8859-15",  "iso-8859-16",
    "latin1",         "windows-874",  "windows-1250", "windows-1251",
    "windows-1252",   "windows-1253", "windows-1254", "windows-1255",
    "windows-1256",   "windows-1257", "windows-1258", "cp437",
    "cp850",          "cp866",        "cp1250",       "cp1251",
    "cp1252",         "koi8-r",       "koi8-u",       "macintosh",
    "tis-620",        "gb2312",       "gbk",          "gb18030",
    "big5",           "big5-hkscs",   "euc-jp",       "shift_jis",
    "shift-jis",      "cp932",        "iso-2022-jp",  "euc-kr",
    "ks_c_5601-1987", "iso-2022-kr",  "euc-tw"};

static bool
charset_is_known(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(charsets); i++) {
		if (strlen(charsets[i]) == len && strncasecmp(charsets[i], name, len) == 0)
			return true;
	}
	return false;
}

void
mime_init(void)
{
	/* What undeclared 8-bit text is read as, in this order, whatever the locale says. */
	const char *fallback[] = {"utf-8", "windows-1252", NULL};

	if (options != NULL)
		return;
	g_mime_init();
	options = g_mime_parser_options_new();
	g_mime_parser_options_set_allow_addresses_without_domain(options, TRUE);
	g_mime_parser_options_set_fallback_charsets(options, fallback);
}

/* The value with every unknown charset of an encoded word, and every language tag, made "utf-8". */
static void
charsets_tame(struct buf *out, const char *value)
{
	const char *word;

	while ((word = strstr(value, "=?")) != NULL) {
		size_t len = strcspn(word + 2, "? \t");
		size_t name = strcspn(word + 2, "*? \t");

		buf_add(out, value, (size_t)(word - value));
		if (word[2 + len] != '?' || charset_is_known(word + 2, name)) {
			buf_add(out, word, 2 + (word[2 + len] == '?' ? name : len));
		} else {
			buf_add_text(out, "=?utf-8");
		}
		value = word + 2 + len;
	}
	buf_add_text(out, value);
}

/* True if neither decoding nor cleaning would change it, but for tabs. */
static bool
is_plain(const char *text)
{
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if (((unsigned char)*p < ' ' && *p != '\t') || (unsigned char)*p >= 127)
			return false;
	}
	return strstr(text, "=?") == NULL;
}

/* Control characters to spaces, in place; newline and tab stay where `lines`. Valid UTF-8. */
static void
controls_blank(char *text, bool lines)
{
	unsigned char *p;

	for (p = (unsigned char *)text; *p != '\0'; p++) {
		if (lines && (*p == '\n' || *p == '\t'))
			continue;
		if (*p < ' ' || *p == 127)
			*p = ' ';
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* C1 */
			*p = p[1] = ' ';
	}
}

char *
mime_decode_text(const char *value, struct arena *arena)
{
	char *text = arena_strndup(arena, value, strnlen(value, MIME_TEXT_MAX));
	struct buf tamed = {0};
	char *decoded, *valid;

	if (!is_plain(text)) {
		charsets_tame(&tamed, text);
		decoded = g_mime_utils_header_decode_text(options, buf_text(&tamed));
		valid = g_utf8_make_valid(decoded, -1);
		text = arena_strdup(arena, valid);
		g_free(valid);
		g_free(decoded);
		buf_free(&tamed);
	}
	controls_blank(text, false);
	return text;
}

/* One character as the Q encoding writes it, safe in a phrase too (RFC 2047 5); its length. */
static size_t
q_encode(char *out, const char *p, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (g_ascii_isalnum(p[i]) || (p[i] != '\0' && strchr("!*+-/", p[i]) != NULL))
			out[n++] = p[i];
		else if (p[i] == ' ')
			out[n++] = '_';
		else
			n += (size_t)g_snprintf(out + n, 4, "=%02X", (unsigned char)p[i]);
	}
	return n;
}

char *
mime_encode_words(const char *utf8, struct arena *arena)
{
	char *valid = g_utf8_make_valid(utf8, -1), *p, *next, *text;
	struct buf out = {0};
	size_t used = 0;

	/* Q, not B: some readers join words before they decode, and trip over padding inside. */
	for (p = valid; *p != '\0'; p = next) {
		char c[4 * 3 + 1];
		size_t len;

		next = g_utf8_next_char(p); /* a character stays in one word (RFC 2047 5) */
		len = q_encode(c, p, (size_t)(next - p));
		if (out.len == 0 || used + len > WORD_BYTES) {
			buf_add_text(&out, out.len > 0 ? "?= =?UTF-8?Q?" : "=?UTF-8?Q?");
			used = 0;
		}
		buf_add(&out, c, len);
		used += len;
	}
	if (out.len > 0)
		buf_add_text(&out, "?=");
	g_free(valid);
	text = arena_strdup(arena, buf_text(&out));
	buf_free(&out);
	return text;
}

char *
mime_encode_text(const char *utf8, struct arena *arena)
{
	if (is_plain(utf8) && strchr(utf8, '\t') == NULL)
		return arena_strdup(arena, utf8);
	return mime_encode_words(utf8, arena);
}

/* ---- subjects */

/* Length of one reply prefix at p, with its colon; 0 if there is none. */
static size_t
reply_length(const char *p)
{
	static const char *const replies[] = {"antw", "fwd", "re", "fw", "aw", "wg", "sv"};
	size_t i, n = 0, digits;

	for (i = 0; i < G_N_ELEMENTS(replies) && n == 0; i++) {
		if (g_ascii_strncasecmp(p, replies[i], strlen(replies[i])) == 0)
			n = strlen(replies[i]);
	}
	if (n == 0)
		return 0;
	if (p[n] == '[' || p[n] == '(') {
		digits = strspn(p + n + 1, "0123456789");
		if (digits > 0 && strchr("])", p[n + 1 + digits]) != NULL && p[n + 1 + digits])
			n += digits + 2;
	}
	n += strspn(p + n, " \t");
	if (p[n] == ':')
		return n + 1;
	return strncmp(p + n, "\xef\xbc\x9a", 3) == 0 ? n + 3 : 0; /* fullwidth colon */
}

const char *
mime_skip_replies(const char *subject)
{
	size_t n;

	for (;;) {
		subject += strspn(subject, " \t");
		if ((n = reply_length(subject)) == 0)
			return subject;
		subject += n;
	}
}

/* Behind reply and bracketed prefixes; a bracket with nothing behind it is the subject itself. */
static const char *
skip_prefixes(const char *subject)
{
	for (;;) {
		size_t n;

		subject = mime_skip_replies(subject);
		if (subject[0] != '[')
			return subject;
		n = strcspn(subject + 1, "[]") + 1;
		if (subject[n] != ']' || n > BRACKET_MAX || text_is_blank(subject + n + 1))
			return subject;
		subject += n + 1;
	}
}

/* Length of a UUID at p: 8-4-4-4-12 hexadecimal digits and nothing more; else 0. */
static size_t
uuid_length(const char *p)
{
	size_t i;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : !g_ascii_isxdigit(p[i]))
			return 0;
	}
	return g_ascii_isalnum(p[36]) ? 0 : 36;
}

/* Appends a token of ASCII letters and digits: one '#' for it, or one for each run of digits. */
static void
token_add(struct buf *out, const char *p, size_t len, bool whole)
{
	size_t i, hex = 0, digits = 0;

	for (i = 0; i < len; i++) {
		hex += g_ascii_isxdigit(p[i]);
		digits += g_ascii_isdigit(p[i]);
	}
	if (whole && len >= 6 && hex == len && digits > 0) {
		buf_add_char(out, '#');
		return;
	}
	for (i = 0; i < len; i++) {
		if (!g_ascii_isdigit(p[i]))
			buf_add_char(out, p[i]);
		else if (i == 0 || !g_ascii_isdigit(p[i - 1]))
			buf_add_char(out, '#');
	}
}

/* Appends the normal form of case-folded text. */
static void
subject_add(struct buf *out, const char *p)
{
	bool blank = false, in_word = false;

	while (*p != '\0') {
		gunichar c = g_utf8_get_char(p);
		const char *next = g_utf8_next_char(p);

		if (g_unichar_isspace(c) || g_unichar_iscntrl(c)) {
			blank = true;
			in_word = false;
			p = next;
			continue;
		}
		if (blank && out->len > 0)
			buf_add_char(out, ' ');
		blank = false;
		if (g_ascii_isalnum(*p)) {
			size_t len = in_word ? 0 : uuid_length(p);

			if (len > 0) {
				buf_add_char(out, '#');
			} else {
				while (g_ascii_isalnum(p[len]))
					len++;
				token_add(out, p, len,
					  !in_word && !g_unichar_isalpha(g_utf8_get_char(p + len)));
			}
			in_word = true;
			p += len;
			continue;
		}
		if (!g_unichar_isdigit(c)) {
			buf_add(out, p, (size_t)(next - p));
		} else { /* of another script */
			buf_add_char(out, '#');
			while (g_unichar_isdigit(g_utf8_get_char(next)))
				next = g_utf8_next_char(next);
		}
		in_word = g_unichar_isalpha(c);
		p = next;
	}
}

char *
mime_normal_subject(const char *utf8, struct arena *arena)
{
	char *valid = g_utf8_make_valid(utf8, -1);
	char *folded = g_utf8_casefold(valid, -1);
	struct buf out = {0};
	char *normal;

	subject_add(&out, skip_prefixes(folded));
	normal = arena_strdup(arena, buf_text(&out));
	buf_free(&out);
	g_free(folded);
	g_free(valid);
	return normal;
}

/* ---- addresses */

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

/*
 * An address list that is safe to give to GMime. It takes quotes, backslashes and comments away
 * before it looks for encoded words, so every '?' outside a whole one becomes '_' and no charset is
 * hidden. It loses memory on an address literal that is none, so such a '[' becomes '_' too. True
 * if anything was replaced.
 */
static bool
list_tame(struct buf *out, const char *value)
{
	bool changed = false, quoted = false;
	size_t name, rest, len;

	for (; *value != '\0'; value += len) {
		char c = *value;

		len = 1;
		if (c == '=' && (len = word_length(value, &name, &rest)) > 0) {
			bool known = charset_is_known(value + 2, name);

			buf_add_text(out, "=?");
			buf_add(out, known ? value + 2 : "utf-8", known ? name : 5);
			buf_add(out, value + rest, len - rest);
			continue;
		}
		len = 1;
		if (c == '\\' && quoted && value[1] != '\0' && value[1] != '?') {
			len = 2;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (c == '[' && !quoted && literal_length(value) > 0) {
			len = literal_length(value);
		} else if (c == '?' || (c == '[' && !quoted) ||
			   ((unsigned char)c < ' ' && c != '\t')) {
			changed = true;
			buf_add_char(out, '_');
			continue;
		}
		buf_add(out, value, len);
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

/* Length of a quoted local part at the start of an address; 0 if it has none that ends. */
static size_t
quoted_length(const char *p)
{
	size_t i;

	for (i = 1; p[0] == '"' && p[i] != '\0'; i++) {
		if ((unsigned char)p[i] < ' ' || p[i] == 127)
			return 0;
		if (p[i] == '\\' && (unsigned char)p[i + 1] >= ' ')
			i++;
		else if (p[i] == '"')
			return i + 1;
	}
	return 0;
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
	char *encoded;

	if (name == NULL || text_is_blank(name) || strchr(name, '@') != NULL) {
		internet_address_set_name(ia, group ? "group" : NULL);
		return;
	}
	encoded = strpbrk(name, "\"\\") != NULL ? mime_encode_words(name, walk->arena)
						: mime_encode_text(name, walk->arena);
	if (strcmp(encoded, name) != 0)
		internet_address_set_name(ia, encoded);
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
	if (count_char(value, ':') <= COLONS_MAX)
		list = internet_address_list_parse(options, buf_text(&tamed));
	buf_free(&tamed);
	if (list == NULL)
		return arena_strdup(arena, "");
	list_map(&walk, list, 0);
	if (!walk.changed && walk.ats == count_char(value, '@')) {
		result = NULL;
	} else {
		text = internet_address_list_to_string(list, NULL, FALSE);
		result = arena_strdup(arena, text != NULL ? text : "");
		controls_blank(result, false);
		g_free(text);
	}
	g_object_unref(list);
	return result;
}

/* ---- readable text */

/* The first text/plain and text/html parts of a message, borrowed. */
struct text_search {
	GMimePart *plain, *html;
	int parts;
};

static void
search_part(struct text_search *s, GMimeObject *object, int depth)
{
	int i;

	if (object == NULL || s->plain != NULL || depth > PART_DEPTH_MAX || ++s->parts > PARTS_MAX)
		return;
	if (GMIME_IS_MULTIPART(object)) {
		for (i = 0;
		     i < g_mime_multipart_get_count(GMIME_MULTIPART(object)) && i < PARTS_MAX; i++)
			search_part(s, g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
				    depth + 1);
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));

		if (inner != NULL)
			search_part(s, g_mime_message_get_mime_part(inner), depth + 1);
	} else if (GMIME_IS_PART(object)) {
		GMimeContentType *type = g_mime_object_get_content_type(object);

		if (g_mime_content_type_is_type(type, "text", "html")) {
			if (s->html == NULL)
				s->html = GMIME_PART(object);
		} else if (g_mime_content_type_is_type(type, "text", "*")) {
			s->plain = GMIME_PART(object);
		}
	}
}

/* The part decoded to valid UTF-8, for g_free(). */
static char *
part_text(GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	const char *charset =
	    g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
	GMimeStream *stream;
	GByteArray *bytes;
	char *text = NULL;

	if (content == NULL)
		return g_strdup("");
	stream = g_mime_stream_mem_new();
	g_mime_data_wrapper_write_to_stream(content, stream);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	if (charset != NULL && bytes->len > 0 && charset_is_known(charset, strlen(charset)) &&
	    strncasecmp(charset, "utf-8", 5) != 0)
		text = g_convert_with_fallback((const char *)bytes->data, bytes->len, "UTF-8",
					       g_mime_charset_iconv_name(charset), "?", NULL, NULL,
					       NULL);
	if (text == NULL && bytes->len > 0)
		text = g_utf8_make_valid((const char *)bytes->data, bytes->len);
	g_object_unref(stream);
	return text != NULL ? text : g_strdup("");
}

/* Appends text with LF line ends, at most `max` bytes, whole characters. */
static void
text_add(struct buf *out, char *text, size_t max)
{
	size_t len, n = 0;

	for (len = 0; text[len] != '\0'; len++) {
		if (text[len] != '\r' || text[len + 1] != '\n')
			text[n++] = text[len];
	}
	text[n] = '\0';
	controls_blank(text, true);
	len = n > max ? max : n;
	while (len > 0 && len < n && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	buf_add(out, text, len);
}

/*
 * A copy of the message, cut at MESSAGE_MAX, in which no field has more colons than GMime can take
 * in an address list; a stream for GMime.
 */
static GMimeStream *
message_stream(const char *message, size_t len)
{
	GByteArray *copy = g_byte_array_new();
	size_t i, colons = 0;

	g_byte_array_append(copy, (const guint8 *)message, (guint)MIN(len, MESSAGE_MAX));
	for (i = 0; i < copy->len; i++) {
		if (copy->data[i] == ':' && ++colons > COLONS_MAX)
			copy->data[i] = ' ';
		else if (i > 0 && copy->data[i - 1] == '\n' && strchr(" \t", copy->data[i]) == NULL)
			colons = 0;
	}
	return g_mime_stream_mem_new_with_byte_array(copy);
}

void
mime_message_text(const char *message, size_t len, size_t max, struct buf *out)
{
	struct text_search search = {0};
	struct buf html = {0};
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *parsed;
	char *text;

	stream = message_stream(message, len);
	parser = g_mime_parser_new_with_stream(stream);
	g_object_unref(stream);
	parsed = g_mime_parser_construct_message(parser, options);
	g_object_unref(parser);
	if (parsed == NULL)
		return;
	search_part(&search, g_mime_message_get_mime_part(parsed), 0);
	if (search.plain != NULL) {
		text = part_text(search.plain);
		text_add(out, text, max);
		g_free(text);
	} else if (search.html != NULL) {
		text = part_text(search.html);
		html_add_text(&html, text, max + 4);
		g_free(text);
		text = g_utf8_make_valid(buf_text(&html), (gssize)html.len);
		text_add(out, text, max);
		g_free(text);
		buf_free(&html);
	}
	g_object_unref(parsed);
}
