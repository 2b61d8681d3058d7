/*
 * What must hold for TLS and logins, on both sides, and for the files with their secrets.
 */
#ifndef CONFIG_CHECK_TRANSPORT_H
#define CONFIG_CHECK_TRANSPORT_H

#include "config/check.h"
#include "config/config.h"
#include "config/problem.h"
#include "config/text.h"

/* For check_config(), on its terms. */
void check_transport(const struct config *c, const struct text_section *at,
		     const struct check_scope *scope, struct problems *problems);

/*
 * Reports the files that cannot be read: for a configuration in which something else is wrong, as
 * then nobody loads them, and all mistakes should be said at once.
 */
void check_files(const struct config *c, const struct text_section *at, struct problems *problems);

#endif
