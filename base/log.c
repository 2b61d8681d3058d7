/*
 * The log: lines to stderr (time, level, text) or to syslog. Called from every room, any thread.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

static _Atomic enum log_target log_target = LOG_TO_STDERR;
static _Atomic int log_debug_on;

enum { LINE_MAX_BYTES = 2048, SAFE_BYTES = 512, SAFE_CUT = 400, SAFE_BUFFERS = 8 };

void
log_open(enum log_target target, const char *program)
{
	atomic_store(&log_target, target);
	if (target == LOG_TO_SYSLOG)
		openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void
log_set_debug(int on)
{
	atomic_store(&log_debug_on, on);
}

/* "2026-11-21T12:04:11.123Z info ": most of it is the same for a second. */
static size_t
log_head(char line[LINE_MAX_BYTES], const char *level)
{
	static _Thread_local char head[sizeof("2026-11-21T12:04:11.")];
	static _Thread_local time_t second = -1;
	struct timespec now;
	struct tm tm;
	size_t n;
	long ms;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = now.tv_nsec / 1000000;
	if (now.tv_sec != second) {
		gmtime_r(&now.tv_sec, &tm);
		strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S.", &tm);
		second = now.tv_sec;
	}
	n = strlen(head);
	memcpy(line, head, n);
	line[n++] = (char)('0' + ms / 100);
	line[n++] = (char)('0' + ms / 10 % 10);
	line[n++] = (char)('0' + ms % 10);
	line[n++] = 'Z';
	line[n++] = ' ';
	while (*level != '\0')
		line[n++] = *level++;
	line[n++] = ' ';
	return n;
}

static void
log_line(int priority, const char *level, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES];
	size_t n;
	int more;

	if (atomic_load_explicit(&log_target, memory_order_relaxed) == LOG_TO_SYSLOG) {
		vsyslog(priority, format, ap);
		return;
	}
	n = log_head(line, level);
	more = vsnprintf(line + n, sizeof(line) - n, format, ap);
	if (more > 0)
		n += (size_t)more;
	if (n > sizeof(line) - 1)
		n = sizeof(line) - 1;
	line[n++] = '\n';
	/* A log that cannot be written has nobody to be told. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

#define LOG_FUNCTION(name, priority, level)                                                        \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list ap;                                                                        \
		va_start(ap, format);                                                              \
		log_line(priority, level, format, ap);                                             \
		va_end(ap);                                                                        \
	}

LOG_FUNCTION(log_warn, LOG_WARNING, "warn")
LOG_FUNCTION(log_info, LOG_INFO, "info")

bool
log_is_debug(void)
{
	return atomic_load_explicit(&log_debug_on, memory_order_relaxed);
}

void
log_debug_line(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_DEBUG, "debug", format, ap);
	va_end(ap);
}

void
fatal(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_CRIT, "fatal", format, ap);
	va_end(ap);
	exit(1);
}

void
panic(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_CRIT, "panic", format, ap);
	va_end(ap);
	abort();
}

/* Bytes of the UTF-8 character at `text` if it may be shown: no C1 control (U+0080 to U+009F). */
static size_t
shown_utf8(const char *text)
{
	unsigned char c = (unsigned char)text[0];
	size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

	if (strnlen(text, len) < len || !text_is_utf8(text, len))
		return 0;
	return c == 0xc2 && (unsigned char)text[1] < 0xa0 ? 0 : len;
}

const char *
log_safe(const char *text)
{
	static _Thread_local char buffers[SAFE_BUFFERS][SAFE_BYTES];
	static _Thread_local unsigned turn;
	char *out = buffers[turn++ % SAFE_BUFFERS];
	size_t n = 0, len;
	int quote;

	if (text == NULL)
		return "-";
	quote = *text == '\0' || strpbrk(text, " \t\"=\\") != NULL;
	if (quote)
		out[n++] = '"';
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (n > SAFE_CUT) {
			n += (size_t)snprintf(out + n, SAFE_BYTES - n, "...");
			break;
		}
		len = c >= 0x80 ? shown_utf8(text) : 0;
		if (len > 0) {
			memcpy(out + n, text, len);
			n += len;
			text += len - 1;
		} else if (c < 0x20 || c >= 0x7f) {
			n += (size_t)snprintf(out + n, SAFE_BYTES - n, "\\x%02x", c);
		} else {
			if (c == '"' || c == '\\')
				out[n++] = '\\';
			out[n++] = (char)c;
		}
	}
	if (quote)
		out[n++] = '"';
	out[n] = '\0';
	return out;
}
