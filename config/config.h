/*
 * The configuration as the rest of the program reads it: immutable once loaded, counted, shared by
 * all threads. Strings are never NULL unless said; lists end with NULL.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum config_others {
	CONFIG_OTHERS_DROP,
	CONFIG_OTHERS_REWRITE,
	CONFIG_OTHERS_REJECT,
	CONFIG_OTHERS_HOLD
};
enum config_bare_newline { CONFIG_BARE_NORMALIZE, CONFIG_BARE_REJECT };
enum config_listener_tls {
	CONFIG_TLS_OFF,
	CONFIG_TLS_STARTTLS,
	CONFIG_TLS_REQUIRED,
	CONFIG_TLS_IMPLICIT
};
enum config_upstream_tls {
	CONFIG_UPSTREAM_TLS_OFF,
	CONFIG_UPSTREAM_TLS_OPPORTUNISTIC, /* used where offered, whatever certificate it shows */
	CONFIG_UPSTREAM_TLS_REQUIRED,      /* STARTTLS, chain and name verified */
	CONFIG_UPSTREAM_TLS_IMPLICIT       /* from the first byte, chain and name verified */
};
enum config_auth { CONFIG_AUTH_OFF, CONFIG_AUTH_OPTIONAL, CONFIG_AUTH_REQUIRED };
enum config_log { CONFIG_LOG_STDERR, CONFIG_LOG_SYSLOG };
enum config_alert_type {
	CONFIG_ALERT_WEBHOOK,
	CONFIG_ALERT_SLACK,
	CONFIG_ALERT_EXEC,
	CONFIG_ALERT_TEAMS,
	CONFIG_ALERT_EMAIL
};
enum config_burst_action { CONFIG_BURST_HOLD, CONFIG_BURST_ALERT };
/* What a content rule's pattern is held against. */
enum config_part {
	CONFIG_PART_HEADER, /* one header field, decoded; `header` names it */
	CONFIG_PART_TEXT,   /* the text/plain parts, decoded */
	CONFIG_PART_HTML,   /* the text/html parts, decoded, with their tags */
	CONFIG_PART_BODY    /* what a reader sees: plain text, else HTML without its tags */
};

/* What a burst rule counts per; a set. */
enum config_per {
	CONFIG_PER_ENVIRONMENT = 1,
	CONFIG_PER_SOURCE = 2,
	CONFIG_PER_SENDER = 4,
	CONFIG_PER_SUBJECT = 8,
	CONFIG_PER_RECIPIENT = 16,
	CONFIG_PER_CAMPAIGN = 32
};

struct config_listener {
	char *name;
	char *host;    /* IPv4, IPv6 without brackets, never a name; or "" with unix path later */
	uint16_t port; /* 0 = any, tests only */
	uint64_t max_message_size; /* bytes */
	uint32_t max_recipients;
	uint32_t max_connections;
	int64_t idle_timeout; /* microseconds */
	enum config_bare_newline bare_newline;
	enum config_listener_tls tls;
	/* PEM files; key is certificate where the file does not say; client_ca "" = none */
	char *certificate, *key, *client_ca;
	enum config_auth auth;
	uint32_t max_client_connections; /* of one client address, or one IPv6 /64 */
	uint32_t max_client_errors;      /* bad commands and failed logins of one client ... */
	int64_t client_errors_window;    /* ... in so long; then it is answered 421 */
	int line;                        /* of the section in the file, 0 = built in */
};

struct config_upstream {
	char *name;
	char *host; /* name or address */
	uint16_t port;
	uint32_t connections; /* in all, over every loop */
	int64_t retry_for;
	int64_t timeout; /* of one reply; the wait after the final dot is twice that (RFC
			    5321 4.5.3.2) */
	enum config_upstream_tls tls;
	char *ca; /* PEM file of who may have signed its certificate; "" = the system's */
	char *user, *password; /* AUTH; "" = none */
	int line;              /* of the section in the file */
};

struct config_match { /* NULL list = the key is absent */
	char **listeners, **networks, **users, **tls_names;
};

struct config_burst {
	char *name;     /* "volume" */
	uint32_t limit; /* recipients */
	int64_t window;
	unsigned per;  /* enum config_per */
	uint32_t head; /* 0 = no head: what is under the limit leaves at once */
	int64_t head_window;
	int64_t settle;
	int64_t cooldown; /* 0 = until decided */
	enum config_burst_action action;
	/* Mail of a campaign that declares an audience of at most so many is counted apart, against
	 * this limit and without a head; 0 = declarations change nothing. */
	uint32_t declared;
	int64_t declared_window;
};

struct config_content {
	char *name; /* "test marker" */
	enum config_part part;
	char *header; /* the field's name; "" where part is not HEADER */
	char *match;  /* a pattern for text: /regex/, a glob, or a word */
	/* Recipients of matching mail that may leave per time; 0 = none: the first is held. */
	uint32_t above;
	int64_t above_window;
	unsigned per; /* enum config_per: what `above` counts apart */
	int64_t cooldown;
	enum config_burst_action action;
};

struct config_environment {
	char *name;
	bool production;
	struct config_match *matches;
	size_t match_count;
	char *upstream; /* name; "" = capture (`none`); NULL = none defined, everything is held */
	char *subject_prefix;
	/* Never NULL; an empty list is nobody. Not in the file: everybody in production, else
	 * nobody. */
	char **allow;
	enum config_others others;
	char *rewrite_to;
	struct config_burst *bursts; /* the built-in ones where the file sets none */
	size_t burst_count;
	struct config_content *contents; /* in the file's order */
	size_t content_count;
	/* For so long the recipients of a campaign that declared its audience are counted. */
	int64_t campaign_window;
};

