/*
 * content.h: what a rule looks at, what it does where it cannot look, and what it may cost.
 */
#include "tests/unit/content_fixture.h"

#include "filters/pattern.h"

/* A rule over a message; `why` as content_match() gives it, "" where nothing matches. */
static bool
matches(const struct config_content *config, const struct message *m, char *why, size_t size)
{
	struct content *c = content_make(config);
	const char *reason = "";
	struct content_view v;
	struct arena arena = {0};
	bool matched;

	content_view_init(&v, m);
	matched = content_match(c, &v, &arena, &reason);
	assert_int_equal(content_match(c, &v, &arena, NULL), matched); /* nothing is used up */
	snprintf(why, size, "%s", reason);
	content_view_free(&v);
	content_free(c);
	arena_free(&arena);
	return matched;
}

static struct config_content
rule_make(enum config_part part, const char *header, const char *match)
{
	return (struct config_content){
	    .name = TEXT("x"), .part = part, .header = TEXT(header), .match = TEXT(match)};
}

struct row {
	const char *name;
	enum config_part part;
	const char *header, *match, *message, *why; /* "" = no match */
};

static const struct row look_rows[] = {
    {"a header", CONFIG_PART_HEADER, "Subject", "order", "Subject: Your order\r\n\r\n",
     "Subject matches"},
    {"another case", CONFIG_PART_HEADER, "x-job", "x", "X-JOB : x\r\n\r\n", "x-job matches"},
    {"another field", CONFIG_PART_HEADER, "Subject", "order", "Comments: order\r\n\r\n", ""},
    {"a field that only begins so", CONFIG_PART_HEADER, "X-Job", "*", "X-Jobs: x\r\n\r\n", ""},
    {"no such field", CONFIG_PART_HEADER, "Subject", "*", "From: a\r\n\r\n", ""},
    {"an empty field is one", CONFIG_PART_HEADER, "Subject", "/^$/", "Subject:\r\n\r\n",
     "Subject matches"},
    {"the second of two", CONFIG_PART_HEADER, "Subject", "b", "Subject: x\r\nSubject: b\r\n\r\n",
     "Subject matches"},
    {"base64", CONFIG_PART_HEADER, "Subject", "Gr\xc3\xbc\xc3\x9f",
     "Subject: =?utf-8?b?R3LDvMOf?=\r\n\r\n", "Subject matches"},
    {"Latin-1", CONFIG_PART_HEADER, "Subject", "/^gr\xc3\x9c.e$/i",
     "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n\r\n", "Subject matches"},
    {"split in two words", CONFIG_PART_HEADER, "Subject", "/^test$/",
     "Subject: =?utf-8?q?te?=\r\n =?utf-8?q?st?=\r\n\r\n", "Subject matches"},
    {"folded", CONFIG_PART_HEADER, "Subject", "/^a b$/", "Subject: a\r\n b\r\n\r\n",
     "Subject matches"},
    {"behind a line that is no field", CONFIG_PART_HEADER, "Subject", "x",
     "garbage\r\nSubject: x\r\n\r\n", ""},

    {"plain text", CONFIG_PART_TEXT, "", "hello", "Subject: x\r\n\r\nHello\r\n",
     "the plain text matches"},
    {"plain text is no HTML", CONFIG_PART_HTML, "", "hello", "\r\nHello\r\n", ""},
    {"the subject is no text", CONFIG_PART_TEXT, "", "x", "Subject: x\r\n\r\nHello\r\n", ""},
    {"quoted-printable", CONFIG_PART_TEXT, "", "/^caf\xc3\xa9 noir$/m",
     TYPE("text/plain; charset=iso-8859-1") "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
					    "a\r\ncaf=E9 no=\r\nir\r\n",
     "the plain text matches"},
    {"base64 text", CONFIG_PART_TEXT, "", "/^hello$/",
     "Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n", "the plain text matches"},
    {"base64 that is cut off", CONFIG_PART_TEXT, "", "/^hel$/",
     "Content-Transfer-Encoding: base64\r\n\r\naGVsb", "the plain text matches"},
    {"a type that is none", CONFIG_PART_TEXT, "", "hello", TYPE("html") "\r\nhello",
     "the plain text matches"},
    {"an unknown charset", CONFIG_PART_TEXT, "", "hello",
     TYPE("text/plain; charset=evil") "\r\nhello \xff", "the plain text matches"},
    {"two bytes a character", CONFIG_PART_TEXT, "", "/^lorem ipsum$/",
     TYPE("text/plain; charset=utf-16") "Content-Transfer-Encoding: base64\r\n\r\n"
					"bABvAHIAZQBtACAAaQBwAHMAdQBtAA==\r\n",
     "the plain text matches"},
    {"marked, and cut off within one", CONFIG_PART_TEXT, "", "/^lorem ipsu$/",
     TYPE("text/plain; charset=\"UTF-16\"") "Content-Transfer-Encoding: base64\r\n\r\n"
					    "//5sAG8AcgBlAG0AIABpAHAAcwB1AG0=\r\n",
     "the plain text matches"},
    {"a NUL that a charset makes", CONFIG_PART_TEXT, "", "/b$/",
     TYPE("text/plain; charset=iso-8859-1") "Content-Transfer-Encoding: base64\r\n\r\nYQBi\r\n",
     "the plain text matches"},
    {"HTML", CONFIG_PART_HTML, "", "<b>", TYPE("text/html") "\r\na<b>c</b>", "the HTML matches"},
    {"HTML is not plain text", CONFIG_PART_TEXT, "", "*", TYPE("text/html") "\r\na<b>c</b>", ""},
    {"HTML as it is seen", CONFIG_PART_BODY, "", "/^ac & d < e$/",
     TYPE("text/html") "\r\na<b>c</b> &amp; d < e", "the body matches"},
    {"tags are not seen", CONFIG_PART_BODY, "", "href", TYPE("text/html") "\r\n<a href=x>y</a>",
     ""},
    {"the plain text is seen, not the HTML", CONFIG_PART_BODY, "", "html",
     ALTERNATIVE "\r\n" PLAIN_PART "text\r\n" HTML_PART "html\r\n" END, ""},
    {"the HTML where the plain text is blank", CONFIG_PART_BODY, "", "html",
     ALTERNATIVE "\r\n" PLAIN_PART " \r\n" HTML_PART "html\r\n" END, "the body matches"},
    {"the second of two text parts", CONFIG_PART_TEXT, "", "/^one\\ntwo$/",
     MIXED "\r\n" PLAIN_PART "one\r\n" PLAIN_PART "two\r\n" END, "the plain text matches"},
    {"in a part in a part", CONFIG_PART_HTML, "", "deep",
     TYPE("multipart/mixed; boundary=a") "\r\n--a\r\n" ALTERNATIVE "\r\n" HTML_PART "deep\r\n" END
					 "--a--\r\n",
     "the HTML matches"},
    {"in a forwarded message", CONFIG_PART_TEXT, "", "inside",
     MIXED "\r\n--b\r\n" TYPE("message/rfc822") "\r\nSubject: x\r\n\r\ninside\r\n" END,
     "the plain text matches"},
    {"not in an attached message", CONFIG_PART_TEXT, "", "inside",
     MIXED "\r\n--b\r\n" TYPE("message/rfc822") "Content-Disposition: ATTACHMENT\r\n\r\nSubject: "
						"x\r\n\r\ninside\r\n" END,
     ""},
    {"not in an attached text", CONFIG_PART_TEXT, "", "inside",
     MIXED "\r\n" PLAIN_PART
	   "x\r\n--b\r\n" TYPE("text/plain") "Content-Disposition: attachment; "
					     "filename=\"a.txt\"\r\n\r\ninside\r\n" END,
     ""},
    {"in an inline text", CONFIG_PART_TEXT, "", "inside",
     MIXED "\r\n--b\r\n" TYPE("text/plain") "Content-Disposition: inline\r\n\r\ninside\r\n" END,
     "the plain text matches"},
    {"not in a calendar", CONFIG_PART_TEXT, "", "inside", TYPE("text/calendar") "\r\ninside", ""},
    {"a body that is cut off in a part", CONFIG_PART_HTML, "", "begi",
     ALTERNATIVE "\r\n" HTML_PART "begi", "the HTML matches"},
    {"what is no field is body", CONFIG_PART_TEXT, "", "/garbage.*rest/s",
     "Subject: x\r\ngarbage\r\n\r\nrest\r\n", "the plain text matches"},

    {"a dot is no newline", CONFIG_PART_TEXT, "", "/a.b/", "\r\na\r\nb", ""},
    {"a dot is a newline with s", CONFIG_PART_TEXT, "", "/a.b/s", "\r\na\r\nb",
     "the plain text matches"},
    {"^ and $ are the whole text's", CONFIG_PART_TEXT, "", "/^b|a$/", "\r\na\r\nb", ""},
    {"^ and $ are a line's with m", CONFIG_PART_TEXT, "", "/^b$/m", "\r\na\r\nb\r\nc",
     "the plain text matches"},
    {"all flags", CONFIG_PART_TEXT, "", "/^B.C$/mis", "\r\na\r\nb\r\nc\r\nd",
     "the plain text matches"},
    {"a glob is the whole text", CONFIG_PART_TEXT, "", "a*c", "\r\na\r\nb\r\nc",
     "the plain text matches"},
};

