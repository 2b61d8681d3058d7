/*
 * The kinds of channels that there are. Called by the outbox, direct.c and trial.c.
 */
#include "alert/channel.h"

#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

const struct channel_types channel_types_real = {&channel_webhook, &channel_slack, &channel_exec,
						 &channel_teams, &channel_email};

const struct channel_type *
channel_type_of(const struct channel_types *types, enum config_alert_type type)
{
	switch (type) {
	case CONFIG_ALERT_WEBHOOK:
		return types->webhook;
	case CONFIG_ALERT_SLACK:
		return types->slack;
	case CONFIG_ALERT_EXEC:
		return types->exec;
	case CONFIG_ALERT_TEAMS:
		return types->teams;
	case CONFIG_ALERT_EMAIL:
		return types->email;
	}
	panic("alert: no such type of channel: %d", (int)type);
}

void
channel_count(const char *channel, enum tally_slot slot)
{
	metric_add(slot == TALLY_DELIVERED ? METRIC_ALERTS_SENT : METRIC_ALERTS_FAILED, 1);
	tally_add(tally_get_channel(channel), slot, 1);
}

const struct config_alert *
channel_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->alert_count; i++)
		if (strcmp(config->alerts[i].name, name) == 0)
			return &config->alerts[i];
	return NULL;
}
