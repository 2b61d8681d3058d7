/*
 * token makes a token of the HTTP API, gives a name a new one, or deletes it. It works on the file
 * and asks no daemon; a reload takes the file into use. A token is printed once, to a place that
 * nobody keeps; the file has its hash only.
 */
#include "cli/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/token.h"
#include "cli/name_file.h"
#include "cli/screen.h"

#define DEFAULT_TOKENS SYSCONFDIR "/mailfuse/tokens"

static const struct name_file_kind kind = {"token", "--tokens", "tokens file"};

#define RELOAD "systemctl reload mailfuse (or SIGHUP) takes it into use"

static void
report_json(const char *path, const char *name, const char *what, const char *roles,
	    const char *token)
{
	json_t *answer = json_object();

	json_object_set_new(answer, "name", json_string(name));
	json_object_set_new(answer, "tokens", json_string(path));
	json_object_set_new(answer, "result", json_string(what));
	if (token != NULL) {
		json_object_set_new(answer, "roles", json_string(roles));
		json_object_set_new(answer, "token", json_string(token));
	}
	command_print_json(answer);
	json_decref(answer);
	command_note(RELOAD ".");
}

/* The token alone on stdout, so that `mailfuse token ci --role viewer >FILE` keeps just that. */
static void
report(const struct command *c, const char *path, const char *name, const char *what,
       const char *roles, const char *token)
{
	if (c->json) {
		report_json(path, name, what, roles, token);
		return;
	}
	if (token == NULL) {
		printf("Deleted token %s from %s; %s.\n", name, screen_text(path), RELOAD);
		return;
	}
	command_note("%s token %s (%s) %s %s; %s. It is shown only now:",
		     strcmp(what, "added") == 0 ? "Added" : "Changed", name, roles,
		     strcmp(what, "added") == 0 ? "to" : "in", screen_text(path), RELOAD);
	printf("%s\n", token);
}

static int
delete_token(const struct command *c, const char *path, const char *name)
{
	struct buf error = {0}, question = {0};
	struct name_file f;
	int result = CLIENT_REFUSED;

	if (!name_file_open(&f, &kind, path, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	if (!name_file_has(&f, name)) {
		command_refused(c, "there is no token %s in %s", name, screen_text(path));
		goto out;
	}
	buf_printf(&question, "Delete token %s from %s?", name, screen_text(path));
	if (!command_confirm(c, buf_text(&question), ""))
		goto out;
	name_file_set(&f, name, NULL);
	if (!name_file_write(&f, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	report(c, path, name, "deleted", NULL, NULL);
	result = CLIENT_DONE;
out:
	name_file_close(&f);
	buf_free(&question);
	buf_free(&error);
	return result;
}

static int
set_token(const struct command *c, const char *path, const char *name, unsigned roles)
{
	char token[TOKEN_BYTES], hash[TOKEN_HASH_BYTES], text[ROLE_TEXT_BYTES];
	struct buf error = {0};
	struct name_file f = {.lock = -1};
	char *rest = NULL;
	bool had;
	int result = CLIENT_REFUSED;

	if (!name_file_open(&f, &kind, path, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	if (!token_make(token)) {
		command_refused(c, "the system has no random numbers; nothing was changed");
		goto out;
	}
	token_hash(token, hash);
	role_format(roles, text);
	rest = mem_printf("%s:%s", text, hash);
	had = name_file_has(&f, name);
	name_file_set(&f, name, rest);
	if (!name_file_write(&f, &error)) {
		command_refused(c, "%s", buf_text(&error));
		goto out;
	}
	report(c, path, name, had ? "changed" : "added", text, token);
	result = CLIENT_DONE;
out:
	explicit_bzero(token, sizeof(token));
	name_file_close(&f);
	free(rest);
	buf_free(&error);
	return result;
}

int
token_run(struct command *c)
{
	const char *path = options_text(c->options, "tokens"), *name = c->options->words[0];
	const char *role = options_text(c->options, "role");
	bool remove = options_has(c->options, "delete");
	unsigned roles = 0;

	if (path == NULL)
		path = DEFAULT_TOKENS;
	if (!token_is_name(name))
		return command_usage(c,
				     "\"%s\" cannot be the name of a token: 1 to 64 letters, "
				     "digits, dots, dashes and underscores.",
				     screen_text(name));
	if (remove && role != NULL)
		return command_usage(c, "--delete and --role exclude each other.");
	if (remove)
		return delete_token(c, path, name);
	if (role == NULL)
		return command_usage(c, "say what it is for: --role viewer, operator, approver, or "
					"more of them as --role operator,approver.");
	if (!role_parse(role, &roles))
		return command_usage(c,
				     "--role %s is none; write viewer, operator, approver, or more "
				     "of them with commas between.",
				     screen_text(role));
	return set_token(c, path, name, roles);
}
