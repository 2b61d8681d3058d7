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

/* What may be looked at beside the text. */
struct check_scope {
	mode_t mode;  /* of the configuration file, 0 = there is none */
	bool files;   /* other files */
	bool secrets; /* false: they were not read, and what they are is not judged */
};

/*
 * Sections of `c` stand in the order of `at`, nothing built in is in them yet. Settings that could
 * not be converted are left as they were reset and bring no second problem. Networks are brought to
 * their one form.
 */
void check_config(struct config *c, const struct text_section *at, const struct check_scope *scope,
		  struct problems *problems);
bool check_is_domain(const char *name);
/* Where nobody else listens to the wire: an address of 127.0.0.0/8, ::1, or localhost. */
bool check_is_loopback(const char *host);

#endif
