/*
 * Who talks to us: the match blocks of a configuration, made ready to be compared with a client.
 * Immutable once made; owned by its policy.
 */
#ifndef FILTERS_IDENTIFY_H
#define FILTERS_IDENTIFY_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/config.h"

struct gate_client;
struct identify;

/* Adds a line to `errors` for each thing that is wrong, and returns NULL if there was one. */
struct identify *identify_new(const struct config *config, struct buf *errors);
void identify_free(struct identify *id);

/*
 * The environment of the most specific block whose keys all hold, NULL if no block does. *why gets
 * a line that lives as long as `id`. O(values of all blocks): once a connection, and again after a
 * login; 1,000 networks cost about 10 microseconds.
 */
const struct config_environment *identify_find(const struct identify *id,
					       const struct gate_client *client, const char **why);

/* True if the client has said the name that was given to the drill under way. Takes as long for any
 * name of that length. */
bool identify_is_drill(const struct config *config, const struct gate_client *client);
/* The environment of that client; *why as above. */
const struct config_environment *identify_drill(const struct config *config, const char **why);

#endif
