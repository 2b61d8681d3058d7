/*
 * The commands of RFC 5321 4.1.1 as a table. Called by session.c for each line, on the session's
 * loop; everything is owned by the session.
 */
#include "relay/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mail/command.h"
#include "relay/auth.h"
#include "relay/content.h"
#include "relay/intake.h"
#include "relay/keyring.h"
#include "relay/session.h"

enum {
	/* After so many bad commands, or commands without a message, a client has lost its way. */
	ERRORS_MAX = 20,
	IDLE_COMMANDS_MAX = 1000
};

enum command_flag {
	NEEDS_HELO = 1,
	NEEDS_MAIL = 2,
	NEEDS_RCPT = 4,
	OUTSIDE_MAIL = 8,    /* no transaction may be under way */
	OUTSIDE_CHUNKS = 16, /* nor a message come by BDAT */
	IN_CLEAR = 32,       /* also before STARTTLS where tls = required (RFC 3207 4) */
	NEEDS_LOGIN = 64,    /* where auth = required */
	TAKES_POLICY = 128   /* what a reload has brought holds, also for the order of commands */
};

static bool
starttls_is_offered(const struct session *s)
{
	return (s->limits->tls == CONFIG_TLS_STARTTLS || s->limits->tls == CONFIG_TLS_REQUIRED) &&
	       conn_security(s->conn) == NULL &&
	       keyring_listener(s->keys, s->listener->name) != NULL;
}

static void
run_greeting(struct session *s, const struct command *c)
{
	const char *host;

	session_reset(s);
	if (!session_is_welcome(s))
		return;
	host = policy_config(s->policy)->hostname;
	free(s->helo);
	s->helo = mem_strdup(c->argument);
	s->esmtp = c->verb == COMMAND_EHLO;
	if (!s->esmtp) {
		session_reply(s, 250, NULL, "%s", host);
		return;
	}
	session_reply_more(s, 250, "%s", host);
	session_reply_more(s, 250, "PIPELINING");
	session_reply_more(s, 250, "SIZE %" PRIu64, s->limits->max_message_size);
	if (starttls_is_offered(s))
		session_reply_more(s, 250, "STARTTLS");
	if (auth_is_offered(s))
		session_reply_more(s, 250, "AUTH PLAIN LOGIN");
	session_reply_more(s, 250, "8BITMIME");
	session_reply_more(s, 250, "SMTPUTF8");
	session_reply_more(s, 250, "CHUNKING");
	session_reply_more(s, 250, "DSN");
	session_reply(s, 250, NULL, "ENHANCEDSTATUSCODES");
}

static void
run_starttls(struct session *s, const struct command *c)
{
	(void)c;
	if (conn_security(s->conn) != NULL)
		session_reply(s, 503, "5.5.1", "TLS is on already");
	else if (s->limits->tls != CONFIG_TLS_STARTTLS && s->limits->tls != CONFIG_TLS_REQUIRED)
		session_reply(s, 502, "5.5.1", "STARTTLS is not offered here");
	else if (!starttls_is_offered(s))
		session_reply(s, 454, "4.7.0", "TLS is not available now; try again later");
	else
		session_start_tls(s);
}

/* Why no new message can be taken now, after RFC 5321 4.2.2; false if one can. */
static bool
refuse_for_lack_of_room(struct session *s)
{
	const char *why = NULL;

	if (!store_has_room(s->rl->relay->store, &why)) {
		if (store_is_broken(s->rl->relay->store))
			session_reply(s, 451, "4.3.0", "Mail cannot be stored now: %s", why);
		else
			session_reply(s, 452, "4.3.1", "No room for mail now: %s", why);
		return true;
	}
	if (intake_is_overloaded(s->rl)) {
		session_reply(s, 451, "4.3.2", "Busy; try again in a minute");
		return true;
	}
	return false;
}

