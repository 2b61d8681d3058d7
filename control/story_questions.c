/*
 * Questions for the review of an incident, chosen by what is known of it. They ask about rules,
 * alerts and applications, never who was at fault. See story_facts.h. Called by story.c; pure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "control/json.h"
#include "control/story_facts.h"

/* Longer than this between an alert and a look is worth a question. */
#define LATE_LOOK (15 * CLOCK_MINUTE)
#define LATE_ALERT CLOCK_MINUTE

const char *
story_counted(uint64_t n, const char *one, const char *many)
{
	static char texts[4][64];
	static unsigned next;
	char *text = texts[next++ % 4];

	snprintf(text, sizeof(texts[0]), "%" PRIu64 " %s", n, n == 1 ? one : many);
	return text;
}

#define ASK(list, ...) add_question(list, mem_printf(__VA_ARGS__))

static void
add_question(json_t *list, char *text)
{
	json_append(list, json_text(text, strlen(text)));
	free(text);
}

static void
ask_about_rule(const struct story_facts *f, json_t *list)
{
	char rate[UNITS_BYTES], took[UNITS_BYTES];

	if (f->leaked > 0 && f->limit > 0)
		ASK(list,
		    "%s had left before %s tripped at more than %s: was that limit late for this "
		    "stream? What would a lower one, a head rate or a settle time have held? "
		    "(mailfuse simulate --history tells.)",
		    story_counted(f->leaked, "recipient", "recipients"), f->rule,
		    units_format_rate(f->limit, f->window, rate));
	else if (f->leaked > 0)
		ASK(list, "%s had left before %s tripped: what would have held them?",
		    story_counted(f->leaked, "recipient", "recipients"), f->rule);
	if (f->first_at != 0 && f->tripped_at - f->first_at > CLOCK_MINUTE)
		ASK(list,
		    "It took %s from the first message of the batch until a rule tripped: which "
		    "rule should have tripped first, and why did it not?",
		    units_format_duration(f->tripped_at - f->first_at, took));
	if (f->peak_minute > 0 && f->limit > 0 && f->peak_minute >= 10 * (uint64_t)f->limit)
		ASK(list,
		    "At its peak %s came in one minute: can the application itself be made to "
		    "send no faster than it ever needs to?",
		    story_counted(f->peak_minute, "recipient", "recipients"));
}

static void
ask_about_source(const struct story_facts *f, json_t *list)
{
	if (f->environment[0] != '\0' && f->known && !f->production)
		ASK(list,
		    "What let %s, which is not production, hold the addresses of %s%s in %s? Is "
		    "production's data copied there as it is?",
		    f->environment, f->recipients > STORE_EXACT_MAX ? "about " : "",
		    story_counted(f->distinct, "recipient", "recipients"),
		    f->domains >= 10 ? "ten or more domains"
				     : story_counted(f->domains, "domain", "domains"));
	if (f->distinct > 0 && f->recipients >= 2 * f->distinct)
		ASK(list,
		    "%s for %s%s: why would the application write to the same people again and "
		    "again?",
		    story_counted(f->recipients, "message", "messages"),
		    f->recipients > STORE_EXACT_MAX ? "about " : "",
		    story_counted(f->distinct, "recipient", "different recipients"));
	if (f->discarded > 0)
		ASK(list,
		    "%s discarded: what made the application send this, and what keeps it from "
		    "doing so again?",
		    story_counted(f->discarded, "recipient's mail was", "recipients' mails were"));
}

static void
ask_about_people(const struct story_facts *f, json_t *list)
{
	char took[UNITS_BYTES];
	int64_t told = f->alerted_at != 0 ? f->alerted_at : f->tripped_at;

	if (f->alerts == 0)
		ASK(list, "No channel wanted an alert of this batch: who is to be told next time?");
	else if (f->alerts_delivered == 0)
		ASK(list,
		    "No alert of this batch was delivered: who would have known, and is there a "
		    "second channel?");
	if (f->alerts_failed > 0)
		ASK(list, "%s (%s): who watches the channel?",
		    story_counted(f->alerts_failed, "alert was given up", "alerts were given up"),
		    f->alert_error);
	if (f->alerted_at - f->tripped_at > LATE_ALERT)
		ASK(list, "The first alert was delivered %s after the trip: what held it up?",
		    units_format_duration(f->alerted_at - f->tripped_at, took));
	if (f->seen_at != 0 && !f->look_unknown && f->seen_at - told > LATE_LOOK)
		ASK(list,
		    "Nobody looked for %s: was it clear whose turn it was, and did the alert say "
		    "what was at stake?",
		    units_format_duration(f->seen_at - told, took));
	if (f->seen_at == 0 && f->decisions == 0)
		ASK(list, "Nobody has looked at it yet: whose is it?");
	if (f->seen_at == 0 && f->decisions > 0 && !f->look_unknown)
		ASK(list, "It was decided without mailfuse show: what did the decision rest on?");
	if (f->seen_at != 0 && f->decided_at - f->seen_at > LATE_LOOK)
		ASK(list,
		    "%s went by between the first look and the first decision: what was missing to "
		    "decide?",
		    units_format_duration(f->decided_at - f->seen_at, took));
}

static void
ask_about_decisions(const struct story_facts *f, json_t *list)
{
	if (f->held > 0)
		ASK(list, "%s still held: who decides, and by when?",
		    story_counted(f->held, "recipient is", "recipients are"));
	if (f->deciders == 1 && f->released + f->discarded >= 1000 && f->approve_above == 0)
		ASK(list,
		    "One person decided about %s: should a second one have to agree "
		    "(approval.above)?",
		    story_counted(f->released + f->discarded, "recipient", "recipients"));
	if (f->failed > 0)
		ASK(list, "%s: would a smaller first ring, with --stop-on, have told so earlier?",
		    story_counted(f->failed, "released recipient was refused",
				  "released recipients were refused"));
	if (f->restores > 0)
		ASK(list, "A discard was taken back: what had not been seen when it was made?");
	if (f->pauses > 0)
		ASK(list, "The release was paused on the way: what did the first ring show that "
			  "nobody had expected?");
	ASK(list,
	    "Without mailfuse %s would have been sent: who would have noticed, how, and after how "
	    "long?",
	    story_counted(f->recipients, "more message", "more messages"));
}

json_t *
story_questions(const struct story_facts *f)
{
	json_t *list = json_make_array();

	ask_about_rule(f, list);
	ask_about_source(f, list);
	ask_about_people(f, list);
	ask_about_decisions(f, list);
	return list;
}
