/*
 * base/: ids, units, text, clock formats, buffers, arenas, and text made safe for the log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/units.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const uint64_t store_name = UINT64_C(0x0123456789abcdef);

static void
test_id_text(void **state)
{
	static const uint64_t ids[] = {1, 31, 32, UINT64_C(0x0193500000000001), INT64_MAX};
	char text[ID_TEXT_BYTES], delivery[ID_DELIVERY_BYTES], longest[ID_DELIVERY_BYTES];
	uint64_t id;
	uint32_t number;
	size_t i;

	(void)state;
	id_init(store_name, 0);
	assert_string_equal(id_format(1, text), "0000000000000G28T5CY4TQKFF");
	for (i = 0; i < COUNT(ids); i++) {
		assert_int_equal(strlen(id_format(ids[i], text)), ID_TEXT_BYTES - 1);
		assert_true(id_parse(text, &id, &number));
		assert_true(id == ids[i]);
		assert_int_equal(number, 0);
		text_lower(text);
		assert_true(id_parse(text, &id, &number));
		assert_true(id_parse(id_format_delivery(ids[i], 42, delivery), &id, &number));
		assert_true(id == ids[i]);
		assert_int_equal(number, 42);
	}
	id_format_delivery(INT64_MAX, UINT32_MAX, longest);
	assert_true(id_parse(longest, &id, &number));
	assert_int_equal(number, UINT32_MAX);
}

static void
test_id_refused(void **state)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
	    {"empty", ""},
	    {"short", "0000000000000G28T5CY4TQKF"},
	    {"long", "0000000000000G28T5CY4TQKFF0"},
	    {"a letter that is not used", "0000000000000G28T5CY4TQKFU"},
	    {"more than 128 bits", "8000000000000G28T5CY4TQKFF"},
	    {"a negative number", "4000000000000028T5CY4TQKFF"},
	    {"zero", "0000000000000028T5CY4TQKFF"},
	    {"another store", "0000000000000G28T5CY4TQKFE"},
	    {"no number", "0000000000000G28T5CY4TQKFF."},
	    {"number zero", "0000000000000G28T5CY4TQKFF.0"},
	    {"a negative number of a delivery", "0000000000000G28T5CY4TQKFF.-1"},
	    {"a number too large", "0000000000000G28T5CY4TQKFF.4294967296"},
	    {"a number far too large", "0000000000000G28T5CY4TQKFF.18446744073709551617"},
	    {"text behind", "0000000000000G28T5CY4TQKFF.1x"},
	    {"a blank", " 0000000000000G28T5CY4TQKFF"},
	};
	uint64_t id;
	uint32_t number;
	size_t i;

	(void)state;
	id_init(store_name, 0);
	assert_true(id_parse("0000000000000G28T5CY4TQKFF.1", &id, &number));
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s\n", rows[i].name);
		assert_false(id_parse(rows[i].text, &id, &number));
	}
}

enum { ID_THREADS = 4, IDS_EACH = 20000 };

static void *
take_ids(void *argument)
{
	uint64_t *ids = argument;
	int i;

	for (i = 0; i < IDS_EACH; i++)
		ids[i] = id_next();
	return NULL;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
test_id_unique(void **state)
{
	uint64_t *ids = calloc((size_t)ID_THREADS * IDS_EACH, sizeof(*ids));
	pthread_t threads[ID_THREADS];
	int i, k;

	(void)state;
	id_init(store_name, 0);
	for (i = 0; i < ID_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_ids, ids + i * IDS_EACH),
				 0);
	for (i = 0; i < ID_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < ID_THREADS; i++)
		for (k = 1; k < IDS_EACH; k++)
			assert_true(ids[i * IDS_EACH + k] > ids[i * IDS_EACH + k - 1]);
	qsort(ids, (size_t)ID_THREADS * IDS_EACH, sizeof(*ids), compare_ids);
	for (i = 1; i < ID_THREADS * IDS_EACH; i++)
		assert_true(ids[i] != ids[i - 1]);
	assert_true(id_highest() == ids[ID_THREADS * IDS_EACH - 1]);
	free(ids);
}

/* The store has seen ids of the future: a clock that was set back must not repeat them. */
static void
test_id_after_clock_jump(void **state)
{
	uint64_t future = (uint64_t)((clock_wall() + CLOCK_DAY) / 1000) << 16;

	(void)state;
	id_init(store_name, future);
	assert_true(id_next() == future + 1);
	assert_true(id_next() == future + 2);
	id_init(store_name, 0);
	assert_true(id_next() < future);
}

