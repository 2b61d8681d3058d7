/*
 * Traces: the columns and what their values mean, one row at a time, so that a trace may be of any
 * length. Called by `mailfuse simulate`, which opens and closes the file. A row that is wrong is
 * reported and the next call goes on with the line after it.
 */
#include "simulate/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"
#include "simulate/csv.h"

enum {
	TRACE_ROW_MAX =
	    1048576, /* bytes of one row; its body is cut at MESSAGE_SAMPLE_MAX anyway */
	TRACE_VALUES_MAX = 64,
	TRACE_DIGITS_MAX = 9 /* seconds: 30 years */
};
#define TRACE_RECIPIENTS_MAX UINT64_C(1000000000)

enum column {
	COLUMN_TIME,
	COLUMN_CLIENT,
	COLUMN_USER,
	COLUMN_SENDER,
	COLUMN_SUBJECT,
	COLUMN_RECIPIENTS,
	COLUMN_SIZE,
	COLUMN_OVER,
	COLUMN_CAMPAIGN,
	COLUMN_AUDIENCE,
	COLUMN_TLS_NAME,
	COLUMN_LISTENER,
	COLUMN_BODY,
	COLUMN_LABEL,
	COLUMN_COUNT
};

static const struct {
	const char *name;
	bool needed;
} columns[COLUMN_COUNT] = {
    [COLUMN_TIME] = {"time", true},          [COLUMN_CLIENT] = {"client", true},
    [COLUMN_USER] = {"user", false},         [COLUMN_SENDER] = {"sender", true},
    [COLUMN_SUBJECT] = {"subject", true},    [COLUMN_RECIPIENTS] = {"recipients", true},
    [COLUMN_SIZE] = {"size", false},         [COLUMN_OVER] = {"over", false},
    [COLUMN_CAMPAIGN] = {"campaign", false}, [COLUMN_AUDIENCE] = {"audience", false},
    [COLUMN_TLS_NAME] = {"tls_name", false}, [COLUMN_LISTENER] = {"listener", false},
    [COLUMN_BODY] = {"body", false},         [COLUMN_LABEL] = {"label", false},
};

struct trace {
	struct csv csv;
	enum column order[CSV_VALUES_MAX]; /* as the line of names says */
	size_t column_count;
	int64_t last_at;
};

/* "line 7: sender: "; the name where it is known. Returns -1, for the caller to return. */
static int
row_error(const struct trace *t, size_t value, const char *what, struct buf *error)
{
	buf_printf(error, "line %llu: ", (unsigned long long)t->csv.row_line);
	if (value < t->column_count)
		buf_printf(error, "%s: ", columns[t->order[value]].name);
	buf_printf(error, "%s\n", what);
	return -1;
}

static int
read_row(struct trace *t, struct buf *error)
{
	int result = csv_read(&t->csv);

	return result < 0 ? row_error(t, t->csv.wrong_value, t->csv.wrong, error) : result;
}

static enum column
find_column(const char *name)
{
	size_t i;

	for (i = 0; i < COLUMN_COUNT; i++) {
		if (strcmp(columns[i].name, name) == 0)
			break;
	}
	return (enum column)i;
}

static bool
has_column(const struct trace *t, enum column column)
{
	size_t i;

	for (i = 0; i < t->column_count; i++) {
		if (t->order[i] == column)
			return true;
	}
	return false;
}

/* A name in an error: what is no name may be anything. */
static const char *
show_name(const char *name)
{
	size_t len = strlen(name);

	return len <= 40 && text_is_clean(name, len) ? name : "...";
}

/* The line of names; every mistake in it is told. */
static bool
read_names(struct trace *t, struct buf *error)
{
	size_t before = error->len, i;

	for (i = 0; i < t->csv.count; i++) {
		const char *name = csv_value(&t->csv, i);
		enum column column = find_column(name);

		if (column == COLUMN_COUNT) {
			buf_printf(error,
				   "line %llu: there is no column \"%s\"; there are time, "
				   "client, user, sender, subject, recipients, size, over, "
				   "campaign, audience, tls_name, listener, body, label\n",
				   (unsigned long long)t->csv.row_line, show_name(name));
			continue;
		}
		if (has_column(t, column))
			buf_printf(error, "line %llu: column %s is there twice; leave one out\n",
				   (unsigned long long)t->csv.row_line, name);
		t->order[t->column_count++] = column;
	}
	for (i = 0; i < COLUMN_COUNT; i++) {
		if (columns[i].needed && !has_column(t, (enum column)i))
			buf_printf(error,
				   "line %llu: column %s is missing; the first line names the "
				   "columns: time,client,user,sender,subject,recipients,size\n",
				   (unsigned long long)t->csv.row_line, columns[i].name);
	}
	return error->len == before;
}

struct trace *
trace_open(FILE *file, struct buf *error)
{
	struct trace *t = mem_zalloc(sizeof(*t));
	int result;

	csv_init(&t->csv, file);
	result = read_row(t, error);
	if (result == 0)
		buf_add_text(error, "line 1: the trace is empty; the first line names the "
				    "columns: time,client,user,sender,subject,recipients,size\n");
	if (result == 1 && read_names(t, error))
		return t;
	trace_close(t);
	return NULL;
}

void
trace_close(struct trace *t)
{
	if (t == NULL)
		return;
	csv_free(&t->csv);
	free(t);
}

