/*
 * manifest.h over any bytes: whatever the file says, a message that is handed out has a name that
 * stays in its directory, ids rise, and the end comes once.
 */
#include <stdio.h>
#include <string.h>

#include "cli/manifest.h"
#include "tests/fuzz/fuzz.h"

static void
check_message(const json_t *m, char last[32])
{
	const char *id = json_string_value(json_object_get(m, "id"));
	const char *file = json_string_value(json_object_get(m, "file"));
	json_t *list = json_object_get(m, "deliveries"), *d;
	json_int_t number = 0;
	size_t i;

	FUZZ_CHECK(id != NULL && file != NULL && strlen(id) == 26 && strcmp(last, id) < 0);
	FUZZ_CHECK(strchr(file, '/') == NULL && file[0] != '.' && strlen(file) == 30);
	FUZZ_CHECK(json_integer_value(json_object_get(m, "bytes")) >= 0);
	FUZZ_CHECK(json_array_size(list) > 0);
	json_array_foreach(list, i, d)
	{
		FUZZ_CHECK(json_integer_value(json_object_get(d, "number")) > number);
		number = json_integer_value(json_object_get(d, "number"));
	}
	memcpy(last, id, 27);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
	struct buf error = {0};
	struct manifest *m;
	const json_t *message;
	char last[32] = "";

	if (file == NULL)
		return 0;
	m = manifest_open(file, &error);
	FUZZ_CHECK((m == NULL) == (error.len > 0));
	while (m != NULL && (message = manifest_next(m, &error)) != NULL)
		check_message(message, last);
	if (m != NULL && error.len == 0)
		FUZZ_CHECK(manifest_next(m, &error) == NULL && error.len == 0);
	manifest_close(m);
	fclose(file);
	buf_free(&error);
	return 0;
}
