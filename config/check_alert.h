/*
 * Checks of alert channels.
 */
#ifndef CONFIG_CHECK_ALERT_H
#define CONFIG_CHECK_ALERT_H

#include "config/check.h"

void check_alerts(const struct config *c, const struct text_section *at,
		  const struct check_scope *scope, struct problems *problems);
/* The letters of a channel's templates (base/template.h), see mailfuse.conf(5). */
extern const char check_alert_letters[];

#endif
