/*
 * Who has to be told that mail failed or was relayed, over both twins: what STORE_ADD keeps of the
 * envelope, when a notice becomes pending, what STORE_NOTICES hands out, and how it ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/store_help.h"

static struct message *
passing(unsigned recipients)
{
	return make_message("staging", "hello", recipients, VERDICT_PASS, NULL, NULL);
}

static void
set_sender(struct message *m, const char *text)
{
	m->sender.text = m->sender.local = m->sender.domain = arena_strdup(&m->arena, text);
}

/* ---- what is kept ---- */

static void
the_envelope_comes_back(void **state)
{
	static const struct {
		bool eightbit, smtputf8, report;
		enum dsn_ret ret;
		const char *envid;
		bool large;
	} rows[] = {
	    {false, false, false, DSN_RET_NONE, "", false},
	    {true, false, false, DSN_RET_NONE, "", false},
	    {false, true, false, DSN_RET_NONE, "", false},
	    {false, false, true, DSN_RET_NONE, "", false},
	    {false, false, false, DSN_RET_HDRS, "", false},
	    {false, false, false, DSN_RET_NONE, "QQ+2B314159", false},
	    {true, true, true, DSN_RET_FULL, "id", true},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = passing(1), *got;
		struct store_job load = {.op = STORE_LOAD}, begin = {.op = STORE_BEGIN};

		m->eightbit = rows[i].eightbit;
		m->smtputf8 = rows[i].smtputf8;
		m->report = rows[i].report;
		m->ret = rows[i].ret;
		m->envid = rows[i].envid;
		if (rows[i].large) {
			struct store_job chunk = {.op = STORE_CHUNK};

			begin.u.body.id = chunk.u.body.id = m->id;
			assert_int_equal(run_job(f, &begin), STORE_OK);
			chunks_init(&chunk.u.body.chunks);
			chunks_add(&chunk.u.body.chunks, "x", 1);
			assert_int_equal(run_job(f, &chunk), STORE_OK);
			chunks_clear(&chunk.u.body.chunks);
			m->chunks_stored = 1;
		}
		load.u.load.id = add_message(f, m);
		assert_int_equal(run_job(f, &load), STORE_OK);
		got = load.u.load.message;
		assert_int_equal(got->eightbit, rows[i].eightbit);
		assert_int_equal(got->smtputf8, rows[i].smtputf8);
		assert_int_equal(got->report, rows[i].report);
		assert_int_equal(got->ret, rows[i].ret);
		assert_string_equal(got->envid, rows[i].envid);
		message_free(got);
	}
}

/* What is sent again later is what was sent first. */
static void
a_sender_leaves_as_it_was_written(void **state)
{
	static const struct {
		const char *text, *domain;
		bool utf8;
	} rows[] = {
	    {"", "", false},
	    {"App@Example.COM", "example.com", false},
	    {"\"a b\"@example.com", "example.com", false},
	    {"j\xc3\xbcrgen@example.com", "example.com", true},
	    {"app@b\xc3\xbc"
	     "cher.example",
	     "xn--bcher-kva.example", true},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = passing(1);
		struct store_job load = {.op = STORE_LOAD};

		set_sender(m, rows[i].text);
		load.u.load.id = add_message(f, m);
		assert_int_equal(run_job(f, &load), STORE_OK);
		assert_string_equal(load.u.load.message->sender.text, rows[i].text);
		assert_string_equal(load.u.load.message->sender.domain, rows[i].domain);
		assert_int_equal(load.u.load.message->sender.utf8, rows[i].utf8);
		message_free(load.u.load.message);
	}
}

static void
a_claim_says_what_the_client_asked_for(void **state)
{
	static const struct {
		unsigned notify;
		const char *orcpt, *final; /* final: NULL = as given */
	} rows[] = {
	    {0, "", NULL},
	    {DSN_NEVER, "", NULL},
	    {DSN_SUCCESS | DSN_FAILURE, "rfc822;r3@example.net", NULL},
	    {DSN_DELAY, "rfc822;r4@example.net", "qa@example.com"},
	    {0, "", "r5@example.net"},
	};
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct fixture *f = *state;
	struct message *m = passing(N);
	struct store_job job = {.op = STORE_CLAIM};
	const char *environment = "staging";
	size_t i;

	for (i = 0; i < N; i++) {
		m->recipients[i].notify = rows[i].notify;
		m->recipients[i].orcpt = rows[i].orcpt;
		if (rows[i].final != NULL)
			m->recipients[i].final = rows[i].final;
	}
	add_message(f, m);
	job.u.claim.environments = &environment;
	job.u.claim.environment_count = 1;
	job.u.claim.now = TEST_NOW;
	job.u.claim.limit = 100;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.claim.due_count, 1);
	assert_int_equal(job.u.claim.due[0].count, N);
	for (i = 0; i < N; i++) {
		const struct store_due_delivery *d = &job.u.claim.due[0].deliveries[i];

		assert_int_equal(d->notify, rows[i].notify);
		assert_string_equal(d->orcpt, rows[i].orcpt);
		assert_int_equal(d->rewritten, i == 3);
	}
	store_due_free(job.u.claim.due, job.u.claim.due_count);
}

