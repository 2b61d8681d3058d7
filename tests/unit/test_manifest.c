/*
 * manifest.json: what is written is read again, and what is not as it was written is refused with
 * its line and reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/manifest.h"

#define A "01JD8Z2E3M0G4S7T2V9W1X5Y6Z"
#define B "01JD8Z2E3M0G4S7T2V9W1X5Y70"
#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEAD "{\"mailfuse_export\":1,\"batch\":{\"id\":\"B1\"},\"messages\":[\n"
#define ROW(id, file, bytes, hash, deliveries)                                                     \
	"{\"id\":\"" id "\",\"file\":\"" file "\",\"bytes\":" bytes ",\"sha256\":\"" hash          \
	"\",\"deliveries\":" deliveries "}"
#define TO "{\"number\":1,\"recipient\":\"a@x.test\",\"state\":\"held\"}"
#define GOOD(id) ROW(id, id ".eml", "0", HASH, "[" TO "]")
#define END(count) "],\"count\":" count "}\n"

/* How many messages; what was wrong goes to `error`. */
static int
read_all(const char *text, struct buf *error)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct manifest *m;
	int n = 0;

	assert_non_null(file);
	m = manifest_open(file, error);
	while (m != NULL && manifest_next(m, error) != NULL)
		n++;
	manifest_close(m);
	fclose(file);
	return n;
}