uint64_t
trace_line(const struct trace *t)
{
	return t->csv.row_line;
}

/* "12", "12.5": microseconds; further digits are cut. */
static bool
parse_seconds(const char *text, int64_t *out)
{
	size_t whole = strspn(text, "0123456789"), i;
	int64_t value = 0, unit = CLOCK_SECOND;

	if (whole == 0 || whole > TRACE_DIGITS_MAX)
		return false;
	for (i = 0; i < whole; i++)
		value = value * 10 + (text[i] - '0');
	value *= CLOCK_SECOND;
	text += whole;
	if (*text == '.') {
		if (text[1] == '\0')
			return false;
		for (text++; *text >= '0' && *text <= '9'; text++) {
			unit /= 10;
			value += unit * (*text - '0');
		}
	}
	*out = value;
	return *text == '\0';
}

static bool
parse_count(const char *text, uint64_t most, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 18 || text[digits] != '\0')
		return false;
	*out = strtoull(text, NULL, 10);
	return *out <= most;
}

static uint64_t
count_words(const char *text)
{
	uint64_t n = 0;

	while (*(text += strspn(text, " \t\r\n")) != '\0') {
		text += strcspn(text, " \t\r\n");
		n++;
	}
	return n;
}

static const char *
take_time(struct trace *t, const char *text, struct trace_row *row)
{
	if (!parse_seconds(text, &row->at))
		return "is no time; write seconds since the start, such as 12.5";
	if (row->at < t->last_at)
		return "is before the row above; sort the trace by time";
	t->last_at = row->at;
	return NULL;
}

static const char *
take_recipients(const char *text, struct trace_row *row)
{
	row->count = count_words(text);
	if (row->count == 0)
		return "is empty; write addresses with spaces between them, or a number";
	if (text[strspn(text, "0123456789")] != '\0') {
		row->recipients = text;
		return NULL;
	}
	if (!parse_count(text, TRACE_RECIPIENTS_MAX, &row->count) || row->count == 0)
		return "is no number of recipients; write 1 to 1000000000, or addresses";
	return NULL;
}

static const char *
take_audience(const char *text, struct trace_row *row)
{
	uint64_t n;

	if (!parse_count(text, UINT32_MAX, &n) || n == 0)
		return "is no audience; write 1 to 4294967295, or nothing";
	row->audience = (uint32_t)n;
	return NULL;
}

static const char *
take_label(const char *text, struct trace_row *row)
{
	row->blast = strcmp(text, "blast") == 0;
	if (row->blast || strcmp(text, "ok") == 0)
		return NULL;
	return "is no label; write blast for what should be held, else ok";
}

/* What is wrong with the value, NULL if nothing. */
static const char *
take_value(struct trace *t, enum column column, const char *text, struct trace_row *row)
{
	/* Nothing is nothing declared. */
	bool empty = *text == '\0';

	switch (column) {
	case COLUMN_TIME:
		return take_time(t, text, row);
	case COLUMN_CLIENT:
		row->client = text;
		return empty ? "is empty; write the IP address that it comes from" : NULL;
	case COLUMN_USER:
		row->user = text;
		return NULL;
	case COLUMN_SENDER:
		row->sender = text;
		return NULL;
	case COLUMN_SUBJECT:
		row->subject = text;
		return NULL;
	case COLUMN_RECIPIENTS:
		return take_recipients(text, row);
	case COLUMN_SIZE:
		if (empty || units_parse_size(text, &row->size))
			return NULL;
		return "is no size; write bytes, such as 20000";
	case COLUMN_OVER:
		if (empty || parse_seconds(text, &row->over))
			return NULL;
		return "is no time; write seconds, such as 60";
	case COLUMN_CAMPAIGN:
		row->campaign = text;
		return NULL;
	case COLUMN_AUDIENCE:
		return empty ? NULL : take_audience(text, row);
	case COLUMN_TLS_NAME:
		row->tls_name = text;
		return NULL;
	case COLUMN_LISTENER:
		row->listener = text;
		return NULL;
	case COLUMN_BODY:
		row->body = text;
		return NULL;
	case COLUMN_LABEL:
		return empty ? NULL : take_label(text, row);
	case COLUMN_COUNT:
	default:
		return NULL;
	}
}

int
trace_read(struct trace *t, struct trace_row *row, struct buf *error)
{
	int result = read_row(t, error);
	const char *wrong;
	size_t i;

	if (result != 1)
		return result;
	if (t->csv.count != t->column_count) {
		buf_printf(error,
			   "line %llu: %zu values, but there are %zu columns; put a value with "
			   "commas in quotes\n",
			   (unsigned long long)t->csv.row_line, t->csv.count, t->column_count);
		return -1;
	}
	*row = (struct trace_row){.client = "",
				  .user = "",
				  .tls_name = "",
				  .listener = "",
				  .sender = "",
				  .subject = "",
				  .campaign = "",
				  .body = ""};
	for (i = 0; i < t->csv.count; i++) {
		const char *text = csv_value(&t->csv, i);

		if (!text_is_utf8(text, strlen(text)))
			wrong = "is no UTF-8; save the trace as UTF-8";
		else
			wrong = take_value(t, t->order[i], text, row);
		if (wrong != NULL)
			return row_error(t, i, wrong, error);
	}
	return 1;
}
