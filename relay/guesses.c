/*
 * Counts failed logins of all clients together: who guesses from many addresses is seen too. Called
 * by auth.c on the loops; one lock, held for a few instructions, after at least a second's wait for
 * each guess. Made and freed by relay.c.
 */
#include "relay/guesses.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/fact.h"

#define GUESSES_WINDOW (10 * CLOCK_MINUTE)
#define GUESSES_QUIET CLOCK_HOUR /* after it was told */

enum { GUESSES_BURST = 10 };

struct guesses {
	struct store *store;
	pthread_mutex_t lock;
	int64_t times[GUESSES_BURST]; /* mono, of the last ones; 0 = none yet */
	unsigned next;                /* the oldest of them */
	uint64_t untold;
	int64_t told_at; /* mono; 0 = never */
};

struct guesses *
guesses_new(struct store *store)
{
	struct guesses *g = mem_zalloc(sizeof(*g));

	g->store = store;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
guesses_free(struct guesses *g)
{
	if (g == NULL)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* The number to be told, 0 = nothing now. */
static uint64_t
count_guess(struct guesses *g, int64_t mono)
{
	uint64_t tell = 0;

	g->times[g->next] = mono > 0 ? mono : 1;
	g->next = (g->next + 1) % GUESSES_BURST;
	g->untold++;
	if (g->times[g->next] == 0 || mono - g->times[g->next] > GUESSES_WINDOW)
		return 0;
	if (g->told_at != 0 && mono - g->told_at < GUESSES_QUIET)
		return 0;
	tell = g->untold;
	g->untold = 0;
	g->told_at = mono > 0 ? mono : 1;
	return tell;
}

void
guesses_add(struct guesses *g, const char *client, const char *user, int64_t mono)
{
	uint64_t count;
	char *text;

	pthread_mutex_lock(&g->lock);
	count = count_guess(g, mono);
	pthread_mutex_unlock(&g->lock);
	if (count == 0)
		return;
	text = mem_printf("%" PRIu64 " logins have failed lately, the last from %s as \"%.80s\": "
			  "has a password changed, or is somebody guessing? The log has each "
			  "(session.login-failed)",
			  count, client, log_safe(user));
	fact_tell(g->store,
		  &(struct fact){
		      .event = "login.failures", .object = client, .text = text, .alert = true});
	free(text);
}
