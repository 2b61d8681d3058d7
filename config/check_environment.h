/*
 * What must hold for the environments of a configuration.
 */
#ifndef CONFIG_CHECK_ENVIRONMENT_H
#define CONFIG_CHECK_ENVIRONMENT_H

#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/* For check_config(), on its terms. */
void check_environments(struct config *c, const struct text_section *at, struct problems *problems);

#endif