static void
test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t wanted; /* -1: refused */
	} rows[] = {
	    {"0", 0},
	    {"0s", 0},
	    {"10s", 10 * CLOCK_SECOND},
	    {"5m", 5 * CLOCK_MINUTE},
	    {"2h", 2 * CLOCK_HOUR},
	    {"7d", 7 * CLOCK_DAY},
	    {"3653d", 3653 * CLOCK_DAY},
	    {"3654d", -1},
	    {"99999999999999999999s", -1},
	    {"", -1},
	    {"s", -1},
	    {"10", -1},
	    {"-1s", -1},
	    {"+1s", -1},
	    {" 1s", -1},
	    {"1 s", -1},
	    {"1s ", -1},
	    {"1.5h", -1},
	    {"1S", -1},
	    {"1w", -1},
	    {"1h30m", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		int64_t us = -1;
		bool ok = units_parse_duration(rows[i].text, &us);

		print_message("  '%s'\n", rows[i].text);
		assert_int_equal(ok, rows[i].wanted >= 0);
		if (ok)
			assert_true(us == rows[i].wanted);
	}
}

static void
test_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t wanted; /* -1: refused */
	} rows[] = {
	    {"0", 0},
	    {"100", 100},
	    {"100B", 100},
	    {"100KB", 102400},
	    {"25MB", 26214400},
	    {"25mb", 26214400},
	    {"20GB", INT64_C(21474836480)},
	    {"1TB", INT64_C(1099511627776)},
	    {"8388607TB", INT64_C(9223370937343148032)},
	    {"8388608TB", -1},
	    {"99999999TB", -1},
	    {"99999999999999999999", -1},
	    {"", -1},
	    {"MB", -1},
	    {"-1", -1},
	    {"1 MB", -1},
	    {"1MiB", -1},
	    {"1.5MB", -1},
	    {"1M", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		uint64_t bytes = 0;
		bool ok = units_parse_size(rows[i].text, &bytes);

		print_message("  '%s'\n", rows[i].text);
		assert_int_equal(ok, rows[i].wanted >= 0);
		if (ok)
			assert_true(bytes == (uint64_t)rows[i].wanted);
	}
}

static void
test_rates(void **state)
{
	static const struct {
		const char *text;
		uint32_t count; /* 0: refused */
		int64_t period;
		const char *written;
	} rows[] = {
	    {"500/10m", 500, 10 * CLOCK_MINUTE, "500/10m"},
	    {"500/m", 500, CLOCK_MINUTE, "500/1m"},
	    {"1/1s", 1, CLOCK_SECOND, "1/1s"},
	    {"20/60m", 20, CLOCK_HOUR, "20/1h"},
	    {"20/90m", 20, 90 * CLOCK_MINUTE, "20/90m"},
	    {"20/48h", 20, 2 * CLOCK_DAY, "20/2d"},
	    {"4000000000/1d", 4000000000, CLOCK_DAY, "4000000000/1d"},
	    {"4000000001/1d", 0, 0, NULL},
	    {"0/1m", 0, 0, NULL},
	    {"5/0", 0, 0, NULL},
	    {"5/0s", 0, 0, NULL},
	    {"5", 0, 0, NULL},
	    {"5/", 0, 0, NULL},
	    {"/1m", 0, 0, NULL},
	    {"-5/1m", 0, 0, NULL},
	    {"5/10", 0, 0, NULL},
	    {"5/m/m", 0, 0, NULL},
	    {"5 / 10m", 0, 0, NULL},
	};
	char out[UNITS_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		uint32_t count = 0;
		int64_t period = 0;
		bool ok = units_parse_rate(rows[i].text, &count, &period);

		print_message("  '%s'\n", rows[i].text);
		assert_int_equal(ok, rows[i].count > 0);
		if (!ok)
			continue;
		assert_int_equal(count, rows[i].count);
		assert_true(period == rows[i].period);
		assert_string_equal(units_format_rate(count, period, out), rows[i].written);
	}
}