static void
test_rows(void **state)
{
	static const struct {
		const char *text;
		int messages;
		const char *error; /* NULL = none */
	} rows[] = {
	    {HEAD END("0"), 0, NULL},
	    {HEAD GOOD(A) "\n" END("1"), 1, NULL},
	    {HEAD GOOD(A) ",\n" GOOD(B) "\n" END("2"), 2, NULL},
	    {"x", 0, "line 1: the file ends here"},
	    {"{}\n", 0, "line 1: this is no manifest"},
	    {"{\"batch\":{},\"messages\":[\n" END("0"), 0, "another version"},
	    {"{\"mailfuse_export\":1,\"messages\":[\n" END("0"), 0, "no batch"},
	    {HEAD, 0, "line 2: the file ends here"},
	    {HEAD GOOD(A) "\n", 1, "line 3: the file ends here"},
	    {HEAD GOOD(A) "\n" END("2"), 1, "says that there are others"},
	    {HEAD GOOD(A) ",\n" END("1"), 1, "missing before it"},
	    {HEAD GOOD(A) "\n" GOOD(B) "\n" END("2"), 1, "line 3: this is no line"},
	    {HEAD GOOD(B) ",\n" GOOD(A) "\n" END("2"), 1, "line 3: message " A " is there twice"},
	    {HEAD GOOD(A) ",\n" GOOD(A) "\n" END("2"), 1, "twice"},
	    {HEAD GOOD(A) "\n" END("1") "x", 1, "goes on behind its end"},
	    {HEAD GOOD(A) "\n],\"count\":1,\"count\":1}\n", 1, "no line of a manifest"},
	    {HEAD GOOD(A) "\n],\"count\":true}\n", 1, "no line of a manifest"},
	    {HEAD ROW("../../etc/passwd", "x", "0", HASH, "[" TO "]") "\n" END("1"), 0,
	     "no message's"},
	    {HEAD ROW("01jd8z2e3m0g4s7t2v9w1x5y6z", "x", "0", HASH, "[]") "\n", 0, "no message's"},
	    {HEAD ROW(A "0", "x", "0", HASH, "[" TO "]") "\n" END("1"), 0, "no message's"},
	    {HEAD ROW(A, "../" A ".eml", "0", HASH, "[" TO "]") "\n" END("1"), 0,
	     "is not " A ".eml"},
	    {HEAD ROW(A, A ".eml.exe", "0", HASH, "[" TO "]") "\n" END("1"), 0, "is not " A ".eml"},
	    {HEAD ROW(A, B ".eml", "0", HASH, "[" TO "]") "\n" END("1"), 0, "is not " A ".eml"},
	    {HEAD ROW(A, A ".eml", "-1", HASH, "[" TO "]") "\n" END("1"), 0, "bytes"},
	    {HEAD ROW(A, A ".eml", "1.5", HASH, "[" TO "]") "\n" END("1"), 0, "bytes"},
	    {HEAD ROW(A, A ".eml", "0", "E3B0", "[" TO "]") "\n" END("1"), 0, "sha256"},
	    {HEAD ROW(A, A ".eml", "0", HASH, "[]") "\n" END("1"), 0, "no deliveries"},
	    {HEAD ROW(A, A ".eml", "0", HASH, "{}") "\n" END("1"), 0, "no deliveries"},
	    {HEAD ROW(A, A ".eml", "0", HASH, "[" TO "," TO "]") "\n" END("1"), 0, "do not rise"},
	    {HEAD ROW(A, A ".eml", "0", HASH, "[5]") "\n" END("1"), 0, "do not rise"},
	    {HEAD ROW(A, A ".eml", "0", HASH, "[{\"number\":1,\"recipient\":\"a@b\"}]") "\n", 0,
	     "no recipient or no state"},
	    {HEAD "[]\n" END("1"), 0, "line 2: this is no line"},
	    {HEAD "\n" END("0"), 0, "line 2: this is no line"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf error = {0};
		int n = read_all(rows[i].text, &error);

		if (rows[i].error == NULL ? error.len > 0
					  : strstr(buf_text(&error), rows[i].error) == NULL)
			fail_msg("row %zu: wanted %s, got \"%s\"", i,
				 rows[i].error != NULL ? rows[i].error : "nothing",
				 buf_text(&error));
		if (n != rows[i].messages)
			fail_msg("row %zu: wanted %d messages, got %d", i, rows[i].messages, n);
		buf_free(&error);
	}
}

static void
test_long_line(void **state)
{
	struct buf text = {0}, error = {0};

	(void)state;
	buf_add_text(&text, HEAD);
	while (text.len < MANIFEST_LINE_MAX + 1000)
		buf_add_text(&text, "0123456789abcdef");
	assert_int_equal(read_all(buf_text(&text), &error), 0);
	assert_non_null(strstr(buf_text(&error), "line 2: it has more than 4 MB"));
	buf_free(&text);
	buf_free(&error);
}

static void
test_written_is_read(void **state)
{
	json_t *batch = json_pack("{s:s, s:s}", "id", "B1", "subject", "a\n]\"messages\":[\"b");
	json_t *first = json_loads(GOOD(A), 0, NULL), *second = json_loads(GOOD(B), 0, NULL);
	struct buf error = {0};
	struct manifest *m;
	FILE *file = tmpfile();

	(void)state;
	json_object_set_new(second, "sender", json_string("x\n\xe2\x98\x83\"]}"));
	assert_true(manifest_write_head(file, "2026-11-21T12:00:00Z", batch));
	assert_true(manifest_write_message(file, first, 0));
	assert_true(manifest_write_message(file, second, 1));
	assert_true(manifest_write_end(file, 2));
	rewind(file);
	m = manifest_open(file, &error);
	assert_non_null(m);
	assert_true(json_equal(manifest_batch(m), batch));
	assert_true(json_equal(manifest_next(m, &error), first));
	assert_true(json_equal(manifest_next(m, &error), second));
	assert_null(manifest_next(m, &error));
	assert_null(manifest_next(m, &error));
	assert_string_equal(buf_text(&error), "");
	manifest_close(m);
	/* And it is JSON for everybody else. */
	rewind(file);
	first = (json_decref(first), json_loadf(file, 0, NULL));
	assert_int_equal(json_array_size(json_object_get(first, "messages")), 2);
	json_decref(first);
	json_decref(second);
	json_decref(batch);
	fclose(file);
	buf_free(&error);
}

static void
test_hash(void **state)
{
	char hash[MANIFEST_HASH_BYTES];
	struct manifest_hash *h = manifest_hash_new();

	(void)state;
	manifest_hash_add(h, "", 0);
	manifest_hash_end(h, hash);
	assert_string_equal(hash, HASH);
	h = manifest_hash_new();
	manifest_hash_add(h, "a", 1);
	manifest_hash_add(h, "bc", 2);
	manifest_hash_end(h, hash); /* FIPS 180-4, example "abc" */
	assert_string_equal(hash,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_long_line),
	    cmocka_unit_test(test_written_is_read),
	    cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
