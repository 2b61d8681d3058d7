/*
 * Configuration into force: at the start and on SIGHUP. Main thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "daemon/daemon.h"
#include "store/fact.h"

struct policy *
daemon_read_policy(const char *path, struct keyring **keys, struct buf *errors)
{
	struct config *config = config_load(path, errors);
	struct policy *policy;

	*keys = NULL;
	if (config == NULL)
		return NULL;
	*keys = keyring_new(config, errors);
	policy = policy_new(config, errors);
	config_unref(config);
	if (*keys != NULL && policy != NULL)
		return policy;
	keyring_unref(*keys);
	policy_unref(policy);
	*keys = NULL;
	return NULL;
}

static void
reload_tell(struct daemon *d, const char *event, const char *text)
{
	fact_tell(d->store, &(struct fact){.event = event, .text = text, .alert = true});
}

static void
reload_refuse(struct daemon *d, struct buf *errors)
{
	struct buf text = {0};
	char *line = errors->data, *next;

	warnings_set_refused(d, buf_text(errors));
	metric_add(METRIC_RELOADS_REFUSED, 1);
	metric_set(METRIC_CONFIG_REFUSED_NOW, 1);
	buf_printf(&text, "configuration refused, the old one stays in force: ");
	buf_add_text(&text, buf_text(errors));
	for (; line != NULL && *line != '\0'; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		log_warn("- config.refused why=%s", log_safe(line));
	}
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	reload_tell(d, "config.refused", buf_text(&text));
	buf_free(&text);
}

void
daemon_reload(struct daemon *d)
{
	struct buf errors = {0};
	struct keyring *keys;
	struct policy *next = daemon_read_policy(d->config_path, &keys, &errors);
	const struct config *config;

	if (next != NULL)
		config_diff_fixed(policy_config(d->policy), policy_config(next), &errors);
	if (next != NULL && errors.len > 0) {
		struct buf why = {0};

		buf_printf(&why, "%s changed: that needs a restart", buf_text(&errors));
		buf_free(&errors);
		errors = why;
		policy_unref(next);
		keyring_unref(keys);
		next = NULL;
	}
	if (next == NULL) {
		reload_refuse(d, &errors);
		buf_free(&errors);
		return;
	}
	warnings_set_refused(d, NULL);
	next = drill_keep(d, next);
	policy_unref(d->policy);
	d->policy = next;
	config = policy_config(next);
	store_set_limits(d->store, config->quarantine_limit, config->min_free_space);
	counters_set_cap(d->counters, config->counter_keys);
	keyring_unref(d->keys);
	d->keys = keys;
	relay_set_policy(d->relay, next, keys);
	alert_set_config(d->alert, (struct config *)config);
	metric_add(METRIC_RELOADS, 1);
	metric_set(METRIC_CONFIG_REFUSED_NOW, 0);
	log_info("- config.reloaded path=%s", log_safe(config->path));
	warnings_log_names(config);
	reload_tell(d, "config.reloaded", "a new configuration is in force");
	buf_free(&errors);
}
