/*
 * The `mailfuse` command: what an operator runs to see and decide. It asks mailfused over its
 * control socket (docs/api.md). Here are the verbs and their options; one file each does the
 * work. One thread.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "cli/alert.h"
#include "cli/audit.h"
#include "cli/audit_log.h"
#include "cli/backup.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/decide.h"
#include "cli/drill.h"
#include "cli/explain.h"
#include "cli/export.h"
#include "cli/help.h"
#include "cli/hold.h"
#include "cli/import.h"
#include "cli/lists.h"
#include "cli/message.h"
#include "cli/passwd.h"
#include "cli/plan.h"
#include "cli/remote.h"
#include "cli/restore_from.h"
#include "cli/screen.h"
#include "cli/show.h"
#include "cli/simulate.h"
#include "cli/status.h"
#include "cli/story.h"
#include "cli/token.h"
#include "cli/top.h"

#define DEFAULT_CONTROL "/run/mailfuse/control.sock"

/* May stand before or after the verb. */
static const struct option global_options[] = {
    {"control", 0, OPTION_TEXT, 0, "PATH", "the daemon's socket, " DEFAULT_CONTROL},
    {"url", 0, OPTION_TEXT, 0, "URL", "instead: its HTTP port, such as http://127.0.0.1:8025"},
    {"token-file", 0, OPTION_TEXT, 0, "PATH", "where the token for it stands, else MAILFUSE_TOKEN"},
    {"ca", 0, OPTION_TEXT, 0, "FILE", "who signs its certificate (PEM), else MAILFUSE_CA"},
    {"json", 0, OPTION_FLAG, 0, NULL, "JSON: one object, or one object a line for lists"},
    {"yes", 'y', OPTION_FLAG, 0, NULL, "ask nothing before a change"},
    {"help", 'h', OPTION_FLAG, 0, NULL, "what a verb does and takes"},
    {"version", 'V', OPTION_FLAG, 0, NULL, "the version"},
    {0},
};

#define OPTION_REASON                                                                              \
	{                                                                                          \
		"reason", 0, OPTION_TEXT, 0, "\"TEXT\"", "why, for the audit log"                  \
	}
#define OPTION_LIMIT                                                                               \
	{                                                                                          \
		"limit", 0, OPTION_NUMBER, 0, "N", "at most so many rows (else 1000)"              \
	}

static const struct option batches_options[] = {
    {"state", 0, OPTION_TEXT, 0, "S", "held, releasing, paused, released or discarded"},
    {"all", 0, OPTION_FLAG, 0, NULL, "also those that are released or discarded"},
    OPTION_LIMIT,
    {0},
};

static const struct option messages_options[] = {
    {"environment", 0, OPTION_TEXT, 0, "E", "of this environment"},
    {"state", 0, OPTION_TEXT, 0, "S", "queued, waiting, held, sent, failed, dropped or discarded"},
    OPTION_LIMIT,
    {0},
};

static const struct option message_options[] = {
    {"raw", 0, OPTION_FLAG, 0, NULL, "the whole message, byte for byte, as it would leave"},
    {"text", 0, OPTION_FLAG, 0, NULL, "only its text, decoded"},
    {0},
};

/* Which part of a batch; the same for all verbs that decide on one. */
#define OPTION_FIRST                                                                               \
	{                                                                                          \
		"first", 0, OPTION_NUMBER, 0, "N", "only the N recipients that came first"         \
	}
#define OPTION_SHARE_OF                                                                            \
	{                                                                                          \
		"percent", 0, OPTION_PERCENT, 0, "P", "only that share of the batch"               \
	}
#define OPTION_RECIPIENTS                                                                          \
	{                                                                                          \
		"to", 0, OPTION_TEXT, 0, "PATTERN",                                                \
		    "only recipients like *@example.com or /regex/"                                \
	}
#define OPTION_SUBJECTS                                                                            \
	{                                                                                          \
		"subject", 0, OPTION_TEXT, 0, "PATTERN",                                           \
		    "only subjects like \"Invoice *\" or /regex/"                                  \
	}
#define OPTION_DRY_RUN                                                                             \
	{                                                                                          \
		"dry-run", 'n', OPTION_FLAG, 0, NULL, "say what would happen, change nothing"      \
	}
