/*
 * export BATCH DIR. Each message's file appears whole (written beside, then renamed), the manifest
 * last: a directory with a manifest is a whole export. Other people's mail: mode 0700 and 0600.
 */
#include "cli/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/field.h"
#include "cli/manifest.h"
#include "cli/screen.h"

static const char manifest_name[] = "manifest.json", manifest_new[] = ".manifest.new";

struct export
{
	struct command *c;
	const char *path; /* of the directory */
	int directory;
	FILE *manifest;
	json_t *message; /* whose deliveries come now */
	uint64_t messages, deliveries;
	int result;
};

static int
refuse_file(const struct export *x, const char *name)
{
	return command_refused(x->c, "%s/%s: %s", screen_text(x->path), screen_text(name),
			       strerror(errno));
}

/* ---- one message */

struct content {
	FILE *file;
	struct manifest_hash *hash;
	uint64_t bytes;
	bool failed;
};

static void
take_content(void *context, const char *data, size_t len)
{
	struct content *content = context;

	content->failed |= fwrite(data, 1, len, content->file) != len;
	manifest_hash_add(content->hash, data, len);
	content->bytes += len;
}

/* A new file that nobody else may read. NULL and errno. */
static FILE *
create(int directory, const char *name)
{
	int fd =
	    openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int
fetch(struct export *x, const char *id, struct content *content)
{
	struct buf path = {0}, error = {0};
	int result;

	buf_printf(&path, "/v1/messages/%s/raw", id);
	result = client_get_bytes(x->c->client, buf_text(&path), take_content, content, &error);
	if (result != CLIENT_DONE)
		command_refused(x->c, "%s", buf_text(&error));
	buf_free(&path);
	buf_free(&error);
	return result;
}

/* The file of x->message, and what the manifest says of it. */
static int
write_message(struct export *x)
{
	const char *id = field_text(x->message, "id");
	char *name = mem_printf("%s.eml", id), *new_name = mem_printf(".%s.new", id);
	struct content content = {.file = create(x->directory, new_name)};
	char hash[MANIFEST_HASH_BYTES];
	int result = CLIENT_DONE;

	if (content.file == NULL) {
		result = refuse_file(x, new_name);
	} else {
		content.hash = manifest_hash_new();
		result = fetch(x, id, &content);
		manifest_hash_end(content.hash, hash);
		content.failed |= fclose(content.file) != 0;
	}
	if (result == CLIENT_DONE &&
	    (content.failed || renameat(x->directory, new_name, x->directory, name) != 0))
		result = refuse_file(x, name);
	if (result == CLIENT_DONE) {
		json_object_set_new(x->message, "file", json_string(name));
		json_object_set_new(x->message, "bytes", json_integer((json_int_t)content.bytes));
		json_object_set_new(x->message, "sha256", json_string(hash));
	} else if (content.file != NULL) {
		unlinkat(x->directory, new_name, 0);
	}
	free(name);
	free(new_name);
	return result;
}

/* The message whose deliveries have all come. */
static void
finish_message(struct export *x)
{
	if (x->message == NULL)
		return;
	if (x->result == CLIENT_DONE)
		x->result = write_message(x);
	if (x->result == CLIENT_DONE &&
	    !manifest_write_message(x->manifest, x->message, x->messages))
		x->result = refuse_file(x, manifest_name);
	x->messages++;
	json_decref(x->message);
	x->message = NULL;
}

static void
copy_field(json_t *to, const json_t *from, const char *name)
{
	json_object_set_new(to, name, json_string(field_text(from, name)));
}

/* A row of /v1/deliveries: those of one message stand together, oldest first. */
static void
take_delivery(void *context, const json_t *row)
{
	struct export *x = context;
	const char *id = field_text(row, "message");
	char *clean = command_message_id(id);
	json_t *d;

	if (x->result != CLIENT_DONE || clean == NULL) {
		free(clean);
		return;
	}
	free(clean);
	if (x->message != NULL && strcmp(field_text(x->message, "id"), id) != 0)
		finish_message(x);
	if (x->message == NULL) {
		x->message = json_object();
		json_object_set_new(x->message, "id", json_string(id));
		copy_field(x->message, row, "environment");
		copy_field(x->message, row, "source");
		copy_field(x->message, row, "sender");
		copy_field(x->message, row, "accepted_at");
		json_object_set_new(x->message, "deliveries", json_array());
	}
	d = json_object();
	json_object_set_new(d, "number", json_integer(field_count(row, "number")));
	copy_field(d, row, "recipient");
	copy_field(d, row, "final");
	copy_field(d, row, "state");
	json_array_append_new(json_object_get(x->message, "deliveries"), d);
	x->deliveries++;
}

/* ---- the batch */

/* An empty directory, new or old, that only we can read. -1 after it said why not. */
static int
open_directory(const struct command *c, const char *path)
{
	bool made = mkdir(path, 0700) == 0;
	const struct dirent *entry;
	size_t entries = 0;
	DIR *list;
	int fd;

	if (!made && errno != EEXIST)
		return command_refused(c, "%s: %s", screen_text(path), strerror(errno)), -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	list = fd < 0 ? NULL : fdopendir(dup(fd));
	if (list == NULL || fchmod(fd, 0700) != 0) {
		command_refused(c, "%s: %s", screen_text(path), strerror(errno));
		entries = 1;
	} else {
		while ((entry = readdir(list)) != NULL)
			entries += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..");
		if (entries > 0)
			command_refused(c,
					"%s is not empty; name a directory that is, or a new one",
					screen_text(path));
	}
	if (list != NULL)
		closedir(list);
	if (entries > 0 && fd >= 0)
		close(fd);
	return entries > 0 ? -1 : fd;
}

static int
export_messages(struct export *x, const char *batch)
{
	struct buf path = {0};
	bool more;
	int result;

	buf_printf(&path, "/v1/deliveries?batch=%s", batch);
	result = command_list(x->c, buf_text(&path), SIZE_MAX, take_delivery, x, &more);
	buf_free(&path);
	if (x->result == CLIENT_DONE)
		x->result = result;
	finish_message(x);
	return x->result;
}

/* All of it is on the disk before the manifest says so. */
static int
finish_manifest(struct export *x)
{
	bool good = manifest_write_end(x->manifest, x->messages) && fflush(x->manifest) == 0 &&
		    syncfs(x->directory) == 0;

	good = fclose(x->manifest) == 0 && good;
	x->manifest = NULL;
	if (!good || renameat(x->directory, manifest_new, x->directory, manifest_name) != 0 ||
	    fsync(x->directory) != 0)
		return refuse_file(x, manifest_name);
	return CLIENT_DONE;
}

static int
export_batch(struct export *x, const json_t *batch)
{
	char now[CLOCK_ISO_BYTES];
	int result;

	clock_format_iso(clock_wall(), now);
	x->manifest = create(x->directory, manifest_new);
	if (x->manifest == NULL || !manifest_write_head(x->manifest, now, batch))
		return refuse_file(x, manifest_new);
	result = export_messages(x, field_text(batch, "id"));
	return result == CLIENT_DONE ? finish_manifest(x) : result;
}

static void
report(const struct export *x, const char *batch)
{
	if (x->c->json) {
		json_t *o =
		    json_pack("{s:s, s:s, s:I, s:I}", "batch", batch, "path", x->path, "messages",
			      (json_int_t)x->messages, "deliveries", (json_int_t)x->deliveries);

		command_print_json(o);
		json_decref(o);
		return;
	}
	printf("%s: %s with %s of %s in %s\n", screen_text(x->path),
	       screen_counted((int64_t)x->messages, "message", "messages"),
	       screen_counted((int64_t)x->deliveries, "recipient", "recipients"),
	       screen_text(batch), manifest_name);
}

int
export_run(struct command *c)
{
	const char *word = c->options->words[0];
	struct export x = {.c = c, .path = c->options->words[1]};
	char *id = command_batch_id(word);
	struct buf path = {0};
	json_t *batch;

	if (id == NULL)
		return command_refused(c,
				       "\"%s\" is no batch; batches look like B17 (mailfuse "
				       "batches --all lists them).",
				       screen_text(word));
	buf_printf(&path, "/v1/batches/%s", id);
	x.result = command_get(c, buf_text(&path), &batch);
	buf_free(&path);
	if (x.result != CLIENT_DONE) {
		free(id);
		return x.result;
	}
	json_object_del(batch, "story");
	json_object_del(batch, "sending");
	x.directory = open_directory(c, x.path);
	x.result = x.directory < 0 ? CLIENT_REFUSED : export_batch(&x, batch);
	if (x.manifest != NULL)
		fclose(x.manifest);
	if (x.result == CLIENT_DONE)
		report(&x, id);
	else if (x.directory >= 0)
		command_note("The export is not whole, and has no %s: remove %s and try again.",
			     manifest_name, screen_text(x.path));
	if (x.directory >= 0)
		close(x.directory);
	json_decref(batch);
	free(id);
	return x.result;
}
