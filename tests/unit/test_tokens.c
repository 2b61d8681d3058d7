/*
 * Tokens and roles as text, and the tokens file: what is taken, and what is refused with which
 * words. Files are real ones in a directory of the test's own.
 */
#include <fcntl.h>
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

#include "base/token.h"
#include "config/tokens.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of "abc" and of "" (FIPS 180-4's examples). */
#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OTHER "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char directory[] = "/tmp/mailfuse-tokens-XXXXXX";
static char path[sizeof(directory) + 8];

/* ---- text */

static void
test_roles(void **state)
{
	static const struct {
		const char *text;
		int roles; /* -1: none */
		const char *again;
	} rows[] = {
	    {"viewer", ROLE_VIEWER, "viewer"},
	    {"operator", ROLE_OPERATOR, "operator"},
	    {"approver,viewer", ROLE_VIEWER | ROLE_APPROVER, "viewer,approver"},
	    {"viewer,operator,approver", ROLE_ALL, "viewer,operator,approver"},
	    {"", -1, ""},
	    {"admin", -1, ""},
	    {"Viewer", -1, ""},
	    {"viewer,", -1, ""},
	    {",viewer", -1, ""},
	    {"viewer,viewer", -1, ""},
	    {"viewer, operator", -1, ""},
	    {"viewe", -1, ""},
	    {"viewerr", -1, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[ROLE_TEXT_BYTES];
		unsigned roles = 77;
		bool ok = role_parse(rows[i].text, &roles);

		if (ok != (rows[i].roles >= 0) || (ok && (int)roles != rows[i].roles))
			fail_msg("\"%s\": %d, %u", rows[i].text, ok, roles);
		role_format(ok ? roles : 0, text);
		assert_string_equal(text, rows[i].again);
	}
}

static void
test_token(void **state)
{
	char a[TOKEN_BYTES], b[TOKEN_BYTES], hash[TOKEN_HASH_BYTES];

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(token_make(a) && token_make(b));
		assert_int_equal(strlen(a), 46);
		assert_int_equal(strncmp(a, "mf_", 3), 0);
		assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					   "0123456789-_"),
				 46);
		assert_string_not_equal(a, b);
	}
	token_hash("abc", hash);
	assert_string_equal(hash, HASH);
	token_hash("", hash);
	assert_string_equal(hash, OTHER);
	assert_true(token_is_hash(HASH));
	assert_false(token_is_hash("BA" HASH));
	assert_false(token_is_hash(&HASH[1]));
	assert_false(token_is_hash(""));
	assert_true(token_same_hash(HASH, HASH));
	assert_false(token_same_hash(HASH, OTHER));
}