static void
test_units_for_people(void **state)
{
	static const struct {
		int64_t us;
		const char *wanted;
	} durations[] = {
	    {0, "0 s"},
	    {5 * CLOCK_SECOND, "5 s"},
	    {119 * CLOCK_SECOND, "119 s"},
	    {120 * CLOCK_SECOND, "2 min"},
	    {3 * CLOCK_MINUTE + 59 * CLOCK_SECOND, "3 min"},
	    {119 * CLOCK_MINUTE, "119 min"},
	    {2 * CLOCK_HOUR, "2 h"},
	    {2 * CLOCK_HOUR + 10 * CLOCK_MINUTE, "2 h 10 min"},
	    {4 * CLOCK_DAY + CLOCK_HOUR, "4 d"},
	    {INT64_MAX, "106751991 d"},
	};
	static const struct {
		uint64_t bytes;
		const char *wanted;
	} sizes[] = {
	    {0, "0 B"},
	    {812, "812 B"},
	    {999, "999 B"},
	    {1024, "1.0 KB"},
	    {1048473, "1023.9 KB"},
	    {1048576, "1.0 MB"},
	    {26214400, "25.0 MB"},
	    {UINT64_MAX, "16.0 EB"},
	};
	char out[UNITS_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(durations); i++)
		assert_string_equal(units_format_duration(durations[i].us, out),
				    durations[i].wanted);
	for (i = 0; i < COUNT(sizes); i++)
		assert_string_equal(units_format_size(sizes[i].bytes, out), sizes[i].wanted);
}

static void
test_globs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool wanted;
	} rows[] = {
	    {"", "", true},
	    {"", "a", false},
	    {"*", "", true},
	    {"*", "anything", true},
	    {"**", "", true},
	    {"?", "", false},
	    {"?", "a", true},
	    {"?", "ab", false},
	    {"qa-*@partner.test", "qa-anna@partner.test", true},
	    {"qa-*@partner.test", "QA-ANNA@Partner.Test", true},
	    {"qa-*@partner.test", "qa-anna@partner.test.evil", false},
	    {"qa-*@partner.test", "qaanna@partner.test", false},
	    {"*@example.com", "a@example.com@evil.test", false},
	    {"a*b*c", "a-b-b-c", true},
	    {"a*b*c", "a-b-b-", false},
	    {"*.example", "example", false},
	    {"[a]", "a", false},
	    {"a", "*", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s %s\n", rows[i].pattern, rows[i].text);
		assert_int_equal(text_glob(rows[i].pattern, rows[i].text), rows[i].wanted);
	}
}

