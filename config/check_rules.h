/*
 * What must hold for the limits of an environment: burst and content sections.
 */
#ifndef CONFIG_CHECK_RULES_H
#define CONFIG_CHECK_RULES_H

#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/* For check_environments(), on the terms of check_config(); `at` is the environment's section. */
void check_rules(const struct config_environment *e, const struct text_section *at,
		 struct problems *problems);

#endif
