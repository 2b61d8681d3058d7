/*
 * A password from the terminal, or a line of standard input where that is no terminal.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>

/* SMTP AUTH carries more, but no person or script means more. */
enum { ASK_PASSWORD_MAX = 1024 };

/*
 * The password of `what`, asked for twice on a terminal. NULL and a sentence in *why if it is
 * empty, too long, holds control characters or no UTF-8 (RFC 4616 section 2), or is not the same
 * twice. ask_free() wipes it.
 */
char *ask_password(const char *what, const char **why);
void ask_free(char *password);

#endif
