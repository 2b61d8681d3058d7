/*
 * Encoded words, and what all of mime_*.c share. Called by message.c on the relay loops and by
 * control/ for display. GMime guards its table of charset names with a lock and keeps no other
 * state; the options made by mime_init() are only read afterwards. What GMime allocates is freed
 * here, results are the arena's.
 */
#include "mail/mime.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mail/mime_gmime.h"

enum { WORD_BYTES = 63 }; /* encoded; with its marks a word has 75 at most (RFC 2047 2) */

GMimeParserOptions *mime_options;

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

/* One for each of them, never closed. */
static iconv_t converters[G_N_ELEMENTS(charsets)];

bool
mime_knows_charset(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(charsets); i++) {
		if (strlen(charsets[i]) == len && strncasecmp(charsets[i], name, len) == 0)
			return true;
	}
	return false;
}

/* Classes are made on first use; here no other thread is there to see one half made. */
static void
make_classes(void)
{
	const GType types[] = {
	    INTERNET_ADDRESS_LIST_TYPE,
	    INTERNET_ADDRESS_TYPE_MAILBOX,
	    INTERNET_ADDRESS_TYPE_GROUP,
	    /* what a parser makes of a message */
	    GMIME_TYPE_PARSER,
	    GMIME_TYPE_MESSAGE,
	    GMIME_TYPE_MESSAGE_PART,
	    GMIME_TYPE_MESSAGE_PARTIAL,
	    GMIME_TYPE_MULTIPART,
	    GMIME_TYPE_MULTIPART_SIGNED,
	    GMIME_TYPE_MULTIPART_ENCRYPTED,
	    GMIME_TYPE_PART,
	    GMIME_TYPE_TEXT_PART,
	    GMIME_TYPE_APPLICATION_PKCS7_MIME,
	    GMIME_TYPE_HEADER,
	    GMIME_TYPE_HEADER_LIST,
	    GMIME_TYPE_PARAM,
	    GMIME_TYPE_PARAM_LIST,
	    GMIME_TYPE_CONTENT_TYPE,
	    GMIME_TYPE_CONTENT_DISPOSITION,
	    /* and what its parts are decoded with */
	    GMIME_TYPE_DATA_WRAPPER,
	    GMIME_TYPE_STREAM_MEM,
	    GMIME_TYPE_STREAM_NULL,
	    GMIME_TYPE_STREAM_FILTER,
	    GMIME_TYPE_FILTER_BASIC,
	};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(types); i++)
		g_type_class_ref(types[i]);
}

void
mime_init(void)
{
	/* What undeclared 8-bit text is read as, in this order, whatever the locale says. */
	const char *fallback[] = {"utf-8", "windows-1252", NULL};
	size_t i;

	if (mime_options != NULL)
		return;
	g_mime_init();
	mime_options = g_mime_parser_options_new();
	g_mime_parser_options_set_allow_addresses_without_domain(mime_options, TRUE);
	g_mime_parser_options_set_fallback_charsets(mime_options, fallback);
	/*
	 * Now GMime knows every name it will be asked for, and threads only read its table. Open
	 * converters keep the C library from loading and unloading them for each encoded word.
	 */
	for (i = 0; i < G_N_ELEMENTS(charsets); i++)
		converters[i] = g_mime_iconv_open("UTF-8", charsets[i]);
	make_classes();
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
		if (word[2 + len] != '?' || mime_knows_charset(word + 2, name)) {
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

void
mime_blank_controls(char *text, bool lines)
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
		decoded = g_mime_utils_header_decode_text(mime_options, buf_text(&tamed));
		valid = g_utf8_make_valid(decoded, -1);
		text = arena_strdup(arena, valid);
		g_free(valid);
		g_free(decoded);
		buf_free(&tamed);
	}
	mime_blank_controls(text, false);
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

const char *
mime_library_version(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "%u.%u.%u", gmime_major_version, gmime_minor_version,
		 gmime_micro_version);
	return text;
}
