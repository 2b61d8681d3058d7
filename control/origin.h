/*
 * That a call over TCP is meant for this gate, and that no page of another site made a browser
 * send it. Main loop.
 */
#ifndef CONTROL_ORIGIN_H
#define CONTROL_ORIGIN_H

#include <stdbool.h>

struct request;

/*
 * Every call: one request and no more behind it, by length or by chunks and not by both, or it
 * answered 400 and ends the connection.
 */
bool origin_check_framing(struct request *r);
/*
 * Every call over TCP: its Host is one of our names, its Origin none of another page; else it
 * answered 421 or 403. `served` is the address of the port.
 */
bool origin_check(struct request *r, const char *served);
/*
 * A call that a browser makes by itself with what it keeps: it must come from a page of ours, and
 * one that changes something must say so and bring JSON. Else it answered 403.
 */
bool origin_check_page(struct request *r);
/* True if the browser reached us by https, be it through a proxy. */
bool origin_is_secure(struct request *r);

#endif
