/*
 * A table of parameters, each with the verb it belongs to and the function that reads its value.
 * Called by command.c on a session's loop; the session's arena owns the texts. What is taken here
 * goes on to the upstream as it stands, so nothing is taken that is outside its grammar.
 */
#include "mail/parameters.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mail/xtext.h"

enum { SIZE_DIGITS_MAX = 20, NAME_SHOWN_MAX = 40, AUTH_MAX = 500 /* RFC 4954 5 */ };

/* `value` is NULL where there is no "=". NULL, or the text of a 501 5.5.4. */
typedef const char *parameter_take(struct command *c, const char *value, struct arena *arena);

static parameter_take take_size, take_body, take_smtputf8, take_ret, take_envid, take_auth,
    take_notify, take_orcpt;

static const struct parameter {
	const char *name;
	enum command_verb verb;
	parameter_take *take;
} parameters[] = {
    {"SIZE", COMMAND_MAIL, take_size},         {"BODY", COMMAND_MAIL, take_body},
    {"SMTPUTF8", COMMAND_MAIL, take_smtputf8}, {"RET", COMMAND_MAIL, take_ret},
    {"ENVID", COMMAND_MAIL, take_envid},       {"AUTH", COMMAND_MAIL, take_auth},
    {"NOTIFY", COMMAND_RCPT, take_notify},     {"ORCPT", COMMAND_RCPT, take_orcpt},
};

enum { PARAMETER_COUNT = sizeof(parameters) / sizeof(parameters[0]) };

static void
refuse(struct command *c, int code, char *text)
{
	c->error_code = code;
	c->error_status = "5.5.4";
	c->error_text = text;
}

bool
parameters_read_size(const char *value, uint64_t *size)
{
	size_t digits = strspn(value, "0123456789");

	*size = 0;
	if (digits == 0 || digits > SIZE_DIGITS_MAX || value[digits] != '\0')
		return false;
	for (; *value != '\0'; value++)
		if (__builtin_mul_overflow(*size, UINT64_C(10), size) ||
		    __builtin_add_overflow(*size, (uint64_t)(*value - '0'), size)) {
			*size = UINT64_MAX;
			break;
		}
	return true;
}

static const char *
take_size(struct command *c, const char *value, struct arena *arena)
{
	(void)arena;
	if (value == NULL || !parameters_read_size(value, &c->size))
		return "SIZE needs a number of bytes, such as SIZE=1000";
	c->has_size = true;
	return NULL;
}

static const char *
take_body(struct command *c, const char *value, struct arena *arena)
{
	if (value == NULL)
		value = "";
	if (strcasecmp(value, "7BIT") == 0)
		c->body = COMMAND_BODY_7BIT;
	else if (strcasecmp(value, "8BITMIME") == 0)
		c->body = COMMAND_BODY_8BITMIME;
	else if (strcasecmp(value, "BINARYMIME") == 0)
		refuse(c, 555,
		       arena_strdup(arena, "BODY=BINARYMIME is not offered; encode what is "
					   "binary, and use 7BIT or 8BITMIME"));
	else
		return "BODY must be 7BIT or 8BITMIME";
	return NULL;
}

static const char *
take_smtputf8(struct command *c, const char *value, struct arena *arena)
{
	(void)arena;
	if (value != NULL)
		return "SMTPUTF8 takes no value";
	c->smtputf8 = true;
	return NULL;
}

static const char *
take_ret(struct command *c, const char *value, struct arena *arena)
{
	(void)arena;
	if (value == NULL)
		value = "";
	if (strcasecmp(value, "FULL") == 0)
		c->ret = DSN_RET_FULL;
	else if (strcasecmp(value, "HDRS") == 0)
		c->ret = DSN_RET_HDRS;
	else
		return "RET must be FULL or HDRS";
	return NULL;
}

/* RFC 3461 4.2, 4.4: what xtext stands for is printable ASCII. It will stand in header fields. */
static bool
is_printable_xtext(const char *text)
{
	const char *p;

	if (*text == '\0' || !xtext_is_valid(text))
		return false;
	for (p = strchr(text, '+'); p != NULL; p = strchr(p + 3, '+'))
		if (p[1] < '2' || p[1] > '7' || (p[1] == '7' && p[2] == 'F'))
			return false;
	return true;
}

static const char *
take_envid(struct command *c, const char *value, struct arena *arena)
{
	if (value == NULL || !is_printable_xtext(value))
		return "ENVID must be printable ASCII as xtext (RFC 3461), such as ENVID=order-17";
	if (strlen(value) > DSN_ENVID_MAX)
		return "ENVID has more than 100 characters";
	c->envid = arena_strdup(arena, value);
	return NULL;
}

static const char *
take_auth(struct command *c, const char *value, struct arena *arena)
{
	(void)arena;
	if (value == NULL || *value == '\0' || !xtext_is_valid(value) || strlen(value) > AUTH_MAX)
		return "AUTH must be <> or an address as xtext (RFC 4954)";
	c->has_auth = true;
	return NULL;
}

