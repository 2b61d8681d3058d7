/*
 * Completes a command line out of the tables that parse it, and what the daemon knows: batches,
 * environments, listeners, alert channels. Called by main.c; one thread. What stands in the line
 * may be half of a word or nonsense: then there is nothing to offer.
 */
#include "cli/complete.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { ROWS_MOST = 200, CONNECTION_OPTIONS_MAX = 8 };

struct line {
	const struct complete *tables;
	const struct verb *verb;       /* NULL: not typed yet */
	size_t words;                  /* after the verb, before the current one */
	const char *first;             /* of these */
	const struct option *value_of; /* the current word is the value of this one */
	const char *current;           /* what is typed of it */
	const char *lead;              /* stands before what is offered: "--state=" */
	size_t lead_len;
	bool only_words; /* after "--" */
	const struct option *given[32];
	size_t given_count;
	char *connection[CONNECTION_OPTIONS_MAX]; /* "--control=PATH" and its like */
	int connection_count;
	size_t offered;
};

/* ---- what is typed */

static const struct option *
find_option(const struct line *l, const char *word, size_t len)
{
	const struct option *tables[] = {l->tables->global,
					 l->verb != NULL ? l->verb->options : NULL};

	for (size_t i = 0; i < 2; i++) {
		for (const struct option *o = tables[i]; o != NULL && o->name != NULL; o++) {
			if (word[1] != '-' && len == 2 && o->letter == word[1])
				return o;
			if (word[1] == '-' && strlen(o->name) == len - 2 &&
			    memcmp(o->name, word + 2, len - 2) == 0)
				return o;
		}
	}
	return NULL;
}

