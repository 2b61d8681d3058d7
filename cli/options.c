/*
 * Parses the command line against the tables of cli/main.c. Called once for what stands before the
 * verb and once for what stands after it. Everything that is wrong is said in one sentence with
 * what to write instead.
 */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"

enum { DISTANCE_BYTES = 64 };
/* As the daemon takes them. */
#define DURATION_MAX (30 * CLOCK_DAY)
#define RING_MAX 1000000000

size_t
options_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), i, j, best;
	unsigned char rows[3][DISTANCE_BYTES + 1];
	unsigned char *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	if (la >= DISTANCE_BYTES || lb >= DISTANCE_BYTES)
		return SIZE_MAX;
	memset(rows, 0, sizeof(rows));
	for (j = 0; j <= lb; j++)
		last[j] = (unsigned char)j;
	for (i = 1; i <= la; i++) {
		now[0] = (unsigned char)i;
		for (j = 1; j <= lb; j++) {
			best = (size_t)last[j - 1] + (a[i - 1] != b[j - 1]);
			if (last[j] + 1u < best)
				best = last[j] + 1u;
			if (now[j - 1] + 1u < best)
				best = now[j - 1] + 1u;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1u < best)
				best = before[j - 2] + 1u;
			now[j] = (unsigned char)best;
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[lb];
}

bool
options_is_nearer(const char *typed, const char *name, size_t *best)
{
	size_t distance = options_distance(typed, name);
	size_t bound = strlen(name) < 6 ? 1 : strlen(name) / 3;

	/* What was typed may also be the start of the name. */
	if (strlen(typed) >= 3 && strncmp(typed, name, strlen(typed)) == 0)
		distance = 1;
	if (distance > bound || distance >= *best)
		return false;
	*best = distance;
	return true;
}

void
options_free(struct options *o)
{
	free(o->values);
	free(o->words);
	memset(o, 0, sizeof(*o));
}

static const struct option *
find_option(const struct option *table, const char *name, size_t len)
{
	for (; table != NULL && table->name != NULL; table++) {
		if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
			return table;
	}
	return NULL;
}

static const struct option *
find_letter(const struct option *table, char letter)
{
	for (; table != NULL && table->name != NULL; table++) {
		if (table->letter == letter)
			return table;
	}
	return NULL;
}

static void
report_unknown(const char *arg, const struct option *global, const struct option *own,
	       struct buf *error)
{
	const struct option *tables[] = {own, global}, *row;
	const char *nearest = NULL;
	char *name = mem_strndup(arg, strcspn(arg, "="));
	size_t best = SIZE_MAX, i;

	for (i = 0; i < 2; i++) {
		for (row = tables[i]; row != NULL && row->name != NULL; row++) {
			if (options_is_nearer(name + strspn(name, "-"), row->name, &best))
				nearest = row->name;
		}
	}
	buf_printf(error, "unknown option %s", name);
	if (nearest != NULL)
		buf_printf(error, "; do you mean --%s?", nearest);
	free(name);
}

bool
options_has(const struct options *o, const char *name)
{
	return options_text(o, name) != NULL;
}

const char *
options_text(const struct options *o, const char *name)
{
	return options_list(o, name, 0);
}

const char *
options_list(const struct options *o, const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < o->value_count; i++) {
		if (strcmp(o->values[i].option->name, name) == 0 && n-- == 0)
			return o->values[i].text;
	}
	return NULL;
}

unsigned long
options_number(const struct options *o, const char *name)
{
	const char *text = options_text(o, name);

	return text == NULL ? 0 : strtoul(text, NULL, 10);
}

double
options_percent(const struct options *o, const char *name)
{
	const char *text = options_text(o, name);

	return text == NULL ? 0 : strtod(text, NULL);
}

static bool
is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 10 && text[digits] == '\0' &&
	       strtoull(text, NULL, 10) >= 1 && strtoull(text, NULL, 10) <= 4000000000;
}

/* A list of rings; NULL if it is one, else what is wrong with it. `sizes` may be NULL. */
static const char *
read_rings(const char *text, uint64_t *sizes, size_t *count)
{
	uint64_t size;

	for (*count = 0;; text++) {
		size_t n = strcspn(text, ",");

		if (*count == OPTIONS_RINGS_MAX)
			return "has more than 20 rings";
		size = n <= 10 && strspn(text, "0123456789") == n ? strtoull(text, NULL, 10) : 0;
		if (n == 3 && memcmp(text, "all", 3) == 0) {
			if (text[n] != '\0')
				return "goes on behind \"all\", which is all that is left";
		} else if (size < 1 || size > RING_MAX) {
			return "has a ring that is neither a number from 1 to 1000000000 nor "
			       "\"all\"";
		}
		if (sizes != NULL)
			sizes[*count] = size;
		++*count;
		text += n;
		if (*text == '\0')
			return NULL;
	}
}

size_t
options_rings(const struct options *o, const char *name, uint64_t sizes[OPTIONS_RINGS_MAX])
{
	const char *text = options_text(o, name);
	size_t count;

	return text != NULL && read_rings(text, sizes, &count) == NULL ? count : 0;
}

static bool
is_duration(const char *text)
{
	int64_t time;

	return units_parse_duration(text, &time) && time > 0 && time <= DURATION_MAX;
}

