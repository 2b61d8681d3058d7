/*
 * The audit log's chain as the command line verifies it: rows as /v1/log gives them, each spoilt in
 * one way.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/audit_check.h"

enum { ROWS = 6 };

static json_t *rows[ROWS];

static int
make_rows(void **state)
{
	unsigned char hash[AUDIT_CHAIN_BYTES] = {0}, before[AUDIT_CHAIN_BYTES];
	char hex[AUDIT_CHAIN_HEX_BYTES];
	int i;

	(void)state;
	for (i = 0; i < ROWS; i++) {
		struct audit_link link = {.id = i + 1,
					  .at = 1000 + i,
					  .who = "uid:0(root)",
					  .action = i == 3 ? "x\xff" : "hold.set",
					  .object = "",
					  .reason = "why",
					  .detail = ""};

		memcpy(before, hash, sizeof(hash));
		audit_chain_next(before, &link, hash);
		audit_chain_format(hash, hex);
		rows[i] = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "id", i + 1,
				    "at_us", 1000 + i, "who", link.who, "action",
				    i == 3 ? "x\xef\xbf\xbd" : link.action, "object", "", "reason",
				    "why", "detail", "", "hash", hex, "malformed", 0);
		if (i == 3) /* no UTF-8: as base64 too */
			json_object_set_new(rows[i], "raw", json_pack("{s:s}", "action", "eP8="));
	}
	return 0;
}

static int
free_rows(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < ROWS; i++)
		json_decref(rows[i]);
	return 0;
}

static struct audit_head
head_of(int row)
{
	struct audit_head head = {.id = row};

	if (row > 0)
		snprintf(head.hash, sizeof(head.hash), "%s",
			 json_string_value(json_object_get(rows[row - 1], "hash")));
	return head;
}

static void
give(struct audit_check *c, int first, int last)
{
	int i;

	for (i = first; i <= last; i++)
		audit_check_row(c, rows[i - 1]);
}

static void
finish(struct audit_check *c, const struct audit_head *head, int64_t row, const char *word)
{
	bool whole = audit_check_end(c, head);

	if (whole != (word == NULL) || strstr(buf_text(&c->problem), word ? word : "") == NULL ||
	    (word != NULL && c->problem_row != row))
		fail_msg("wanted row %" PRId64 " %s, got row %" PRId64 " \"%s\"", row,
			 word ? word : "whole", c->problem_row, buf_text(&c->problem));
	audit_check_free(c);
}

static void
test_whole(void **state)
{
	struct audit_check c = {.wanted = head_of(4)}, empty = {0}, part = {.start = 2};
	struct audit_head head = head_of(ROWS), none = {0};

	(void)state;
	give(&c, 1, ROWS);
	assert_int_equal(c.rows, ROWS);
	finish(&c, &head, 0, NULL);
	finish(&empty, &none, 0, NULL);
	give(&part, 3, ROWS);
	finish(&part, NULL, 0, NULL);
}

static void
test_fields(void **state)
{
	static const char *const names[] = {"who", "action", "object", "reason", "detail", "hash"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct audit_check c = {0};
		json_t *row = json_deep_copy(rows[1]);

		give(&c, 1, 1);
		json_object_set_new(row, names[i], json_string("other"));
		assert_false(audit_check_row(&c, row));
		json_decref(row);
		give(&c, 3, ROWS);
		finish(&c, NULL, 2, "row 2 was altered");
	}
}

static void
test_one_bad_field(void **state)
{
	static const struct {
		const char *name, *value, *word;
	} fields[] = {{"at_us", "1002", "altered"},
		      {"at_us", "\"1\"", "no row of an audit log"},
		      {"id", "null", "no row of an"},
		      {"id", "1", "reordered or repeated"},
		      {"id", "0", "was added"},
		      {"id", "-7", "was added"},
		      {"id", "3", "row 2 is missing"},
		      {"id", "9", "rows 2 to 8 are missing"},
		      {"malformed", "true", "of the kind"}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct audit_check c = {0};
		json_t *row = json_deep_copy(rows[1]);

		give(&c, 1, 1);
		json_object_set_new(row, fields[i].name,
				    json_loads(fields[i].value, JSON_DECODE_ANY, NULL));
		assert_false(audit_check_row(&c, row));
		if (strstr(buf_text(&c.problem), fields[i].word) == NULL)
			fail_msg("%s=%s: %s", fields[i].name, fields[i].value,
				 buf_text(&c.problem));
		json_decref(row);
		audit_check_free(&c);
	}
}

static void
test_ends(void **state)
{
	static const struct {
		int last, head, wanted; /* 0 = none */
		bool other_hash;
		int64_t row;
		const char *word;
	} cases[] = {
	    {ROWS - 1, ROWS, 0, false, ROWS, "the last one, is missing"},
	    {ROWS - 2, ROWS, 0, false, ROWS - 1, "rows 5 to 6, the last ones"},
	    {0, ROWS, 0, false, 1, "rows 1 to 6"},
	    {ROWS, ROWS - 1, 0, false, ROWS, "was added"},
	    {ROWS, 0, 0, false, ROWS, "is gone"},
	    {ROWS, ROWS, 0, true, ROWS, "is not the one that mailfuse wrote last"},
	    {ROWS - 1, ROWS - 1, ROWS, false, ROWS, "there was a row 6"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audit_check c = {.wanted = head_of(cases[i].wanted)};
		struct audit_head head = head_of(cases[i].head);

		if (cases[i].other_hash)
			head.hash[0] = head.hash[0] == 'a' ? 'b' : 'a';
		give(&c, 1, cases[i].last);
		finish(&c, &head, cases[i].row, cases[i].word);
	}
}

static void
test_wanted(void **state)
{
	struct audit_check c = {.wanted = head_of(4)};

	(void)state;
	c.wanted.hash[5] = c.wanted.hash[5] == 'a' ? 'b' : 'a';
	give(&c, 1, ROWS);
	finish(&c, NULL, 4, "row 4 is not the one whose hash was noted");
}

static void
test_times_back(void **state)
{
	struct audit_check c = {0};

	(void)state;
	give(&c, 1, 1);
	c.at = 5000;
	give(&c, 2, ROWS);
	assert_int_equal(c.times_back, 1);
	assert_int_equal(c.times_back_row, 2);
	finish(&c, NULL, 0, NULL);
}

static void
test_head_parse(void **state)
{
	static const char *const bad[] = {"", "57", "57:", ":", "x:ab", "57:ab", "-1:", "0:"};
	struct audit_head head;
	char text[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(audit_head_parse(bad[i], &head));
	snprintf(text, sizeof(text), "57:%064d", 0);
	assert_true(audit_head_parse(text, &head));
	assert_int_equal(head.id, 57);
	snprintf(text, sizeof(text), "57:%065d", 0);
	assert_false(audit_head_parse(text, &head));
	snprintf(text, sizeof(text), "99999999999999999999:%064d", 0);
	assert_false(audit_head_parse(text, &head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_whole),         cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_one_bad_field), cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_wanted),        cmocka_unit_test(test_times_back),
	    cmocka_unit_test(test_head_parse),
	};

	return cmocka_run_group_tests(tests, make_rows, free_rows);
}
