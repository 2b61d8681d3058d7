/*
 * The units people write: rates `500/10m`, sizes `25MB`, durations `10s`. Used by the
 * configuration, the control API and the command line, so that they read alike. Any thread.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* `10s`, `5m`, `2h`, `7d`, and `0`; microseconds. False on anything else or more than 10 years. */
bool units_parse_duration(const char *text, int64_t *microseconds);
/* `100`, `100KB`, `25MB`, `20GB` (powers of 1024, as mail servers count: 25MB is
 * SIZE 26214400); bytes. */
bool units_parse_size(const char *text, uint64_t *bytes);
/* `500/10m`: 1 to 4,000,000,000 per 1s to 10 years; the number may be left out: `500/m`. */
bool units_parse_rate(const char *text, uint32_t *count, int64_t *microseconds);

enum { UNITS_BYTES = 32 };
/* "5 s", "3 min", "2 h 10 min", "4 d": for people. */
const char *units_format_duration(int64_t microseconds, char out[UNITS_BYTES]);
/* "812 B", "25.0 MB". */
const char *units_format_size(uint64_t bytes, char out[UNITS_BYTES]);
/* "500/10m", the form that units_parse_rate() reads. */
const char *units_format_rate(uint32_t count, int64_t microseconds, char out[UNITS_BYTES]);

#endif
