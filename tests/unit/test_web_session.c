/*
 * Sessions of the console: how long they last, that they end with their token, how many there may
 * be, and what is read out of a Cookie header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/tokens.h"
#include "control/web_session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW (1000 * CLOCK_DAY)

/* Lines of NAME:ROLES, each with the hash of NAME, or of what follows a `=`. */
static struct tokens *
make_tokens(const char *lines)
{
	char path[] = "/tmp/test_web_session.XXXXXX", hash[TOKEN_HASH_BYTES], name[80], roles[80];
	struct buf errors = {0};
	struct tokens *t;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	for (; *lines != '\0'; lines += strcspn(lines, "\n") + 1) {
		char secret[80] = "";

		assert_true(sscanf(lines, "%79[^:]:%79[^=\n]=%79[^\n]", name, roles, secret) >= 2);
		token_hash(secret[0] != '\0' ? secret : name, hash);
		fprintf(f, "%s:%s:%s\n", name, roles, hash);
	}
	fclose(f);
	t = tokens_load(path, &errors);
	if (t == NULL)
		fail_msg("%s", buf_text(&errors));
	unlink(path);
	return t;
}

static struct web_session *
open_for(struct web_sessions *s, const char *name, int64_t now, char id[WEB_SESSION_ID_BYTES])
{
	char hash[TOKEN_HASH_BYTES];
	struct web_session *session;

	token_hash(name, hash);
	session = web_sessions_open(s, name, hash, ROLE_VIEWER, now, id);
	assert_non_null(session);
	return session;
}

static void
test_times(void **state)
{
	static const struct {
		const char *name;
		int64_t step; /* it is used every so often ... */
		int uses;     /* ... so many times */
		bool there;
	} rows[] = {
	    {"at once", 0, 1, true},
	    {"just before it is idle too long", WEB_SESSION_IDLE - 1, 1, true},
	    {"idle too long", WEB_SESSION_IDLE, 1, false},
	    {"used until just before its age", WEB_SESSION_AGE / 20 - 1, 20, true},
	    {"used until its age", WEB_SESSION_AGE / 20, 20, false},
	};
	struct tokens *tokens = make_tokens("ann:viewer\n");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct web_sessions *s = web_sessions_new();
		char id[WEB_SESSION_ID_BYTES];
		struct web_session *found = NULL;
		int64_t now = NOW;

		open_for(s, "ann", now, id);
		for (int use = 0; use < rows[i].uses; use++) {
			now += rows[i].step;
			found = web_sessions_find(s, tokens, id, now);
		}
		if ((found != NULL) != rows[i].there)
			fail_msg("%s: is %sthere", rows[i].name, found != NULL ? "" : "not ");
		if (found != NULL && (web_session_rest(found, now) <= 0 ||
				      web_session_rest(found, now) > WEB_SESSION_IDLE))
			fail_msg("%s: lasts %lld", rows[i].name,
				 (long long)web_session_rest(found, now));
		/* What is over stays over, whatever the clock says. */
		if (found == NULL) {
			assert_null(web_sessions_find(s, tokens, id, NOW));
			assert_int_equal(web_sessions_count(s), 0);
		}
		web_sessions_free(s);
	}
	tokens_free(tokens);
}