#define OPTION_WATCH                                                                               \
	{                                                                                          \
		"follow", 'f', OPTION_FLAG, 0, NULL, "watch it until it is done or paused"         \
	}

static const struct option show_options[] = {OPTION_WATCH, {0}};

static const struct option release_options[] = {
    OPTION_REASON,
    OPTION_FIRST,
    OPTION_SHARE_OF,
    OPTION_RECIPIENTS,
    OPTION_SUBJECTS,
    {"rate", 0, OPTION_RATE, 0, "N/PERIOD", "not faster than, such as 100/1m"},
    {"rings", 0, OPTION_RINGS, 0, "N,N,all", "so many first, then so many more, ..."},
    {"wait", 0, OPTION_DURATION, 0, "TIME", "after each ring, such as 10m"},
    {"stop-on", 0, OPTION_SHARE, 0, "PERCENT", "pause when more of a ring is refused, such as 2%"},
    {"stream", 0, OPTION_DURATION, 0, "TIME", "let what follows pass for so long"},
    OPTION_DRY_RUN,
    OPTION_WATCH,
    {0},
};

static const struct option discard_options[] = {
    OPTION_REASON,   OPTION_FIRST,
    OPTION_SHARE_OF, OPTION_RECIPIENTS,
    OPTION_SUBJECTS, {"stream", 0, OPTION_DURATION, 0, "TIME", "discard what follows for so long"},
    OPTION_DRY_RUN,  {0},
};

static const struct option restore_options[] = {
    OPTION_REASON,  OPTION_FIRST, OPTION_SHARE_OF, OPTION_RECIPIENTS, OPTION_SUBJECTS,
    OPTION_DRY_RUN, {0},
};

static const struct option approve_options[] = {OPTION_REASON, OPTION_DRY_RUN, OPTION_WATCH, {0}};

static const struct option pause_options[] = {OPTION_REASON, OPTION_DRY_RUN, {0}};

static const struct option resume_options[] = {
    OPTION_REASON,
    {"rate", 0, OPTION_RATE, 0, "N/PERIOD", "from now on not faster than, such as 100/1m"},
    OPTION_DRY_RUN,
    OPTION_WATCH,
    {0},
};

static const struct option hold_options[] = {
    {"environment", 0, OPTION_TEXT, 0, "E", "all mail of this environment"},
    {"source", 0, OPTION_TEXT, 0, "S", "all mail of this source"},
    {"everything", 0, OPTION_FLAG, 0, NULL, "all mail"},
    OPTION_REASON,
    {0},
};

static const struct option explain_options[] = {
    {"client", 0, OPTION_TEXT, 0, "IP", "the address it comes from"},
    {"user", 0, OPTION_TEXT, 0, "USER", "the SMTP login"},
    {"tls-name", 0, OPTION_TEXT, 0, "NAME", "the name in the client's certificate"},
    {"listener", 0, OPTION_TEXT, 0, "NAME", "the listener it comes in by"},
    {"helo", 0, OPTION_TEXT, 0, "NAME", "the name said in EHLO"},
    {"from", 0, OPTION_ANY, 0, "ADDRESS", "the envelope's sender; \"<>\" is a bounce"},
    {"to", 0, OPTION_LIST, 0, "ADDRESS", "a recipient; give it for each"},
    {"message", 0, OPTION_TEXT, 0, "FILE", "the message; - reads it from stdin"},
    {0},
};

static const struct option simulate_options[] = {
    {"config", 0, OPTION_TEXT, 0, "FILE",
     "the configuration, else " SYSCONFDIR "/mailfuse/mailfuse.conf"},
    {"trace", 0, OPTION_TEXT, 0, "FILE", "the trace; - reads it from stdin"},
    {"history", 0, OPTION_TEXT, 0, "TIME", "the recorded traffic of so long (else 30d)"},
    {"suggest", 0, OPTION_FLAG, 0, NULL, "limits that this traffic would bear"},
    {"verdicts", 0, OPTION_FLAG, 0, NULL, "each recipient's verdict as it comes"},
    {0},
};

static const struct option log_options[] = {
    {"last", 0, OPTION_NUMBER, 0, "N", "the newest N rows (else 20, at most 1000)"},
    {"follow", 'f', OPTION_FLAG, 0, NULL, "go on with what is added, until Ctrl-C"},
    {0},
};