/* Many stars against a long text that almost matches: quadratic, not exponential. */
static void
test_hostile_glob(void **state)
{
	char text[2001];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(text_glob("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void
test_utf8(void **state)
{
	static const struct {
		const char *name, *text;
		bool wanted;
	} rows[] = {
	    {"empty", "", true},
	    {"ASCII", "abc", true},
	    {"two bytes", "\303\251", true},
	    {"three bytes", "\342\202\254", true},
	    {"four bytes", "\360\237\230\200", true},
	    {"last character", "\364\217\277\277", true},
	    {"beyond the last", "\364\220\200\200", false},
	    {"overlong two", "\301\201", false},
	    {"overlong three", "\340\200\201", false},
	    {"overlong four", "\360\200\200\201", false},
	    {"surrogate", "\355\240\200", false},
	    {"before the surrogates", "\355\237\277", true},
	    {"cut", "\342\202", false},
	    {"continuation alone", "\200", false},
	    {"Latin 1", "caf\351 noir", false},
	    {"no such byte", "\377", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s\n", rows[i].name);
		assert_int_equal(text_is_utf8(rows[i].text, strlen(rows[i].text)), rows[i].wanted);
	}
	assert_true(text_is_utf8("a\0b", 3));
	assert_true(text_is_ascii("a\x7f", 2) && text_is_ascii("", 0));
	assert_false(text_is_ascii("ab\x80", 3));
}

static void
test_graphic(void **state)
{
	static const struct {
		const char *name, *text;
		size_t bytes; /* of the first character, 0: none */
		uint32_t code;
		bool wanted; /* graphic */
	} rows[] = {
	    {"a letter", "ab", 1, 'a', true},
	    {"a blank", " ", 1, ' ', true},
	    {"a tab", "\t", 1, '\t', false},
	    {"DEL", "\177", 1, 0x7f, false},
	    {"the last C1 control", "\302\237", 2, 0x9f, false},
	    {"behind the C1 controls", "\302\240", 2, 0xa0, true},
	    {"two bytes", "\303\251x", 2, 0xe9, true},
	    {"three bytes", "\342\202\254", 3, 0x20ac, true},
	    {"four bytes", "\360\237\230\200", 4, 0x1f600, true},
	    {"a line separator", "\342\200\250", 3, 0x2028, false},
	    {"a paragraph separator", "\342\200\251", 3, 0x2029, false},
	    {"a mark of direction", "\342\200\217", 3, 0x200f, true},
	    {"an override of direction", "\342\200\256", 3, 0x202e, false},
	    {"an isolate", "\342\201\246", 3, 0x2066, false},
	    {"a joiner", "\342\200\215", 3, 0x200d, true},
	    {"the first noncharacter", "\357\267\220", 3, 0xfdd0, false},
	    {"behind the noncharacters", "\357\267\260", 3, 0xfdf0, true},
	    {"U+FFFD", "\357\277\275", 3, 0xfffd, true},
	    {"U+FFFE", "\357\277\276", 3, 0xfffe, false},
	    {"U+1FFFF", "\360\237\277\277", 4, 0x1ffff, false},
	    {"the last of all", "\364\217\277\277", 4, 0x10ffff, false},
	    {"before it", "\364\217\277\275", 4, 0x10fffd, true},
	    {"nothing", "", 0, 0, false},
	    {"a surrogate", "\355\240\200", 0, 0, false},
	    {"cut", "\342\202", 0, 0, false},
	    {"overlong", "\300\257", 0, 0, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].text);
		uint32_t code = 0;

		print_message("  %s\n", rows[i].name);
		assert_int_equal(text_read_utf8(rows[i].text, len, &code), rows[i].bytes);
		if (rows[i].bytes > 0) {
			assert_int_equal(code, rows[i].code);
			assert_int_equal(text_is_graphic(code), rows[i].wanted);
		}
		if (len > 0)
			assert_int_equal(text_is_clean(rows[i].text, len), rows[i].wanted);
	}
	assert_false(text_is_graphic(0xd800));
	assert_false(text_is_graphic(0x110000));
	assert_true(text_is_clean("", 0));
	assert_false(text_is_clean("a\0b", 3));
}

static void
test_text_rest(void **state)
{
	char text[] = "Mail.EXAMPLE-1 \303\211[Z]";

	(void)state;
	text_lower(text);
	assert_string_equal(text, "mail.example-1 \303\211[z]");
	assert_true(text_is_blank(""));
	assert_true(text_is_blank(" \t\r\n"));
	assert_false(text_is_blank(" . "));
	/* Published values of FNV-1a. */
	assert_true(text_hash(TEXT_HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
	assert_true(text_hash(TEXT_HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(text_hash(TEXT_HASH_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
	assert_true(text_hash(text_hash(TEXT_HASH_START, "foo", 3), "bar", 3) ==
		    UINT64_C(0x85944171f73967e8));
}

static void
test_buf(void **state)
{
	struct buf b = {0};
	char *taken;
	int i;

	(void)state;
	assert_string_equal(buf_text(&b), "");
	buf_add(&b, NULL, 0);
	assert_int_equal(b.len, 0);
	for (i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_memory_equal(b.data, "0,1,2,3,", 8);
	assert_int_equal(b.data[b.len], '\0');
	buf_drop(&b, b.len - 4);
	assert_string_equal(buf_text(&b), "999,");
	buf_drop(&b, 100);
	assert_string_equal(buf_text(&b), "");
	buf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	buf_clear(&b);
	buf_add_text(&b, "x");
	buf_add_char(&b, 'y');
	taken = buf_take(&b);
	assert_string_equal(taken, "xy");
	assert_null(b.data);
	free(taken);
	taken = buf_take(&b);
	assert_string_equal(taken, "");
	free(taken);
	buf_reserve(&b, 10);
	assert_int_equal(b.data[0], '\0');
	buf_free(&b);
}

static void
test_arena(void **state)
{
	struct arena a = {0};
	char *kept[500], *large;
	unsigned char *zero;
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT(kept); i++) {
		kept[i] = arena_printf(&a, "string %zu", i);
		assert_int_equal((uintptr_t)kept[i] % _Alignof(max_align_t), 0);
		zero = arena_zalloc(&a, i);
		for (k = 0; k < i; k++)
			assert_int_equal(zero[k], 0);
		memset(zero, 0xff, i);
	}
	large = arena_alloc(&a, 100000);
	memset(large, 'x', 100000);
	assert_true(a.total >= 100000);
	assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
	assert_string_equal(arena_strdup(&a, ""), "");
	for (i = 0; i < COUNT(kept); i++) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "string %zu", i);
		assert_string_equal(kept[i], wanted);
	}
	arena_free(&a);
	assert_int_equal(a.total, 0);
	arena_free(&a);
}

static void
test_log_safe(void **state)
{
	static const struct {
		const char *name, *text, *wanted;
	} rows[] = {
	    {"NULL", NULL, "-"},
	    {"empty", "", "\"\""},
	    {"plain", "a@b.example", "a@b.example"},
	    {"blank", "a b", "\"a b\""},
	    {"what looks like a field", "x=1", "\"x=1\""},
	    {"quotes", "say \"hi\"", "\"say \\\"hi\\\"\""},
	    {"backslash", "a\\nb", "\"a\\\\nb\""},
	    {"a second line", "a\nb", "a\\x0ab"},
	    {"escape sequence", "\033[2J", "\\x1b[2J"},
	    {"DEL", "a\177", "a\\x7f"},
	    {"UTF-8", "caf\303\251\342\202\254", "caf\303\251\342\202\254"},
	    {"C1 control", "\302\233[2J", "\\xc2\\x9b[2J"},
	    {"C1 control, one byte", "\233[2J", "\\x9b[2J"},
	    {"no UTF-8", "caf\351", "caf\\xe9"},
	    {"cut UTF-8", "\342\202", "\\xe2\\x82"},
	};
	char text[5000];
	const char *first, *second, *safe;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s\n", rows[i].name);
		assert_string_equal(log_safe(rows[i].text), rows[i].wanted);
	}
	/* The longest forms of all: quoted, four bytes for one. */
	memset(text, '\001', sizeof(text));
	text[0] = ' ';
	text[sizeof(text) - 1] = '\0';
	safe = log_safe(text);
	assert_in_range(strlen(safe), 380, 420);
	assert_string_equal(safe + strlen(safe) - 4, "...\"");
	first = log_safe("first");
	second = log_safe("second");
	for (i = 0; i < 6; i++)
		log_safe("another");
	assert_string_equal(first, "first");
	assert_string_equal(second, "second");
}

static void
test_metrics(void **state)
{
	int i, k;

	(void)state;
	metric_add(METRIC_COMMITS, 2);
	metric_add(METRIC_COMMITS, 3);
	assert_int_equal(metric_get(METRIC_COMMITS), 5);
	assert_int_equal(metric_get(METRIC_RELOADS), 0);
	assert_string_equal(metric_name(METRIC_BODY_BYTES_NOW), "body_bytes_now");
	for (i = 0; i < METRIC_COUNT; i++) {
		for (k = 0; k < i; k++)
			assert_string_not_equal(metric_name((enum metric)i),
						metric_name((enum metric)k));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_id_text),   cmocka_unit_test(test_id_refused),
	    cmocka_unit_test(test_id_unique), cmocka_unit_test(test_id_after_clock_jump),
	    cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_rates),     cmocka_unit_test(test_units_for_people),
	    cmocka_unit_test(test_globs),     cmocka_unit_test(test_hostile_glob),
	    cmocka_unit_test(test_utf8),      cmocka_unit_test(test_graphic),
	    cmocka_unit_test(test_text_rest), cmocka_unit_test(test_buf),
	    cmocka_unit_test(test_arena),     cmocka_unit_test(test_log_safe),
	    cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
