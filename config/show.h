/*
 * A configuration as people would write it, setting by setting, out of the table of settings: what
 * is in force, with what the file left open. Main thread.
 */
#ifndef CONFIG_SHOW_H
#define CONFIG_SHOW_H

#include <stdbool.h>

#include "config/config.h"
#include "config/options.h"

struct config_shown {
	const struct option *row;
	const char *title;  /* of its section: "apps" of a listener; "" = none */
	const char *within; /* of a part of an environment: whose; "" = none */
	const char *value;  /* "(set)" of a secret; "" = nothing */
};

/* A row that returns false ends it. */
void config_show(const struct config *c,
		 bool (*row)(void *context, const struct config_shown *shown), void *context);

#endif