/* RFC 3848, and RFC 6531 4.3 for mail in UTF-8. */
static const char *
protocol_name(const struct session *s, bool utf8)
{
	static const char *const names[2][2][2] = {
	    {{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
	    {{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}}};

	if (!s->esmtp)
		return "SMTP";
	return names[utf8][conn_security(s->conn) != NULL][s->user != NULL];
}

/* Who talks here, as far as is known now. */
static struct gate_client
client_of(const struct session *s)
{
	const struct conn_security *tls = conn_security(s->conn);

	return (struct gate_client){.listener = s->listener->name,
				    .address = s->client,
				    .user = s->user != NULL ? s->user : "",
				    .tls_name = tls != NULL ? tls->peer_name : "",
				    .helo = s->helo};
}

/*
 * A drill's client has no password: what it knows instead is a secret of 128 bits, for ten minutes
 * at most, and its mail can reach nothing but the drill's own sink. TLS it has to do like others.
 */
static bool
client_is_drill(const struct session *s)
{
	struct gate_client client = client_of(s);

	return gate_is_drill(s->policy, &client);
}

static struct message *
make_message(struct session *s, const struct command *c)
{
	const struct conn_security *tls = conn_security(s->conn);
	struct gate_client client = client_of(s);
	bool drill = gate_is_drill(s->policy, &client);
	const char *why = NULL;
	const struct config_environment *e = gate_identify(s->policy, &client, &why);
	struct message *m = message_new();

	message_set_sender(m, &c->path);
	m->environment = arena_strdup(&m->arena, e->name);
	m->source = arena_strdup(&m->arena, drill ? CONFIG_DRILL : gate_source(&client));
	m->client = arena_strdup(&m->arena, s->client);
	/* The secret stands in no header, no log and no store. */
	m->helo = arena_strdup(&m->arena, drill ? CONFIG_DRILL_DOMAIN : s->helo);
	m->protocol = protocol_name(s, c->smtputf8);
	if (tls != NULL)
		m->tls = arena_printf(&m->arena, "%s with cipher %s", tls->version, tls->cipher);
	m->begun_at = clock_mono();
	m->smtputf8 = c->smtputf8;
	m->ret = c->ret;
	if (c->envid != NULL)
		m->envid = arena_strdup(&m->arena, c->envid);
	log_debug("%s session.mail environment=%s match=%s sender=%s", s->id, m->environment,
		  log_safe(why), log_safe(m->sender.text));
	return m;
}

static void
run_mail(struct session *s, const struct command *c)
{
	if (c->has_size && c->size > s->limits->max_message_size) {
		session_reply(s, 552, "5.3.4",
			      "Message is larger than the limit of %" PRIu64 " bytes",
			      s->limits->max_message_size);
		return;
	}
	if (refuse_for_lack_of_room(s))
		return;
	s->message = make_message(s, c);
	session_reply(s, 250, "2.1.0", "Ok");
}

static void
run_rcpt(struct session *s, const struct command *c)
{
	struct message *m = s->message;
	struct recipient *r;

	if (m->recipient_count >= s->limits->max_recipients) {
		session_reply(s, 452, "4.5.3", "Too many recipients; the limit is %u a message",
			      s->limits->max_recipients);
		return;
	}
	if (intake_is_too_much(s->rl, m)) {
		session_reply(s, 451, "4.3.2", "Busy; try again in a minute");
		return;
	}
	if (c->path.utf8 && !m->smtputf8) {
		session_reply(s, 553, "5.6.7", "That address needs SMTPUTF8 at MAIL");
		return;
	}
	r = message_add_recipient(m, &c->path);
	r->notify = c->notify;
	if (c->orcpt != NULL)
		r->orcpt = arena_strdup(&m->arena, c->orcpt);
	gate_recipient(s->policy, m, r);
	if (r->verdict.action == VERDICT_REJECT) {
		log_info("%s session.rejected environment=%s recipient=%s rule=%s", s->id,
			 m->environment, log_safe(r->address.text), log_safe(r->verdict.rule));
		session_reply(s, 550, "5.7.1", "%s",
			      r->verdict.reason != NULL ? r->verdict.reason
							: "Recipient not allowed");
		metric_add(METRIC_RECIPIENTS_REJECTED, 1);
		gate_count_rejected(s->policy, m->environment);
		m->recipient_count--;
		return;
	}
	session_reply(s, 250, "2.1.5", "Ok");
}

static void
run_data(struct session *s, const struct command *c)
{
	(void)c;
	session_begin_data(s);
}

/*
 * RFC 3030 2: the octets of a refused chunk follow all the same, so they are thrown away before the
 * reply; where their number cannot be read, nobody knows what is a command any more.
 */
static void
run_bdat(struct session *s, const struct command *c)
{
	static const struct session_refusal fine = {0},
					    bad = {501, "5.5.4",
						   "Write it as BDAT 1000 or BDAT 1000 LAST"},
					    in_clear = {530, "5.7.0", "Send STARTTLS first"},
					    no_mail = {503, "5.5.1", "Send MAIL first"},
					    no_rcpt = {554, "5.5.1", "No valid recipients"};
	const struct session_refusal *refusal = &fine;

	if (c->error_code != 0 && !c->chunk_known) {
		session_reply(s, bad.code, bad.status, "%s", bad.text);
		session_end(s, "bad-chunk");
		return;
	}
	if (c->error_code != 0)
		refusal = &bad;
	else if (s->limits->tls == CONFIG_TLS_REQUIRED && conn_security(s->conn) == NULL)
		refusal = &in_clear;
	else if (s->intake == NULL && s->message == NULL)
		refusal = &no_mail;
	else if (s->intake == NULL && s->message->recipient_count == 0)
		refusal = &no_rcpt;
	content_begin_chunk(s, c->chunk_size, c->chunk_last, refusal);
}

static void
run_rset(struct session *s, const struct command *c)
{
	(void)c;
	session_reset(s);
	session_reply(s, 250, "2.0.0", "Ok");
}

static void
run_noop(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 250, "2.0.0", "Ok");
}

static void
run_vrfy(struct session *s, const struct command *c)
{
	if (*c->argument == '\0')
		session_reply(s, 501, "5.5.4", "VRFY needs an address");
	else
		session_reply(s, 252, "2.0.0", "Cannot VRFY an address, but will take mail for it");
}

static void
run_help(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(
	    s, 214, "2.0.0",
	    "mailfuse: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT "
	    "(RFC 5321)");
}

static void
run_quit(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 221, "2.0.0", "Bye");
	session_end(s, "quit");
}

