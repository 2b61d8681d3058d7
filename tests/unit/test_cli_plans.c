/*
 * Releases in rings on the command line, without a daemon: ids from standard input, progress as
 * bars and as lines, and a plan in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/ids.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/screen.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGE "01JD8Z2E3M0G4S7T2V9W1X5Y6Z"
/* 2026-11-21T10:30:00Z */
#define NOW INT64_C(1795257000)

/* ---- ids */

/* "B17 B18", or "! error". */
static void
read_text(const char *text, size_t len, struct buf *out)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");
	struct ids ids = {0};
	struct buf error = {0};
	json_t *part;
	size_t i;

	if (len == 0) { /* fmemopen() takes no empty memory */
		if (in != NULL)
			fclose(in);
		in = fopen("/dev/null", "r");
	}
	assert_non_null(in);
	if (ids_read(&ids, in, &error)) {
		part = ids_part(&ids, 0);
		for (i = 0; i < json_array_size(part); i++)
			buf_printf(out, "%s%s", i > 0 ? " " : "",
				   json_string_value(json_array_get(part, i)));
		json_decref(part);
	} else {
		buf_printf(out, "! %s", buf_text(&error));
	}
	fclose(in);
	ids_free(&ids);
	buf_free(&error);
}

#define NO_ID(line, shown)                                                                         \
	"! line " line " of standard input, \"" shown "\", is no id: write one a line, or what "   \
	"mailfuse messages --json prints."

static void
test_ids(void **state)
{
#define TEXT(literal) literal, sizeof(literal) - 1
	static const struct {
		const char *name, *text;
		size_t len;
		const char *wanted;
	} rows[] = {
	    {"nothing", TEXT(""), ""},
	    {"blank lines", TEXT("\n \t\n\r\n"), ""},
	    {"one", TEXT("B17"), "B17"},
	    {"one with its end", TEXT("b17\n"), "B17"},
	    {"each once, in order",
	     TEXT("B18\nB17\n" MESSAGE "\nB18\n01jd8z2e3m0g4s7t2v9w1x5y6z\n" MESSAGE ".2\n"),
	     "B18 B17 " MESSAGE " " MESSAGE ".2"},
	    {"CRLF and blanks", TEXT("  B17  \r\n\tB18\r\n"), "B17 B18"},
	    {"comments", TEXT("# these\nB17 # the first\n#B18\n"), "B17"},
	    {"byte order mark",
	     TEXT("\xef\xbb\xbf"
		  "B17\n"),
	     "B17"},
	    {"only a byte order mark", TEXT("\xef\xbb\xbf"), ""},
	    {"JSON",
	     TEXT("{\"id\":\"" MESSAGE ".1\",\"subject\":\"a # b\"}\n"
		  " {\"subject\":\"\\u001b[2J\",\"id\":\"b17\"}\r\n"),
	     MESSAGE ".1 B17"},
	    {"another word", TEXT("B17\neverything\n"), NO_ID("2", "everything")},
	    {"two on a line", TEXT("B17 B18\n"), NO_ID("1", "B17 B18")},
	    {"the head of a table", TEXT("DELIVERY  STATE\n"), NO_ID("1", "DELIVERY  STATE")},
	    {"JSON without an id", TEXT("{\"batch\":\"B17\"}"), NO_ID("1", "{\"batch\":\"B17\"}")},
	    {"JSON with another id", TEXT("{\"id\":17}"), NO_ID("1", "{\"id\":17}")},
	    {"JSON with two ids", TEXT("{\"id\":\"B1\",\"id\":\"B2\"}"),
	     NO_ID("1", "{\"id\":\"B1\",\"id\":\"B2\"}")},
	    {"JSON that is cut", TEXT("B1\n{\"id\":\"B2\",\"sub"),
	     NO_ID("2", "{\"id\":\"B2\",\"sub")},
	    {"a list", TEXT("[\"B17\"]"), NO_ID("1", "[\"B17\"]")},
	    {"a NUL", TEXT("B17\0B18\n"), NO_ID("1", "B17")},
	    {"hostile bytes", TEXT("\033[2J\xff\n"), NO_ID("1", "\\x1b[2J?")},
	    {"UTF-16",
	     TEXT("\xff\xfe"
		  "B\0"
		  "1\0"),
	     NO_ID("1", "??B")},
	    {"too long an id", TEXT(MESSAGE "Z"), NO_ID("1", MESSAGE "Z")},
	    {"too long a line", TEXT(MESSAGE MESSAGE MESSAGE),
	     NO_ID("1", MESSAGE MESSAGE "01JD8Z2E...")},
	    {"a path", TEXT("../B17"), NO_ID("1", "../B17")},
	};
#undef TEXT
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct buf got = {0};

		read_text(rows[i].text, rows[i].len, &got);
		if (strcmp(buf_text(&got), rows[i].wanted) != 0)
			fail_msg("%s: got \"%s\", wanted \"%s\"", rows[i].name, buf_text(&got),
				 rows[i].wanted);
		buf_free(&got);
	}
}

