/*
 * Roles by the section access of the configuration, for users of this machine; tokens bring their
 * own (config/tokens.h). Called by api.c for each call, by the daemon for what to warn of. Main
 * thread: the lookups may read files, or ask a name service.
 */
#include "control/access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/tokens.h"
#include "control/request.h"

/* A group of 100,000 members has a line of about this size. */
enum { ENTRY_BYTES = 4096, ENTRY_MAX = 4 << 20, GROUPS_MAX = 65536 };

/* ---- the system's databases */

/* `space` holds what `entry` points to; for free(). */
static bool
find_user(uid_t uid, const char *name, struct passwd *entry, char **space)
{
	struct passwd *found = NULL;
	int result = ERANGE;

	*space = NULL;
	for (size_t size = ENTRY_BYTES; result == ERANGE && size <= ENTRY_MAX; size *= 4) {
		free(*space);
		*space = mem_zalloc(size);
		result = name != NULL ? getpwnam_r(name, entry, *space, size, &found)
				      : getpwuid_r(uid, entry, *space, size, &found);
	}
	return result == 0 && found != NULL;
}

static bool
find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	char *space = NULL;
	int result = ERANGE;

	for (size_t size = ENTRY_BYTES; result == ERANGE && size <= ENTRY_MAX; size *= 4) {
		free(space);
		space = mem_zalloc(size);
		result = getgrnam_r(name, &entry, space, size, &found);
	}
	if (result == 0 && found != NULL)
		*gid = entry.gr_gid;
	free(space);
	return result == 0 && found != NULL;
}

/* A user's groups, its own first; for free(). */
static gid_t *
list_groups(const struct passwd *user, int *count)
{
	int room = 64;
	gid_t *groups = mem_zalloc((size_t)room * sizeof(*groups));

	*count = room;
	while (getgrouplist(user->pw_name, user->pw_gid, groups, count) < 0 && room < GROUPS_MAX) {
		room = *count > room ? *count : room * 2;
		groups = mem_resize_array(groups, (size_t)room, sizeof(*groups));
		*count = room;
	}
	if (*count > room)
		*count = room;
	return groups;
}

/* ---- roles */

struct caller {
	struct passwd user;
	char *space;
	bool known;
	gid_t *groups; /* NULL until a group is asked for */
	int group_count;
};

static bool
is_member(struct caller *k, const char *group)
{
	gid_t gid;

	if (!find_group(group, &gid))
		return false;
	if (k->groups == NULL)
		k->groups = list_groups(&k->user, &k->group_count);
	for (int i = 0; i < k->group_count; i++)
		if (k->groups[i] == gid)
			return true;
	return false;
}

static bool
is_named(struct caller *k, char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(*names, "*") == 0)
			return true;
		if (k->known && ((*names)[0] == '@' ? is_member(k, *names + 1)
						    : strcmp(*names, k->user.pw_name) == 0))
			return true;
	}
	return false;
}

unsigned
access_roles_of_user(const struct config *c, uid_t uid)
{
	const struct config_access *a = &c->access;
	struct caller k = {0};
	unsigned roles = 0;

	if (!a->set)
		return ROLE_ALL;
	k.known = find_user(uid, NULL, &k.user, &k.space);
	if (is_named(&k, a->viewers))
		roles |= ROLE_VIEWER;
	if (is_named(&k, a->operators))
		roles |= ROLE_OPERATOR;
	if (is_named(&k, a->approvers))
		roles |= ROLE_APPROVER;
	free(k.groups);
	free(k.space);
	return roles;
}

/* ---- the answer */

static void
add_name(struct buf *out, const char *prefix, const char *name)
{
	buf_printf(out, "%s%s%s", out->len > 0 ? ", " : "", prefix, log_safe(name));
}

static void
add_token(void *context, const char *name)
{
	add_name(context, "token:", name);
}

/* Whom the configuration names for a role, and whose tokens have it. */
static void
list_holders(const struct request *r, unsigned role, struct buf *out)
{
	const struct config_access *a = &request_config(r)->access;
	char *const *names = role == ROLE_APPROVER   ? a->approvers
			     : role == ROLE_OPERATOR ? a->operators
						     : a->viewers;
	const struct tokens *tokens =
	    r->deps->tokens != NULL ? r->deps->tokens(r->deps->context) : NULL;

	if (!a->set)
		buf_add_text(out, "all on the control socket");
	for (; a->set && *names != NULL; names++)
		add_name(out, "", strcmp(*names, "*") == 0 ? "everybody on this machine" : *names);
	if (tokens != NULL)
		tokens_list(tokens, role, add_token, out);
}

bool
access_check(struct request *r, unsigned role)
{
	char needed[ROLE_TEXT_BYTES], has[ROLE_TEXT_BYTES];
	struct buf holders = {0};

	/* Who may decide on mail may look at it. A call without a role is for nobody. */
	if ((r->roles & role) != 0 || (role == ROLE_VIEWER && r->roles != 0))
		return true;
	role_format(role, needed);
	role_format(r->roles, has);
	list_holders(r, role, &holders);
	request_fail(r, 403,
		     "this takes the role %s, which %s %s; %s has %s%s: ask one of them, or "
		     "who keeps the configuration",
		     needed, holders.len > 0 ? buf_text(&holders) : "nobody",
		     holders.len > 0 ? "have" : "has", log_safe(r->who),
		     has[0] != '\0' ? "the role " : "no role", has);
	buf_free(&holders);
	return false;
}

/* ---- what may be a misspelling */

static void
check_list(char *const *names, const char *role, struct buf *out)
{
	for (; *names != NULL; names++) {
		const char *name = *names + ((*names)[0] == '@');
		struct passwd user;
		char *space = NULL;
		gid_t gid;

		if (strcmp(*names, "*") == 0)
			continue;
		if (name != *names ? !find_group(name, &gid) : !find_user(0, name, &user, &space))
			buf_printf(out,
				   "access: %s: there is no %s %s on this machine, so it is "
				   "nobody\n",
				   role, name != *names ? "group" : "user", log_safe(name));
		free(space);
	}
}

void
access_check_names(const struct config *c, struct buf *out)
{
	check_list(c->access.viewers, "viewers", out);
	check_list(c->access.operators, "operators", out);
	check_list(c->access.approvers, "approvers", out);
}
