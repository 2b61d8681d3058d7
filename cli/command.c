/*
 * What the verbs share: calls that print their errors, lists page by page, ids, the question
 * before a change. Called by the verbs' files; nothing is kept between calls.
 */
#include "cli/command.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/screen.h"

enum { PAGE = 1000, MESSAGE_ID_LENGTH = 26, BATCH_DIGITS_MAX = 18 };

static void
print_error(const struct command *c, const char *format, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "mailfuse %s: ", c->verb);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

int
command_usage(const struct command *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_error(c, format, ap);
	va_end(ap);
	fprintf(stderr, "See mailfuse help %s.\n", c->verb);
	return CLIENT_USAGE;
}

int
command_refused(const struct command *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_error(c, format, ap);
	va_end(ap);
	return CLIENT_REFUSED;
}

void
command_note(const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* Prints what a call failed with; returns its exit code. */
static int
finish_call(const struct command *c, int result, struct buf *error)
{
	fflush(stdout);
	if (result == CLIENT_NOT_REACHED)
		fprintf(stderr, "mailfuse: %s\n", buf_text(error));
	else if (result != CLIENT_DONE)
		fprintf(stderr, "mailfuse %s: %s\n", c->verb, buf_text(error));
	buf_free(error);
	return result;
}

int
command_get(const struct command *c, const char *path, json_t **answer)
{
	struct buf error = {0};

	return finish_call(c, client_get(c->client, path, answer, &error), &error);
}

int
command_post(const struct command *c, const char *path, json_t *body, json_t **answer)
{
	struct buf error = {0};

	return finish_call(c, client_post(c->client, path, body, answer, &error), &error);
}

/* The cursor as it goes into ?after=; "" if the list has ended. */
static void
read_cursor(const json_t *answer, struct buf *cursor)
{
	const json_t *next = json_object_get(answer, "next");

	buf_clear(cursor);
	if (json_is_string(next))
		buf_add_text(cursor, json_string_value(next));
	else if (json_is_integer(next))
		buf_printf(cursor, "%lld", (long long)json_integer_value(next));
}

/* One page: its items to row(). */
static int
list_page(const struct command *c, const char *path, struct buf *cursor, size_t limit, size_t *got,
	  void (*row)(void *context, const json_t *item), void *context)
{
	struct buf full = {0};
	char number[24];
	json_t *answer, *items, *item;
	size_t i;
	int result;

	snprintf(number, sizeof(number), "%zu", limit);
	buf_add_text(&full, path);
	client_add_query(&full, "limit", number);
	client_add_query(&full, "after", cursor->len > 0 ? buf_text(cursor) : NULL);
	result = command_get(c, buf_text(&full), &answer);
	buf_free(&full);
	if (result != CLIENT_DONE)
		return result;
	items = json_object_get(answer, "items");
	*got = json_array_size(items);
	json_array_foreach(items, i, item) row(context, item);
	read_cursor(answer, cursor);
	json_decref(answer);
	return CLIENT_DONE;
}

int
command_list(const struct command *c, const char *path, size_t limit,
	     void (*row)(void *context, const json_t *item), void *context, bool *more)
{
	struct buf cursor = {0};
	size_t left = limit, got;
	int result;

	*more = false;
	for (;;) {
		result = list_page(c, path, &cursor, left < PAGE ? left : PAGE, &got, row, context);
		/* An empty page ends the list whatever its cursor says. */
		if (result != CLIENT_DONE || got == 0 || cursor.len == 0)
			break;
		if (got >= left) {
			*more = true;
			break;
		}
		left -= got;
	}
	buf_free(&cursor);
	return result;
}

size_t
command_limit(const struct command *c)
{
	return options_has(c->options, "limit") ? options_number(c->options, "limit") : PAGE;
}

const char *
command_reason(const struct command *c)
{
	const char *reason = options_text(c->options, "reason");

	return reason != NULL ? reason : "no reason given";
}

void
command_print_json(const json_t *value)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
	bool terminal = screen_is_terminal();
	char *text = json_dumps(value, flags | (terminal ? JSON_ENSURE_ASCII : 0));
	const char *p;

	for (p = text; p != NULL && *p != '\0'; p++) {
		/* The one control character that JSON leaves as it is. */
		if (terminal && *p == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(*p);
	}
	putchar('\n');
	free(text);
}

char *
command_batch_id(const char *word)
{
	size_t digits = word[0] == 'b' || word[0] == 'B' ? strspn(word + 1, "0123456789") : 0;

	if (digits == 0 || digits > BATCH_DIGITS_MAX || word[1 + digits] != '\0')
		return NULL;
	return mem_printf("B%s", word + 1);
}

char *
command_message_id(const char *word)
{
	static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz";
	size_t n = strspn(word, letters), i;
	char *id;

	if (n != MESSAGE_ID_LENGTH)
		return NULL;
	if (word[n] == '.' && word[n + 1] != '\0' &&
	    word[n + 1 + strspn(word + n + 1, "0123456789")] == '\0')
		n = strlen(word);
	if (word[n] != '\0')
		return NULL;
	id = mem_strdup(word);
	for (i = 0; id[i] != '\0'; i++)
		id[i] = (char)toupper((unsigned char)id[i]);
	return id;
}

/* The terminal that started us; NULL without one. */
static FILE *
open_terminal(void)
{
	return fopen("/dev/tty", "re");
}

bool
command_will_ask(const struct command *c)
{
	FILE *terminal;

	if (c->yes || !c->stdin_taken)
		return !c->yes && isatty(STDIN_FILENO) == 1;
	terminal = open_terminal();
	if (terminal != NULL)
		fclose(terminal);
	return terminal != NULL;
}

/* True if the answer is yes. */
static bool
read_answer(FILE *in)
{
	char answer[16];

	if (in == NULL || fgets(answer, sizeof(answer), in) == NULL) {
		fputc('\n', stderr);
		return false;
	}
	answer[strcspn(answer, "\r\n")] = '\0';
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

bool
command_confirm(const struct command *c, const char *question, const char *doing)
{
	FILE *in;
	bool yes;

	fflush(stdout);
	if (!command_will_ask(c)) {
		if (*doing != '\0')
			command_note("%s", doing);
		return true;
	}
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	in = c->stdin_taken ? open_terminal() : stdin;
	yes = read_answer(in);
	if (in != NULL && in != stdin)
		fclose(in);
	if (!yes)
		command_note("Nothing was changed.");
	return yes;
}
