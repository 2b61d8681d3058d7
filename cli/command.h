/*
 * One call of the tool, as its verb sees it: the options, the daemon, and how results and errors
 * are told. A verb's run function returns the exit code (cli/client.h).
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "cli/client.h"
#include "cli/options.h"

struct command {
	const char *verb;
	const struct options *options;
	struct client *client;
	bool json;        /* --json */
	bool yes;         /* --yes */
	bool stdin_taken; /* standard input holds ids: questions go to the terminal itself */
};

/* Both print "mailfuse VERB: ..." to stderr and return CLIENT_USAGE or CLIENT_REFUSED. */
int command_usage(const struct command *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int command_refused(const struct command *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A line for people, on stderr. */
void command_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As in cli/client.h, but the error is printed. */
int command_get(const struct command *c, const char *path, json_t **answer);
int command_post(const struct command *c, const char *path, json_t *body, json_t **answer);

/*
 * Calls row for each item of a list, page after page, for at most `limit` items; *more tells
 * whether there are others.
 */
int command_list(const struct command *c, const char *path, size_t limit,
		 void (*row)(void *context, const json_t *item), void *context, bool *more);
/* --limit, else 1000. */
size_t command_limit(const struct command *c);
/*
 * --reason. What makes nothing leave that was stopped (restore) and what ends a hold may go without
 * one; the audit log then says so.
 */
const char *command_reason(const struct command *c);
/* One object, one line, on stdout. On a terminal everything but ASCII is escaped. */
void command_print_json(const json_t *value);

/*
 * An id as the daemon writes it: "b17" becomes "B17", message and delivery ids are upper case.
 * NULL if it is neither; free() it.
 */
char *command_batch_id(const char *word);
char *command_message_id(const char *word);

/*
 * Asks a yes-or-no question where there is somebody to ask and --yes was not given: where stdin is
 * a terminal, or behind ids on stdin the terminal that started us. True = go on.
 * Where nobody is asked, `doing` is said instead; "" says nothing.
 */
bool command_confirm(const struct command *c, const char *question, const char *doing);
/* True if command_confirm() would ask. */
bool command_will_ask(const struct command *c);

#endif