static void
test_look(void **state)
{
	char why[200];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(look_rows); i++) {
		const struct row *r = &look_rows[i];
		struct config_content rule = rule_make(r->part, r->header, r->match);
		struct message *m = message_make(r->message);

		print_message("  %s\n", r->name);
		assert_int_equal(matches(&rule, m, why, sizeof(why)), *r->why != '\0');
		assert_string_equal(why, r->why);
		message_free(m);
	}
}

/* Where the body comes from, and what is not known. */
static void
test_sources(void **state)
{
	static const struct {
		const char *name, *body, *sample;
		size_t pad;       /* bytes before the body's text */
		uint64_t missing; /* of body_bytes, that the store has */
		uint32_t stored;
		const char *why;
	} rows[] = {
	    {"in one chunk", "word", "", 0, 0, 0, "the plain text matches"},
	    {"across chunks", "word", "", 3 * 4096 - 2, 0, 0, "the plain text matches"},
	    {"at the end of the sample", "word", "", MESSAGE_SAMPLE_MAX - 4, 0, 0,
	     "the plain text matches"},
	    {"cut by the end of the sample", "word", "", MESSAGE_SAMPLE_MAX - 3, 0, 0, ""},
	    {"behind the sample", "word", "", MESSAGE_SAMPLE_MAX, 0, 0, ""},
	    {"in the sample", "x", "a word", 0, 5, 1, "the plain text matches"},
	    {"the sample and not the rest", "word", "x", 0, 5, 1, ""},
	    {"in the store, and no sample", "word", "", 0, 5, 1,
	     "not all of the body can be looked at: it counts as a match"},
	};
	struct config_content rule = rule_make(CONFIG_PART_TEXT, "", "word");
	char why[200];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct message *m = message_new();

		print_message("  %s\n", rows[i].name);
		buf_add_text(&m->header, "Subject: x\r\n");
		for (n = 0; n < rows[i].pad; n++)
			chunks_add(&m->body, n % 64 == 0 ? "\n" : "x", 1);
		chunks_add(&m->body, rows[i].body, strlen(rows[i].body));
		buf_add_text(&m->sample, rows[i].sample);
		m->body_bytes = m->body.bytes + rows[i].missing;
		m->chunks_stored = rows[i].stored;
		assert_int_equal(matches(&rule, m, why, sizeof(why)), *rows[i].why != '\0');
		assert_string_equal(why, rows[i].why);
		message_free(m);
	}
}