static void
test_ends_with_its_token(void **state)
{
	static const struct {
		const char *name, *tokens;
		bool there;
	} rows[] = {
	    {"the same", "bob:operator\nann:viewer\n", true},
	    {"deleted", "bob:operator\n", false},
	    {"all deleted", "", false},
	    {"another token of that name", "ann:viewer=new\n", false},
	    {"another name", "eve:viewer=ann\n", false},
	    {"more roles", "ann:viewer,operator\n", false},
	    {"other roles", "ann:operator\n", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tokens *tokens = make_tokens(rows[i].tokens);
		struct web_sessions *s = web_sessions_new();
		char id[WEB_SESSION_ID_BYTES];

		open_for(s, "ann", NOW, id);
		if ((web_sessions_find(s, tokens, id, NOW) != NULL) != rows[i].there)
			fail_msg("%s", rows[i].name);
		web_sessions_free(s);
		tokens_free(tokens);
	}
}

static void
test_ids(void **state)
{
	struct tokens *tokens = make_tokens("ann:viewer\n");
	struct web_sessions *s = web_sessions_new();
	char id[WEB_SESSION_ID_BYTES], other[WEB_SESSION_ID_BYTES];
	struct web_session *first = open_for(s, "ann", NOW, id), *second;

	(void)state;
	second = open_for(s, "ann", NOW, other);
	assert_string_not_equal(id, other);
	assert_string_not_equal(first->csrf, second->csrf);
	assert_string_not_equal(first->csrf, id);
	assert_ptr_equal(web_sessions_find(s, tokens, id, NOW), first);
	assert_ptr_equal(web_sessions_find(s, tokens, other, NOW), second);
	assert_null(web_sessions_find(s, tokens, first->csrf, NOW));
	assert_null(web_sessions_find(s, tokens, first->hash, NOW));
	assert_null(web_sessions_find(s, tokens, "", NOW));
	/* To be asked about is no use of it. */
	assert_true(web_sessions_has(s, tokens, id, NOW + WEB_SESSION_IDLE - 1));
	assert_int_equal(first->used_at, NOW);
	assert_true(web_session_has_csrf(first, first->csrf));
	assert_false(web_session_has_csrf(first, second->csrf));
	assert_false(web_session_has_csrf(first, ""));
	web_session_end(first);
	assert_null(web_sessions_find(s, tokens, id, NOW));
	assert_ptr_equal(web_sessions_find(s, tokens, other, NOW), second);
	web_sessions_free(s);
	tokens_free(tokens);
}

/* 300 of them: the 44 that were away the longest are gone, one that was used stays. */
static void
test_many(void **state)
{
	enum { MADE = 300 };
	struct tokens *tokens = make_tokens("ann:viewer\n");
	struct web_sessions *s = web_sessions_new();
	static char id[MADE][WEB_SESSION_ID_BYTES];

	(void)state;
	for (int i = 0; i < MADE; i++) {
		open_for(s, "ann", NOW + i, id[i]);
		assert_non_null(web_sessions_find(s, tokens, id[0], NOW + i));
		assert_true(web_sessions_count(s) <= WEB_SESSIONS_MAX);
	}
	assert_int_equal(web_sessions_count(s), WEB_SESSIONS_MAX);
	for (int i = 0; i < MADE; i++) {
		bool there = web_sessions_find(s, tokens, id[i], NOW + MADE) != NULL;

		if (there != (i == 0 || i > MADE - WEB_SESSIONS_MAX))
			fail_msg("session %d is %sthere", i, there ? "" : "not ");
	}
	web_sessions_free(s);
	tokens_free(tokens);
}

#define ID "0123456789abcdefghijklmnopqrstuvwxyzABCDE-_"

static void
test_cookies(void **state)
{
	static const struct {
		const char *header;
		enum web_cookie wanted;
	} rows[] = {
	    {"", WEB_COOKIE_NONE},
	    {";", WEB_COOKIE_NONE},
	    {"a=b; c=d", WEB_COOKIE_NONE},
	    {"mailfuse", WEB_COOKIE_NONE},
	    {"xmailfuse=" ID, WEB_COOKIE_NONE},
	    {"mailfuse2=" ID, WEB_COOKIE_NONE},
	    {"Mailfuse=" ID, WEB_COOKIE_NONE},
	    {"a=mailfuse=" ID, WEB_COOKIE_NONE},
	    {"mailfuse=" ID, WEB_COOKIE_FOUND},
	    {"mailfuse=" ID ";", WEB_COOKIE_FOUND},
	    {"mailfuse=" ID "  ", WEB_COOKIE_FOUND},
	    {"a=b;mailfuse=" ID ";c", WEB_COOKIE_FOUND},
	    {"a=b; \tmailfuse=" ID " ; c=d", WEB_COOKIE_FOUND},
	    {"mailfuse=", WEB_COOKIE_BAD},
	    {"mailfuse=;", WEB_COOKIE_BAD},
	    {"mailfuse=" ID "x", WEB_COOKIE_BAD},
	    {"mailfuse=" ID " x", WEB_COOKIE_BAD},
	    {"mailfuse=\"" ID "\"", WEB_COOKIE_BAD},
	    {"mailfuse=+" ID, WEB_COOKIE_BAD},
	    {"mailfuse=" ID "; mailfuse=" ID, WEB_COOKIE_BAD},
	    {"mailfuse=" ID "; mailfuse=", WEB_COOKIE_BAD},
	    {"mailfuse=; mailfuse=" ID, WEB_COOKIE_BAD},
	};
	char id[WEB_SESSION_ID_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(id, 'x', sizeof(id));
		if (web_cookie_read(rows[i].header, id) != rows[i].wanted)
			fail_msg("%s", rows[i].header);
		if (rows[i].wanted == WEB_COOKIE_FOUND)
			assert_string_equal(id, ID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_times),   cmocka_unit_test(test_ends_with_its_token),
	    cmocka_unit_test(test_ids),     cmocka_unit_test(test_many),
	    cmocka_unit_test(test_cookies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