static const struct option audit_options[] = {
    {"head", 0, OPTION_TEXT, 0, "ID:HASH", "the head that an alert told: is that row still there?"},
    {"file", 0, OPTION_TEXT, 0, "FILE", "verify an export; - reads it from stdin"},
    {"after", 0, OPTION_NUMBER, 0, "N", "export only rows behind row N; the export begins there"},
    {0},
};

static const struct option alert_options[] = {
    {"all", 0, OPTION_FLAG, 0, NULL, "test every channel, one after the other"},
    {0},
};

static const struct option drill_options[] = {
    {"environment", 0, OPTION_TEXT, 0, "E", "the environment whose rules are drilled"},
    {"listener", 0, OPTION_TEXT, 0, "L", "the listener it goes through (else the first)"},
    {"timeout", 0, OPTION_DURATION, 0, "TIME", "how long to wait at each step (else 1m)"},
    {"keep", 0, OPTION_FLAG, 0, NULL, "leave the batch, to look at it"},
    {0},
};

static const struct option story_options[] = {
    {"markdown", 0, OPTION_FLAG, 0, NULL, "as Markdown, for the report"},
    {"names", 0, OPTION_FLAG, 0, NULL, "who decided by name, not as \"an operator\""},
    {0},
};

static const struct option backup_options[] = {
    OPTION_REASON,
    {"verify", 0, OPTION_FLAG, 0, NULL, "only check that FILE is a whole copy; no daemon needed"},
    {0},
};

static const struct option restore_from_options[] = {
    {"batch", 0, OPTION_TEXT, 0, "BATCH", "which batch of the copy"},
    OPTION_REASON,
    {0},
};

static const struct option import_options[] = {OPTION_REASON, {0}};

static const struct option top_options[] = {
    {"interval", 0, OPTION_DURATION, 0, "TIME", "ask so often (else each 1s)"},
    {"once", 0, OPTION_FLAG, 0, NULL, "print what there is now, as plain lines, and end"},
    {0},
};

static const struct option passwd_options[] = {
    {"users", 0, OPTION_TEXT, 0, "FILE", "the users file, else " SYSCONFDIR "/mailfuse/users"},
    {"delete", 0, OPTION_FLAG, 0, NULL, "the user may not log in any more"},
    {0},
};

static const struct option token_options[] = {
    {"role", 0, OPTION_TEXT, 0, "R,R", "viewer, operator, approver"},
    {"tokens", 0, OPTION_TEXT, 0, "FILE", "the tokens file, else " SYSCONFDIR "/mailfuse/tokens"},
    {"delete", 0, OPTION_FLAG, 0, NULL, "the token opens nothing any more"},
    {0},
};

