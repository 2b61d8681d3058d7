/*
 * The log. A line is `ID event key=value ...`: the session, message or batch id first ("-" where
 * there is none). Text that came from outside goes through log_safe(). Any thread; one line is
 * one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };

void log_open(enum log_target target, const char *program);
void log_set_debug(int on);

/* The world did something unusual: the relay goes on. */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Its arguments are looked at only where the line is written. */
#define log_debug(...) (log_is_debug() ? log_debug_line(__VA_ARGS__) : (void)0)
bool log_is_debug(void);
void log_debug_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The process cannot run: says why and exits with 1. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A bug of ours: says where and aborts. */
void panic(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * The text made safe for a log line or a terminal: control characters (C0, DEL, C1), bytes that are
 * no UTF-8, quotes and backslashes escaped; quoted where it holds a space, a tab, `"`, `=`, `\` or
 * nothing at all; cut at about 400 bytes. Returns one of eight buffers of the calling thread, good
 * until the eighth call after this one. NULL becomes "-".
 */
const char *log_safe(const char *text);

#endif