static void
test_names(void **state)
{
	static const char *const good[] = {"ci", "A.b_c-9", "0"};
	static const char *const bad[] = {"", "a b", "a:b", "#a", "a(b)", "\303\244", "a/b"};
	char text[66];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(token_is_name(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(token_is_name(bad[i]));
	memset(text, 'n', sizeof(text));
	text[64] = '\0';
	assert_true(token_is_name(text));
	text[64] = 'n';
	text[65] = '\0';
	assert_false(token_is_name(text));
}

/* ---- the file */

static void
write_file(const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* "" if it is taken, else what is said, without the path. */
static char *
load(struct tokens **t)
{
	struct buf errors = {0}, said = {0};
	const char *at;

	*t = tokens_load(path, &errors);
	assert_int_equal(*t == NULL, errors.len > 0);
	for (at = buf_text(&errors); *at != '\0'; at += strcspn(at, "\n") + 1) {
		assert_int_equal(strncmp(at, path, strlen(path)), 0);
		at += strlen(path) + 1;
		buf_add(&said, at, strcspn(at, "\n") + 1);
	}
	buf_free(&errors);
	return buf_take(&said);
}

static void
add_name(void *context, const char *name)
{
	buf_printf(context, "%s;", name);
}

static void
test_taken(void **state)
{
	static const char text[] = "# who asks\n\nci:viewer:" HASH
				   "\n  \nops.2:operator,approver:" OTHER; /* no line end */
	struct buf names = {0};
	const char *name = NULL;
	unsigned roles = 0;
	struct tokens *t;
	char *said;

	(void)state;
	write_file(text, strlen(text), 0640);
	said = load(&t);
	assert_string_equal(said, "");
	assert_true(tokens_find(t, "abc", &name, &roles));
	assert_string_equal(name, "ci");
	assert_int_equal(roles, ROLE_VIEWER);
	assert_true(tokens_find(t, "", &name, &roles));
	assert_string_equal(name, "ops.2");
	assert_int_equal(roles, ROLE_OPERATOR | ROLE_APPROVER);
	assert_false(tokens_find(t, "abcd", &name, &roles));
	assert_false(tokens_find(t, HASH, &name, &roles)); /* the hash opens nothing */
	tokens_list(t, ROLE_APPROVER, add_name, &names);
	assert_string_equal(buf_text(&names), "ops.2;");
	buf_clear(&names);
	tokens_list(t, ROLE_ALL, add_name, &names);
	assert_string_equal(buf_text(&names), "ci;ops.2;");
	buf_free(&names);
	tokens_free(t);
	free(said);
	write_file("", 0, 0600);
	said = load(&t);
	assert_string_equal(said, "");
	assert_false(tokens_find(t, "", &name, &roles));
	tokens_free(t);
	free(said);
	tokens_free(NULL);
}

#define FORM "no token; a line is NAME:ROLES:HASH, as mailfuse token writes it\n"
#define NAME(name)                                                                                 \
	name " is no name of a token: 1 to 64 letters, digits, dots, dashes and underscores\n"
#define ROLE(role, name)                                                                           \
	role " is no role of token " name "; write viewer, operator, approver or more of them "    \
	     "with commas between\n"
#define NO_HASH(name)                                                                              \
	"what follows the roles of token " name " is no SHA-256 hash; run mailfuse token " name "\n"
#define TEXT(literal) literal, sizeof(literal) - 1

static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text;
		size_t len;
		mode_t mode;
		const char *wanted;
	} rows[] = {
	    {"no colon", TEXT("ci\n"), 0600, "1: " FORM},
	    {"one colon", TEXT("ci:" HASH "\n"), 0600, "1: " FORM},
	    {"NUL", TEXT("ci:viewer:" HASH "\0x\n"), 0600, "1: " FORM},
	    {"no name", TEXT(":viewer:" HASH "\n"), 0600, "1: " NAME("\"\"")},
	    {"name", TEXT("a b:viewer:" HASH "\n"), 0600, "1: " NAME("\"a b\"")},
	    {"role", TEXT("ci:root:" HASH "\n"), 0600, "1: " ROLE("root", "ci")},
	    {"no role", TEXT("ci::" HASH "\n"), 0600, "1: " ROLE("\"\"", "ci")},
	    {"a token, not its hash", TEXT("ci:viewer:mf_abc\n"), 0600, "1: " NO_HASH("ci")},
	    {"upper case",
	     TEXT("ci:viewer:"
		  "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n"),
	     0600, "1: " NO_HASH("ci")},
	    {"CRLF", TEXT("ci:viewer:" HASH "\r\n"), 0600, "1: " NO_HASH("ci")},
	    {"name twice", TEXT("ci:viewer:" HASH "\nci:operator:" OTHER "\n"), 0600,
	     "2: token ci stands in line 1 already; delete one of them\n"},
	    {"one token, two people", TEXT("a:operator:" HASH "\n\nb:approver:" HASH "\n"), 0600,
	     "3: token b is the same as token a in line 1, and would be two people; run mailfuse "
	     "token b\n"},
	    {"every user can read it", TEXT(""), 0604,
	     " every user can read or write it; run chmod o-rw on it\n"},
	    {"every user can write it", TEXT(""), 0602,
	     " every user can read or write it; run chmod o-rw on it\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tokens *t;
		char *said;

		write_file(rows[i].text, rows[i].len, rows[i].mode);
		said = load(&t);
		if (strcmp(said, rows[i].wanted) != 0)
			fail_msg("%s: %s", rows[i].name, said);
		free(said);
	}
}

static void
test_no_file(void **state)
{
	struct tokens *t;
	char *said;

	(void)state;
	unlink(path);
	said = load(&t);
	assert_string_equal(said, " cannot be read: No such file or directory; mailfuse token NAME "
				  "--tokens FILE makes one\n");
	free(said);
	assert_int_equal(mkfifo(path, 0600), 0);
	said = load(&t);
	assert_string_equal(said, " is not a regular file\n");
	free(said);
	unlink(path);
}

static int
start(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/tokens", directory);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_roles),   cmocka_unit_test(test_token),
	    cmocka_unit_test(test_names),   cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_refused), cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
