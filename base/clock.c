/*
 * The clocks and their text forms. Called from every room, any thread.
 */
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t
clock_read(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec / 1000;
}

int64_t
clock_mono(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t
clock_wall(void)
{
	return clock_read(CLOCK_REALTIME);
}

static _Atomic int64_t steady_offset;

static void
steady_init(void)
{
	atomic_store(&steady_offset, clock_wall() - clock_mono());
}

int64_t
clock_steady_offset(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, steady_init);
	return atomic_load_explicit(&steady_offset, memory_order_relaxed);
}

void
clock_set_steady_offset(int64_t offset)
{
	clock_steady_offset(); /* or the first who asks would set it again */
	atomic_store(&steady_offset, offset);
}

int64_t
clock_steady(void)
{
	return clock_mono() + clock_steady_offset();
}

int64_t
clock_steady_as_wall(int64_t steady)
{
	int64_t ahead = clock_wall() - clock_steady();

	/* Two readings of a clock are never the same: less than that is no jump. */
	return ahead > -CLOCK_SECOND && ahead < CLOCK_SECOND ? steady : steady + ahead;
}

void
clock_boot_id(char out[CLOCK_BOOT_BYTES])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	out[0] = '\0';
	if (f == NULL)
		return;
	if (fgets(out, CLOCK_BOOT_BYTES, f) == NULL)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

static void
clock_split(int64_t wall, struct tm *tm)
{
	time_t seconds = (time_t)(wall / CLOCK_SECOND);

	if (gmtime_r(&seconds, tm) == NULL)
		*tm = (struct tm){.tm_mday = 1, .tm_year = 70};
}

void
clock_format_rfc5322(int64_t wall, char out[CLOCK_RFC5322_BYTES])
{
	/* Names spelled here: strftime's follow the locale. */
	static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm;
	size_t n;

	clock_split(wall, &tm);
	n = (size_t)snprintf(out, 16, "%.3s, %u %.3s ", day[tm.tm_wday % 7],
			     (unsigned)tm.tm_mday % 32, month[tm.tm_mon % 12]);
	strftime(out + n, CLOCK_RFC5322_BYTES - n, "%Y %H:%M:%S +0000", &tm);
}

void
clock_format_iso(int64_t wall, char out[CLOCK_ISO_BYTES])
{
	struct tm tm;
	size_t n;

	clock_split(wall, &tm);
	n = strftime(out, CLOCK_ISO_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_ISO_BYTES - n, ".%03dZ", (int)(wall / 1000 % 1000));
}

/* Exactly `n` digits, moved past; -1 otherwise. */
static int
parse_digits(const char **text, int n)
{
	int value = 0;

	for (; n > 0; n--, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + (**text - '0');
	}
	return value;
}

static bool
parse_char(const char **text, char upper, char lower)
{
	if (**text != upper && **text != lower)
		return false;
	(*text)++;
	return true;
}

/* "-11-21T12:04" and the like: two digits behind `before`, from `least` to `most`. */
static bool
parse_part(const char **text, char before, int least, int most, int *out)
{
	if (before != '\0' && !parse_char(text, before, before))
		return false;
	*out = parse_digits(text, 2);
	return *out >= least && *out <= most;
}

/* ".5", to microseconds: what is finer is cut off. */
static bool
parse_fraction(const char **text, int64_t *out)
{
	int64_t unit = CLOCK_SECOND / 10;

	if (!parse_char(text, '.', '.'))
		return true;
	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; (*text)++, unit /= 10)
		*out += unit * (**text - '0');
	return true;
}

static bool
parse_offset(const char **text, int64_t *out)
{
	int hours, minutes;
	char sign = **text;

	if (parse_char(text, 'Z', 'z'))
		return true;
	if (!parse_char(text, '+', '-') || !parse_part(text, '\0', 0, 23, &hours) ||
	    !parse_part(text, ':', 0, 59, &minutes))
		return false;
	*out = (hours * CLOCK_HOUR + minutes * CLOCK_MINUTE) * (sign == '-' ? -1 : 1);
	return true;
}

bool
clock_parse_iso(const char *text, int64_t *wall)
{
	struct tm tm = {0}, again;
	int64_t fraction = 0, offset = 0;
	int year = parse_digits(&text, 4);
	time_t seconds;

	tm.tm_year = year - 1900;
	if (year < 1970 || !parse_part(&text, '-', 1, 12, &tm.tm_mon) ||
	    !parse_part(&text, '-', 1, 31, &tm.tm_mday))
		return false;
	tm.tm_mon--;
	/* A leap second is the second before it: nothing here counts them. */
	if (*text != '\0' &&
	    (!parse_char(&text, 'T', 't') || !parse_part(&text, '\0', 0, 23, &tm.tm_hour) ||
	     !parse_part(&text, ':', 0, 59, &tm.tm_min) ||
	     !parse_part(&text, ':', 0, 60, &tm.tm_sec) || !parse_fraction(&text, &fraction) ||
	     !parse_offset(&text, &offset)))
		return false;
	if (tm.tm_sec == 60)
		tm.tm_sec = 59;
	again = tm;
	seconds = timegm(&again);
	/* timegm() makes a March of February 30. */
	if (*text != '\0' || again.tm_mday != tm.tm_mday)
		return false;
	*wall = seconds * CLOCK_SECOND + fraction - offset;
	return true;
}
