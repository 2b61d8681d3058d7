/*
 * The table of settings and what is asked of it. Read by text.c (what may stand where), load.c and
 * value.c (conversion, defaults) and, through config_document(), by people. Nothing here is freed.
 */
#include "config/options.h"

#include <string.h>

#include "base/clock.h"
#include "config/config.h"

#ifndef LOCALSTATEDIR
#define LOCALSTATEDIR "/var"
#endif

#define SECOND ((uint64_t)CLOCK_SECOND)
#define MINUTE ((uint64_t)CLOCK_MINUTE)
#define DAY ((uint64_t)CLOCK_DAY)
#define YEARS_10 (3650 * DAY)

static const char *const words_log[] = {"stderr", "syslog", NULL};
static const char *const words_newline[] = {"normalize", "reject", NULL};
static const char *const words_others[] = {"drop", "rewrite", "reject", "hold", NULL};
static const char *const words_action[] = {"hold", "alert", NULL};
static const char *const words_per[] = {"environment", "source",   "sender", "subject",
					"recipient",   "campaign", NULL};
static const char *const words_part[] = {"text", "html", "body", NULL};
static const char *const words_alert[] = {"webhook", "slack", "exec", "teams", "email", NULL};
static const char *const words_listener_tls[] = {"off", "starttls", "required", "implicit", NULL};
static const char *const words_upstream_tls[] = {"off", "opportunistic", "required", "implicit",
						 NULL};
static const char *const words_auth[] = {"off", "optional", "required", NULL};

#define IN(type, field) .offset = offsetof(struct type, field)
#define AND(type, field) .offset2 = offsetof(struct type, field)
#define RANGE(least, most) .min = (least), .max = (most)

