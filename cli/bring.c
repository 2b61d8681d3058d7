/*
 * One call of /v1/import a message. See bring.h. Called by cli/restore_from.c and cli/import.c.
 */
#include "cli/bring.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { PATIENCE_SECONDS = 300 };

/* The first message of an environment opens the batch that its others join: what the panic button
 * held together is of several. */
static json_t *
make_call(const struct bring *b, json_t *message, json_t *deliveries)
{
	const json_t *environment = json_object_get(message, "environment");
	json_t *batch = json_object_get(b->batches, field_text(message, "environment"));
	json_t *call = json_object(), *open;

	if (batch != NULL) {
		json_object_set(call, "batch", batch);
	} else {
		open = json_copy(b->open);
		if (*field_text(open, "environment") == '\0')
			json_object_set(open, "environment", (json_t *)(uintptr_t)environment);
		json_object_set_new(call, "open", open);
	}
	json_object_set_new(call, "message", message);
	json_object_set_new(call, "deliveries", deliveries);
	json_object_set_new(call, "reason", json_string(command_reason(b->c)));
	return call;
}

/* In which batch a message is now. */
static void
note_batch(struct bring *b, const json_t *message, const json_t *answer)
{
	if (*field_text(answer, "batch") == '\0')
		return;
	if (b->batches == NULL)
		b->batches = json_object();
	json_object_set(b->batches, field_text(message, "environment"),
			json_object_get(answer, "batch"));
	free(b->batch);
	b->batch = mem_strdup(field_text(answer, "batch"));
}

bool
bring_message(struct bring *b, json_t *message, json_t *deliveries, const void *content, size_t len)
{
	json_t *call, *answer;
	struct buf text = {0};

	if (len > BRING_CONTENT_MAX) {
		command_note("%s is left out: it has %zu MB, and %d MB can be brought back.",
			     field_show(message, "id"), len >> 20, BRING_CONTENT_MAX >> 20);
		b->too_large++;
		json_decref(message);
		json_decref(deliveries);
		return true;
	}
	base64_encode(content, len, &text);
	json_object_set_new(message, "content_base64", json_stringn(buf_text(&text), text.len));
	buf_free(&text);
	call = make_call(b, message, deliveries);
	client_wait(b->c->client, PATIENCE_SECONDS);
	b->result = command_post(b->c, "/v1/import", call, &answer);
	if (b->result != CLIENT_DONE)
		command_note("It stopped at message %s; what came back before it is there. The "
			     "same command goes on.",
			     field_show(json_object_get(call, "message"), "id"));
	else
		note_batch(b, json_object_get(call, "message"), answer);
	json_decref(call);
	if (b->result != CLIENT_DONE)
		return false;
	b->messages++;
	b->added += (uint64_t)field_count(answer, "added");
	b->skipped += (uint64_t)field_count(answer, "skipped");
	json_decref(answer);
	return true;
}

static void
print_added(const struct bring *b)
{
	bool one = json_object_size(b->batches) == 1;

	printf("%s came back into %s; %s there already.\n",
	       screen_counted((int64_t)b->added, "recipient", "recipients"),
	       one ? screen_text(b->batch) : "a batch for each environment",
	       screen_counted((int64_t)b->skipped, "was", "were"));
	if (one)
		printf("Nothing is sent by it. Look first: mailfuse show %s\n",
		       screen_text(b->batch));
	else
		printf("Nothing is sent by it. Look first: mailfuse batches\n");
}

int
bring_finish(struct bring *b)
{
	int result = b->result;

	if (result == CLIENT_DONE && b->c->json) {
		json_t *o =
		    json_pack("{s:s?, s:I, s:I, s:I, s:I}", "batch", b->batch, "messages",
			      (json_int_t)b->messages, "added", (json_int_t)b->added, "skipped",
			      (json_int_t)b->skipped, "too_large", (json_int_t)b->too_large);

		command_print_json(o);
		json_decref(o);
	} else if (result == CLIENT_DONE && b->added == 0) {
		printf("Nothing was added: all %s there already.\n",
		       screen_counted((int64_t)b->skipped, "recipient is", "recipients are"));
	} else if (result == CLIENT_DONE) {
		print_added(b);
	}
	if (result == CLIENT_DONE && b->too_large > 0)
		result = CLIENT_REFUSED;
	json_decref(b->open);
	json_decref(b->batches);
	free(b->batch);
	return result;
}
