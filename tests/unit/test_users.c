/*
 * The users file: what is taken, and what is refused with which words. Files are real ones in a
 * directory of the test's own.
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

#include "config/users.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define HASH                                                                                       \
	"$scrypt$ln=10,r=8,p=1$c2l4dGVlbiBieXRlIHNhbA$Bv2SJHBl4qs1L3dd2RrdPDTxb1L931Fp1q7yoqz8t+w"
#define OTHER "$scrypt$ln=11,r=1,p=4$AAECAwQFBgc$efkQZxXMOslKdIj2voYYvQ"

static char directory[] = "/tmp/mailfuse-users-XXXXXX";
static char path[sizeof(directory) + 8];

static void
write_file(const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* "" if it is taken, else what is said, without the path. */
static char *
load(const char *text, size_t len, struct users **u)
{
	struct buf errors = {0}, said = {0};
	const char *at;

	write_file(text, len);
	*u = users_load(path, &errors);
	assert_int_equal(*u == NULL, errors.len > 0);
	for (at = buf_text(&errors); *at != '\0'; at += strcspn(at, "\n") + 1) {
		assert_int_equal(strncmp(at, path, strlen(path)), 0);
		at += strlen(path) + 1;
		buf_add(&said, at, strcspn(at, "\n") + 1);
	}
	buf_free(&errors);
	return buf_take(&said);
}

static void
test_taken(void **state)
{
	static const char text[] = "# who may log in\n"
				   "\n"
				   "shop:" HASH "\n"
				   " \t\n"
				   "#old:x\n"
				   "app@example.com:" OTHER "\n"
				   "two words:" HASH "\n"
				   "Shop:" OTHER; /* no line end */
	struct users *u;
	char *said = load(text, sizeof(text) - 1, &u);
	const char *decoy;
	uint64_t i;

	(void)state;
	assert_string_equal(said, "");
	assert_int_equal(users_count(u), 4);
	assert_string_equal(users_find(u, "shop"), HASH);
	assert_string_equal(users_find(u, "Shop"), OTHER);
	assert_string_equal(users_find(u, "app@example.com"), OTHER);
	assert_string_equal(users_find(u, "two words"), HASH);
	assert_null(users_find(u, "SHOP"));
	assert_null(users_find(u, "sho"));
	assert_null(users_find(u, "shop "));
	assert_null(users_find(u, "#old"));
	assert_null(users_find(u, ""));
	for (i = 0; i < 9; i++) {
		decoy = users_decoy(u, UINT64_MAX - i);
		assert_true(strcmp(decoy, HASH) == 0 || strcmp(decoy, OTHER) == 0);
		assert_ptr_equal(decoy, users_decoy(u, UINT64_MAX - i));
	}
	users_free(u);
	free(said);
}

static void
test_empty(void **state)
{
	static const char *const texts[] = {"", "\n", "# nobody yet\n", "\n\n#"};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(texts); i++) {
		struct users *u;
		char *said = load(texts[i], strlen(texts[i]), &u);

		assert_string_equal(said, "");
		assert_int_equal(users_count(u), 0);
		assert_null(users_find(u, "shop"));
		assert_null(users_decoy(u, 7));
		users_free(u);
		free(said);
	}
}

#define NO_COLON "no colon; a line is NAME:HASH, as mailfuse passwd writes it\n"
#define NO_NAME                                                                                    \
	"no name for a user: 1 to 255 bytes of UTF-8 without control characters and without a "    \
	"space at "                                                                                \
	"an end\n"
#define NO_HASH(name) "what follows the colon is no scrypt hash; run mailfuse passwd " name "\n"
#define TEXT(literal) literal, sizeof(literal) - 1