/* One line of a megabyte, and one of a byte more. */
static void
test_ids_long_line(void **state)
{
	static const size_t lengths[] = {1024 * 1024, 1024 * 1024 + 1};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(lengths); i++) {
		char *text = mem_alloc(lengths[i]);
		struct buf got = {0};

		memset(text, ' ', lengths[i]);
		memcpy(text, "B17", 3);
		read_text(text, lengths[i], &got);
		if (i == 0)
			assert_string_equal(buf_text(&got), "B17");
		else
			assert_string_equal(buf_text(&got), NO_ID("1", "B17"));
		buf_free(&got);
		free(text);
	}
}

/* More than one call takes: parts that hold each once. */
static void
test_ids_parts(void **state)
{
	enum { MANY = 2 * IDS_PER_CALL + 5 };
	struct ids ids = {0};
	struct buf error = {0};
	json_t *part;
	char word[32];
	size_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		snprintf(word, sizeof(word), "b%zu", i + 1);
		assert_true(ids_add(&ids, word, &error));
		assert_true(ids_add(&ids, word, &error));
	}
	assert_int_equal(ids_count(&ids), MANY);
	part = ids_part(&ids, 0);
	assert_int_equal(json_array_size(part), IDS_PER_CALL);
	json_decref(part);
	part = ids_part(&ids, (size_t)2 * IDS_PER_CALL);
	assert_int_equal(json_array_size(part), 5);
	assert_string_equal(json_string_value(json_array_get(part, 0)), "B20001");
	json_decref(part);
	assert_false(ids_add(&ids, "x", &error));
	assert_non_null(strstr(buf_text(&error), "\"x\" is no batch and no message id"));
	ids_free(&ids);
	buf_free(&error);
}

/* ---- progress */

static json_t *
load(const char *text)
{
	json_error_t where;
	json_t *value = json_loads(text, 0, &where);

	if (value == NULL)
		fail_msg("%s: %s", where.text, text);
	return value;
}

#define RINGS "\"rings\":[10,100,1000,\"all\"],\"total\":4990,"
#define RUNNING "{\"id\":\"B17\",\"plan\":{\"state\":\"running\"," RINGS