static const struct verb verbs[] = {
    {"status", "", "what runs, what is protected, what is held, warnings", NULL, 0, 0, status_run,
     NULL},
    {"batches", "[--state S] [--all] [--limit N]", "list what is held", batches_options, 0, 0,
     batches_run, NULL},
    {"show", "BATCH [--follow]", "the story of one batch, and what can be done next", show_options,
     1, 1, show_run,
     "--follow watches its release: a bar for each ring on a terminal, a line for each\n"
     "change elsewhere. Ctrl-C ends the watching, not the release."},
    {"messages", "BATCH | --environment E | --state S [--limit N]", "list deliveries",
     messages_options, 0, 1, messages_run,
     "A delivery is one message to one recipient. The conditions may be combined."},
    {"message", "ID [--raw | --text]", "one message", message_options, 1, 1, message_run, NULL},
    {"release",
     "BATCH|ID..|- --reason \"TEXT\" [--first N | --percent P]\n"
     "       [--to PATTERN] [--subject PATTERN] [--rate N/PERIOD]\n"
     "       [--rings N,N,all [--wait TIME]] [--stop-on PERCENT] [--stream TIME]\n"
     "       [--dry-run] [--follow]",
     "send held mail, all of it, in rings or a part", release_options, 1, SIZE_MAX, release_run,
     "First says how many recipients it touches and, on a terminal, asks. Begin small:\n"
     "--rings 10,100,1000,all --wait 10m --stop-on 2% sends 10, waits until these are\n"
     "delivered and ten minutes more, then sends 100, and so on; it pauses by itself\n"
     "when more than 2% of a ring are refused. A large release waits for a second\n"
     "person: mailfuse approve. Nothing is sent twice.\n"
     "The word - reads ids from stdin, one a line, or what mailfuse messages --json\n"
     "prints."},
    {"approve", "BATCH [--reason \"TEXT\"] [--dry-run] [--follow]",
     "the second person's yes to a large release", approve_options, 1, 1, approve_run,
     "Says who asked for it, why and how it would go on. Whoever asked cannot approve."},
    {"pause", "BATCH [--reason \"TEXT\"] [--dry-run]", "stop a release", pause_options, 1, 1,
     pause_run, "What has not left is held again, until mailfuse resume."},
    {"resume", "BATCH [--reason \"TEXT\"] [--rate N/PERIOD] [--dry-run] [--follow]",
     "go on with a paused release", resume_options, 1, 1, resume_run,
     "It goes on with the ring that was paused."},
    {"discard",
     "BATCH|ID..|- --reason \"TEXT\" [--first N | --percent P]\n"
     "       [--to PATTERN] [--subject PATTERN] [--stream TIME] [--dry-run]",
     "decide that held mail is never sent", discard_options, 1, SIZE_MAX, discard_run,
     "It is kept for keep_discarded; until then mailfuse restore brings it back."},
    {"restore",
     "BATCH|ID..|- [--reason \"TEXT\"] [--first N | --percent P]\n"
     "       [--to PATTERN] [--subject PATTERN] [--dry-run]",
     "hold discarded mail again", restore_options, 1, SIZE_MAX, restore_run,
     "Nothing is sent by it."},
    {"purge",
     "BATCH|ID..|- --reason \"TEXT\" [--first N | --percent P]\n"
     "       [--to PATTERN] [--subject PATTERN] [--dry-run]",
     "delete discarded mail for good", restore_options, 1, SIZE_MAX, purge_run,
     "Only of what is discarded. Nothing brings it back; the audit log keeps that it\n"
     "was there."},
    {"hold", "--environment E | --source S | --everything --reason \"TEXT\"",
     "the panic button: stop mail now", hold_options, 0, 0, hold_run,
     "Mail is still accepted and kept; none of it leaves until mailfuse unhold."},
    {"unhold", "[--environment E | --source S | --everything] [--reason \"TEXT\"]",
     "let new mail pass again", hold_options, 0, 0, unhold_run,
     "Without an option it lifts the hold, if there is just one. What was held meanwhile stays\n"
     "held: mailfuse batches."},
    {"explain",
     "--client IP [--user U] [--tls-name N] [--listener L] [--helo NAME]\n"
     "       --from A --to B.. [--message FILE]",
     "the verdict for a message, and nothing sent", explain_options, 0, SIZE_MAX, explain_run,
     "Words after the options are more recipients."},
    {"simulate",
     "[--config FILE] [--trace FILE | --history TIME] [--suggest]\n"
     "       [--verdicts]",
     "what a configuration would have done", simulate_options, 0, 0, simulate_run,
     "Runs the configuration over a trace, or over the traffic that mailfused has recorded,\n"
     "on a clock of its own. Nothing is sent. A trace is CSV; mailfuse(1) has its columns."},
    {"queue", "", "what waits to be sent, and why", NULL, 0, 0, queue_run, NULL},
    {"log", "[--last N] [--follow]", "who did what, when and why", log_options, 0, 0, audit_log_run,
     NULL},
    {"passwd", "NAME [--users FILE] [--delete]", "set the password of an SMTP user", passwd_options,
     1, 1, passwd_run,
     "Asks for it twice on a terminal, else reads one line of standard input; it is never an\n"
     "argument, which everybody on the machine could see. Works on the file, without mailfused:\n"
     "systemctl reload mailfuse (or SIGHUP) takes it into use."},
    {"token", "NAME --role R[,R] [--tokens FILE] [--delete]",
     "make a token for the HTTP port, or delete it", token_options, 1, 1, token_run,
     "Roles are viewer, operator and approver. The token is printed once; the file has its hash\n"
     "only. A name that has a token gets a new one, and the old one ends. Works on the file,\n"
     "without mailfused: systemctl reload mailfuse (or SIGHUP) takes it into use."},
    {"help", "[VERB]", "this, or what a verb does and takes", NULL, 0, 1, NULL, NULL},
    {"drill", "[--environment E] [--listener L] [--timeout TIME] [--keep]",
     "a synthetic blast: does the fuse blow?", drill_options, 0, 0, drill_run,
     "Sends synthetic mail through a real listener until the burst rule trips, and then looks:\n"
     "held within its bound, alert delivered, a first ring released, discarded, restored, purged?\n"
     "All of it goes to addresses that do not exist, and only to this command itself; the alerts\n"
     "are real. Without --environment each environment of production is drilled, one after the\n"
     "other. Exit code 1 if one step failed."},
    {"alert", "list | test NAME | test --all", "the alert channels: do people get told?",
     alert_options, 1, 2, alert_run,
     "list shows each channel and how it fares. test sends an alert through it that says it is a\n"
     "test, and waits for what becomes of it: mail until the upstream has taken it. Exit code 1\n"
     "if one was not delivered."},
    {"audit",
     "verify [--head ID:HASH] [--file EXPORT [--after N]]\n"
     "       audit export [--after N]",
     "verify or export the audit log", audit_options, 1, 1, audit_run,
     "verify computes the chain of hashes over every row and names the first that was altered,\n"
     "taken away, added or moved. Whoever can rewrite the whole database can rewrite the chain\n"
     "too: --head compares it with what an alert has told. export prints one row a line."},
    {"story", "BATCH [--markdown] [--names]", "what happened, for the review of an incident",
     story_options, 1, 1, story_run,
     "From the first message to the last decision: alerts, looks, counts, rates, and questions\n"
     "worth asking. It blames nobody; addresses, numbers and tokens in it are masked."},
    {"backup", "FILE [--reason \"TEXT\"] | --verify FILE", "copy the store while it works",
     backup_options, 1, 1, backup_run,
     "The copy is opened and checked before it counts as one, by mailfused and from here."},
    {"restore-from", "FILE --batch BATCH [--reason \"TEXT\"]", "bring one batch of a backup back",
     restore_from_options, 1, 1, restore_from_run,
     "Held and discarded mail of it comes back as it was; what is there already is skipped.\n"
     "Nothing is sent by it. What was sent since the backup and forgotten comes back as held."},
    {"export", "BATCH DIR", "a batch as .eml files and a manifest", NULL, 2, 2, export_run,
     "DIR is made, or is empty. What is in it is other people's mail."},
    {"import", "DIR [--reason \"TEXT\"]", "bring an exported batch back", import_options, 1, 1,
     import_run, "Every file is checked against the manifest first. Nothing is sent by it."},
    {"top", "[--interval TIME] [--once]", "watch it live", top_options, 0, 0, top_run,
     "Traffic of each environment, batches that fill, releases that run, upstreams; ? lists the\n"
     "keys, q quits. Where stdout is no terminal: once, as plain lines."},
    {0},
};

