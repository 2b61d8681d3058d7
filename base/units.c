/*
 * Reading and writing rates, sizes and durations. Called by config/, control/ and cli/.
 */
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define DURATION_MAX (3653 * CLOCK_DAY)

/* Reads decimal digits; false if there are none or the number passes `max`. */
static bool
read_number(const char **text, uint64_t max, uint64_t *out)
{
	const char *p = *text;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > max)
			return false;
	}
	*text = p;
	*out = n;
	return true;
}

static bool
read_period(const char *text, int64_t *unit)
{
	if (text[0] == '\0' || text[1] != '\0')
		return false;
	switch (text[0]) {
	case 's':
		*unit = CLOCK_SECOND;
		return true;
	case 'm':
		*unit = CLOCK_MINUTE;
		return true;
	case 'h':
		*unit = CLOCK_HOUR;
		return true;
	case 'd':
		*unit = CLOCK_DAY;
		return true;
	default:
		return false;
	}
}

bool
units_parse_duration(const char *text, int64_t *microseconds)
{
	uint64_t n;
	int64_t unit;

	if (!read_number(&text, 400000000, &n))
		return false;
	if (n == 0 && *text == '\0') {
		*microseconds = 0;
		return true;
	}
	if (!read_period(text, &unit) || (int64_t)n > DURATION_MAX / unit)
		return false;
	*microseconds = (int64_t)n * unit;
	return true;
}

bool
units_parse_size(const char *text, uint64_t *bytes)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = {{"", 1},
		     {"B", 1},
		     {"KB", UINT64_C(1) << 10},
		     {"MB", UINT64_C(1) << 20},
		     {"GB", UINT64_C(1) << 30},
		     {"TB", UINT64_C(1) << 40}};
	uint64_t n;
	size_t i;

	if (!read_number(&text, 1000000000000000, &n))
		return false;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(text, units[i].name) != 0)
			continue;
		return !__builtin_mul_overflow(n, units[i].factor, bytes) && *bytes <= INT64_MAX;
	}
	return false;
}

bool
units_parse_rate(const char *text, uint32_t *count, int64_t *microseconds)
{
	uint64_t n;

	if (!read_number(&text, 4000000000, &n) || n == 0 || *text != '/')
		return false;
	text++;
	if (!read_period(text, microseconds) && !units_parse_duration(text, microseconds))
		return false;
	*count = (uint32_t)n;
	return *microseconds > 0;
}

const char *
units_format_duration(int64_t us, char out[UNITS_BYTES])
{
	long long s = us / CLOCK_SECOND;

	if (s < 120)
		snprintf(out, UNITS_BYTES, "%lld s", s);
	else if (s < 7200)
		snprintf(out, UNITS_BYTES, "%lld min", s / 60);
	else if (s < 172800 && s % 3600 / 60 != 0)
		snprintf(out, UNITS_BYTES, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else if (s < 172800)
		snprintf(out, UNITS_BYTES, "%lld h", s / 3600);
	else
		snprintf(out, UNITS_BYTES, "%lld d", s / 86400);
	return out;
}

const char *
units_format_size(uint64_t bytes, char out[UNITS_BYTES])
{
	static const char *const names[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
	double n = (double)bytes;
	size_t i = 0;

	while (n >= 1023.95 && i < 6) {
		n /= 1024;
		i++;
	}
	snprintf(out, UNITS_BYTES, i == 0 ? "%.0f %s" : "%.1f %s", n, names[i]);
	return out;
}

const char *
units_format_rate(uint32_t count, int64_t us, char out[UNITS_BYTES])
{
	static const struct {
		int64_t unit;
		char name;
	} units[] = {{CLOCK_DAY, 'd'}, {CLOCK_HOUR, 'h'}, {CLOCK_MINUTE, 'm'}, {CLOCK_SECOND, 's'}};
	size_t i = 0;

	while (i < 3 && us % units[i].unit != 0)
		i++;
	snprintf(out, UNITS_BYTES, "%u/%lld%c", count, (long long)(us / units[i].unit),
		 units[i].name);
	return out;
}
