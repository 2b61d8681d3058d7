/*
 * passwd sets a user's password in the users file, adds the user, or deletes it. It works on the
 * file and asks no daemon; a reload takes the file into use. A password is never an argument, which
 * every user of the machine can see.
 */
#include "cli/passwd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/password.h"
#include "cli/ask.h"
#include "cli/screen.h"
#include "cli/name_file.h"

#define DEFAULT_USERS SYSCONFDIR "/mailfuse/users"

static const struct name_file_kind kind = {"passwd", "--users", "users file"};

#define RELOAD "systemctl reload mailfuse (or SIGHUP) takes it into use"

/* Everything that would refuse the change, before somebody types a password. */
static int
check_file(const struct command *c, const char *path, const char *name, bool must_be_there)
{
	struct buf error = {0};
	struct name_file f;
	int result = CLIENT_DONE;

	if (!name_file_open(&f, &kind, path, &error))
		result = command_refused(c, "%s", buf_text(&error));
	else if (must_be_there && !name_file_has(&f, name))
		result = command_refused(c, "there is no user %s in %s", screen_text(name),
					 screen_text(path));
	name_file_close(&f);
	buf_free(&error);
	return result;
}

static void
report(const struct command *c, const char *path, const char *name, const char *what)
{
	json_t *answer;

	if (c->json) {
		answer = json_object();
		json_object_set_new(answer, "user", json_string(name));
		json_object_set_new(answer, "users", json_string(path));
		json_object_set_new(answer, "result", json_string(what));
		command_print_json(answer);
		json_decref(answer);
		command_note(RELOAD ".");
		return;
	}
	if (strcmp(what, "changed") == 0)
		printf("Changed the password of %s in %s; %s.\n", screen_text(name),
		       screen_text(path), RELOAD);
	else
		printf("%s user %s %s %s; %s.\n", strcmp(what, "added") == 0 ? "Added" : "Deleted",
		       screen_text(name), strcmp(what, "added") == 0 ? "to" : "from",
		       screen_text(path), RELOAD);
}

/* The file as it is now, which may not be as it was before the question. */
static int
change_file(const struct command *c, const char *path, const char *name, const char *hash)
{
	struct buf error = {0};
	struct name_file f;
	bool had;
	int result = CLIENT_REFUSED;

	if (!name_file_open(&f, &kind, path, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	had = name_file_has(&f, name);
	name_file_set(&f, name, hash);
	if (!name_file_write(&f, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	report(c, path, name, hash == NULL ? "deleted" : had ? "changed" : "added");
	result = CLIENT_DONE;
out:
	name_file_close(&f);
	buf_free(&error);
	return result;
}

static int
delete_user(const struct command *c, const char *path, const char *name)
{
	struct buf question = {0};
	bool yes;
	int result = check_file(c, path, name, true);

	if (result != CLIENT_DONE)
		return result;
	buf_printf(&question, "Delete user %s from %s?", screen_text(name), screen_text(path));
	yes = command_confirm(c, buf_text(&question), "");
	buf_free(&question);
	return yes ? change_file(c, path, name, NULL) : CLIENT_REFUSED;
}

static int
set_password(const struct command *c, const char *path, const char *name)
{
	const char *why;
	char *password, *hash;
	int result = check_file(c, path, name, false);

	if (result != CLIENT_DONE)
		return result;
	password = ask_password(screen_text(name), &why);
	if (password == NULL)
		return command_refused(c, "%s. Nothing was changed.", why);
	hash = password_hash(password);
	ask_free(password);
	if (hash == NULL)
		return command_refused(c, "the system has no random numbers or no memory for "
					  "scrypt (32 MiB); nothing was changed");
	result = change_file(c, path, name, hash);
	free(hash);
	return result;
}

int
passwd_run(struct command *c)
{
	const char *path = options_text(c->options, "users"), *name = c->options->words[0];

	if (path == NULL)
		path = DEFAULT_USERS;
	if (!password_is_name(name, strlen(name)))
		return command_usage(
		    c,
		    "\"%s\" cannot be a user: 1 to 255 bytes of UTF-8, no colon, no "
		    "control characters, no # at the start, no space at an end.",
		    screen_text(name));
	return options_has(c->options, "delete") ? delete_user(c, path, name)
						 : set_password(c, path, name);
}