static void
run_unsupported(struct session *s, const struct command *c)
{
	session_reply(s, 502, "5.5.1", "%s is not offered here", command_name(c->verb));
}

static void
run_unknown(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 500, "5.5.2", "Command not recognized");
}

static void
run_http(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 421, "4.7.0", "This is SMTP, not HTTP; bye");
	session_end(s, "http");
}

static const struct {
	enum command_verb verb;
	unsigned flags;
	void (*run)(struct session *s, const struct command *c);
} commands[] = {
    {COMMAND_EHLO, IN_CLEAR, run_greeting},
    {COMMAND_HELO, IN_CLEAR, run_greeting},
    {COMMAND_STARTTLS, NEEDS_HELO | OUTSIDE_CHUNKS | IN_CLEAR | TAKES_POLICY, run_starttls},
    {COMMAND_AUTH, NEEDS_HELO | OUTSIDE_MAIL | OUTSIDE_CHUNKS | TAKES_POLICY, auth_start},
    {COMMAND_MAIL, NEEDS_HELO | NEEDS_LOGIN | OUTSIDE_MAIL | OUTSIDE_CHUNKS | TAKES_POLICY,
     run_mail},
    {COMMAND_RCPT, OUTSIDE_CHUNKS | NEEDS_MAIL, run_rcpt},
    {COMMAND_DATA, OUTSIDE_CHUNKS | NEEDS_MAIL | NEEDS_RCPT, run_data},
    {COMMAND_BDAT, IN_CLEAR, run_bdat},
    {COMMAND_RSET, 0, run_rset},
    {COMMAND_NOOP, IN_CLEAR, run_noop},
    {COMMAND_VRFY, 0, run_vrfy},
    {COMMAND_EXPN, 0, run_unsupported},
    {COMMAND_HELP, 0, run_help},
    {COMMAND_QUIT, IN_CLEAR, run_quit},
    {COMMAND_HTTP, IN_CLEAR, run_http},
    {COMMAND_UNKNOWN, IN_CLEAR, run_unknown},
};