static const struct verb *
find_verb(const char *name)
{
	const struct verb *v;

	for (v = verbs; v->name != NULL; v++) {
		if (strcmp(v->name, name) == 0)
			return v;
	}
	return NULL;
}

static int
report_unknown(const char *name)
{
	const struct verb *v;
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (v = verbs; v->name != NULL; v++) {
		if (options_is_nearer(name, v->name, &best))
			nearest = v->name;
	}
	fprintf(stderr, "mailfuse: there is no verb \"%s\"", screen_text(name));
	if (nearest != NULL)
		fprintf(stderr, "; do you mean %s?", nearest);
	fprintf(stderr, "\nSee mailfuse help.\n");
	return CLIENT_USAGE;
}

/* help [VERB], --help, VERB --help. */
static int
show_help(const char *name)
{
	const struct verb *v = name != NULL ? find_verb(name) : NULL;

	if (name != NULL && v == NULL)
		return report_unknown(name);
	if (v != NULL)
		help_print_verb(stdout, v, global_options);
	else
		help_print(stdout, verbs, global_options);
	return CLIENT_DONE;
}

/* NULL after it was said what is wrong. */
static struct client *
open_remote(const struct command *c, const char *url)
{
	struct buf error = {0};
	char *base = remote_read_url(url, &error), *token = NULL, *ca = NULL;

	if (base != NULL && remote_read_ca(options_text(c->options, "ca"), &ca, &error))
		token = remote_read_token(options_text(c->options, "token-file"), &error);
	if (token != NULL)
		return client_new_remote(base, token, ca);
	command_usage(c, "%s", buf_text(&error));
	free(base);
	free(ca);
	buf_free(&error);
	return NULL;
}

