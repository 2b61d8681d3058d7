/*
 * Whether an upstream can be reached: one object a name, shared by all loops and never freed before
 * the relay. The loops report, the main loop decides, probes, and tells people.
 *
 *   UP      -a connection failed-> SUSPECT   (the queue waits; one more try decides)
 *   SUSPECT -probe failed-> DOWN             (fact and alert upstream.down)
 *   SUSPECT | DOWN -a connection stands-> UP (from DOWN: fact and alert upstream.up; the queue goes
 * on)
 */
#ifndef RELAY_HEALTH_H
#define RELAY_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct health;
struct health_table;
struct relay;

struct health_table *health_table_new(struct relay *r);
void health_table_free(struct health_table *t);
/* The object of that name; made at the first call. Any thread. */
struct health *health_find(struct health_table *t, const char *name);

/* Any thread; cheap. */
bool health_is_up(const struct health *h);
/* A connection stood, or could not be had. Any thread; the second posts to main where it changes
 * something. */
void health_report_up(struct health *h);
/* `probe`: the connection was health's own question (upstream_probe). */
void health_report_down(struct health *h, bool probe, const char *why);
/* Claimed deliveries under way: retry.c claims while there are few. Any thread. */
void health_claimed(struct health *h, size_t deliveries);
void health_returned(struct health *h, size_t deliveries);
size_t health_under_way(const struct health *h);
/*
 * Connections that are open, and those on their way, over all loops. Any thread. One that has come
 * to stand is counted as open before it is no longer counted as on its way: others look meanwhile.
 */
void health_connected(struct health *h, int n);
void health_connecting(struct health *h, int n);
/* True if one stands, or another may yet: a refusal says that it is full rather than down. */
bool health_may_stand(const struct health *h);
/* Loops that have mail for it and no connection, while others hold all it allows. Any thread. */
void health_starving(struct health *h, int n);
bool health_is_starving(const struct health *h);

/* Main thread. */
int64_t health_since(const struct health *h);
const char *health_why(const struct health *h);
/* Any thread. */
uint32_t health_connections(const struct health *h);
/*
 * A new configuration: what is down is asked again soon. Its address may have changed, or it was
 * not configured for a while and nobody asked.
 */
void health_recheck(struct health_table *t);
/* No more probes: the relay stops. */
void health_stop(struct health_table *t);

#endif
