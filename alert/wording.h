/*
 * What an alert says to people: headline, text and link, by the channel's templates. Subjects and
 * names in it were chosen by strangers: everything is valid UTF-8 without control characters and
 * without what turns the direction of writing; only the text has line ends, LF.
 */
#ifndef ALERT_WORDING_H
#define ALERT_WORDING_H

#include "alert/channel.h"
#include "base/arena.h"

struct wording {
	struct arena arena;   /* owns the rest */
	const char *headline; /* one line, at most some 250 bytes */
	const char *text;     /* one line or more, at most some 8,000 bytes */
	const char *link;     /* into the console; "" where nobody said how it is reached */
	const char *command;  /* that shows the same: "mailfuse show B17" */
	const char *batch;    /* "B17", "" if none */
	const char *reason;   /* one line, "" if none, or if the text has it already */
	const char *audit;    /* "123:" and 32 digits of the hash, "" if none */
	const char *footer;   /* "batch.opened from gate.example at ..." */
};

void wording_make(struct wording *w, const struct channel_note *note,
		  const struct config_alert *channel);
void wording_free(struct wording *w);

/* One fact of the batch: "held" and "4,990". */
struct wording_fact {
	const char *name, *value;
};
enum { WORDING_FACTS_MAX = 8 };
/* 0 without a batch. In the wording's arena. */
size_t wording_facts(struct wording *w, const struct channel_note *note,
		     struct wording_fact facts[WORDING_FACTS_MAX]);
/* Appends what fits into `max` bytes, and " ..." where it was cut: between characters. */
void wording_cut(struct buf *out, const char *text, size_t max);

#endif
