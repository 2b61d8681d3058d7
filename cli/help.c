/*
 * Prints the tables of cli/main.c for people. Called by main() only.
 */
#include "cli/help.h"

#include <string.h>

#include "cli/screen.h"

enum { NAME_COLUMNS = 22 };

static void
print_options(FILE *out, const struct option *row)
{
	for (; row != NULL && row->name != NULL; row++) {
		char name[64];

		if (row->flags & OPTION_LATER)
			continue;
		snprintf(name, sizeof(name), "%s%c%s--%s%s%s", row->letter != 0 ? "-" : "",
			 row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ", " : "   ",
			 row->name, row->value != NULL ? " " : "",
			 row->value != NULL ? row->value : "");
		fprintf(out, "  %-*s  %s\n", NAME_COLUMNS + 4, name, row->help);
	}
}

void
help_print(FILE *out, const struct verb *verbs, const struct option *global)
{
	const struct verb *v;

	fprintf(out, "Usage: mailfuse [OPTION..] VERB [OPTION..] [WORD..]\n"
		     "Sees and decides what mailfused, the outbound mail fuse, holds.\n\n");
	for (v = verbs; v->name != NULL; v++)
		fprintf(out, "  %-12s %s\n", v->name, v->help);
	fprintf(out, "\nOptions, before or after the verb:\n");
	print_options(out, global);
	fprintf(out, "\nmailfuse help VERB says more. Woken at night? Begin with mailfuse status, "
		     "then\nmailfuse batches, then mailfuse show BATCH.\n"
		     "Exit code: 0 done, 1 refused or failed, 2 usage, 3 mailfused not reached.\n");
}

void
help_print_verb(FILE *out, const struct verb *v, const struct option *global)
{
	const char *end = strchr(v->help, '?') == NULL ? "." : "";

	fprintf(out, "Usage: mailfuse %s%s%s\n\n%s: %s%s\n", v->name,
		*v->synopsis != '\0' ? " " : "", v->synopsis, v->name, v->help, end);
	if (v->details != NULL)
		fprintf(out, "%s\n", v->details);
	if (v->options != NULL)
		fprintf(out, "\nOptions:\n");
	print_options(out, v->options);
	fprintf(out, "\nOptions of every verb:\n");
	print_options(out, global);
}