static struct client *
open_client(const struct command *c)
{
	const char *path = options_text(c->options, "control");
	const char *url = options_text(c->options, "url");

	if (url != NULL && path != NULL) {
		command_usage(c, "--url and --control exclude each other.");
		return NULL;
	}
	if (url != NULL)
		return open_remote(c, url);
	if (options_has(c->options, "token-file") || options_has(c->options, "ca")) {
		command_usage(c, "--%s goes with --url URL.",
			      options_has(c->options, "ca") ? "ca" : "token-file");
		return NULL;
	}
	if (path == NULL)
		path = getenv("MAILFUSE_CONTROL");
	return client_new(path != NULL && *path != '\0' ? path : DEFAULT_CONTROL);
}

static int
run_verb(const struct verb *v, const struct options *o)
{
	struct command c = {.verb = v->name, .options = o};
	int result;

	c.json = options_has(o, "json");
	c.yes = options_has(o, "yes");
	if (o->word_count < v->words_min)
		return command_usage(&c, "which one? Usage: mailfuse %s %s", v->name, v->synopsis);
	if (o->word_count > v->words_max)
		return command_usage(&c, "\"%s\" is too much. Usage: mailfuse %s%s%s",
				     screen_text(o->words[v->words_max]), v->name,
				     *v->synopsis == '\0' ? "" : " ", v->synopsis);
	c.client = open_client(&c);
	if (c.client == NULL)
		return CLIENT_USAGE;
	result = v->run(&c);
	client_free(c.client);
	return result;
}

/* What follows the options that stand before the verb. */
static int
run_arguments(int argc, char **argv, int at, struct options *o)
{
	const struct verb *v;
	struct buf error = {0};

	if (options_has(o, "version")) {
		printf("mailfuse %s (libcurl/%s, jansson/%s)\n", PACKAGE_VERSION,
		       curl_version_info(CURLVERSION_NOW)->version, jansson_version_str());
		return CLIENT_DONE;
	}
	if (at >= argc && options_has(o, "help"))
		return show_help(NULL);
	if (at >= argc) {
		help_print(stderr, verbs, global_options);
		return CLIENT_USAGE;
	}
	/* What the shells ask; it takes half a command line, so nothing of it is checked. */
	if (strcmp(argv[at], "complete") == 0)
		return complete_run(&(struct complete){verbs, global_options, open_client},
				    argc - at - 1, argv + at + 1);
	v = find_verb(argv[at]);
	if (v == NULL)
		return report_unknown(argv[at]);
	at++;
	if (!options_parse(o, argc, argv, &at, global_options, v->options, false, &error)) {
		fprintf(stderr, "mailfuse %s: %s\nSee mailfuse help %s.\n", v->name,
			screen_text(buf_text(&error)), v->name);
		buf_free(&error);
		return CLIENT_USAGE;
	}
	if (v->run == NULL)
		return show_help(o->word_count > 0 ? o->words[0] : NULL);
	return options_has(o, "help") ? show_help(v->name) : run_verb(v, o);
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	struct buf error = {0};
	int at = 1, result;

	/* `mailfuse messages B17 | head` ends quietly, even if whoever started us ignores it. */
	signal(SIGPIPE, SIG_DFL);
	screen_init();
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (options_parse(&o, argc, argv, &at, global_options, NULL, true, &error)) {
		result = run_arguments(argc, argv, at, &o);
	} else {
		fprintf(stderr,
			"mailfuse: %s\nSee mailfuse help; options of a verb stand after "
			"it.\n",
			screen_text(buf_text(&error)));
		result = CLIENT_USAGE;
	}
	buf_free(&error);
	options_free(&o);
	curl_global_cleanup();
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("mailfuse: cannot write the output");
		result = result == CLIENT_DONE ? CLIENT_REFUSED : result;
	}
	return result;
}