struct config_alert {
	char *name;
	enum config_alert_type type;
	char *url;      /* webhook, slack, teams */
	char *secret;   /* webhook: signs each note; "" = none */
	char **command; /* exec: program and arguments */
	char **to;      /* email: the only addresses that it ever writes to; ASCII */
	char *from;     /* email: never "" once loaded */
	char *upstream; /* email: name */
	char *subject;  /* slack, teams, email: templates (base/template.h); "" = the usual words */
	char *text;
	char **events;     /* globs over event names; never NULL */
	uint32_t per_hour; /* slack, teams, email: more than so many are summed up; 0 = never */
	int64_t retry_for;
	int64_t timeout;
};

/*
 * The environment of a channel's own mail is CONFIG_ALERTS and the channel's name; no file can name
 * one so. It matches no source, has no rules and allows just the channel's addresses.
 */
#define CONFIG_ALERTS "alerts/"

/* Who may do what: names of users, "@group", "*". For the socket by uid; tokens carry their own. */
struct config_access {
	bool set; /* false: who reaches the socket may do all of it */
	char **viewers, **operators, **approvers;
};

struct config_approval {
	uint64_t above;     /* recipients a batch may release without a second person; 0 = any */
	uint32_t approvers; /* different people in all, who asks among them; at least 2 */
	int64_t expires;    /* of a request that nobody approves */
};

struct config_http {
	bool set;
	char *host; /* beyond loopback only with a certificate */
	uint16_t port;
	char *certificate, *key; /* PEM files as a listener's; "" = no TLS */
	char **hosts;            /* further names that a call may have in Host */
	char *url;               /* how people reach it, no slash at its end; "" = not said */
	char *tokens;            /* path of the tokens file, see config/tokens.h */
	bool console;            /* pages are served, if they were built in */
	int line;
};

/*
 * A drill under way (config_with_drill()): who says EHLO with this name is the environment
 * CONFIG_DRILL, which has the rules of another one and the upstream CONFIG_DRILL. Both names are
 * kept for it. helo NULL = no drill.
 */
#define CONFIG_DRILL "drill"
#define CONFIG_DRILL_DOMAIN "drill.invalid" /* whom its mail is to: in it, or below it */
struct config_drill {
	char *helo;        /* a secret: "drill-<32 hex>.mailfuse.invalid" */
	char *environment; /* whose rules are drilled */
};

struct config {
	char *path; /* "" = built-in defaults */
	char *hostname, *store, *control;
	char *users; /* path of the users file, "" = none; see config/users.h */
	char *user;  /* whom the process becomes after it has bound and read its keys, "" = nobody
			else */
	enum config_log log;
	uint32_t loops; /* 0 = one per core, at most 8 */
	int64_t keep_dropped, keep_discarded, keep_sent;
	int64_t keep_traffic;  /* the history of counts per minute and stream */
	uint32_t counter_keys; /* burst counters in memory, at most */
	uint64_t quarantine_limit, min_free_space;
	uint64_t memory_limit; /* bytes of message content in memory, in all */
	struct config_listener *listeners;
	size_t listener_count;
	struct config_upstream *upstreams;
	size_t upstream_count;
	/* Always ends with the built-in `unknown`, which has no match and holds everything. */
	struct config_environment *environments;
	size_t environment_count;
	struct config_alert *alerts;
	size_t alert_count;
	struct config_access access;
	struct config_approval approval;
	struct config_http http;
	int64_t
	    *remind_after;   /* ends with 0: when a batch that nobody looked at is told of again */
	int64_t drill_every; /* 0 = nobody is reminded of drills */
	struct config_drill drill;
	struct config *base; /* of a config_with_drill(): owns what both show; else NULL */
	int refs;            /* atomic; config_ref(), config_unref() */
};

/*
 * Reads and checks a file; path NULL = built-in defaults. All errors of the file are added to
 * `errors`, one a line: "FILE:LINE: what is wrong; what to write instead". Returns NULL if there
 * was one.
 * `${NAME}` in a value is the environment variable (an unset one is an error); `file:PATH` is
 * the file's first line where the setting says so. Never prints. Not for a relay loop (reads
 * files).
 */
struct config *config_load(const char *path, struct buf *errors);
/*
 * The same for looking at a policy only (simulate): secrets are not read, so a `file:PATH` of a
 * secret setting and an unset `${NAME}` in one are no error, and become "".
 */
struct config *config_load_policy(const char *path, struct buf *errors);
struct config *config_ref(struct config *c);
void config_unref(struct config *c);

/*
 * The same configuration with a drill: one more environment and upstream, both CONFIG_DRILL. It
 * keeps its own reference to `c` (of which a drill is left out). The environment has the rules of
 * `environment`; it may write to drill.invalid only, and what its upstream gets goes to a loopback
 * port. NULL if there is no such environment, or one of these names is taken.
 */
struct config *config_with_drill(struct config *c, const char *environment, const char *helo,
				 uint16_t sink_port);

/*
 * Which settings of `next` differ from `now` but need a restart (store, control, loops, listener
 * addresses, log): their names, comma-separated, added to `out`; nothing added if a reload can take
 * all of it.
 */
void config_diff_fixed(const struct config *now, const struct config *next, struct buf *out);

const struct config_environment *config_find_environment(const struct config *c, const char *name);
const struct config_upstream *config_find_upstream(const struct config *c, const char *name);

/* The option table as text, one row a setting: for `mailfused --help-config`, and tests. */
void config_document(struct buf *out);

/* libConfuse's, for `mailfused -V`. */
const char *config_library_version(void);

#endif
