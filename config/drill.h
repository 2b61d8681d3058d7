/*
 * The end of a config_with_drill(), for config_unref().
 */
#ifndef CONFIG_DRILL_H
#define CONFIG_DRILL_H

#include "config/config.h"

/* Frees what a composed configuration owns, lets go of its base. The last reference is gone. */
void config_drill_free(struct config *c);

#endif
