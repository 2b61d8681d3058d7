/*
 * What must hold between the settings of a configuration, beyond each one alone.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/*
 * Sections of `c` stand in the order of `at`, nothing built in is in them yet. Settings that could
 * not be converted are left as they were reset and bring no second problem. Networks are brought to
 * their one form. `mode` is of the file, 0 if there is none; with `files` false no other file is
 * looked at.
 */
void check_config(struct config *c, const struct text_section *at, mode_t mode, bool files,
		  struct problems *problems);
bool check_is_domain(const char *name);

#endif
