/*
 * The commands of RFC 5321 4.1.1 as a table. Called by session.c for each line, on the session's
 * loop; everything is owned by the session.
 */
#include "relay/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mail/command.h"
#include "relay/intake.h"
#include "relay/session.h"

enum {
	/* After so many bad commands, or commands without a message, a client has lost its way. */
	ERRORS_MAX = 20,
	IDLE_COMMANDS_MAX = 1000
};

enum command_flag { NEEDS_HELO = 1, NEEDS_MAIL = 2, NEEDS_RCPT = 4, OUTSIDE_MAIL = 8 };

static void
run_greeting(struct session *s, const struct command *c)
{
	const char *host;

	session_reset(s);
	if (!session_take_policy(s)) {
		session_reply(s, 421, "4.3.2", "This listener is closing; try again later");
		session_end(s, "listener-gone");
		return;
	}
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
	session_reply_more(s, 250, "8BITMIME");
	session_reply(s, 250, NULL, "ENHANCEDSTATUSCODES");
}

/* Why no new message can be taken now, after RFC 5321 4.2.2; false if one can. */
static bool
refuse_for_lack_of_room(struct session *s)
{
	const char *why = NULL;

	if (!store_has_room(s->rl->relay->store, &why)) {
		session_reply(s, 452, "4.3.1", "No room for mail now: %s", why);
		return true;
	}
	if (intake_is_overloaded(s->rl)) {
		session_reply(s, 451, "4.3.2", "Busy; try again in a minute");
		return true;
	}
	return false;
}

static void
run_mail(struct session *s, const struct command *c)
{
	struct gate_client client = {.user = "", .tls_name = ""};
	const char *why = NULL;
	struct message *m;

	if (!session_take_policy(s)) {
		session_reply(s, 421, "4.3.2", "This listener is closing; try again later");
		session_end(s, "listener-gone");
		return;
	}
	if (c->has_size && c->size > s->limits->max_message_size) {
		session_reply(s, 552, "5.3.4",
			      "Message is larger than the limit of %" PRIu64 " bytes",
			      s->limits->max_message_size);
		return;
	}
	if (refuse_for_lack_of_room(s))
		return;
	client.listener = s->listener->name;
	client.address = s->client;
	s->environment = gate_identify(s->policy, &client, &why);
	m = s->message = message_new();
	message_set_sender(m, &c->path);
	m->environment = arena_strdup(&m->arena, s->environment->name);
	m->source = arena_strdup(&m->arena, gate_source(&client));
	m->client = arena_strdup(&m->arena, s->client);
	m->helo = arena_strdup(&m->arena, s->helo);
	m->protocol = s->esmtp ? "ESMTP" : "SMTP";
	m->eightbit = c->body == COMMAND_BODY_8BITMIME;
	log_debug("%s session.mail environment=%s match=%s sender=%s", s->id, m->environment,
		  log_safe(why), log_safe(m->sender.text));
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
	r = message_add_recipient(m, &c->path);
	gate_recipient(s->policy, m, r);
	if (r->verdict.action == VERDICT_REJECT) {
		log_info("%s session.rejected environment=%s recipient=%s rule=%s", s->id,
			 m->environment, log_safe(r->address.text), log_safe(r->verdict.rule));
		session_reply(s, 550, "5.7.1", "%s",
			      r->verdict.reason != NULL ? r->verdict.reason
							: "Recipient not allowed");
		metric_add(METRIC_RECIPIENTS_REJECTED, 1);
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
	session_reply(s, 214, "2.0.0",
		      "mailfuse: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT (RFC 5321)");
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
    {COMMAND_EHLO, 0, run_greeting},
    {COMMAND_HELO, 0, run_greeting},
    {COMMAND_MAIL, NEEDS_HELO | OUTSIDE_MAIL, run_mail},
    {COMMAND_RCPT, NEEDS_MAIL, run_rcpt},
    {COMMAND_DATA, NEEDS_MAIL | NEEDS_RCPT, run_data},
    {COMMAND_RSET, 0, run_rset},
    {COMMAND_NOOP, 0, run_noop},
    {COMMAND_VRFY, 0, run_vrfy},
    {COMMAND_EXPN, 0, run_unsupported},
    {COMMAND_HELP, 0, run_help},
    {COMMAND_QUIT, 0, run_quit},
    {COMMAND_STARTTLS, 0, run_unsupported},
    {COMMAND_AUTH, 0, run_unsupported},
    {COMMAND_BDAT, 0, run_unsupported},
    {COMMAND_HTTP, 0, run_http},
    {COMMAND_UNKNOWN, 0, run_unknown},
};

/* False, and a reply, if the command may not come now (RFC 5321 4.1.4). */
static bool
check_order(struct session *s, unsigned flags)
{
	if ((flags & NEEDS_HELO) && s->helo == NULL)
		session_reply(s, 503, "5.5.1", "Send EHLO or HELO first");
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

void
command_run(struct session *s, const char *line, size_t len)
{
	struct arena arena = {0};
	struct command c;
	unsigned errors = s->errors;
	size_t i = 0;

	command_parse(line, len, &arena, &c);
	s->idle_commands++;
	if (c.verb != COMMAND_RCPT && c.verb != COMMAND_DATA)
		s->mail_refused = false;
	if (s->idle_commands > idle_commands_max(s) || s->errors >= ERRORS_MAX) {
		session_reply(s, 421, "4.7.0", "Too many %s; bye",
			      s->errors >= ERRORS_MAX ? "errors" : "commands without a message");
		session_end(s, "too-many-commands");
		goto out;
	}
	while (commands[i].verb != c.verb)
		i++;
	if (c.error_code != 0)
		session_reply(s, c.error_code, c.error_status, "%s", c.error_text);
	else if (check_order(s, commands[i].flags))
		commands[i].run(s, &c);
	if (c.verb == COMMAND_MAIL)
		s->mail_refused = s->message == NULL;
	/* Wrong addresses among many are no reason to hang up on the good ones. */
	if (c.verb == COMMAND_RCPT)
		s->errors = errors;
out:
	arena_free(&arena);
}