static const struct {
	const char *name;
	const char *before, *batch; /* before: what was seen earlier, or NULL */
	const char *line, *bars;    /* bars at 60 columns */
} progress_rows[] = {
    {"the first ring", NULL, RUNNING "\"ring\":1,\"ring_size\":10,\"sent\":4,\"released\":10}}",
     "ring 1 of 4: 4 of 10 sent; running, ring 2 begins when this one is delivered",
     "Ring 1 ############------------------ 4 of 10 sent\n"
     "Ring 2 ------------------------------ 100 to come\n"
     "Ring 3 ------------------------------ 1,000 to come\n"
     "Ring 4 ------------------------------ 3,880 to come, all that is left\n"
     "B17 running, ring 2 begins when this one is delivered\n"},
    {"refused, and what was seen of the ring before",
     RUNNING "\"ring\":1,\"ring_size\":10,\"sent\":9,\"failed\":1,\"released\":10}}",
     RUNNING "\"ring\":2,\"ring_size\":100,\"sent\":45,\"failed\":2,\"deferred\":1}}",
     "ring 2 of 4: 45 of 100 sent, refused 1 (4xx), 2 (5xx); running, ring 3 begins when this one "
     "is delivered",
     "Ring 1 ############################## 9 of 10 sent, refused 0 (4xx), 1 (5xx)\n"
     "Ring 2 ##############---------------- 45 of 100 sent, refused 1 (4xx), 2 (5xx)\n"
     "Ring 3 ------------------------------ 1,000 to come\n"
     "Ring 4 ------------------------------ 3,880 to come, all that is left\n"
     "B17 running, ring 3 begins when this one is delivered\n"},
    {"the end of the ring before was not seen",
     RUNNING "\"ring\":1,\"ring_size\":10,\"sent\":8,\"released\":10}}",
     RUNNING "\"ring\":2,\"ring_size\":100,\"sent\":0}}",
     "ring 2 of 4: 0 of 100 sent; running, ring 3 begins when this one is delivered",
     "Ring 1 ############################## 10 delivered\n"
     "Ring 2 ------------------------------ 0 of 100 sent\n"
     "Ring 3 ------------------------------ 1,000 to come\n"
     "Ring 4 ------------------------------ 3,880 to come, all that is left\n"
     "B17 running, ring 3 begins when this one is delivered\n"},
    {"another plan took its place",
     "{\"id\":\"B17\",\"plan\":{\"id\":4,\"state\":\"paused\",\"rings\":[10,5],\"total\":15,"
     "\"ring\":1,\"ring_size\":10,\"sent\":9,\"failed\":1}}",
     "{\"id\":\"B17\",\"plan\":{\"id\":5,\"state\":\"running\",\"rings\":[10,5],\"total\":15,"
     "\"ring\":2,\"ring_size\":5}}",
     "ring 2 of 2: 0 of 5 sent; running",
     "Ring 1 ############################## 10 delivered\n"
     "Ring 2 ------------------------------ 0 of 5 sent\n"
     "B17 running\n"},
    {"the wait", NULL,
     RUNNING "\"ring\":2,\"ring_size\":100,\"sent\":100,"
	     "\"next_ring_at\":\"2026-11-21T10:39:30.000Z\"}}",
     "ring 2 of 4: 100 of 100 sent; running, ring 3 begins at 2026-11-21 12:39:30",
     "Ring 1 ############################## 10 delivered\n"
     "Ring 2 ############################## 100 of 100 sent\n"
     "Ring 3 ------------------------------ 1,000 to come\n"
     "Ring 4 ------------------------------ 3,880 to come, all that is left\n"
     "B17 running, ring 3 begins in 9 min\n"},
    {"paused", NULL,
     "{\"id\":\"B17\",\"plan\":{\"state\":\"paused\"," RINGS
     "\"ring\":1,\"ring_size\":10,\"sent\":9,\"failed\":1,\"why\":\"1 of 10 \\u001b was "
     "refused\"}}",
     "ring 1 of 4: 9 of 10 sent, refused 0 (4xx), 1 (5xx); paused: 1 of 10 \\x1b was refused",
     NULL},
    {"asked", NULL, "{\"id\":\"B17\",\"plan\":{\"state\":\"asked\"," RINGS "\"ring\":0}}",
     "waits for a second person: mailfuse approve B17", NULL},
    {"a plain release is one ring", NULL,
     "{\"id\":\"B17\",\"plan\":{\"state\":\"done\",\"rings\":[\"all\"],\"total\":1,\"ring\":1,"
     "\"ring_size\":1,\"sent\":1,\"released\":1}}",
     "ring 1 of 1: 1 of 1 sent; done: 1 recipient released",
     "Ring 1 ############################## 1 of 1 sent\n"
     "B17 done: 1 recipient released\n"},
    {"fewer than the rings would take", NULL,
     "{\"id\":\"B17\",\"plan\":{\"state\":\"running\",\"rings\":[10,100,\"all\"],\"total\":12,"
     "\"ring\":1,\"ring_size\":10,\"sent\":1}}",
     "ring 1 of 2: 1 of 10 sent; running, ring 2 begins when this one is delivered",
     "Ring 1 ###--------------------------- 1 of 10 sent\n"
     "Ring 2 ------------------------------ 2 to come\n"
     "B17 running, ring 2 begins when this one is delivered\n"},
    {"hostile numbers", NULL,
     "{\"id\":\"B\\u001b[2J17\",\"plan\":{\"state\":\"r\\n\",\"rings\":[-5,1e300,\"\\u202e\",{}],"
     "\"total\":-9223372036854775808,\"ring\":9223372036854775807,\"ring_size\":-1,"
     "\"sent\":9223372036854775807,\"failed\":9223372036854775807,\"deferred\":-1}}",
     NULL, NULL},
    {"an empty plan", NULL, "{\"plan\":{}}", "",
     "Ring 1 ------------------------------ 0 to come\n \n"},
};

static void
update(struct progress *p, const char *text)
{
	json_t *batch = load(text);

	assert_true(progress_update(p, batch));
	json_decref(batch);
}

static void
test_progress(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(progress_rows); i++) {
		struct progress p = {0};
		struct buf line = {0}, bars = {0};

		if (progress_rows[i].before != NULL)
			update(&p, progress_rows[i].before);
		update(&p, progress_rows[i].batch);
		progress_describe(&p, &line);
		if (progress_rows[i].line != NULL &&
		    strcmp(buf_text(&line), progress_rows[i].line) != 0)
			fail_msg("%s: got \"%s\"", progress_rows[i].name, buf_text(&line));
		progress_draw(&p, NOW, 100, 30, &bars);
		if (progress_rows[i].bars != NULL &&
		    strcmp(buf_text(&bars), progress_rows[i].bars) != 0)
			fail_msg("%s: got\n%s", progress_rows[i].name, buf_text(&bars));
		buf_free(&line);
		buf_free(&bars);
	}
}