/* clang-format off: a row reads best as a row */
static const struct option table[] = {
    /* ---- top level */
    {"", "hostname", OPTION_TEXT, OPTION_FROM_FILE, "", IN(config, hostname),
     .help = "the name this gate gives itself in EHLO, Received and alerts; by default the host's "
	     "name"},
    {"", "store", OPTION_PATH, OPTION_FIXED, LOCALSTATEDIR "/lib/mailfuse/mailfuse.db",
     IN(config, store), .help = "the database file; \"memory:\" keeps nothing and is for tests"},
    {"", "control", OPTION_PATH, OPTION_FIXED, "/run/mailfuse/control.sock", IN(config, control),
     .help = "the Unix socket that the mailfuse command talks to"},
    {"", "users", OPTION_PATH, 0, "", IN(config, users),
     .help = "the file of who may log in, one NAME:HASH a line, as mailfuse passwd writes it"},
    {"", "user", OPTION_TEXT, OPTION_FIXED, "", IN(config, user),
     .help = "the system user that mailfused becomes after its start as root"},
    {"", "log", OPTION_CHOICE, OPTION_FIXED, "stderr", IN(config, log), .words = words_log,
     .help = "where the log goes: stderr or syslog"},
    {"", "loops", OPTION_NUMBER, OPTION_FIXED, "0", IN(config, loops), RANGE(0, 64),
     .help = "relay threads; 0 is one per core, at most 8"},
    {"", "keep_dropped", OPTION_DURATION, 0, "7d", IN(config, keep_dropped),
     RANGE(SECOND, YEARS_10), .help = "how long dropped mail can still be looked at"},
    {"", "keep_discarded", OPTION_DURATION, 0, "30d", IN(config, keep_discarded),
     RANGE(SECOND, YEARS_10), .help = "how long discarded mail can still be restored"},
    {"", "keep_sent", OPTION_DURATION, 0, "1d", IN(config, keep_sent), RANGE(SECOND, YEARS_10),
     .help = "how long sent and failed mail can still be looked at"},
    {"", "keep_traffic", OPTION_DURATION, 0, "90d", IN(config, keep_traffic),
     RANGE(MINUTE, YEARS_10),
     .help = "how long the counts of traffic per minute are kept, for simulate"},
    {"", "quarantine_limit", OPTION_SIZE, 0, "20GB", IN(config, quarantine_limit),
     RANGE(1, UINT64_MAX),
     .help =
	 "the largest size of the database; beyond it new mail is answered 452, nothing is lost"},
    {"", "min_free_space", OPTION_SIZE, 0, "1GB", IN(config, min_free_space), RANGE(0, UINT64_MAX),
     .help =
	 "free space to leave on the database's file system; below it new mail is answered 452"},
    {"", "memory_limit", OPTION_SIZE, 0, "512MB", IN(config, memory_limit),
     RANGE(1 << 20, UINT64_MAX),
     .help = "the most bytes of message content in memory, in all; beyond it senders wait"},
    {"", "counter_keys", OPTION_NUMBER, 0, "1000000", IN(config, counter_keys),
     RANGE(1000, 20000000),
     .help = "keys of limits in memory, in all; one source has at most a quarter; what finds no "
	     "place shares a key and trips sooner"},
    {"", "listener", OPTION_SECTION, OPTION_TITLE, "",
     .help = "an address on which applications hand in mail; with none: 127.0.0.1:2525"},
    {"", "upstream", OPTION_SECTION, OPTION_TITLE, "",
     .help = "a mail server that takes what may leave"},
    {"", "environment", OPTION_SECTION, OPTION_TITLE, "",
     .help = "a group of sources with one policy; a source that matches none is held"},
    {"", "alert", OPTION_SECTION, OPTION_TITLE, "",
     .help = "a channel that tells people what happens"},
    {"", "remind_after", OPTION_TIMES, 0, "1h, 4h, 24h", IN(config, remind_after),
     RANGE(SECOND, 365 * DAY),
     .help = "when a held batch that nobody looked at is told of again, and then once a day; {} is "
	     "never"},
    {"", "drill_every", OPTION_DURATION, 0, "30d", IN(config, drill_every), RANGE(0, YEARS_10),
     .help = "status warns where no drill has passed for so long; 0 is never"},
    {"", "approval", OPTION_SECTION, OPTION_ONCE, "",
     .help = "large releases wait for a second person; without it nobody is asked"},
    {"", "access", OPTION_SECTION, OPTION_ONCE, "",
     .help = "who may do what on the control socket; without it who reaches it may do all"},
    {"", "http", OPTION_SECTION, OPTION_ONCE, "",
     .help = "the API and the console on a TCP port, for who has a token; without it on the "
	     "control socket only"},

    /* ---- listener */
    {"listener", "address", OPTION_ADDRESS,
     OPTION_FIXED | OPTION_REQUIRED | OPTION_FROM_FILE | OPTION_NUMERIC, "",
     IN(config_listener, host), AND(config_listener, port),
     .help = "IP address and port, such as \"127.0.0.1:2525\" or \"[::1]:2525\""},
    {"listener", "tls", OPTION_CHOICE, 0, "off", IN(config_listener, tls),
     .words = words_listener_tls,
     .help = "off; starttls offers it; required refuses mail without it; implicit speaks it from "
	     "the first byte"},
    {"listener", "certificate", OPTION_PATH, 0, "", IN(config_listener, certificate),
     .help = "PEM file of the certificate, those of its signers behind it"},
    {"listener", "key", OPTION_PATH, 0, "", IN(config_listener, key),
     .help = "PEM file of its private key; by default the file of certificate"},
    {"listener", "client_ca", OPTION_PATH, 0, "", IN(config_listener, client_ca),
     .help = "PEM file of who signs the certificates of clients; with it a client's certificate "
	     "gives it a tls_name"},
    {"listener", "auth", OPTION_CHOICE, 0, "off", IN(config_listener, auth), .words = words_auth,
     .help = "off, optional or required; offered only under TLS or to clients on loopback; needs "
	     "users"},
    {"listener", "max_message_size", OPTION_SIZE, 0, "25MB", IN(config_listener, max_message_size),
     RANGE(1024, UINT64_C(2) << 30), .help = "the largest message; larger ones are answered 552"},
    {"listener", "max_recipients", OPTION_NUMBER, 0, "1000", IN(config_listener, max_recipients),
     RANGE(1, 100000), .help = "recipients of one message; RCPT beyond it is answered 452"},
    {"listener", "max_connections", OPTION_NUMBER, 0, "10000", IN(config_listener, max_connections),
     RANGE(1, 1000000), .help = "open connections; more are answered 421"},
    {"listener", "max_client_connections", OPTION_NUMBER, 0, "2000",
     IN(config_listener, max_client_connections), RANGE(1, 1000000),
     .help = "open connections of one client address, or of one IPv6 /64; more are answered 421"},
    {"listener", "max_client_errors", OPTION_RATE, 0, "200/1m",
     IN(config_listener, max_client_errors), AND(config_listener, client_errors_window),
     RANGE(SECOND, DAY),
     .help = "refused commands and failed logins of one client; beyond it is answered 421"},
    {"listener", "idle_timeout", OPTION_DURATION, 0, "5m", IN(config_listener, idle_timeout),
     RANGE(SECOND, DAY), .help = "a client that says nothing for so long is answered 421"},
    {"listener", "bare_newline", OPTION_CHOICE, 0, "normalize", IN(config_listener, bare_newline),
     .words = words_newline,
     .help = "a line that ends without CR: normalize makes it CRLF, reject answers 554"},

    /* ---- upstream */
    {"upstream", "address", OPTION_ADDRESS, OPTION_REQUIRED | OPTION_FROM_FILE, "",
     IN(config_upstream, host), AND(config_upstream, port),
     .help = "host and port of the mail server, such as \"smtp.example.com:25\""},
    {"upstream", "tls", OPTION_CHOICE, 0, "opportunistic", IN(config_upstream, tls),
     .words = words_upstream_tls,
     .help = "off; opportunistic uses it where offered; required and implicit verify chain and "
	     "name, and never send without it"},
    {"upstream", "ca", OPTION_PATH, 0, "", IN(config_upstream, ca),
     .help = "PEM file of who may have signed its certificate; by default whom the system trusts"},
    {"upstream", "user", OPTION_TEXT, 0, "", IN(config_upstream, user),
     .help = "the name to log in with; needs password, and tls = required or implicit"},
    {"upstream", "password", OPTION_TEXT, OPTION_FROM_FILE | OPTION_SECRET, "",
     IN(config_upstream, password),
     .help = "its password; better \"file:/path\" or \"${NAME}\" than the word itself"},
    {"upstream", "connections", OPTION_NUMBER, 0, "20", IN(config_upstream, connections),
     RANGE(1, 10000), .help = "connections to it at the same time, at most"},
    {"upstream", "retry_for", OPTION_DURATION, 0, "3d", IN(config_upstream, retry_for),
     RANGE(SECOND, 365 * DAY), .help = "how long a delivery is tried before it fails"},
    {"upstream", "timeout", OPTION_DURATION, 0, "5m", IN(config_upstream, timeout),
     RANGE(SECOND, 60 * MINUTE),
     .help = "how long to wait for one reply; after the final dot twice that"},

    /* ---- environment */
    {"environment", "production", OPTION_FLAG, 0, "false", IN(config_environment, production),
     .help = "true if its mail is meant for real people"},
    {"environment", "match", OPTION_SECTION, 0, "",
     .help = "which sources belong to it: all keys of one block, any of several blocks; most "
	     "specific wins"},
    {"environment", "upstream", OPTION_TEXT, 0, "", IN(config_environment, upstream),
     .help = "where its mail goes; none captures all of it; by default the only upstream defined"},
    {"environment", "subject_prefix", OPTION_TEXT, 0, "", IN(config_environment, subject_prefix),
     .help = "put before every subject, such as \"[STAGING] \""},
    {"environment", "allow", OPTION_LIST, OPTION_MAY_MISS, "", IN(config_environment, allow),
     .help = "who may be reached; not set: everybody in production, nobody elsewhere; {} is "
	     "nobody, {\"*\"} everybody; what has %, ! or @ in its local part could be sent on and "
	     "is only matched by its whole address"},
    {"environment", "others", OPTION_CHOICE, 0, "hold", IN(config_environment, others),
     .words = words_others,
     .help = "what happens to other recipients: drop, rewrite, reject or hold"},
    {"environment", "rewrite_to", OPTION_TEXT, 0, "", IN(config_environment, rewrite_to),
     .help = "where others = rewrite sends them: %u local part, %d domain, %e environment, %% a "
	     "percent sign"},
    {"environment", "burst", OPTION_SECTION, OPTION_TITLE, "",
     .help = "a limit; with none: production 500/10m per {source, subject} and 20/1h per "
	     "{recipient, subject}, "
	     "others 50/10m per {environment}"},
    {"environment", "content", OPTION_SECTION, OPTION_TITLE | OPTION_PHRASE, "",
     .help = "a pattern in the mail itself that holds it, at once or above a number of recipients"},
    {"environment", "campaign_window", OPTION_DURATION, 0, "30d",
     IN(config_environment, campaign_window), RANGE(SECOND, 30 * DAY),
     .help = "how long the recipients of a campaign that declared its audience are counted"},

    /* ---- match */
    {"match", "listener", OPTION_LIST, OPTION_MAY_MISS, "", IN(config_match, listeners),
     .help = "names of listeners"},
    {"match", "network", OPTION_LIST, OPTION_MAY_MISS, "", IN(config_match, networks),
     .help = "client addresses: \"10.1.0.0/16\", \"2001:db8::/32\", \"192.0.2.7\""},
    {"match", "user", OPTION_LIST, OPTION_MAY_MISS, "", IN(config_match, users),
     .help = "SMTP logins, * and ? allowed; needs a listener with auth"},
    {"match", "tls_name", OPTION_LIST, OPTION_MAY_MISS, "", IN(config_match, tls_names),
     .help = "names of TLS clients, * and ? allowed; needs a listener with client_ca"},

    /* ---- burst */
    {"burst", "limit", OPTION_RATE, OPTION_REQUIRED, "", IN(config_burst, limit),
     AND(config_burst, window), RANGE(SECOND, 30 * DAY),
     .help = "recipients per time, such as \"500/10m\"; more trips the rule"},
    {"burst", "per", OPTION_SET, OPTION_REQUIRED, "", IN(config_burst, per), .words = words_per,
     .help =
	 "what is counted apart: any of environment, source, sender, subject, recipient, campaign"},
    {"burst", "head", OPTION_RATE, 0, "", IN(config_burst, head), AND(config_burst, head_window),
     RANGE(SECOND, DAY),
     .help = "the rate that leaves at once; what exceeds it waits the settle time"},
    {"burst", "settle", OPTION_DURATION, 0, "", IN(config_burst, settle),
     RANGE(SECOND, 60 * MINUTE),
     .help =
	 "how long that waits, so that a trip still catches it; by default 5s where head is set"},
    {"burst", "cooldown", OPTION_DURATION, 0, "1h", IN(config_burst, cooldown), RANGE(0, 365 * DAY),
     .help = "a batch stops collecting once its stream was under the limit for so long; 0 is not "
	     "before a decision"},
    {"burst", "action", OPTION_CHOICE, 0, "hold", IN(config_burst, action), .words = words_action,
     .help = "hold, or alert to only observe"},

    {"burst", "declared", OPTION_RATE, 0, "", IN(config_burst, declared),
     AND(config_burst, declared_window), RANGE(SECOND, 30 * DAY),
     .help = "mail of a campaign that declares an audience of at most so many is counted apart, "
	     "against this rate and without head; larger ones are ordinary mail"},

    /* ---- content */
    {"content", "header", OPTION_TEXT, 0, "", IN(config_content, header),
     .help = "the header field to look at, decoded, such as \"Subject\"; every one of that name"},
    {"content", "part", OPTION_CHOICE, 0, "", IN(config_content, part), .words = words_part,
     .min = CONFIG_PART_TEXT,
     .help = "instead of header: text and html are the parts of that type, decoded; body is what "
	     "a reader sees"},
    {"content", "match", OPTION_TEXT, OPTION_REQUIRED, "", IN(config_content, match),
     .help = "a text that occurs in it, a text with * and ?, or '/expression/' with flags out of "
	     "i, m and s"},
    {"content", "above", OPTION_RATE, 0, "", IN(config_content, above),
     AND(config_content, above_window), RANGE(SECOND, 30 * DAY),
     .help = "recipients of such mail that may leave per time, such as \"20/10m\"; by default "
	     "none"},
    {"content", "per", OPTION_SET, 0, "source", IN(config_content, per), .words = words_per,
     .help = "what above counts apart, as in burst"},
    {"content", "cooldown", OPTION_DURATION, 0, "1h", IN(config_content, cooldown),
     RANGE(0, 365 * DAY),
     .help = "a batch stops collecting once nothing matched for so long, or not more than above; 0 "
	     "is not before a decision"},
    {"content", "action", OPTION_CHOICE, 0, "hold", IN(config_content, action),
     .words = words_action, .help = "hold, or alert to only observe"},

    /* ---- alert */
    {"alert", "type", OPTION_CHOICE, OPTION_REQUIRED, "", IN(config_alert, type),
     .words = words_alert, .help = "webhook, slack, teams, exec or email"},
    {"alert", "url", OPTION_TEXT, OPTION_FROM_FILE | OPTION_SECRET, "", IN(config_alert, url),
     .help = "webhook, slack, teams: where to POST"},
    {"alert", "secret", OPTION_TEXT, OPTION_FROM_FILE | OPTION_SECRET, "", IN(config_alert, secret),
     .help = "webhook: signs each note, see mailfuse-api(7); only from a file or the environment"},
    {"alert", "command", OPTION_LIST, 0, "", IN(config_alert, command),
     .help = "exec: the program and its arguments; no shell reads them"},
    {"alert", "to", OPTION_LIST, 0, "", IN(config_alert, to),
     .help = "email: the addresses that get it, and nobody else ever"},
    {"alert", "from", OPTION_TEXT, 0, "", IN(config_alert, from),
     .help = "email: whom it is from; by default mailfuse at the gate's hostname"},
    {"alert", "upstream", OPTION_TEXT, 0, "", IN(config_alert, upstream),
     .help = "email: the upstream that takes it; by default the only one"},
    {"alert", "subject", OPTION_TEXT, 0, "", IN(config_alert, subject),
     .help = "email, slack, teams: the headline; %e is the environment, %b the batch, %t what "
	     "happened, %u a link, %g the gate, %n the event, %l a line end, %% a percent sign"},
    {"alert", "text", OPTION_TEXT, 0, "", IN(config_alert, text),
     .help = "email, slack, teams: the text, with the same letters; by default %t"},
    {"alert", "events", OPTION_LIST, 0, "*", IN(config_alert, events),
     .help = "which events, * and ? allowed, such as {\"batch.*\", \"upstream.*\"}"},
    {"alert", "per_hour", OPTION_NUMBER, 0, "60", IN(config_alert, per_hour), RANGE(0, 1000),
     .help =
	 "email, slack, teams: so many alerts an hour are told one by one, and what comes on top "
	 "is summed up in one message every five minutes at most; 0: all are told one by one"},
    {"alert", "retry_for", OPTION_DURATION, 0, "1d", IN(config_alert, retry_for),
     RANGE(SECOND, 365 * DAY), .help = "how long an alert is tried before it is given up"},
    {"alert", "timeout", OPTION_DURATION, 0, "10s", IN(config_alert, timeout),
     RANGE(SECOND, 10 * MINUTE), .help = "how long one try may take"},

    /* ---- approval */
    {"approval", "above", OPTION_NUMBER, OPTION_REQUIRED | OPTION_WIDE, "",
     IN(config_approval, above), RANGE(1, UINT32_MAX),
     .help =
	 "recipients of a batch that may be released before a release of it waits for approval"},
    {"approval", "approvers", OPTION_NUMBER, 0, "2", IN(config_approval, approvers), RANGE(1, 10),
     .help = "different people in all, who asks for the release among them"},
    {"approval", "expires", OPTION_DURATION, 0, "24h", IN(config_approval, expires),
     RANGE(SECOND, 365 * DAY), .help = "a request that is not approved for so long lapses"},

    /* ---- access */
    {"access", "viewers", OPTION_LIST, 0, "", IN(config_access, viewers),
     .help = "users of this machine, @groups or * that may look at everything"},
    {"access", "operators", OPTION_LIST, 0, "", IN(config_access, operators),
     .help = "the same, that may release, discard, restore, purge, pause and stop mail, and look"},
    {"access", "approvers", OPTION_LIST, 0, "", IN(config_access, approvers),
     .help = "the same, that may approve what another asked for, and look"},

    /* ---- http */
    {"http", "address", OPTION_ADDRESS, OPTION_FIXED | OPTION_REQUIRED | OPTION_NUMERIC, "",
     IN(config_http, host), AND(config_http, port),
     .help = "IP address and port, such as \"127.0.0.1:8025\"; beyond loopback it needs a "
	     "certificate"},
    {"http", "certificate", OPTION_PATH, 0, "", IN(config_http, certificate),
     .help = "PEM file of the certificate, those of its signers behind it; with it the port speaks "
	     "TLS"},
    {"http", "key", OPTION_PATH, 0, "", IN(config_http, key),
     .help = "PEM file of its private key; by default the file of certificate"},
    {"http", "hosts", OPTION_LIST, 0, "", IN(config_http, hosts),
     .help = "further names under which it is reached, beside its address, localhost and url"},
    {"http", "url", OPTION_TEXT, 0, "", IN(config_http, url),
     .help = "how people reach it, such as \"https://gate.example.com:8025\": for links in alerts"},
    {"http", "console", OPTION_FLAG, 0, "true", IN(config_http, console),
     .help = "whether browsers get the console"},
    {"http", "tokens", OPTION_PATH, OPTION_REQUIRED, "", IN(config_http, tokens),
     .help = "the file of who may ask, one NAME:ROLES:HASH a line, as mailfuse token writes it"},
    {.name = NULL}};
