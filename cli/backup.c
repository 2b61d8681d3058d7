/*
 * backup FILE has mailfused write a copy, then reads it here once more, as whoever restores it one
 * day would; backup --verify FILE does the latter alone, without mailfused.
 */
#include "cli/backup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/screen.h"
#include "store/backup.h"

/* A copy takes as long as the disk needs. */
enum { PATIENCE_SECONDS = 24 * 3600 };

const char *
backup_age(int64_t made_at)
{
	int64_t age = clock_wall() - made_at;
	char text[UNITS_BYTES];

	units_format_duration(age > 0 ? age : 0, text);
	return screen_text(text);
}

static void
print_report(const struct command *c, const char *path, const struct backup_report *r)
{
	char size[UNITS_BYTES], made[CLOCK_ISO_BYTES];

	clock_format_iso(r->made_at, made);
	if (c->json) {
		json_t *o =
		    json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:s}, s:I}",
			      "path", path, "bytes", (json_int_t)r->bytes, "made_at", made,
			      "schema", (json_int_t)r->schema, "messages", (json_int_t)r->messages,
			      "deliveries", (json_int_t)r->deliveries, "held", (json_int_t)r->held,
			      "discarded", (json_int_t)r->discarded, "batches",
			      (json_int_t)r->batches, "audit", "id", (json_int_t)r->audit_id,
			      "hash", r->audit_hash, "audit_bad", (json_int_t)r->audit_bad);

		command_print_json(o);
		json_decref(o);
		return;
	}
	printf("%s is whole: %s, made %s (%s ago)\n", screen_text(path),
	       units_format_size(r->bytes, size), screen_time(made), backup_age(r->made_at));
	printf("%s with %s, %s held, %s discarded, %s\n",
	       screen_counted((int64_t)r->messages, "message", "messages"),
	       screen_counted((int64_t)r->deliveries, "delivery", "deliveries"),
	       screen_count((int64_t)r->held), screen_count((int64_t)r->discarded),
	       screen_counted((int64_t)r->batches, "batch", "batches"));
	if (r->audit_id > 0)
		printf("Audit log up to %" PRId64 ":%s\n", r->audit_id, r->audit_hash);
}

/* The copy is what the store was, which may be just what is needed. */
static void
warn_of_audit(const struct backup_report *r)
{
	if (r->audit_bad != 0)
		command_note("Its audit log is not what mailfuse wrote, from row %" PRId64
			     " on; it was so in the store already. mailfuse audit verify tells "
			     "more. Keep this copy.",
			     r->audit_bad);
}

static int
verify(const struct command *c, const char *path)
{
	struct backup_report report;
	struct buf error = {0};
	int result = CLIENT_DONE;

	if (backup_verify(path, &report, &error)) {
		print_report(c, path, &report);
		warn_of_audit(&report);
	} else {
		result = command_refused(c, "%s", screen_text(buf_text(&error)));
	}
	buf_free(&error);
	return result;
}

static char *
absolute(const char *path)
{
	char *directory, *whole;

	if (*path == '/')
		return mem_strdup(path);
	directory = getcwd(NULL, 0);
	whole = mem_printf("%s/%s", directory != NULL ? directory : "", path);
	free(directory);
	return whole;
}

/* mailfused's word, then our own look at the file that it names. */
static int
check_copy(const struct command *c, const char *path, const json_t *answer)
{
	const json_t *audit = json_object_get(answer, "audit");
	struct backup_report report;
	struct buf error = {0};
	int result = CLIENT_DONE;

	if (access(path, R_OK) != 0) {
		if (c->json)
			command_print_json(answer);
		else
			printf(
			    "%s: mailfused wrote the copy and checked it, %s bytes, %s\n",
			    screen_text(path), screen_count(field_count(answer, "bytes")),
			    screen_counted(field_count(answer, "messages"), "message", "messages"));
		command_note("It cannot be read from here; where it can: mailfuse backup --verify "
			     "%s",
			     screen_text(path));
		return CLIENT_DONE;
	}
	if (!backup_verify(path, &report, &error)) {
		result = command_refused(c, "mailfused wrote the copy and found it whole, but: %s",
					 screen_text(buf_text(&error)));
	} else if ((int64_t)report.bytes != field_count(answer, "bytes") ||
		   (int64_t)report.messages != field_count(answer, "messages") ||
		   strcmp(report.audit_hash, field_text(audit, "hash")) != 0) {
		result = command_refused(c,
					 "%s is a whole copy, but not the one that mailfused has "
					 "just made: does it see the same directory?",
					 screen_text(path));
	} else {
		print_report(c, path, &report);
		warn_of_audit(&report);
		if (!c->json)
			printf("Checked by mailfused, and once more from here.\n");
	}
	buf_free(&error);
	return result;
}

int
backup_run(struct command *c)
{
	const char *file = c->options->words[0];
	json_t *body, *answer;
	char *path;
	int result;

	if (options_has(c->options, "verify") && options_has(c->options, "reason"))
		return command_usage(c, "--verify changes nothing and takes no --reason.");
	if (options_has(c->options, "verify"))
		return verify(c, file);
	path = absolute(file);
	body =
	    json_pack("{s:s, s:s}", "path", path, "reason",
		      options_has(c->options, "reason") ? options_text(c->options, "reason") : "");
	if (body == NULL) {
		free(path);
		return command_usage(c, "the file's name or the reason is no UTF-8.");
	}
	client_wait(c->client, PATIENCE_SECONDS);
	result = command_post(c, "/v1/backup", body, &answer);
	json_decref(body);
	if (result == CLIENT_DONE) {
		result = check_copy(c, path, answer);
		json_decref(answer);
	}
	free(path);
	return result;
}