/* False, and a reply, if the command may not come now (RFC 5321 4.1.4). */
static bool
check_order(struct session *s, unsigned flags)
{
	if (!(flags & IN_CLEAR) && s->limits->tls == CONFIG_TLS_REQUIRED &&
	    conn_security(s->conn) == NULL)
		session_reply(s, 530, "5.7.0", "Send STARTTLS first");
	else if ((flags & NEEDS_HELO) && s->helo == NULL)
		session_reply(s, 503, "5.5.1", "Send EHLO or HELO first");
	else if ((flags & NEEDS_LOGIN) && s->limits->auth == CONFIG_AUTH_REQUIRED &&
		 s->user == NULL && !client_is_drill(s))
		session_reply(s, 530, "5.7.0", "Log in with AUTH first");
	else if ((flags & OUTSIDE_CHUNKS) && s->intake != NULL)
		session_reply(s, 503, "5.5.1",
			      "A message is coming by BDAT; finish it, or send RSET");
	else if ((flags & OUTSIDE_MAIL) && s->message != NULL)
		session_reply(s, 503, "5.5.1", "A message is under way; send RSET to begin anew");
	else if ((flags & NEEDS_MAIL) && s->message == NULL)
		session_reply(s, 503, "5.5.1", "Send MAIL first");
	else if ((flags & NEEDS_RCPT) && s->message->recipient_count == 0)
		session_reply(s, 554, "5.5.1", "No valid recipients");
	else
		return true;
	return false;
}

/* Refused recipients cost memory until the transaction ends: so many of them, and no more. */
static uint64_t
idle_commands_max(const struct session *s)
{
	return IDLE_COMMANDS_MAX + UINT64_C(10) * s->limits->max_recipients;
}

/* True where the session ended, for a client that has lost its way. */
static bool
command_is_too_many(struct session *s, const struct command *c)
{
	/* A chunk behind the first is part of a message, whose size limit bounds their number. */
	s->idle_commands += c->verb != COMMAND_BDAT || c->chunk_size == 0 || s->intake == NULL;
	if (s->idle_commands <= idle_commands_max(s) && s->errors < ERRORS_MAX)
		return false;
	session_reply(s, 421, "4.7.0", "Too many %s; bye",
		      s->errors >= ERRORS_MAX ? "errors" : "commands without a message");
	session_end(s, "too-many-commands");
	return true;
}

static void
command_do(struct session *s, const struct command *c)
{
	size_t i = 0;

	while (commands[i].verb != c->verb)
		i++;
	if (c->error_code != 0 && c->verb != COMMAND_BDAT)
		session_reply(s, c->error_code, c->error_status, "%s", c->error_text);
	else if ((commands[i].flags & TAKES_POLICY) && !session_is_welcome(s))
		return;
	else if (check_order(s, commands[i].flags))
		commands[i].run(s, c);
}

void
command_run(struct session *s, const char *line, size_t len)
{
	struct arena arena = {0};
	struct command c;
	unsigned errors = s->errors;

	command_parse(line, len, &arena, &c);
	if (c.verb != COMMAND_RCPT && c.verb != COMMAND_DATA && c.verb != COMMAND_BDAT)
		s->mail_refused = false;
	if (!command_is_too_many(s, &c)) {
		command_do(s, &c);
		if (c.verb == COMMAND_MAIL)
			s->mail_refused = s->message == NULL;
		/* Wrong addresses among many are no reason to hang up on the good ones. */
		if (c.verb == COMMAND_RCPT)
			s->errors = errors;
		if (s->errors > errors)
			session_count_error(s);
	}
	if (c.verb == COMMAND_AUTH) { /* it may hold a password */
		explicit_bzero(c.argument, strlen(c.argument));
		if (c.initial != NULL)
			explicit_bzero(c.initial, strlen(c.initial));
	}
	arena_free(&arena);
}
