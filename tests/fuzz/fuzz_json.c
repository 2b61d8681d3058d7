/*
 * json.h over any bytes: text that mail brought is always written as JSON that can be read again
 * as clean UTF-8, and the count of values is never less than what a reader makes of them.
 */
#include <jansson.h>
#include <string.h>

#include "base/text.h"
#include "control/json.h"
#include "tests/fuzz/fuzz.h"

static size_t
count_values(const json_t *value)
{
	size_t n = 1, i;
	const char *key;
	json_t *item;

	if (json_is_array(value))
		json_array_foreach(value, i, item) n += count_values(item);
	else if (json_is_object(value))
		json_object_foreach((json_t *)(uintptr_t)value, key, item) n += count_values(item);
	return n;
}

static void
check_text(const char *bytes, size_t len)
{
	json_t *value = json_text(bytes, len), *again;
	char *text = json_dumps(value, JSON_ENCODE_ANY);

	FUZZ_CHECK(text != NULL);
	FUZZ_CHECK(strlen(json_string_value(value)) == json_string_length(value));
	FUZZ_CHECK(text_is_utf8(json_string_value(value), json_string_length(value)));
	if (text_is_utf8(bytes, len) && memchr(bytes, '\0', len) == NULL)
		FUZZ_CHECK(len == json_string_length(value) &&
			   memcmp(bytes, json_string_value(value), len) == 0);
	again = json_loads(text, JSON_DECODE_ANY, NULL);
	FUZZ_CHECK(json_equal(value, again));
	json_decref(again);
	json_decref(value);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = size > 0 ? (const char *)data : "";
	json_t *value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);

	check_text(bytes, size);
	/* The bracket and the commas of n values are n. */
	FUZZ_CHECK(value == NULL || count_values(value) <= json_estimate_values(bytes, size));
	json_decref(value);
	return 0;
}
