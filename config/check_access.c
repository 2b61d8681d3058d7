/*
 * Cross checks of who may do what: a rule of two people that asks no second one, a role that nobody
 * has. Called by check.c. Whether the named users
 * exist is for control/access.c: a name that matches nobody gives no rights.
 */
#include "config/check_access.h"

#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "config/check.h"
#include "config/check_http.h"
#include "config/value.h"

enum { REMINDERS_MAX = 10, NAME_MAX_BYTES = 255 };

/* ---- access */

static void
check_names(char *const *names, const struct text_section *at, const char *setting,
	    struct problems *problems)
{
	for (size_t i = 0; names[i] != NULL; i++) {
		const char *name = names[i] + (names[i][0] == '@');
		int line = text_value_line(at, setting, i);

		if (name[0] == '\0')
			problem_add(problems, line,
				    "%s has an empty name; write a user such as alice, a group "
				    "such as @mailops, or *",
				    setting);
		else if (strlen(name) > NAME_MAX_BYTES || strpbrk(name, " \t:,/@") != NULL ||
			 (strchr(name, '*') != NULL && strcmp(names[i], "*") != 0))
			problem_add(
			    problems, line,
			    "%s is no name of a user or group; write each in quotes of its "
			    "own, such as {\"alice\", \"@mailops\"}, or \"*\" for everybody",
			    log_safe(names[i]));
	}
}

static void
check_roles(const struct config *c, const struct text_section *at, struct problems *problems)
{
	const struct config_access *a = &c->access;

	check_names(a->viewers, at, "viewers", problems);
	check_names(a->operators, at, "operators", problems);
	check_names(a->approvers, at, "approvers", problems);
	if (a->operators[0] == NULL)
		problem_add(problems, text_line(at, "operators"),
			    "access names no operators, so nobody could release, discard or stop "
			    "mail; add operators = {\"root\", \"@mailops\"}");
	if (a->approvers[0] == NULL && c->approval.above > 0 && !c->http.set)
		problem_add(
		    problems, text_line(at, "approvers"),
		    "access names no approvers, so no large release could ever be approved; "
		    "add approvers = {\"@mailops\"}, or remove approval");
}

/* ---- approval */

static void
check_approval(const struct config_approval *a, const struct text_section *at,
	       struct problems *problems)
{
	if (a->approvers == 1)
		problem_add(problems, text_line(at, "approvers"),
			    "approvers = 1 is who asks, and no second person; write 2, or remove "
			    "approval");
}

/* ---- reminders */

static void
check_reminders(const struct config *c, const struct text_section *at, struct problems *problems)
{
	const int64_t *times = c->remind_after;
	char before[UNITS_BYTES], after[UNITS_BYTES];
	size_t n = value_times_count(times);

	if (n > REMINDERS_MAX)
		problem_add(problems, text_line(at, "remind_after"),
			    "remind_after has %zu times; write at most %d, after the last it is "
			    "once a day anyway",
			    n, REMINDERS_MAX);
	for (size_t i = 1; i < n; i++)
		if (times[i] <= times[i - 1])
			problem_add(problems, text_value_line(at, "remind_after", i),
				    "remind_after must rise, and %s stands behind %s; write the "
				    "shorter time first",
				    units_format_duration(times[i], after),
				    units_format_duration(times[i - 1], before));
}

void
check_access(const struct config *c, const struct text_section *at, struct problems *problems)
{
	const struct text_section *approval = text_child(at, "approval", 0);

	if (approval != NULL)
		check_approval(&c->approval, approval, problems);
	if (c->access.set)
		check_roles(c, text_child(at, "access", 0), problems);
	if (c->http.set)
		check_http(c, text_child(at, "http", 0), problems);
	check_reminders(c, at, problems);
}
