/*
 * Fuzzes trace_open() and trace_read(): rows are within what their columns allow, errors are lines
 * that name their line, and reading ends.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "simulate/trace.h"
#include "tests/fuzz/fuzz.h"

static void
check_errors(const struct buf *errors)
{
	const char *line;

	FUZZ_CHECK(errors->len > 0 && errors->data[errors->len - 1] == '\n');
	FUZZ_CHECK(strlen(errors->data) == errors->len);
	for (line = errors->data; *line != '\0'; line = strchr(line, '\n') + 1)
		FUZZ_CHECK(strncmp(line, "line ", 5) == 0);
}

static void
check_text(const char *text)
{
	FUZZ_CHECK(text != NULL && text_is_utf8(text, strlen(text)));
}

static void
check_row(const struct trace_row *row, int64_t last_at)
{
	FUZZ_CHECK(row->at >= last_at && row->over >= 0);
	FUZZ_CHECK(row->count > 0 && row->count <= UINT64_C(1000000000));
	FUZZ_CHECK(*row->client != '\0');
	check_text(row->client);
	check_text(row->user);
	check_text(row->tls_name);
	check_text(row->listener);
	check_text(row->sender);
	check_text(row->subject);
	check_text(row->campaign);
	check_text(row->body);
	if (row->recipients != NULL)
		check_text(row->recipients);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *file;
	struct buf errors = {0};
	struct trace_row row;
	struct trace *t;
	int64_t last_at = 0;
	size_t lines = 0;
	int result;

	if (size == 0)
		return 0;
	file = fmemopen((void *)(uintptr_t)data, size, "r");
	FUZZ_CHECK(file != NULL);
	t = trace_open(file, &errors);
	if (t == NULL)
		check_errors(&errors);
	else
		FUZZ_CHECK(errors.len == 0);
	while (t != NULL && (result = trace_read(t, &row, &errors)) != 0) {
		FUZZ_CHECK(++lines <= size && trace_line(t) <= size + 1);
		if (result > 0) {
			FUZZ_CHECK(errors.len == 0);
			check_row(&row, last_at);
			last_at = row.at;
		} else {
			check_errors(&errors);
			buf_clear(&errors);
		}
	}
	trace_close(t);
	buf_free(&errors);
	fclose(file);
	return 0;
}
