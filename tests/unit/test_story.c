/*
 * The masks of a story, and what Markdown makes of hostile text: row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/markdown.h"
#include "control/story_mask.h"

static void
test_addresses(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"jane.doe@example.com", "j***@example.com"},
	    {"j@example.com", "j***@example.com"},
	    {"", ""},
	    {"@example.com", "***@example.com"},
	    {"postmaster", "p***"},
	    {"\"a@b\"@example.com", "\"***@example.com"},
	    {"\xc3\xa4rger@example.com", "\xc3\xa4***@example.com"},
	    {"\xc3@example.com", "\xc3***@example.com"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = story_mask_address(rows[i].in);

		assert_string_equal(out, rows[i].out);
		free(out);
	}
}

static void
test_texts(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"", ""},
	    {"nothing to hide", "nothing to hide"},
	    {"asked by jane@example.com, and joe@x.test.", "asked by j***@example.com, and "
							   "j***@x.test."},
	    {"sender=<jane@example.com>", "sender=<j***@example.com>"},
	    {"@", "@"},
	    {"a@", "a***@"},
	    {"a@b@c", "a***@b***@c"},
	    {"mailto:jane@example.com", "mailto:j***@example.com"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = story_mask_text(rows[i].in);

		assert_string_equal(out, rows[i].out);
		free(out);
	}
}

static void
test_subjects(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"Order 4711 for Jane Doe", "order # for *** ***"},
	    {"Re: jane@example.com asks", "j***@example.com asks"},
	    {"Janet is somebody else", "janet is somebody else"},
	    {"token 3f2a9c77b0 inside", "token # inside"},
	    {"J\xc3\x84RGEN", "***"},
	    {"", ""},
	};
	struct story_names names = {0};
	size_t i;

	(void)state;
	story_names_add(&names, "jane.doe42@example.com");
	story_names_add(&names, "jane_doe@x.test");
	story_names_add(&names, "j\xc3\xa4rgen@x.test");
	story_names_add(&names, "al@x.test"); /* too short to be told from a word */
	assert_int_equal(names.count, 3);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = story_mask_subject(rows[i].in, &names);

		assert_string_equal(out, rows[i].out);
		free(out);
	}
	story_names_free(&names);
}

static void
test_people(void **state)
{
	struct story_people people = {0}, named = {.named = true};
	char who[40];
	int i;

	(void)state;
	assert_string_equal(story_person(&people, "gate"), "mailfuse");
	assert_string_equal(story_person(&people, ""), "");
	assert_string_equal(story_person(&people, "uid:1000(jane)"), "an operator");
	assert_string_equal(story_person(&people, "token:ops"), "a second person");
	/* The account was renamed; the person is the same. */
	assert_string_equal(story_person(&people, "uid:1000(jdoe)"), "an operator");
	assert_string_equal(story_person(&people, "uid:100(joe)"), "a third person");
	for (i = 0; i < 100; i++) {
		snprintf(who, sizeof(who), "uid:%d(x)", 5000 + i);
		assert_null(strstr(story_person(&people, who), "uid"));
	}
	assert_string_equal(story_person(&named, "uid:1000(jane)"), "uid:1000(jane)");
	story_people_free(&people);
	story_people_free(&named);
}

static void
test_markdown(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"plain text, 5 of 7; 50% - done.", "plain text, 5 of 7; 50% - done."},
	    {"<script>", "\\<script\\>"},
	    {"[a](http://b.c)", "\\[a\\]\\(http\\://b.c\\)"},
	    {"![a](b)", "\\!\\[a\\]\\(b\\)"},
	    {"`a` ``b``", "\\`a\\` \\`\\`b\\`\\`"},
	    {"a|b", "a\\|b"},
	    {"# a", "\\# a"},
	    {"*a* _b_ ~~c~~", "\\*a\\* \\_b\\_ \\~\\~c\\~\\~"},
	    {"\\*a\\*", "\\\\\\*a\\\\\\*"},
	    {"&lt;", "\\&lt;"},
	    {"www.a.b WwW.a", "www\\.a.b WwW\\.a"},
	    {"a@b.c @team", "a\\@b.c \\@team"},
	    {"$x$", "\\$x\\$"},
	    {"a\n# b\r\n- c", "a \\# b  - c"},
	    {"\x1b[31m\x7f", " \\[31m "},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = {0};

		markdown_add(&out, rows[i].in);
		assert_string_equal(buf_text(&out), rows[i].out);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses), cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_subjects),  cmocka_unit_test(test_people),
	    cmocka_unit_test(test_markdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
