/*
 * Checks of the HTTP port: who can reach it, how it is called.
 */
#ifndef CONFIG_CHECK_HTTP_H
#define CONFIG_CHECK_HTTP_H

#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/* As check_config(), which calls it where there is a section http; `at` is that section. */
void check_http(const struct config *c, const struct text_section *at, struct problems *problems);

#endif
