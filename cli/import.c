/*
 * import DIR [--reason R]. Two passes over the manifest: the first checks everything there is,
 * before mailfused is asked for anything; the second reads, checks and brings back message by
 * message. Files are opened within the directory only, and never through a link.
 */
#include "cli/import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/bring.h"
#include "cli/field.h"
#include "cli/manifest.h"
#include "cli/screen.h"

enum { PIECE = 1 << 16 };

struct import {
	struct command *c;
	const char *path;
	int directory;
	FILE *manifest;
	uint64_t messages, held, discarded, others; /* the last three are recipients */
};

/* A regular file of the directory; -1 after it said why not. */
static int
open_file(const struct import *x, const char *name, struct stat *st)
{
	/* O_NONBLOCK: a pipe in its place must not make us wait. */
	int fd = openat(x->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) != 0) {
		command_refused(x->c, "%s/%s: %s", screen_text(x->path), screen_text(name),
				errno == ELOOP ? "it is a link; an export has none"
					       : strerror(errno));
	} else if (!S_ISREG(st->st_mode)) {
		command_refused(x->c, "%s/%s is no file", screen_text(x->path), screen_text(name));
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Its bytes, hashed on the way, and kept where `content` is not NULL. False after it said why not.
 */
static bool
read_file(const struct import *x, const json_t *message, struct buf *content)
{
	const char *name = field_text(message, "file");
	int64_t wanted = field_count(message, "bytes"), left;
	char hash[MANIFEST_HASH_BYTES], piece[PIECE];
	struct manifest_hash *h;
	struct stat st;
	ssize_t n = 1;
	int fd = open_file(x, name, &st);

	if (fd < 0)
		return false;
	h = manifest_hash_new();
	for (left = wanted; left >= 0 && (n = read(fd, piece, sizeof(piece))) > 0; left -= n) {
		manifest_hash_add(h, piece, (size_t)n);
		/* One byte too many is enough to know that it will not be sent. */
		if (content != NULL && content->len <= BRING_CONTENT_MAX)
			buf_add(content, piece, (size_t)n);
	}
	manifest_hash_end(h, hash);
	close(fd);
	if (n < 0)
		command_refused(x->c, "%s/%s cannot be read", screen_text(x->path),
				screen_text(name));
	else if (left != 0 || strcmp(hash, field_text(message, "sha256")) != 0)
		command_refused(x->c,
				"%s/%s is not what was exported: its bytes do not fit the "
				"manifest's sha256",
				screen_text(x->path), screen_text(name));
	else
		return true;
	return false;
}

/* ---- the first pass */

static void
count_deliveries(struct import *x, const json_t *message)
{
	json_t *list = json_object_get(message, "deliveries"), *d;
	size_t i;

	json_array_foreach(list, i, d)
	{
		const char *state = field_text(d, "state");

		x->held += strcmp(state, "held") == 0;
		x->discarded += strcmp(state, "discarded") == 0;
		x->others += strcmp(state, "held") != 0 && strcmp(state, "discarded") != 0;
	}
}

/* Every message has a file of its own: more files are some that nobody exported. */
static bool
check_directory(const struct import *x)
{
	DIR *list = fdopendir(dup(x->directory));
	const struct dirent *entry;
	uint64_t files = 0;

	if (list == NULL)
		return command_refused(x->c, "%s: %s", screen_text(x->path), strerror(errno)),
		       false;
	rewinddir(list);
	while ((entry = readdir(list)) != NULL) {
		size_t n = strlen(entry->d_name);

		files += n > 4 && strcmp(entry->d_name + n - 4, ".eml") == 0;
	}
	closedir(list);
	if (files == x->messages)
		return true;
	command_refused(x->c, "%s has %s, and its manifest %s", screen_text(x->path),
			screen_counted((int64_t)files, "file", "files"),
			screen_counted((int64_t)x->messages, "message", "messages"));
	return false;
}

/* Calls each(); false once that said no, or the manifest is wrong. */
static bool
for_each(struct import *x, bool (*each)(struct import *x, const json_t *message, void *context),
	 void *context)
{
	struct buf error = {0};
	struct manifest *m;
	const json_t *message;
	bool good = true;

	rewind(x->manifest);
	m = manifest_open(x->manifest, &error);
	while (m != NULL && good && (message = manifest_next(m, &error)) != NULL)
		good = each(x, message, context);
	if (error.len > 0)
		command_refused(x->c, "%s/%s", screen_text(x->path), buf_text(&error));
	good = good && error.len == 0;
	manifest_close(m);
	buf_free(&error);
	return good;
}

static bool
check_message(struct import *x, const json_t *message, void *context)
{
	(void)context;
	x->messages++;
	count_deliveries(x, message);
	return read_file(x, message, NULL);
}

/* ---- the second pass */

static void
copy_field(json_t *to, const json_t *from, const char *name)
{
	json_object_set_new(to, name, json_string(field_text(from, name)));
}

static bool
import_message(struct import *x, const json_t *message, void *context)
{
	json_t *list = json_object_get(message, "deliveries"), *d, *back, *o;
	struct buf content = {0};
	bool good = false;
	size_t i;

	back = json_array();
	json_array_foreach(list, i, d)
	{
		const char *state = field_text(d, "state");
		json_t *one;

		if (strcmp(state, "held") != 0 && strcmp(state, "discarded") != 0)
			continue;
		one = json_object();
		json_object_set_new(one, "number", json_integer(field_count(d, "number")));
		copy_field(one, d, "recipient");
		copy_field(one, d, "final");
		copy_field(one, d, "state");
		json_array_append_new(back, one);
	}
	if (json_array_size(back) == 0 || !read_file(x, message, &content)) {
		good = json_array_size(back) == 0;
		json_decref(back);
		buf_free(&content);
		return good;
	}
	o = json_object();
	copy_field(o, message, "id");
	copy_field(o, message, "environment");
	copy_field(o, message, "source");
	copy_field(o, message, "sender");
	copy_field(o, message, "accepted_at");
	good = bring_message(context, o, back, buf_text(&content), content.len);
	buf_free(&content);
	return good;
}

/* The batch as it will be opened: the same at every run, so that a second one joins it. */
static bool
read_batch(struct import *x, json_t **open)
{
	struct buf error = {0};
	struct manifest *m;
	const json_t *batch;
	char *key;

	rewind(x->manifest);
	m = manifest_open(x->manifest, &error);
	if (m == NULL) {
		command_refused(x->c, "%s/%s", screen_text(x->path), buf_text(&error));
		buf_free(&error);
		return false;
	}
	batch = manifest_batch(m);
	*open = json_object();
	key = mem_printf("%.20s exported, opened %.40s, held by %.100s", field_text(batch, "id"),
			 field_text(batch, "opened_at"), field_text(batch, "rule"));
	copy_field(*open, batch, "environment");
	json_object_set_new(*open, "rule", json_string("imported"));
	json_object_set_new(*open, "key", json_string(screen_text(key)));
	copy_field(*open, batch, "source");
	copy_field(*open, batch, "sender");
	copy_field(*open, batch, "subject");
	copy_field(*open, batch, "opened_at");
	json_object_set_new(*open, "limit", json_integer(field_count(batch, "limit")));
	json_object_set_new(*open, "window", json_integer(field_count(batch, "window")));
	json_object_set_new(*open, "recipients",
			    json_integer((json_int_t)(x->held + x->discarded)));
	free(key);
	manifest_close(m);
	return true;
}

static bool
confirm(const struct import *x)
{
	char *question = mem_printf("Bring %s back as held, %s as discarded?",
				    screen_counted((int64_t)x->held, "recipient", "recipients"),
				    screen_count((int64_t)x->discarded));
	bool yes;

	command_note("%s is whole: %s.", screen_text(x->path),
		     screen_counted((int64_t)x->messages, "message", "messages"));
	if (x->others > 0)
		command_note(
		    "%s neither held nor discarded when it was exported, and left out.",
		    screen_counted((int64_t)x->others, "recipient was", "recipients were"));
	yes = command_confirm(x->c, question, "");
	free(question);
	return yes;
}

static int
import(struct import *x)
{
	struct bring b = {.c = x->c};

	if (!for_each(x, check_message, NULL) || !check_directory(x))
		return CLIENT_REFUSED;
	if (x->held + x->discarded == 0)
		return command_refused(x->c,
				       "%s has nothing that was held or discarded: there is "
				       "nothing to bring back.",
				       screen_text(x->path));
	if (!read_batch(x, &b.open))
		return CLIENT_REFUSED;
	if (!confirm(x)) {
		json_decref(b.open);
		return CLIENT_REFUSED;
	}
	if (!for_each(x, import_message, &b) && b.result == CLIENT_DONE)
		b.result = CLIENT_REFUSED;
	return bring_finish(&b);
}

int
import_run(struct command *c)
{
	struct import x = {.c = c, .path = c->options->words[0]};
	struct stat st;
	int fd, result = CLIENT_REFUSED;

	x.directory = open(x.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x.directory < 0)
		return command_refused(c, "%s: %s", screen_text(x.path), strerror(errno));
	fd = open_file(&x, "manifest.json", &st);
	x.manifest = fd < 0 ? NULL : fdopen(fd, "r");
	if (x.manifest != NULL) {
		result = import(&x);
		fclose(x.manifest);
	}
	close(x.directory);
	return result;
}
