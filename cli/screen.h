/*
 * What people see: text of mail made harmless, numbers, times and colours, for the terminal or
 * file that stdout is. Everything that came from the daemon is printed through here.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum screen_style {
	SCREEN_PLAIN,
	SCREEN_BOLD,
	SCREEN_DIM,
	SCREEN_RED,
	SCREEN_GREEN,
	SCREEN_YELLOW
};

/* Called once, first: the locale, the terminal, NO_COLOR and TERM. */
void screen_init(void);
/* True if stdout can show UTF-8. */
bool screen_is_utf8(void);
/* True if stdout is a terminal. */
bool screen_is_terminal(void);
/* True if lines on it can be written over. */
bool screen_can_redraw(void);
/* Where the terminal is while a pager stands before it: its size is asked there. */
void screen_set_terminal(int fd);
/* Columns of the terminal; 0 if stdout is none, so that nothing is cut. */
size_t screen_columns(void);
/* Its lines; 0 if stdout is none. */
size_t screen_rows(void);

/*
 * One line of harmless text: control characters, line ends, bidirectional controls and other
 * invisible characters are written out as \x1b or \u202e; what the locale cannot show becomes
 * "?". NULL becomes "-". Returns one of 16 buffers, good until the sixteenth call after this one.
 */
const char *screen_text(const char *text);
/* Prints many lines: the same, but line ends and tabs are kept; CRLF becomes LF. */
void screen_lines(FILE *out, const char *text, size_t len);
/* Columns that a result of screen_text() takes. */
size_t screen_width(const char *text);
/* Bytes of `text` that fit in so many columns, and the columns they take; never splits a character.
 */
size_t screen_fit(const char *text, size_t columns, size_t *width);

/* Escape sequences around coloured text; "" where there are no colours. */
const char *screen_on(enum screen_style style);
const char *screen_off(enum screen_style style);
/* held is yellow, failed is red, ... */
enum screen_style screen_state_style(const char *state);

/* "4,990"; one of the buffers of screen_text(). */
const char *screen_count(int64_t n);
/* "1 recipient", "4,990 recipients". */
const char *screen_counted(int64_t n, const char *one, const char *many);
/* RFC 3339 to seconds since 1970; -1 if it is no time. */
int64_t screen_time_parse(const char *iso);
/* "2026-11-21 12:04:11" in local time; what is no time is shown as it is, NULL and "" as "-". */
const char *screen_time(const char *iso);

#endif