/* A trace knows subjects and nothing of bodies; what is known to be empty is another thing. */
static void
test_trace(void **state)
{
	struct config_content subject = rule_make(CONFIG_PART_HEADER, "subject", "test");
	struct config_content body = rule_make(CONFIG_PART_BODY, "", "/^$/");
	struct message *m = message_make("Subject: A test\r\n");
	char why[200];

	(void)state;
	assert_true(matches(&subject, m, why, sizeof(why)));
	assert_true(matches(&body, m, why, sizeof(why)));
	m->body_unknown = true;
	assert_true(matches(&subject, m, why, sizeof(why)));
	assert_false(matches(&body, m, why, sizeof(why)));
	buf_clear(&m->header);
	assert_false(matches(&subject, m, why, sizeof(why)));
	m->subject = "A test"; /* made by hand, and no header */
	assert_true(matches(&subject, m, why, sizeof(why)));
	message_free(m);
}

/* More parts, and deeper ones, than are looked at: nobody can say, so it matches. */
static void
test_nesting(void **state)
{
	static const struct {
		const char *name, *start, *unit, *end;
		size_t times;
		const char *why;
	} rows[] = {
	    {"190 parts", MIXED "\r\n", "--b\r\n" TYPE("image/png") "\r\nx\r\n", END, 190, ""},
	    {"the last of 190 parts", MIXED "\r\n", "--b\r\n" TYPE("image/png") "\r\nx\r\n",
	     PLAIN_PART "word\r\n" END, 190, "the plain text matches"},
	    {"300 parts", MIXED "\r\n", "--b\r\n" TYPE("image/png") "\r\nx\r\n", END, 300,
	     "not all of the body can be looked at: it counts as a match"},
	    {"parts in parts", MIXED "\r\n", "--b\r\n" MIXED "\r\n", "", 1000,
	     "not all of the body can be looked at: it counts as a match"},
	    {"messages in messages", "", TYPE("message/rfc822") "\r\n", "", 1000,
	     "not all of the body can be looked at: it counts as a match"},
	};
	struct config_content rule = rule_make(CONFIG_PART_TEXT, "", "word");
	char why[200];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct buf text = {0};
		struct message *m;

		print_message("  %s\n", rows[i].name);
		buf_add_text(&text, rows[i].start);
		for (n = 0; n < rows[i].times; n++)
			buf_add_text(&text, rows[i].unit);
		buf_add_text(&text, rows[i].end);
		m = message_make(text.data);
		assert_int_equal(matches(&rule, m, why, sizeof(why)), *rows[i].why != '\0');
		assert_string_equal(why, rows[i].why);
		message_free(m);
		buf_free(&text);
	}
}