static bool
is_percent(const char *text, bool zero)
{
	size_t n = strspn(text, "0123456789");
	bool digits = n > 0;

	if (text[n] == '.') {
		size_t more = strspn(text + n + 1, "0123456789");

		digits = digits && more > 0;
		n += 1 + more;
	}
	if (!digits || n > 12 || strcmp(text + n + (text[n] == '%'), "") != 0)
		return false;
	return (zero || strtod(text, NULL) > 0) && strtod(text, NULL) <= 100;
}

/* What an option of that kind takes; NULL if this text is it. */
static const char *
find_fault(enum option_kind kind, const char *text)
{
	int64_t window;
	uint32_t count;

	switch (kind) {
	case OPTION_NUMBER:
		return is_number(text) ? NULL : "takes a whole number from 1 to 4000000000";
	case OPTION_PERCENT:
		return is_percent(text, false) ? NULL : "takes a number above 0 and up to 100";
	case OPTION_SHARE:
		return is_percent(text, true) ? NULL : "takes a percentage from 0 to 100";
	case OPTION_RATE:
		return units_parse_rate(text, &count, &window)
			   ? NULL
			   : "takes recipients per time such as 100/1m (s, m, h, d)";
	case OPTION_DURATION:
		return is_duration(text) ? NULL
					 : "takes a time from 1s to 30d such as 10m (s, m, h, d)";
	case OPTION_FLAG:
	case OPTION_ANY:
	case OPTION_TEXT:
	case OPTION_LIST:
	case OPTION_RINGS:
		break;
	}
	return NULL;
}

/* True if the value is of the option's kind; else the sentence. */
static bool
check_value(const struct option *option, const char *text, struct buf *error)
{
	const char *fault = find_fault(option->kind, text);
	size_t count;

	if (fault != NULL) {
		buf_printf(error, "--%s %s, not \"%s\"", option->name, fault, text);
		return false;
	}
	if (option->kind == OPTION_RINGS && (fault = read_rings(text, NULL, &count)) != NULL) {
		buf_printf(error, "--%s %s; write sizes such as 10,100,1000,all, not \"%s\"",
			   option->name, fault, text);
		return false;
	}
	if ((option->kind != OPTION_TEXT && option->kind != OPTION_LIST) ||
	    text[strspn(text, " \t\r\n")] != '\0')
		return true;
	buf_printf(error, "--%s is empty; write --%s %s", option->name, option->name,
		   option->value);
	return false;
}

static bool
add_value(struct options *o, const struct option *option, const char *text, struct buf *error)
{
	if (option->kind != OPTION_FLAG && option->kind != OPTION_LIST &&
	    options_has(o, option->name)) {
		buf_printf(error, "--%s is given twice; give it once", option->name);
		return false;
	}
	if (!check_value(option, text, error))
		return false;
	o->values = mem_resize_array(o->values, o->value_count + 1, sizeof(*o->values));
	o->values[o->value_count++] = (struct option_value){option, text};
	return true;
}

/* An argument that starts with a dash; *at moves on when its value is the next argument. */
static bool
take_option(struct options *o, int argc, char **argv, int *at, const struct option *global,
	    const struct option *own, struct buf *error)
{
	const char *arg = argv[*at], *equals = strchr(arg, '='), *name = arg + 2;
	const struct option *option;

	if (arg[1] == '-') {
		size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);

		option = find_option(global, name, len);
		if (option == NULL)
			option = find_option(own, name, len);
	} else {
		equals = NULL;
		option = arg[2] == '\0' ? find_letter(global, arg[1]) : NULL;
		if (option == NULL && arg[2] == '\0')
			option = find_letter(own, arg[1]);
	}
	if (option == NULL) {
		report_unknown(arg, global, own, error);
		return false;
	}
	if (option->flags & OPTION_LATER) {
		buf_printf(error, "--%s: not available in this version", option->name);
		return false;
	}
	if (option->kind == OPTION_FLAG) {
		if (equals == NULL)
			return add_value(o, option, "", error);
		buf_printf(error, "--%s takes no value", option->name);
		return false;
	}
	if (equals != NULL)
		return add_value(o, option, equals + 1, error);
	if (*at + 1 >= argc) {
		buf_printf(error, "--%s needs a value; write --%s %s", option->name, option->name,
			   option->value);
		return false;
	}
	/* "--reason --first 10" is a reason forgotten, not a reason of "--first". */
	if (argv[*at + 1][0] == '-' && argv[*at + 1][1] == '-') {
		buf_printf(error,
			   "--%s needs a value before %s; if that is the value, write "
			   "--%s=%s",
			   option->name, argv[*at + 1], option->name, argv[*at + 1]);
		return false;
	}
	return add_value(o, option, argv[++*at], error);
}

bool
options_parse(struct options *o, int argc, char **argv, int *at, const struct option *global,
	      const struct option *own, bool stop, struct buf *error)
{
	bool only_words = false;

	for (; *at < argc; ++*at) {
		const char *arg = argv[*at];

		if (!only_words && strcmp(arg, "--") == 0) {
			only_words = true;
		} else if (!only_words && arg[0] == '-' && arg[1] != '\0') {
			if (!take_option(o, argc, argv, at, global, own, error))
				return false;
		} else if (stop) {
			return true;
		} else {
			o->words = mem_resize_array(o->words, o->word_count + 1, sizeof(*o->words));
			o->words[o->word_count++] = arg;
		}
	}
	return true;
}
