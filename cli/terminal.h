/*
 * A terminal that a live screen is drawn on: the alternate screen, keys one by one, size, signals.
 * What was there before comes back however the program ends.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum terminal_event {
	TERMINAL_NOTHING,
	TERMINAL_KEY,     /* one is there to read */
	TERMINAL_CHANGED, /* its size, or we were stopped and go on: draw again */
	TERMINAL_ENDED    /* a signal, or nobody is there any more */
};

enum { TERMINAL_FDS = 3 };

/* Keys beyond those that are a character. */
enum { TERMINAL_KEY_UP = 256, TERMINAL_KEY_DOWN, TERMINAL_KEY_PAGE_UP, TERMINAL_KEY_PAGE_DOWN };

struct terminal;

/*
 * NULL if stdout is no terminal that can be drawn on. There is one at a time; the signals that end
 * or stop a program are taken here until terminal_close().
 */
struct terminal *terminal_open(void);
/*
 * Gives the terminal back. What a signal had ended then ends the program the way that signal does,
 * so that whoever started it sees why.
 */
void terminal_close(struct terminal *t);
/* What to poll for. */
size_t terminal_fds(const struct terminal *t, struct pollfd fds[TERMINAL_FDS]);
/* Whatever there is to do now, without waiting; writes on where the terminal takes more. */
enum terminal_event terminal_look(struct terminal *t);
/* The next key; 0 if there is none. */
int terminal_key(struct terminal *t);
/*
 * Shows lines of harmless text, each ended by "\n" and no wider than the terminal. Only what has
 * changed is written. A terminal that is slow gets the newest frame, and not each of them.
 */
void terminal_draw(struct terminal *t, const struct buf *lines);

#endif