/* Long texts made of one piece: each of these expressions would run for minutes, or for ever. */
static const struct {
	const char *name, *match, *piece;
	enum pattern_result wanted;
} costly_rows[] = {
    {"exponential", "/^(a+)+[bc]$/", "a", PATTERN_GAVE_UP},
    {"exponential, in words", "/(\\w+\\s?)+[:;]/", "word ", PATTERN_GAVE_UP},
    {"a run from every place", "/[a-z ]*[:;]/", "word ", PATTERN_GAVE_UP},
    {"a run that does not give back", "/[a-z ]*+[:;]/", "word ", PATTERN_GAVE_UP},
    {"two runs", "/.*a.*[bB]/s", "ac", PATTERN_GAVE_UP},
    {"a back reference", "/(.+)\\1$/", "ab", PATTERN_GAVE_UP},
    {"what needs memory", "/^(?:a|b)*$/", "ab", PATTERN_GAVE_UP},
    {"words", "/\\w+ing\\b/", "a meaningful word ", PATTERN_DIFFERS},
    {"a word at the end of a line", "/needle$/m", "no needle here\n", PATTERN_DIFFERS},
};

static void
test_costly(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(costly_rows); i++) {
		char *error;
		struct pattern *p = pattern_for_text(costly_rows[i].match, &error);
		struct buf text = {0};
		uint64_t steps = 0;
		enum pattern_result result;

		assert_non_null(p);
		while (text.len + strlen(costly_rows[i].piece) < MESSAGE_SAMPLE_MAX)
			buf_add_text(&text, costly_rows[i].piece);
		result = pattern_search_text(p, text.data, &steps);
		print_message("  %s: %llu steps\n", costly_rows[i].name, (unsigned long long)steps);
		assert_int_equal(result, costly_rows[i].wanted);
		/* The last step may pass over the whole text. */
		assert_true(steps <= PATTERN_STEPS + PATTERN_STEPS_BYTE * text.len + text.len + 1);
		assert_int_equal(pattern_match_text(p, text.data), result == PATTERN_MATCHES);
		pattern_free(p);
		buf_free(&text);
	}
}

/* Counted as a match, and the reason says so. */
static void
test_gave_up(void **state)
{
	struct config_content rule = rule_make(CONFIG_PART_HEADER, "Subject", "/^(a+)+$/");
	struct message *m =
	    message_make("Subject: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\r\n\r\n");
	char why[200];

	(void)state;
	assert_true(matches(&rule, m, why, sizeof(why)));
	assert_string_equal(why, "the pattern gave up on Subject: it counts as a match");
	message_free(m);
}

/* 50,000 fields, each of which a costly expression may look at: one rule has one budget. */
static void
test_many_fields(void **state)
{
	struct config_content rule = rule_make(CONFIG_PART_HEADER, "X", "/^(a+)+$/");
	struct message *m = message_new();
	char why[200];
	size_t i;

	(void)state;
	for (i = 0; i < 50000; i++)
		buf_add_text(&m->header, "X: aaaaaaaaaaaaa!\r\n"); /* 2^13 ways: within its limit */
	assert_true(matches(&rule, m, why, sizeof(why)));
	assert_string_equal(why, "the pattern gave up on X: it counts as a match");
	message_free(m);
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *match, *error;
	} rows[] = {
	    {"", "match: it is empty; write * for anything"},
	    {"/a/x",
	     "match: a regular expression is written /expression/, behind it any of i, m and s"},
	    {"/a",
	     "match: a regular expression is written /expression/, behind it any of i, m and s"},
	    {"/^(?:a|b{2,1001})$/", "match: it repeats more than 1000 times; write + or * instead"},
	    {"/a(/",
	     "match: missing closing parenthesis, at character 3 of the regular expression"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct config_content rule = rule_make(CONFIG_PART_BODY, "", rows[i].match);
		char *error;

		assert_null(content_new(&rule, &error));
		assert_string_equal(error, rows[i].error);
		free(error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_look),        cmocka_unit_test(test_sources),
	    cmocka_unit_test(test_trace),       cmocka_unit_test(test_nesting),
	    cmocka_unit_test(test_costly),      cmocka_unit_test(test_gave_up),
	    cmocka_unit_test(test_many_fields), cmocka_unit_test(test_refusals),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