/* ---- when ---- */

struct seen {
	enum store_notice_state notice;
	enum store_state state;
	char told[64];
};

static bool
see(void *context, const struct store_delivery *d)
{
	struct seen *s = context;

	s->notice = d->notice;
	s->state = d->state;
	snprintf(s->told, sizeof(s->told), "%s", d->told);
	return false;
}

/* The delivery `number`, from 1. */
static struct seen
look(struct fixture *f, uint64_t id, uint32_t number)
{
	struct store_filter filter = {.message = id, .state = -1, .after = {id, number - 1}};
	struct seen s = {.told = "none such"};

	assert_int_equal(store_view_deliveries(f->v, &filter, see, &s), STORE_OK);
	return s;
}

static void
end_delivery(struct fixture *f, struct store_delivery_result result)
{
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	result.tried = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static void
expire(struct fixture *f)
{
	struct store_job job = {.op = STORE_EXPIRE};

	job.u.expire.environment = "staging";
	job.u.expire.now = TEST_NOW + CLOCK_DAY;
	job.u.expire.queued_before = TEST_NOW + 1;
	job.u.expire.reason = "4.4.7 gave up after 3 d";
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static void
a_sender_is_told_when_it_has_to_be(void **state)
{
	enum { RESULT, EXPIRE };
	static const struct {
		const char *name;
		int how;
		enum store_state end;
		bool relayed;
		unsigned notify;
		const char *sender;
		bool report;
		enum store_notice_state wanted;
	} rows[] = {
	    {"failed", RESULT, STORE_FAILED, false, 0, "app@example.com", false,
	     STORE_NOTICE_PENDING},
	    {"expired", EXPIRE, STORE_FAILED, false, 0, "app@example.com", false,
	     STORE_NOTICE_PENDING},
	    {"failed, asked", RESULT, STORE_FAILED, false, DSN_FAILURE | DSN_DELAY, "a@b.c", false,
	     STORE_NOTICE_PENDING},
	    {"failed, only success", RESULT, STORE_FAILED, false, DSN_SUCCESS, "a@b.c", false,
	     STORE_NOTICE_NONE},
	    {"failed, never", RESULT, STORE_FAILED, false, DSN_NEVER, "a@b.c", false,
	     STORE_NOTICE_NONE},
	    {"expired, never", EXPIRE, STORE_FAILED, false, DSN_NEVER, "a@b.c", false,
	     STORE_NOTICE_NONE},
	    {"failed, null path", RESULT, STORE_FAILED, false, 0, "", false, STORE_NOTICE_NONE},
	    {"expired, null path", EXPIRE, STORE_FAILED, false, 0, "", false, STORE_NOTICE_NONE},
	    {"failed report", RESULT, STORE_FAILED, false, 0, "daemon@b.c", true,
	     STORE_NOTICE_NONE},
	    {"expired report", EXPIRE, STORE_FAILED, false, 0, "daemon@b.c", true,
	     STORE_NOTICE_NONE},
	    {"sent", RESULT, STORE_SENT, false, DSN_SUCCESS, "a@b.c", false, STORE_NOTICE_NONE},
	    {"relayed, not asked", RESULT, STORE_SENT, true, 0, "a@b.c", false, STORE_NOTICE_NONE},
	    {"relayed, only failure", RESULT, STORE_SENT, true, DSN_FAILURE, "a@b.c", false,
	     STORE_NOTICE_NONE},
	    {"relayed", RESULT, STORE_SENT, true, DSN_SUCCESS | DSN_FAILURE, "a@b.c", false,
	     STORE_NOTICE_PENDING},
	    {"relayed, null path", RESULT, STORE_SENT, true, DSN_SUCCESS, "", false,
	     STORE_NOTICE_NONE},
	    {"again later", RESULT, STORE_QUEUED, true, DSN_SUCCESS | DSN_FAILURE, "a@b.c", false,
	     STORE_NOTICE_NONE},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = passing(1);
		struct seen s;
		uint64_t id;

		set_sender(m, rows[i].sender);
		m->report = rows[i].report;
		m->recipients[0].notify = rows[i].notify;
		id = add_message(f, m);
		if (rows[i].how == EXPIRE) {
			expire(f);
		} else {
			claim(f, "staging", TEST_NOW);
			end_delivery(
			    f, (struct store_delivery_result){.id = id,
							      .number = 1,
							      .state = rows[i].end,
							      .due_at = TEST_NOW + CLOCK_DAY,
							      .relayed = rows[i].relayed,
							      .reply = "550 5.1.1 no such user",
							      .remote_mta = "mx.example.net"});
		}
		s = look(f, id, 1);
		if (s.notice != rows[i].wanted || s.state != rows[i].end)
			fail_msg("%s: notice %d, state %d", rows[i].name, (int)s.notice,
				 (int)s.state);
		assert_string_equal(s.told, "");
	}
	check_counts(f);
}

/* ---- what is handed out ---- */

static void
take_notices(struct fixture *f, struct store_job *job, uint32_t limit)
{
	*job = (struct store_job){.op = STORE_NOTICES};
	job->u.notices.limit = limit;
	assert_int_equal(run_job(f, job), STORE_OK);
}

static size_t
count_notices(struct fixture *f)
{
	struct store_job job;
	size_t i, n = 0;

	take_notices(f, &job, 1000);
	for (i = 0; i < job.u.notices.notice_count; i++)
		n += job.u.notices.notices[i].count;
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
	return n;
}

static void
fail_delivery(struct fixture *f, uint64_t id, uint32_t number, const char *reply, const char *mta)
{
	end_delivery(f, (struct store_delivery_result){.id = id,
						       .number = number,
						       .state = STORE_FAILED,
						       .reply = reply,
						       .remote_mta = mta});
}

/* A message with so many recipients, the first `failed` of which have failed. */
static uint64_t
add_failed(struct fixture *f, unsigned recipients, unsigned failed)
{
	uint64_t id = add_passing(f, "staging", recipients);
	unsigned i;

	claim(f, "staging", TEST_NOW);
	for (i = 1; i <= failed; i++)
		fail_delivery(f, id, i, "550 no", "");
	return id;
}

static void
notices_are_by_message(void **state)
{
	struct fixture *f = *state;
	struct message *m = passing(4);
	const struct store_notice *n;
	struct store_job job;
	uint64_t first, second;
	int64_t before = clock_wall();

	take_notices(f, &job, 10);
	assert_int_equal(job.u.notices.notice_count, 0);
	m->envid = "envelope-1";
	m->recipients[1].orcpt = "rfc822;old@example.net";
	m->recipients[1].final = "qa@example.com";
	m->recipients[2].notify = DSN_SUCCESS;
	first = add_message(f, m);
	second = add_failed(f, 2, 2); /* claims the first one too */
	end_delivery(f, (struct store_delivery_result){.id = first,
						       .number = 3,
						       .state = STORE_SENT,
						       .relayed = true,
						       .reply = "250 ok",
						       .remote_mta = "mx3.example.net"});
	fail_delivery(f, first, 2, "550 5.1.1 no such user", "mx.example.net");
	fail_delivery(f, first, 1, "554 5.7.1 no", NULL);

	take_notices(f, &job, 10);
	assert_int_equal(job.u.notices.notice_count, 2);
	n = &job.u.notices.notices[0];
	assert_int_equal(n->id, first);
	assert_int_equal(n->accepted_at, TEST_NOW);
	assert_string_equal(n->environment, "staging");
	assert_string_equal(n->source, "10.2.0.7");
	assert_string_equal(n->sender, "app@example.com");
	assert_string_equal(n->envid, "envelope-1");
	assert_string_equal(buf_text(&n->header), "Subject: hello\r\n");
	assert_int_equal(n->count, 3); /* the fourth is under way */
	assert_int_equal(n->deliveries[0].number, 1);
	assert_true(n->deliveries[0].failed);
	assert_string_equal(n->deliveries[0].remote_mta, "");
	assert_string_equal(n->deliveries[0].orcpt, "");
	assert_int_equal(n->deliveries[1].number, 2);
	assert_string_equal(n->deliveries[1].recipient, "r2@example.net");
	assert_string_equal(n->deliveries[1].final, "qa@example.com");
	assert_string_equal(n->deliveries[1].orcpt, "rfc822;old@example.net");
	assert_string_equal(n->deliveries[1].reply, "550 5.1.1 no such user");
	assert_string_equal(n->deliveries[1].remote_mta, "mx.example.net");
	assert_in_range(n->deliveries[1].at, before, clock_wall());
	assert_false(n->deliveries[2].failed);
	assert_string_equal(n->deliveries[2].remote_mta, "mx3.example.net");
	assert_int_equal(job.u.notices.notices[1].id, second);
	assert_int_equal(job.u.notices.notices[1].count, 2);
	assert_string_equal(job.u.notices.notices[1].envid, "");
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);

	take_notices(f, &job, 1); /* the limit is of messages; nothing is taken by looking */
	assert_int_equal(job.u.notices.notice_count, 1);
	assert_int_equal(job.u.notices.notices[0].count, 3);
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
	take_notices(f, &job, 0);
	assert_int_equal(job.u.notices.notice_count, 0);
}

/* A later try that said nothing leaves who said the last word; our own giving up too. */
static void
the_host_stays_with_its_reply(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 2);
	struct store_job job;
	uint32_t i;

	claim(f, "staging", TEST_NOW);
	for (i = 1; i <= 2; i++) {
		end_delivery(f, (struct store_delivery_result){.id = id,
							       .number = i,
							       .state = STORE_QUEUED,
							       .due_at = TEST_NOW,
							       .reply = "450 later",
							       .remote_mta = "mx.example.net"});
		end_delivery(f, (struct store_delivery_result){.id = id,
							       .number = i,
							       .state = STORE_QUEUED,
							       .due_at = TEST_NOW,
							       .reply = "",
							       .remote_mta = ""});
	}
	fail_delivery(f, id, 1, "connection refused", "");
	expire(f);
	take_notices(f, &job, 10);
	assert_int_equal(job.u.notices.notices[0].count, 2);
	assert_string_equal(job.u.notices.notices[0].deliveries[0].remote_mta, "");
	assert_string_equal(job.u.notices.notices[0].deliveries[1].remote_mta, "mx.example.net");
	assert_string_equal(job.u.notices.notices[0].deliveries[1].reply,
			    "4.4.7 gave up after 3 d");
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
}

