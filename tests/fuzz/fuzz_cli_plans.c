/*
 * Fuzzes what `mailfuse` reads besides its arguments. By the first byte: a list of ids on standard
 * input, where each that is taken is one that the daemon takes too, and a list is the same when it
 * is read again; or a batch as a daemon of any version may describe it, whose progress must fit
 * every terminal and hold nothing that a terminal obeys.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/ids.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/screen.h"
#include "tests/fuzz/fuzz.h"

static bool
read_list(const char *text, size_t len, struct ids *ids, struct buf *error)
{
	FILE *in = len > 0 ? fmemopen((void *)(uintptr_t)text, len, "r") : fopen("/dev/null", "r");
	bool good;

	FUZZ_CHECK(in != NULL);
	good = ids_read(ids, in, error);
	fclose(in);
	FUZZ_CHECK(good == (error->len == 0));
	return good;
}

static void
check_list(const char *text, size_t len)
{
	struct ids ids = {0}, again = {0};
	struct buf error = {0}, list = {0};
	json_t *item;
	size_t i;

	if (read_list(text, len, &ids, &error)) {
		json_array_foreach(ids.list, i, item)
		{
			const char *word = json_string_value(item);
			char *batch = command_batch_id(word), *message = command_message_id(word);

			FUZZ_CHECK((batch == NULL) != (message == NULL));
			FUZZ_CHECK(strcmp(batch != NULL ? batch : message, word) == 0);
			buf_printf(&list, "%s\n", word);
			free(batch);
			free(message);
		}
		FUZZ_CHECK(read_list(buf_text(&list), list.len, &again, &error));
		FUZZ_CHECK(ids_count(&ids) == 0 || json_equal(ids.list, again.list));
	}
	ids_free(&ids);
	ids_free(&again);
	buf_free(&error);
	buf_free(&list);
}

static void
check_lines(const char *text, size_t columns, size_t lines)
{
	const char *end;
	size_t n = 0;

	for (; (end = strchr(text, '\n')) != NULL; text = end + 1, n++) {
		char *line = mem_strndup(text, (size_t)(end - text));

		FUZZ_CHECK(screen_width(line) < columns);
		FUZZ_CHECK(strpbrk(line, "\033\r\t\x7f\b") == NULL);
		free(line);
	}
	FUZZ_CHECK(*text == '\0' && n == lines);
}

static void
check_batch(const char *text, size_t len)
{
	json_t *batch = json_loadb(text, len, 0, NULL);
	struct progress p = {0};
	struct buf out = {0};
	size_t columns, lines;

	if (progress_update(&p, batch)) {
		FUZZ_CHECK(progress_update(&p, batch));
		FUZZ_CHECK(p.count <= PROGRESS_RINGS_MAX && p.ring <= p.count);
		for (columns = 20; columns <= 120; columns += 25) {
			buf_clear(&out);
			lines = progress_draw(&p, 1795257000, columns, columns / 10, &out);
			FUZZ_CHECK(lines <= columns / 10);
			check_lines(buf_text(&out), columns, lines);
		}
		buf_clear(&out);
		progress_describe(&p, &out);
		FUZZ_CHECK(strchr(buf_text(&out), '\n') == NULL);
		plan_text_terms(json_object_get(batch, "plan"), &out);
		plan_text_rings(json_object_get(batch, "plan"), &out);
		plan_text_stream(json_object_get(batch, "plan"), true, &out);
		FUZZ_CHECK(strpbrk(buf_text(&out), "\n\033") == NULL);
	}
	buf_free(&out);
	json_decref(batch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	setenv("LC_ALL", data[0] & 2 ? "C.UTF-8" : "C", 1);
	screen_init();
	if (data[0] & 1)
		check_list((const char *)data + 1, size - 1);
	else
		check_batch((const char *)data + 1, size - 1);
	return 0;
}