static const struct verb *
find_verb(const struct complete *tables, const char *name)
{
	for (const struct verb *v = tables->verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

/* Which daemon is asked. */
static void
note_connection(struct line *l, const struct option *o, const char *value)
{
	static const char *const names[] = {"control", "url", "token-file", "ca"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(o->name, names[i]) == 0 && l->connection_count < CONNECTION_OPTIONS_MAX)
			l->connection[l->connection_count++] =
			    mem_printf("--%s=%s", o->name, value);
}

/* An option before the current word; returns how many words it takes, 0 if its value is the current
 * one. */
static int
take_option(struct line *l, const char *word, const char *next)
{
	const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
	size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
	const struct option *o = find_option(l, word, len);

	if (o == NULL)
		return 1;
	if (o->kind != OPTION_LIST && l->given_count < sizeof(l->given) / sizeof(l->given[0]))
		l->given[l->given_count++] = o;
	if (o->kind == OPTION_FLAG)
		return 1;
	if (equals == NULL && next == NULL) {
		l->value_of = o;
		return 0;
	}
	note_connection(l, o, equals != NULL ? equals + 1 : next);
	return equals != NULL ? 1 : 2;
}

static void
take_current(struct line *l, const char *word)
{
	const char *equals = strchr(word, '=');

	l->current = word;
	l->lead = word;
	if (l->value_of != NULL || l->only_words || word[0] != '-' || word[1] != '-' ||
	    equals == NULL)
		return;
	l->value_of = find_option(l, word, (size_t)(equals - word));
	l->current = equals + 1;
	l->lead_len = (size_t)(equals + 1 - word);
}

static void
read_line(struct line *l, int count, char **words)
{
	int last = count - 1, step;

	for (int i = 0; i<last; i += step> 0 ? step : 1) {
		step = 1;
		if (!l->only_words && strcmp(words[i], "--") == 0) {
			l->only_words = true;
		} else if (!l->only_words && words[i][0] == '-' && words[i][1] != '\0') {
			step = take_option(l, words[i], i + 1 < last ? words[i + 1] : NULL);
		} else if (l->verb == NULL) {
			l->verb = find_verb(l->tables, words[i]);
			if (l->verb == NULL)
				l->only_words = true; /* nonsense: nothing is offered */
		} else {
			if (l->words++ == 0)
				l->first = words[i];
		}
	}
	take_current(l, count > 0 ? words[last] : "");
}

/* ---- what is offered */

static void
print_offer(struct line *l, const char *word, const char *what)
{
	printf("%.*s%s\t%s\n", (int)l->lead_len, l->lead, screen_text(word),
	       what != NULL ? screen_text(what) : "");
	l->offered++;
}

static void
offer(struct line *l, const char *word, const char *what)
{
	if (strncmp(word, l->current, strlen(l->current)) == 0)
		print_offer(l, word, what);
}

static void
offer_words(struct line *l, const char *const *words)
{
	for (; *words != NULL; words++)
		offer(l, *words, NULL);
}

static void
offer_shell(struct line *l, const char *what)
{
	puts(what);
	l->offered++;
}

static void
offer_verbs(struct line *l)
{
	for (const struct verb *v = l->tables->verbs; v->name != NULL; v++)
		offer(l, v->name, v->help);
}

static void
offer_options_of(struct line *l, const struct option *o)
{
	for (; o != NULL && o->name != NULL; o++) {
		bool given = false;
		char *word;

		for (size_t i = 0; i < l->given_count; i++)
			given = given || l->given[i] == o;
		if (given || (o->flags & OPTION_LATER) != 0)
			continue;
		word = mem_printf("--%s", o->name);
		offer(l, word, o->help);
		free(word);
	}
}

static void
offer_options(struct line *l)
{
	if (l->verb != NULL)
		offer_options_of(l, l->verb->options);
	offer_options_of(l, l->tables->global);
}

/* After a comma another of them follows. */
static void
offer_roles(struct line *l)
{
	static const char *const roles[] = {"viewer", "operator", "approver", NULL};
	const char *comma = strrchr(l->current, ',');

	if (comma != NULL) {
		l->lead_len += (size_t)(comma + 1 - l->current);
		l->current = comma + 1;
	}
	offer_words(l, roles);
}

/* ---- what the daemon knows */

/* NULL where it does not answer. */
static json_t *
ask_daemon(struct line *l, const char *path)
{
	struct options o = {0};
	struct command c = {.verb = "complete", .options = &o};
	struct buf error = {0};
	json_t *answer = NULL;
	int at = 0;

	/* Somebody waits at a prompt. */
	setenv("MAILFUSE_TIMEOUT", "2", 1);
	if (options_parse(&o, l->connection_count, l->connection, &at, l->tables->global, NULL,
			  false, &error) &&
	    (c.client = l->tables->open(&c)) != NULL) {
		if (client_get(c.client, path, &answer, &error) != CLIENT_DONE)
			answer = NULL;
		client_free(c.client);
	}
	options_free(&o);
	buf_free(&error);
	return answer;
}

/* The names in a list of objects. */
static void
offer_names(struct line *l, const char *path, const char *list, const char *kind)
{
	json_t *answer = ask_daemon(l, path), *item;
	size_t i;

	json_array_foreach(json_object_get(answer, list), i, item)
	{
		const char *name = field_text(item, "name");

		if (name[0] != '\0')
			offer(l, name, kind);
	}
	json_decref(answer);
}

/* Whether the verb has anything to do with it. */
static bool
batch_fits(const char *verb, const json_t *b)
{
	const char *state = field_text(b, "state");
	const char *plan = field_text(json_object_get(b, "plan"), "state");

	if (strcmp(verb, "approve") == 0)
		return strcmp(plan, "asked") == 0;
	if (strcmp(verb, "pause") == 0)
		return strcmp(state, "releasing") == 0;
	if (strcmp(verb, "resume") == 0)
		return strcmp(state, "paused") == 0;
	if (strcmp(verb, "restore") == 0 || strcmp(verb, "purge") == 0)
		return field_count(b, "discarded") > field_count(b, "purged");
	if (strcmp(verb, "release") == 0 || strcmp(verb, "discard") == 0)
		return field_count(b, "held") > 0;
	return true;
}

static void
offer_batch(struct line *l, const json_t *b)
{
	const char *id = field_text(b, "id");
	size_t typed = strlen(l->current);
	char *word, *what;

	if (strncasecmp(id, l->current, typed) != 0 || !batch_fits(l->verb->name, b))
		return;
	/* Shells compare letter by letter: as it was begun. */
	word = mem_strdup(id);
	if (typed > 0)
		word[0] = l->current[0];
	what = mem_printf("%s, %s, %s: %s", field_text(b, "state"),
			  screen_counted(field_count(b, "recipients"), "recipient", "recipients"),
			  field_text(b, "environment"), field_text(b, "subject"));
	print_offer(l, word, what);
	free(what);
	free(word);
}

static void
offer_batches(struct line *l)
{
	char path[80];
	json_t *answer, *item;
	size_t i;

	snprintf(path, sizeof(path), "/v1/batches?all=1&limit=%d", ROWS_MOST);
	answer = ask_daemon(l, path);
	json_array_foreach(json_object_get(answer, "items"), i, item) offer_batch(l, item);
	json_decref(answer);
}

/* ---- where we are */

static void
offer_value(struct line *l)
{
	static const char *const files[] = {"config", "trace",      "users",   "tokens", "control",
					    "ca",     "token-file", "message", "file",   NULL};
	static const char *const batch_states[] = {"held",     "releasing", "paused",
						   "released", "discarded", NULL};
	static const char *const delivery_states[] = {"queued", "waiting", "held",      "sent",
						      "failed", "dropped", "discarded", NULL};
	const char *name = l->value_of->name;

	for (const char *const *f = files; *f != NULL; f++) {
		if (strcmp(name, *f) == 0) {
			offer_shell(l, ":files");
			return;
		}
	}
	if (strcmp(name, "state") == 0)
		offer_words(l, strcmp(l->verb->name, "messages") == 0 ? delivery_states
								      : batch_states);
	else if (strcmp(name, "environment") == 0)
		offer_names(l, "/v1/status", "environments", "environment");
	else if (strcmp(name, "listener") == 0)
		offer_names(l, "/v1/status", "listeners", "listener");
	else if (strcmp(name, "role") == 0)
		offer_roles(l);
}

/* The words of a verb that are no options. */
static void
offer_word(struct line *l)
{
	static const char *const batch_verbs[] = {"show",  "messages", "release", "approve",
						  "pause", "resume",   "discard", "restore",
						  "purge", "story",    "export",  NULL};
	static const char *const audit[] = {"verify", "export", NULL};
	static const char *const alert[] = {"list", "test", NULL};
	const char *verb = l->verb->name;

	if (l->words >= l->verb->words_max)
		return;
	for (const char *const *v = batch_verbs; *v != NULL; v++)
		if (strcmp(verb, *v) == 0 && (l->words == 0 || strcmp(verb, "export") != 0))
			offer_batches(l);
	if (strcmp(verb, "help") == 0)
		offer_verbs(l);
	else if (strcmp(verb, "audit") == 0)
		offer_words(l, audit);
	else if (strcmp(verb, "alert") == 0 && l->words == 0)
		offer_words(l, alert);
	else if (strcmp(verb, "alert") == 0 && l->words == 1 && strcmp(l->first, "test") == 0)
		offer_names(l, "/v1/alerts?limit=1", "channels", "alert channel");
	else if (strcmp(verb, "backup") == 0 || strcmp(verb, "restore-from") == 0)
		offer_shell(l, ":files");
	else if (strcmp(verb, "import") == 0 || (strcmp(verb, "export") == 0 && l->words == 1))
		offer_shell(l, ":dirs");
}

int
complete_run(const struct complete *tables, int count, char **words)
{
	struct line l = {.tables = tables};

	read_line(&l, count, words);
	if (l.value_of != NULL) {
		offer_value(&l);
	} else if (l.current[0] == '-' && !l.only_words) {
		offer_options(&l);
	} else if (l.verb == NULL && !l.only_words) {
		offer_verbs(&l);
	} else if (l.verb != NULL) {
		offer_word(&l);
		if (l.offered == 0 && l.current[0] == '\0' && !l.only_words)
			offer_options(&l);
	}
	for (int i = 0; i < l.connection_count; i++)
		free(l.connection[i]);
	return CLIENT_DONE;
}
