/*
 * Envelope addresses: paths and mailboxes (RFC 5321 4.1.2, RFC 6531 3.3) and the form in which
 * domains are compared. Called by command.c for MAIL and RCPT, by config/ and filters/ for patterns
 * and header addresses. Any thread; the caller's arena owns what is returned.
 *
 * Two kindnesses beyond the grammar, because such mailboxes are in use and the next hop takes them:
 * dots may stand anywhere in an unquoted local part, and labels may have underscores.
 */
#include "mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

enum {
	LABEL_MAX = 63,                           /* RFC 1035 2.3.4 */
	UTF8_DOMAIN_MAX = 4 * ADDRESS_DOMAIN_MAX, /* bounds the work given to libidn2 */
	TEXT_MAX = ADDRESS_PATH_MAX - 2           /* a path's 256 octets include < and > */
};

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 5322 3.2.3 */
static bool
is_atext(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Bytes of the character beyond ASCII at p (RFC 6531 3.3, UTF8-non-ascii); 0 if none may be here.
 */
static size_t
utf8_length(const char *p)
{
	uint32_t code;
	size_t n = text_read_utf8(p, strnlen(p, 4), &code);

	return n > 1 && text_is_graphic(code) ? n : 0;
}

/* Why a local part cannot go on with this byte. */
static const char *
explain_byte(const char *p)
{
	unsigned char u = (unsigned char)*p;
	uint32_t code;

	if (u >= 0x80 && text_read_utf8(p, strnlen(p, 4), &code) == 0)
		return "is not valid UTF-8";
	if (u >= 0x80 || u < 0x20 || u == 0x7f)
		return "has a control character";
	return "has a character before the @ that must be quoted";
}

/* Labels of letters, digits, hyphens inside, underscores. */
static bool
domain_is_valid(const char *d, size_t len)
{
	size_t i, label = 0;

	if (len == 0 || len > ADDRESS_DOMAIN_MAX)
		return false;
	for (i = 0; i <= len; i++) {
		if (i == len || d[i] == '.') {
			if (label == 0 || label > LABEL_MAX || d[i - 1] == '-')
				return false;
			label = 0;
		} else if (is_alnum(d[i]) || d[i] == '_' || (d[i] == '-' && label > 0)) {
			label++;
		} else {
			return false;
		}
	}
	return true;
}

static char *
canonical_domain(const char *domain, size_t len, struct arena *arena)
{
	char *lower, *ascii = NULL;

	if (len > 0 && domain[len - 1] == '.')
		len--;
	if (len == 0 || len > UTF8_DOMAIN_MAX)
		return NULL;
	lower = arena_strndup(arena, domain, len);
	if (!text_is_ascii(domain, len)) {
		/* UTS 46 maps other dots and wide letters to ASCII, even to `@`: looked at below.
		 */
		if (idn2_to_ascii_8z(lower, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
		    IDN2_OK)
			return NULL;
		len = strlen(ascii);
		if (len > 0 && ascii[len - 1] == '.')
			len--;
		lower = arena_strndup(arena, ascii, len);
		idn2_free(ascii);
	}
	if (!domain_is_valid(lower, len))
		return NULL;
	text_lower(lower);
	return lower;
}

char *
address_canonical_domain(const char *domain, struct arena *arena)
{
	return canonical_domain(domain, strnlen(domain, UTF8_DOMAIN_MAX + 2), arena);
}

/* `[192.0.2.1]` or `[IPv6:2001:db8::1]`, in the one form that inet_ntop(3) writes. */
static char *
canonical_literal(const char *literal, size_t len, struct arena *arena)
{
	static const char tag[] = "IPv6:";
	char text[INET6_ADDRSTRLEN + sizeof(tag)];
	unsigned char ip[sizeof(struct in6_addr)];

	if (len < 3 || len - 2 >= sizeof(text) || literal[len - 1] != ']')
		return NULL;
	memcpy(text, literal + 1, len - 2);
	text[len - 2] = '\0';
	if (strncasecmp(text, tag, strlen(tag)) != 0) {
		if (inet_pton(AF_INET, text, ip) != 1)
			return NULL;
		return arena_printf(arena, "[%s]", inet_ntop(AF_INET, ip, text, sizeof(text)));
	}
	if (inet_pton(AF_INET6, text + strlen(tag), ip) != 1)
		return NULL;
	return arena_printf(arena, "[ipv6:%s]", inet_ntop(AF_INET6, ip, text, sizeof(text)));
}

/* Copies a quoted local part without its quotes; *end is behind the closing one. */
static const char *
read_quoted(const char *p, struct arena *arena, char **local, const char **end)
{
	char *out = *local = arena_alloc(arena, TEXT_MAX + 1);
	size_t n = 0, len;

	for (p++; *p != '"'; p += len) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*p == '\0')
			return "has no closing quote";
		len = (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f ? 1 : utf8_length(p);
		if (len == 0)
			return explain_byte(p);
		if (n + len > TEXT_MAX)
			return "has more than 254 characters";
		memcpy(out + n, p, len);
		n += len;
	}
	out[n] = '\0';
	*end = p + 1;
	return NULL;
}

static const char *
read_local(const char *p, struct arena *arena, char **local, const char **end)
{
	const char *start = p;
	size_t len = 1;

	if (*p == '"')
		return read_quoted(p, arena, local, end);
	for (; len > 0; p += len)
		len = is_atext(*p) || *p == '.' ? 1 : utf8_length(p);
	if (*p == '\0' || *p == '>')
		return p == start ? "is empty" : "has no domain";
	if (*p != '@')
		return explain_byte(p);
	if (p == start)
		return "has nothing before the @";
	*local = arena_strndup(arena, start, (size_t)(p - start));
	*end = p;
	return NULL;
}

static const char *
read_domain(const char *p, size_t len, struct arena *arena, char **domain)
{
	if (len == 0)
		return "has no domain";
	if (*p == '[') {
		*domain = canonical_literal(p, len, arena);
		return *domain != NULL ? NULL : "has a malformed address literal after the @";
	}
	*domain = canonical_domain(p, len, arena);
	if (*domain != NULL)
		return NULL;
	return len > ADDRESS_DOMAIN_MAX ? "has a domain of more than 255 characters"
					: "has a malformed domain";
}

/*
 * True if each label as it was written is an ASCII label or one that becomes an A-label. UTS 46
 * also makes ASCII of what only looks like it (wide letters, the Kelvin sign, other dots): such a
 * domain would be judged by one name and sent on by another.
 */
static bool
has_true_labels(const char *written, size_t len, const char *canonical)
{
	const char *end = written + len;
	size_t n, m;

	while (written < end) {
		n = strcspn(written, ".");
		if (n > (size_t)(end - written))
			n = (size_t)(end - written);
		m = strcspn(canonical, ".");
		if (text_is_ascii(written, n) ? n != m || strncasecmp(written, canonical, n) != 0
					      : strncmp(canonical, "xn--", 4) != 0)
			return false;
		written += n + (written + n < end);
		canonical += m + (canonical[m] == '.');
	}
	return *canonical == '\0';
}

/*
 * The domain of what was read, `len` bytes at `domain`, and the whole of it from `start`: as it was
 * written in a path, with A-labels where `a_labels`.
 */
static const char *
read_whole(const char *start, const char *domain, size_t len, bool a_labels, struct arena *arena,
	   struct address *out)
{
	const char *reason = read_domain(domain, len, arena, &out->domain);

	if (reason != NULL)
		return reason;
	if (text_is_ascii(domain, len) || !a_labels)
		out->text = arena_strndup(arena, start, (size_t)(domain - start) + len);
	else
		out->text =
		    arena_printf(arena, "%.*s%s", (int)(domain - start), start, out->domain);
	if (strlen(out->text) > TEXT_MAX)
		return "has more than 254 characters";
	if (!text_is_ascii(domain, len) && !a_labels && !has_true_labels(domain, len, out->domain))
		return "has a domain that is not written in U-labels: send it as xn-- labels";
	out->utf8 = !text_is_ascii(out->text, strlen(out->text));
	return NULL;
}

/* A mailbox that ends at `stop`, a character or the NUL; *text is moved there. */
static const char *
read_mailbox(const char **text, const char *stop, bool a_labels, struct arena *arena,
	     struct address *out)
{
	const char *start = *text, *at = start, *end, *reason;

	reason = read_local(start, arena, &out->local, &at);
	if (reason != NULL)
		return reason;
	if (*at != '@')
		return "has no domain";
	end = at + 1 + strcspn(at + 1, stop);
	if (*stop != '\0' && *end == '\0')
		return "has no closing >";
	reason = read_whole(start, at + 1, (size_t)(end - at - 1), a_labels, arena, out);
	if (reason == NULL)
		*text = end;
	return reason;
}

/* `@one,@two:`, read to its end and forgotten; false if it is malformed. */
static bool
skip_route(const char **text)
{
	const char *p = *text;

	while (*p == '@') {
		size_t n = strcspn(++p, ",:>");

		if (!domain_is_valid(p, n))
			return false;
		p += n;
		if (*p == ':') {
			*text = p + 1;
			return true;
		}
		if (*p == ',')
			p++;
	}
	return false;
}

static const char *
read_path(const char **text, bool allow_null, bool allow_postmaster, struct arena *arena,
	  struct address *out)
{
	static const char postmaster[] = "postmaster";
	const size_t n = sizeof(postmaster) - 1;
	const char *p = *text, *reason;

	if (*p++ != '<')
		return "is not in < and >";
	if (allow_null && *p == '>') {
		out->text = out->local = out->domain = arena_strdup(arena, "");
		*text = p + 1;
		return NULL;
	}
	if (allow_postmaster && strncasecmp(p, postmaster, n) == 0 && p[n] == '>') {
		out->text = out->local = arena_strndup(arena, p, n);
		out->domain = arena_strdup(arena, "");
		*text = p + n + 1;
		return NULL;
	}
	if (*p == '@' && !skip_route(&p))
		return strchr(p, ':') != NULL ? "has a malformed source route"
					      : "has nothing before the @";
	reason = read_mailbox(&p, ">", false, arena, out);
	if (reason == NULL)
		*text = p + 1;
	return reason;
}

const char *
address_parse_path(const char **text, bool allow_null, bool allow_postmaster, struct arena *arena,
		   struct address *out)
{
	const char *reason;

	*out = (struct address){0};
	reason = read_path(text, allow_null, allow_postmaster, arena, out);
	if (reason != NULL)
		*out = (struct address){0};
	return reason;
}

const char *
address_parse(const char *text, struct arena *arena, struct address *out)
{
	const char *reason;

	*out = (struct address){0};
	reason = read_mailbox(&text, "", true, arena, out);
	if (reason != NULL)
		*out = (struct address){0};
	return reason;
}
