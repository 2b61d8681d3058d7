/*
 * The clocks and their text forms. Called from every room, any thread.
 */
#include "base/clock.h"

#include <pthread.h>
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

static int64_t steady_offset;

static void
steady_init(void)
{
	steady_offset = clock_wall() - clock_mono();
}

int64_t
clock_steady(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, steady_init);
	return clock_mono() + steady_offset;
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