static void
a_long_header_is_cut_at_a_line(void **state)
{
	static const struct {
		size_t line, lines, wanted; /* line: with its CRLF */
	} rows[] = {
	    {64, 10, 640},     {64, 1024, 65536}, {64, 1025, 65536},     {100, 700, 65500},
	    {65536, 1, 65536}, {65537, 1, 65536}, {100000, 1, 64 << 10}, {65535, 2, 65535},
	};
	struct fixture *f = *state;
	size_t i, k;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = passing(1);
		char *line = mem_alloc(rows[i].line);
		struct store_job job;
		uint64_t id;

		memset(line, 'x', rows[i].line);
		line[1] = ':';
		memcpy(line + rows[i].line - 2, "\r\n", 2);
		buf_clear(&m->header);
		for (k = 0; k < rows[i].lines; k++)
			buf_add(&m->header, line, rows[i].line);
		free(line);
		id = add_message(f, m);
		claim(f, "staging", TEST_NOW);
		fail_delivery(f, id, 1, "550 no", "");
		take_notices(f, &job, 1);
		assert_int_equal(job.u.notices.notices[0].id, id);
		assert_int_equal(job.u.notices.notices[0].header.len, rows[i].wanted);
		store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
		job = (struct store_job){.op = STORE_TOLD};
		job.u.told.id = id;
		job.u.told.numbers = &(uint32_t){1};
		job.u.told.count = 1;
		assert_int_equal(run_job(f, &job), STORE_OK);
	}
}