static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text;
		size_t len;
		const char *wanted;
	} rows[] = {
	    {"no colon", TEXT("shop " HASH "\n"), "1: " NO_COLON},
	    {"last line without its end", TEXT("a:" HASH "\nb"), "2: " NO_COLON},
	    {"no name", TEXT(":" HASH "\n"), "1: " NO_NAME},
	    {"space before the colon", TEXT("shop :" HASH "\n"), "1: " NO_NAME},
	    {"indented", TEXT("  shop:" HASH "\n"), "1: " NO_NAME},
	    {"control character", TEXT("sh\aop:" HASH "\n"), "1: " NO_NAME},
	    {"NUL in the name", TEXT("sh\0op:" HASH "\n"), "1: " NO_NAME},
	    {"NUL instead of a line", TEXT("\0\n"), "1: " NO_COLON},
	    {"NUL behind the hash", TEXT("shop:" HASH "\0x\n"), "1: " NO_HASH("shop")},
	    {"a clear password", TEXT("shop:secret\n"), "1: " NO_HASH("shop")},
	    {"no hash", TEXT("shop:\n"), "1: " NO_HASH("shop")},
	    {"more behind the hash", TEXT("shop:" HASH ":1001\n"), "1: " NO_HASH("shop")},
	    {"CRLF", TEXT("shop:" HASH "\r\n"), "1: " NO_HASH("shop")},
	    {"too dear",
	     TEXT("shop:$scrypt$ln=30,r=8,p=1$c2l4dGVlbiBieXRlIHNhbA$Bv2SJHBl4qs1L3dd2"
		  "RrdPDTxb1L931Fp1q7yoqz8t+w\n"),
	     "1: " NO_HASH("shop")},
	    {"byte order mark", TEXT("\357\273\277shop:" HASH "\nshop:x\n"), "2: " NO_HASH("shop")},
	    {"twice", TEXT("a:" HASH "\n\na:" OTHER "\n"),
	     "3: user a stands in line 1 already; delete one of them\n"},
	    {"all that is wrong", TEXT("a\nb:" HASH "\n:x\nc:d\n"),
	     "1: " NO_COLON "3: " NO_NAME "4: " NO_HASH("c")},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct users *u;
		char *said = load(rows[i].text, rows[i].len, &u);

		if (strcmp(said, rows[i].wanted) != 0)
			fail_msg("%s: %s", rows[i].name, said);
		free(said);
	}
}

static void
test_bounds(void **state)
{
	struct buf text = {0};
	struct users *u;
	char *said;
	int i;

	(void)state;
	for (i = 0; i < 255; i++)
		buf_add_char(&text, 'n');
	buf_add_text(&text, ":" HASH);
	said = load(text.data, text.len, &u);
	assert_string_equal(said, "");
	assert_non_null(u);
	users_free(u);
	free(said);
	buf_clear(&text);
	for (i = 0; i < 256; i++)
		buf_add_char(&text, 'n');
	buf_add_text(&text, ":" HASH);
	said = load(text.data, text.len, &u);
	assert_string_equal(said, "1: " NO_NAME);
	free(said);

	/* A file that is something else is not complained of for ever. */
	buf_clear(&text);
	for (i = 0; i < 100000; i++)
		buf_add_text(&text, "x\n");
	said = load(text.data, text.len, &u);
	assert_non_null(strstr(said, "21: more is wrong; is it the right file?\n"));
	assert_null(strstr(said, "22:"));
	free(said);
	buf_free(&text);
}

static void
refused(const char *file, const char *wanted)
{
	struct buf errors = {0};

	assert_null(users_load(file, &errors));
	if (strstr(buf_text(&errors), wanted) == NULL)
		fail_msg("%s: %s", wanted, buf_text(&errors));
	buf_free(&errors);
}

static void
test_files(void **state)
{
	static const mode_t wrong[] = {0644, 0642, 0604, 0666};
	static const mode_t right[] = {0640, 0600, 0660, 0400};
	struct buf errors = {0};
	struct users *u;
	size_t i;

	(void)state;
	write_file("a:" HASH, strlen("a:" HASH));
	for (i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(chmod(path, wrong[i]), 0);
		refused(path, "every user can read or write it; run chmod o-rw on it");
	}
	for (i = 0; i < COUNT(right); i++) {
		assert_int_equal(chmod(path, right[i]), 0);
		u = users_load(path, &errors);
		assert_non_null(u);
		users_free(u);
	}
	assert_int_equal(truncate(path, 16 * 1024 * 1024 + 1), 0);
	assert_int_equal(chmod(path, 0600), 0);
	refused(path, "larger than 16 MiB");
	assert_int_equal(unlink(path), 0);
	refused(path, "No such file or directory; mailfuse passwd NAME --users FILE makes one");
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, "is not a regular file"); /* and does not hang */
	assert_int_equal(unlink(path), 0);
	refused(directory, "is not a regular file");
}

static int
make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/users", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_taken),   cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("users", tests, make_directory, remove_directory);
}
