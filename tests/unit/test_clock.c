/*
 * The text forms of times: what is written, and what is read and refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_clock_formats(void **state)
{
	static const struct {
		int64_t wall;
		const char *mail, *iso;
	} rows[] = {
	    {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"},
	    {INT64_C(1795262651123999), "Sat, 21 Nov 2026 12:04:11 +0000",
	     "2026-11-21T12:04:11.123Z"},
	    {INT64_C(1709164799000000), "Wed, 28 Feb 2024 23:59:59 +0000",
	     "2024-02-28T23:59:59.000Z"},
	    {INT64_C(1709164800000000), "Thu, 29 Feb 2024 00:00:00 +0000",
	     "2024-02-29T00:00:00.000Z"},
	};
	char mail[CLOCK_RFC5322_BYTES], iso[CLOCK_ISO_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		clock_format_rfc5322(rows[i].wall, mail);
		clock_format_iso(rows[i].wall, iso);
		assert_string_equal(mail, rows[i].mail);
		assert_string_equal(iso, rows[i].iso);
	}
	/* Beyond what a date can say: something that fits, and no crash. */
	clock_format_rfc5322(INT64_MAX, mail);
	clock_format_iso(INT64_MAX, iso);
	clock_format_rfc5322(INT64_MIN, mail);
	clock_format_iso(INT64_MIN, iso);
}

static void
test_clock_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t wall; /* -1 = refused */
	} rows[] = {
	    {"1970-01-01T00:00:00Z", 0},
	    {"1970-01-01", 0},
	    {"2026-11-21T12:04:11.123Z", INT64_C(1795262651123000)},
	    {"2026-11-21t12:04:11.1239996z", INT64_C(1795262651123999)},
	    {"2026-11-21T13:34:11+01:30", INT64_C(1795262651000000)},
	    {"2026-11-21T11:04:11.0-01:00", INT64_C(1795262651000000)},
	    {"2024-02-29", INT64_C(1709164800000000)},
	    {"2024-02-28T23:59:60Z", INT64_C(1709164799000000)},
	    {"9999-12-31T23:59:59Z", INT64_C(253402300799000000)},
	    {"", -1},
	    {"2026", -1},
	    {"2026-11-21T", -1},
	    {"2026-11-21T12:04", -1},
	    {"2026-11-21T12:04:11", -1}, /* of which place? */
	    {"2026-11-21T12:04:11.Z", -1},
	    {"2026-11-21 12:04:11Z", -1},
	    {"2026-11-21T12:04:11Z ", -1},
	    {" 2026-11-21", -1},
	    {"2026-11-21T12:04:11+0100", -1},
	    {"2026-11-21T12:04:11+24:00", -1},
	    {"2026-11-21T24:00:00Z", -1},
	    {"2026-11-21T12:60:00Z", -1},
	    {"2026-11-21T12:00:61Z", -1},
	    {"2026-00-21", -1},
	    {"2026-13-21", -1},
	    {"2026-11-00", -1},
	    {"2026-11-31", -1},
	    {"2025-02-29", -1},
	    {"1969-12-31", -1},
	    {"-026-11-21", -1},
	    {"2026-1-21", -1},
	    {"+026-11-21", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		int64_t wall = -1;
		bool ok = clock_parse_iso(rows[i].text, &wall);

		if (ok != (rows[i].wall >= 0) || wall != rows[i].wall)
			fail_msg("%s: %d, %lld", rows[i].text, (int)ok, (long long)wall);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_clock_formats),
					   cmocka_unit_test(test_clock_parse)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