/* RFC 3461 4.1: NEVER, or others with commas between. */
static const char *
take_notify(struct command *c, const char *value, struct arena *arena)
{
	static const struct {
		const char *name;
		unsigned bit;
	} words[] = {{"NEVER", DSN_NEVER},
		     {"SUCCESS", DSN_SUCCESS},
		     {"FAILURE", DSN_FAILURE},
		     {"DELAY", DSN_DELAY}};
	static const char error[] = "NOTIFY must be NEVER, or SUCCESS, FAILURE, DELAY with commas "
				    "between, each once";
	unsigned notify = 0;

	(void)arena;
	while (value != NULL) {
		size_t len = strcspn(value, ","), i = 0;

		while (i < 4 && (strlen(words[i].name) != len ||
				 strncasecmp(value, words[i].name, len) != 0))
			i++;
		if (i == 4 || (notify & words[i].bit) != 0)
			return error;
		notify |= words[i].bit;
		value = value[len] == ',' ? value + len + 1 : NULL;
	}
	if (notify == 0 || ((notify & DSN_NEVER) != 0 && notify != DSN_NEVER))
		return error;
	c->notify = notify;
	return NULL;
}

/* `\x{HEX}` (RFC 6533 3): its length, 0 if it is malformed or no character for an address. */
static size_t
embedded_length(const char *text)
{
	static const char digits[] = "0123456789ABCDEFabcdef";
	uint32_t code = 0;
	size_t n, i;

	if (strncmp(text, "\\x{", 3) != 0)
		return 0;
	n = strspn(text + 3, digits);
	if (n < 2 || n > 6 || text[3 + n] != '}')
		return 0;
	for (i = 3; i < 3 + n; i++) {
		size_t value = (size_t)(strchr(digits, text[i]) - digits);

		code = code << 4 | (uint32_t)(value > 15 ? value - 6 : value);
	}
	return text_is_graphic(code) ? n + 4 : 0;
}

/* An address of type utf-8, its UTF-8 as `\x{HEX}`; false if it is outside RFC 6533 3. */
static bool
read_utf8_address(const char *text, struct buf *out)
{
	size_t len = strlen(text), n;
	uint32_t code;

	if (len == 0)
		return false;
	for (; len > 0; text += n, len -= n) {
		n = *text == '\\' ? embedded_length(text) : text_read_utf8(text, len, &code);
		if (n == 0)
			return false;
		if (*text == '\\')
			buf_add(out, text, n);
		else if (!text_is_graphic(code) || *text == ' ' || *text == '+' || *text == '=')
			return false;
		else if (code < 0x80)
			buf_add_char(out, *text);
		else
			buf_printf(out, "\\x{%X}", code);
	}
	return true;
}

static const char *
take_orcpt(struct command *c, const char *value, struct arena *arena)
{
	static const char utf8[] = "utf-8;";
	static const char type[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	struct buf out = {0};
	size_t len = value != NULL ? strspn(value, type) : 0;
	bool good = len > 0 && value[len] == ';';

	if (good) {
		buf_add(&out, value, len + 1);
		if (strncasecmp(value, utf8, sizeof(utf8) - 1) == 0)
			good = read_utf8_address(value + len + 1, &out);
		else if ((good = is_printable_xtext(value + len + 1)))
			buf_add_text(&out, value + len + 1);
	}
	if (good && out.len <= DSN_ORCPT_MAX)
		c->orcpt = arena_strdup(arena, out.data);
	buf_free(&out);
	if (!good)
		return "ORCPT must be a type and an address as xtext (RFC 3461), such as "
		       "ORCPT=rfc822;name@example.com";
	return c->orcpt == NULL ? "ORCPT has more than 500 characters" : NULL;
}

/* 555, with as much of the name as can stand in a reply. */
static void
refuse_name(struct command *c, const char *name, struct arena *arena)
{
	char *shown = arena_strndup(arena, name, strnlen(name, NAME_SHOWN_MAX)), *p;

	for (p = shown; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	refuse(c, 555,
	       arena_printf(arena, "%s has no parameter %s here", command_name(c->verb), shown));
}

static void
take_parameter(struct command *c, char *name, unsigned *seen, struct arena *arena)
{
	char *value = strchr(name, '=');
	const char *error;
	size_t i = 0;

	if (value != NULL)
		*value++ = '\0';
	while (i < PARAMETER_COUNT &&
	       (parameters[i].verb != c->verb || strcasecmp(parameters[i].name, name) != 0))
		i++;
	if (i == PARAMETER_COUNT) {
		refuse_name(c, name, arena);
	} else if ((*seen & 1U << i) != 0) {
		refuse(c, 501, arena_printf(arena, "%s is given twice", parameters[i].name));
	} else {
		*seen |= 1U << i;
		error = parameters[i].take(c, value, arena);
		if (error != NULL)
			refuse(c, 501, arena_strdup(arena, error));
	}
}

void
parameters_read(struct command *c, const char *text, struct arena *arena)
{
	unsigned seen = 0;

	while (c->error_code == 0) {
		size_t len;

		text += strspn(text, " \t");
		if (*text == '\0')
			return;
		len = strcspn(text, " \t");
		take_parameter(c, arena_strndup(arena, text, len), &seen, arena);
		text += len;
	}
}