/* clang-format on */

const struct option *
options_table(void)
{
	return table;
}

const struct option *
options_find(const char *section, const char *name)
{
	for (const struct option *row = table; row->name != NULL; row++)
		if (strcmp(row->section, section) == 0 && strcmp(row->name, name) == 0)
			return row;
	return NULL;
}

const char *
options_elsewhere(const char *section, const char *name)
{
	for (const struct option *row = table; row->name != NULL; row++)
		if (strcmp(row->section, section) != 0 && strcmp(row->name, name) == 0)
			return row->section;
	return NULL;
}

enum { NEAR_MAX = 32 };

/* Edits (insert, remove, replace) from a to b, or a large number for long texts. */
static size_t
edit_distance(const char *a, const char *b)
{
	size_t row[NEAR_MAX + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > NEAR_MAX || lb > NEAR_MAX)
		return NEAR_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

/* Takes `word` as the nearest so far if it is nearer; a third of the letters may differ. */
static void
keep_nearer(const char *word, const char *name, const char **nearest, size_t *distance)
{
	size_t d = edit_distance(word, name);

	if (d < *distance && d <= 1 + strlen(word) / 3) {
		*nearest = word;
		*distance = d;
	}
}

const char *
options_suggest(const char *section, const char *name)
{
	const char *nearest = NULL;
	size_t distance = NEAR_MAX;

	for (const struct option *row = table; row->name != NULL; row++)
		if (strcmp(row->section, section) == 0)
			keep_nearer(row->name, name, &nearest, &distance);
	return nearest;
}

const char *
options_nearest(const char *const *words, const char *name)
{
	const char *nearest = NULL;
	size_t distance = NEAR_MAX;

	for (; *words != NULL; words++)
		keep_nearer(*words, name, &nearest, &distance);
	return nearest;
}

bool
options_is_list(const struct option *row)
{
	return row->type == OPTION_LIST || row->type == OPTION_SET || row->type == OPTION_TIMES;
}
