/*
 * The configuration in force, as people would write it. Called by the table of api.c, on the main
 * loop.
 */
#ifndef CONTROL_SETTINGS_H
#define CONTROL_SETTINGS_H

struct request;

/* GET /v1/settings. */
void settings_list(struct request *r);

#endif