/* ---- how it ends ---- */

/* Adds a report of these deliveries; its id. */
static uint64_t
add_report(struct fixture *f, uint64_t about, const uint32_t *numbers, size_t count)
{
	struct store_job job = {.op = STORE_ADD};
	struct message *m = passing(1);
	uint64_t id = m->id;

	m->report = true;
	set_sender(m, "");
	job.u.add.message = m;
	job.u.add.told_id = about;
	job.u.add.told = numbers;
	job.u.add.told_count = count;
	assert_int_equal(run_job(f, &job), STORE_OK);
	message_free(m);
	return id;
}

static void
a_report_tells(void **state)
{
	static const uint32_t two[] = {1, 3}, odd[] = {0, 2, 9};
	struct fixture *f = *state;
	uint64_t id = add_failed(f, 5, 4), report_id, again;
	char text[ID_TEXT_BYTES];
	struct seen s;

	assert_int_equal(count_notices(f), 4);
	report_id = add_report(f, id, two, 2);
	assert_int_equal(count_notices(f), 2);
	s = look(f, id, 1);
	assert_int_equal(s.notice, STORE_NOTICE_TOLD);
	assert_string_equal(s.told, id_format(report_id, text));
	assert_int_equal(s.state, STORE_FAILED);
	assert_int_equal(look(f, id, 2).notice, STORE_NOTICE_PENDING);
	assert_int_equal(look(f, id, 3).notice, STORE_NOTICE_TOLD);
	/* what was told stays told by the first; what is not there or still queued is left alone */
	again = add_report(f, id, two, 2);
	assert_string_equal(look(f, id, 1).told, text);
	add_report(f, id, odd, 3);
	add_report(f, id, (const uint32_t[]){5}, 1);
	assert_int_equal(look(f, id, 2).notice, STORE_NOTICE_TOLD);
	assert_int_equal(look(f, id, 5).notice, STORE_NOTICE_NONE);
	add_report(f, id_next(), two, 2);
	assert_int_equal(count_notices(f), 1);
	/* a report that fails tells nobody */
	claim(f, "staging", TEST_NOW);
	fail_delivery(f, again, 1, "550 no", "");
	assert_int_equal(count_notices(f), 1);
	check_counts(f);
}

