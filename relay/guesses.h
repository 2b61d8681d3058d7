/*
 * Bursts of failed logins: told once, not once a guess. Any thread.
 */
#ifndef RELAY_GUESSES_H
#define RELAY_GUESSES_H

#include <stdint.h>

struct guesses;
struct store;

struct guesses *guesses_new(struct store *store);
void guesses_free(struct guesses *g);
/*
 * A login failed. The tenth of all clients within ten minutes becomes a fact, login.failures, in
 * audit log and alerts; then at most one an hour, with the count of all since the last. `user` is
 * what was tried: hostile.
 */
void guesses_add(struct guesses *g, const char *client, const char *user, int64_t mono);

#endif
