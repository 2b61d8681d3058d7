/*
 * Notifications to senders (RFC 3464) of what failed after our 250, and of what was relayed where
 * NOTIFY=SUCCESS asked for it (RFC 3461 5.2.2). On the main loop: takes from the store what nobody
 * was told yet, builds the report (mail/dsn.c), sends it through the same gate as any message of
 * its environment, stores it; one commit makes the report and marks the deliveries as told, so a
 * crash neither loses nor repeats one. From there it is a queued message like any other.
 */
#ifndef RELAY_BOUNCE_H
#define RELAY_BOUNCE_H

struct bounce;
struct relay;

struct bounce *bounce_new(struct relay *r);
/* Something may have failed: look now, unless a look is under way. */
void bounce_poke(struct bounce *b);
void bounce_stop(struct bounce *b);
void bounce_free(struct bounce *b);

#endif