/* Whatever the numbers, no line reaches the edge, and as many are drawn as are told of. */
static void
test_progress_fits(void **state)
{
	size_t i, columns, rows;

	(void)state;
	for (i = 0; i < COUNT(progress_rows); i++) {
		struct progress p = {0};

		update(&p, progress_rows[i].batch);
		for (columns = 20; columns <= 200; columns++) {
			for (rows = 1; rows <= 6; rows++) {
				struct buf bars = {0};
				size_t lines = progress_draw(&p, NOW, columns, rows, &bars), n = 0;
				char *at = bars.data, *end;

				for (; (end = strchr(at, '\n')) != NULL; at = end + 1, n++) {
					*end = '\0';
					if (screen_width(at) >= columns)
						fail_msg("%s at %zu: \"%s\"", progress_rows[i].name,
							 columns, at);
					for (char *c = at; *c != '\0'; c++)
						assert_true((unsigned char)*c >= ' ');
				}
				assert_int_equal(*at, '\0');
				assert_int_equal(n, lines);
				assert_true(lines <= rows);
				buf_free(&bars);
			}
		}
	}
}

/* On a screen of few lines the present ring is one of them. */
static void
test_progress_window(void **state)
{
	static const char *const rows[] = {"\"ring\":1}}", "\"ring\":2}}", "\"ring\":3}}",
					   "\"ring\":4}}"};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		char *text = mem_printf("%s%s", RUNNING, rows[i]), wanted[16];
		struct progress p = {0};
		struct buf bars = {0};

		update(&p, text);
		assert_int_equal(progress_draw(&p, NOW, 80, 3, &bars), 3);
		snprintf(wanted, sizeof(wanted), "Ring %zu ", i + 1);
		if (strstr(buf_text(&bars), wanted) == NULL)
			fail_msg("ring %zu is not in\n%s", i + 1, buf_text(&bars));
		buf_free(&bars);
		free(text);
	}
}

static void
test_progress_none(void **state)
{
	struct progress p = {0};
	json_t *batch = load("{\"plan\":null}");

	(void)state;
	assert_false(progress_update(&p, batch));
	assert_false(progress_update(&p, NULL));
	json_decref(batch);
}

/* ---- a plan in words */

static void
test_terms(void **state)
{
	static const struct {
		const char *plan, *terms, *rings;
	} rows[] = {
	    {"{}", "", ""},
	    {"{\"rings\":[\"all\"],\"wait\":0,\"stop_on\":null,\"rate\":null}", "",
	     "all that is left"},
	    {"{\"rate\":\"100/1m\",\"rings\":[\"all\"]}", " at 100/1m",
	     "all that is left; at 100/1m"},
	    {"{\"rings\":[10,100,\"all\"],\"wait\":\"10m\",\"stop_on\":2,\"ring\":2}",
	     " in rings of 10, 100 and all that is left, 10m after each, stopped when more than 2% "
	     "of a ring are refused",
	     "10 (done), 100 (now), all that is left; 10m after each; stopped when more than 2% of "
	     "a "
	     "ring are refused"},
	    {"{\"rings\":[10,\"all\"],\"wait\":600,\"stop_on\":0.0,\"rate\":\"5/1m\",\"ring\":2,"
	     "\"state\":\"done\"}",
	     " at 5/1m, in rings of 10 and all that is left, 10 min after each, stopped by the "
	     "first refusal",
	     "10 (done), all that is left (done); 10 min after each; stopped by the first refusal; "
	     "at "
	     "5/1m"},
	    {"{\"rings\":[25000],\"ring\":1}", " in a ring of 25,000", "25,000 (now)"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		json_t *plan = load(rows[i].plan);
		struct buf terms = {0}, rings = {0};

		plan_text_terms(plan, &terms);
		plan_text_rings(plan, &rings);
		assert_string_equal(buf_text(&terms), rows[i].terms);
		assert_string_equal(buf_text(&rings), rows[i].rings);
		json_decref(plan);
		buf_free(&terms);
		buf_free(&rings);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),           cmocka_unit_test(test_ids_long_line),
	    cmocka_unit_test(test_ids_parts),     cmocka_unit_test(test_progress),
	    cmocka_unit_test(test_progress_fits), cmocka_unit_test(test_progress_window),
	    cmocka_unit_test(test_progress_none), cmocka_unit_test(test_terms),
	};

	setenv("LC_ALL", "C", 1);
	setenv("TZ", "UTC-2", 1);
	setenv("NO_COLOR", "1", 1);
	screen_init();
	return cmocka_run_group_tests_name("cli plans", tests, NULL, NULL);
}
