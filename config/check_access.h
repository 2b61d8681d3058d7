/*
 * Checks of who may do what, of the HTTP port, and of reminders.
 */
#ifndef CONFIG_CHECK_ACCESS_H
#define CONFIG_CHECK_ACCESS_H

#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/* As check_config(), which calls it. */
void check_access(const struct config *c, const struct text_section *at, struct problems *problems);

#endif
