/*
 * story BATCH [--markdown] [--names]. mailfused tells it (docs/api.md), masked already; here it is
 * only written down.
 */
#include "cli/story.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/pager.h"
#include "cli/screen.h"
#include "cli/story_show.h"

int
story_run(struct command *c)
{
	const char *word = c->options->words[0];
	char *batch = command_batch_id(word);
	struct buf path = {0}, text = {0};
	json_t *story;
	int result;

	if (batch == NULL)
		return command_refused(c,
				       "\"%s\" is no batch; batches look like B17 (mailfuse "
				       "batches --all lists them).",
				       screen_text(word));
	buf_printf(&path, "/v1/batches/%s/story", batch);
	free(batch);
	client_add_query(&path, "names", options_has(c->options, "names") ? "1" : NULL);
	result = command_get(c, buf_text(&path), &story);
	buf_free(&path);
	if (result != CLIENT_DONE)
		return result;
	if (c->json) {
		command_print_json(story);
	} else {
		story_show(story, options_has(c->options, "markdown"), &text);
		pager_start(c, SIZE_MAX);
		fputs(buf_text(&text), stdout);
		pager_finish();
		buf_free(&text);
	}
	json_decref(story);
	return CLIENT_DONE;
}
