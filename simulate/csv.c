/*
 * Splits CSV into rows and values, byte by byte. Called by trace.c; the file is the caller's.
 *
 * States of a value; all but PLAIN and QUOTED last for one byte:
 *   START -"-> QUOTED       START -other-> PLAIN
 *   QUOTED -"-> QUOTE_SEEN  QUOTE_SEEN -"-> QUOTED (a quote in the value)
 *   START, PLAIN, QUOTE_SEEN -,-> START of the next   -CR-> RETURN   -LF-> end of the row
 *   RETURN -LF-> end of the row
 */
#include "simulate/csv.h"

enum csv_state { CSV_START, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE_SEEN, CSV_RETURN };

/* U+FEFF, as spreadsheets put before UTF-8. */
static void
skip_mark(FILE *file)
{
	static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
	size_t i;
	int c;

	for (i = 0; i < sizeof(mark); i++) {
		c = getc_unlocked(file);
		if (c == mark[i])
			continue;
		/* Half a mark is lost here: no name of a column begins so either. */
		if (c != EOF)
			ungetc(c, file);
		return;
	}
}

void
csv_init(struct csv *c, FILE *file)
{
	*c = (struct csv){.file = file, .line = 1};
	skip_mark(file);
}

void
csv_free(struct csv *c)
{
	buf_free(&c->text);
}

const char *
csv_value(const struct csv *c, size_t value)
{
	return c->text.data + c->starts[value];
}

static int
next_byte(struct csv *c)
{
	int byte = getc_unlocked(c->file);

	c->line += byte == '\n';
	return byte;
}

/* What follows a mistake up to the end of the line, of which `byte` was read, is not looked at. */
static int
refuse(struct csv *c, int byte, size_t value, const char *wrong)
{
	while (byte != '\n' && byte != EOF)
		byte = next_byte(c);
	c->wrong = wrong;
	c->wrong_value = value;
	return -1;
}

/* A byte of a value; what is wrong with it, NULL if nothing. */
static const char *
take_byte(struct csv *c, enum csv_state *state, int byte)
{
	if (byte == '\0')
		return "a NUL byte; save the trace as UTF-8 text";
	switch (*state) {
	case CSV_START:
		*state = byte == '"' ? CSV_QUOTED : CSV_PLAIN;
		if (byte == '"')
			return NULL;
		break;
	case CSV_PLAIN:
		if (byte == '"')
			return "a quote in a value without quotes; put the value in quotes and "
			       "write the quote twice";
		break;
	case CSV_QUOTED:
		if (byte != '"')
			break;
		*state = CSV_QUOTE_SEEN;
		return NULL;
	case CSV_QUOTE_SEEN:
		if (byte != '"')
			return "text behind the closing quote; write a quote inside quotes twice";
		*state = CSV_QUOTED;
		break;
	case CSV_RETURN:
		return "a carriage return without a line feed; end lines with LF or CRLF";
	}
	buf_add_char(&c->text, (char)byte);
	return NULL;
}

static const char *
end_value(struct csv *c)
{
	if (c->count == CSV_VALUES_MAX)
		return "more than 64 values";
	buf_add_char(&c->text, '\0');
	c->starts[c->count++] = c->text.len;
	return NULL;
}

/* One byte inside a row, and no end of it; what is wrong, NULL if nothing. */
static const char *
take_any(struct csv *c, enum csv_state *state, int byte)
{
	const char *wrong;

	if (c->text.len >= CSV_ROW_MAX)
		return "the row is over 1 MB; is a closing quote missing?";
	if (*state == CSV_QUOTED || *state == CSV_RETURN || (byte != ',' && byte != '\r'))
		return take_byte(c, state, byte);
	wrong = byte == ',' ? end_value(c) : NULL;
	*state = byte == ',' ? CSV_START : CSV_RETURN;
	return wrong;
}

static int
read_row(struct csv *c)
{
	enum csv_state state = CSV_START;
	const char *wrong;
	int byte;

	buf_clear(&c->text);
	c->row_line = c->line;
	c->count = 0;
	byte = next_byte(c);
	if (byte == EOF && !ferror(c->file))
		return 0;
	c->starts[c->count++] = 0;
	for (; byte != EOF && (byte != '\n' || state == CSV_QUOTED); byte = next_byte(c)) {
		wrong = take_any(c, &state, byte);
		if (wrong != NULL)
			return refuse(c, byte, c->count - 1, wrong);
	}
	if (ferror(c->file))
		return refuse(c, EOF, SIZE_MAX, "cannot be read");
	if (state == CSV_QUOTED)
		return refuse(c, EOF, c->count - 1, "a closing quote is missing");
	buf_add_char(&c->text, '\0');
	return 1;
}

int
csv_read(struct csv *c)
{
	int result;

	do
		result = read_row(c);
	while (result == 1 && c->count == 1 && *csv_value(c, 0) == '\0');
	return result;
}
