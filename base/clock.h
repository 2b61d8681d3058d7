/*
 * Time. Monotonic microseconds measure, wall-clock microseconds since 1970 (UTC) are written down.
 * Any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_SECOND INT64_C(1000000)
#define CLOCK_MINUTE (60 * CLOCK_SECOND)
#define CLOCK_HOUR (60 * CLOCK_MINUTE)
#define CLOCK_DAY (24 * CLOCK_HOUR)

int64_t clock_mono(void);
int64_t clock_wall(void);
/*
 * The monotonic clock plus what the wall clock was ahead of it: it never jumps. For times that are
 * written down and compared after a restart too: when something is due, when it was counted. The
 * store keeps the difference for as long as the machine runs; of another start of the machine it
 * is the wall clock's at the start of the process, or the newest message's time if that is later.
 */
int64_t clock_steady(void);
/* That difference: clock_steady() - clock_mono(). Set before any other thread runs. */
int64_t clock_steady_offset(void);
/* A time on clock_steady() as people read it now: the same, but after a jump of the wall clock. */
int64_t clock_steady_as_wall(int64_t steady);
void clock_set_steady_offset(int64_t offset);
/* Which start of the machine this is: within one, monotonic times of two processes compare. "" if
 * the system does not say. */
enum { CLOCK_BOOT_BYTES = 40 };
void clock_boot_id(char out[CLOCK_BOOT_BYTES]);

enum { CLOCK_RFC5322_BYTES = 40, CLOCK_ISO_BYTES = 32 };
/* "Sat, 21 Nov 2026 12:04:11 +0000" (RFC 5322 3.3), always UTC. */
void clock_format_rfc5322(int64_t wall, char out[CLOCK_RFC5322_BYTES]);
/* "2026-11-21T12:04:11.123Z" (RFC 3339). */
void clock_format_iso(int64_t wall, char out[CLOCK_ISO_BYTES]);
/*
 * Reads RFC 3339 (5.6) from the year 1970 on: "2026-11-21T12:04:11.5Z", an offset such as +01:00
 * instead of Z, or a date alone, which is its beginning in UTC. False if it is no such time.
 */
bool clock_parse_iso(const char *text, int64_t *wall);

#endif
