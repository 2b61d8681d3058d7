/*
 * What `mailfuse show` says of the release of a batch, and of what follows it.
 */
#ifndef CLI_PLAN_SHOW_H
#define CLI_PLAN_SHOW_H

#include <jansson.h>

/* The plan of a batch; nothing if it has none. */
void plan_show(const json_t *batch);
/* Whether its application still sends, what becomes of that mail, and who has looked. */
void plan_show_stream(const json_t *batch);
/* ", asked", " 2/4": what a list says behind a batch's state; "" for nothing. */
const char *plan_show_mark(const json_t *batch);

#endif
