/*
 * Asks mailfused over its control socket or its HTTP port (docs/api.md): HTTP by libcurl, JSON by
 * jansson. A connection is kept between questions; a change gets its own. Errors are one or two
 * sentences for people, ready to print.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"

/* The exit codes of the program. */
enum client_exit {
	CLIENT_DONE = 0,
	CLIENT_REFUSED = 1, /* mailfused said no, or it failed */
	CLIENT_USAGE = 2,
	CLIENT_NOT_REACHED = 3 /* no answer, or one that is not mailfused's */
};

struct client;

/* Nothing is sent yet. The path is copied. */
struct client *client_new(const char *path);
/*
 * The same over its HTTP port (cli/remote.h); all are taken over. `ca` is the file of who may have
 * signed its certificate, NULL: who this machine trusts.
 */
struct client *client_new_remote(char *url, char *token, char *ca);
void client_free(struct client *c);
/* Waits at least so long for an answer: for calls that take as long as the disk does. */
void client_wait(struct client *c, long seconds);

/*
 * Who has something else to look at while an answer is waited for, such as keys.
 */
enum { CLIENT_WATCH_FDS = 4 };

struct client_watch {
	size_t (*fds)(void *context, struct pollfd fds[CLIENT_WATCH_FDS]);
	/* After each of them that is ready, and once a second; false gives the call up. */
	bool (*look)(void *context);
	void *context;
};

/* For all calls from now on; NULL ends it. A call that was given up is CLIENT_NOT_REACHED. */
void client_set_watch(struct client *c, const struct client_watch *watch);

/* A new reference in *answer where the result is CLIENT_DONE; else the error. */
int client_get(struct client *c, const char *path, json_t **answer, struct buf *error);
int client_post(struct client *c, const char *path, json_t *body, json_t **answer,
		struct buf *error);
/* The answer's bytes, handed on as they come. */
int client_get_bytes(struct client *c, const char *path,
		     void (*take)(void *context, const char *data, size_t len), void *context,
		     struct buf *error);

/* Adds "?name=value" or "&name=value", escaped. Nothing if value is NULL. */
void client_add_query(struct buf *path, const char *name, const char *value);

#endif