static void
a_report_that_is_not_stored_tells_nobody(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_failed(f, 1, 1);
	struct store_job job = {.op = STORE_ADD};

	job.u.add.message = passing(0); /* refused */
	job.u.add.told_id = id;
	job.u.add.told = &(uint32_t){1};
	job.u.add.told_count = 1;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	message_free(job.u.add.message);
	assert_int_equal(count_notices(f), 1);
}

static void
nobody_can_be_told(void **state)
{
	static const uint32_t numbers[] = {1, 2, 7};
	struct fixture *f = *state;
	uint64_t id = add_failed(f, 3, 3);
	struct store_job job = {.op = STORE_TOLD};
	struct seen s;

	job.u.told.id = id;
	job.u.told.numbers = numbers;
	job.u.told.count = 3;
	job.u.told.why = "staging does not let mail out to app@example.com";
	assert_int_equal(run_job(f, &job), STORE_OK);
	s = look(f, id, 2);
	assert_int_equal(s.notice, STORE_NOTICE_NONE);
	assert_string_equal(s.told, job.u.told.why);
	assert_int_equal(count_notices(f), 1);
	assert_int_equal(run_job(f, &job), STORE_OK); /* again */
	job.u.told.id = id_next();
	assert_int_equal(run_job(f, &job), STORE_OK); /* of nothing */
	assert_int_equal(count_notices(f), 1);
	assert_string_equal(look(f, id, 3).told, "");
	check_counts(f);
}

static uint64_t
purge(struct fixture *f)
{
	struct store_job job = {.op = STORE_PURGE};

	job.u.purge.limit = 2; /* fewer than there are pending: they are not in the way */
	job.u.purge.dropped_before = job.u.purge.sent_before = clock_wall() + CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	return job.u.purge.purged;
}

static void
purge_leaves_what_is_to_be_told(void **state)
{
	static const uint32_t all[] = {1, 2, 3};
	struct fixture *f = *state;
	uint64_t id = add_failed(f, 3, 3), sent = add_passing(f, "staging", 1);
	struct store_job load = {.op = STORE_LOAD}, told = {.op = STORE_TOLD};

	claim(f, "staging", TEST_NOW);
	end_delivery(f,
		     (struct store_delivery_result){.id = sent, .number = 1, .state = STORE_SENT});
	assert_int_equal(purge(f), 1);
	assert_int_equal(purge(f), 0);
	assert_int_equal(count_notices(f), 3);
	told.u.told.id = id;
	told.u.told.numbers = all;
	told.u.told.count = 2;
	assert_int_equal(run_job(f, &told), STORE_OK);
	assert_int_equal(purge(f), 2);
	load.u.load.id = id; /* the third one keeps it */
	assert_int_equal(run_job(f, &load), STORE_OK);
	message_free(load.u.load.message);
	add_report(f, id, all, 3);
	assert_int_equal(purge(f), 1);
	assert_int_equal(run_job(f, &load), STORE_MISSING);
	add_report(f, id, all, 3); /* gone: nothing to tell of, and no harm */
	check_counts(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(the_envelope_comes_back),
	    BOTH(a_sender_leaves_as_it_was_written),
	    BOTH(a_claim_says_what_the_client_asked_for),
	    BOTH(a_sender_is_told_when_it_has_to_be),
	    BOTH(notices_are_by_message),
	    BOTH(the_host_stays_with_its_reply),
	    BOTH(a_long_header_is_cut_at_a_line),
	    BOTH(a_report_tells),
	    BOTH(a_report_that_is_not_stored_tells_nobody),
	    BOTH(nobody_can_be_told),
	    BOTH(purge_leaves_what_is_to_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
