/*
 * Files beside the configuration, and its own: values that stand in a file, and who may read what
 * is secret.
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

#include "base/mem.h"
#include "tests/unit/config_dump.h"

/* A file of its own for one test; removed by the caller. */
static char *
write_file(const char *text, mode_t mode)
{
	char *path = mem_strdup("test_config_XXXXXX");
	int fd = mkstemp(path);
	char *whole;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	whole = realpath(path, NULL);
	assert_non_null(whole);
	free(path);
	return whole;
}

struct file_row {
	const char *name, *content;
	mode_t mode;
	const char *format; /* of the configuration; %s = the path */
	const char *wanted; /* occurs in the dump, or in the errors */
};

static void
test_file_values(void **state)
{
	static const struct file_row rows[] = {
	    {"url", "https://h.example/secret\nmore\n", 0600,
	     "alert a { type = slack url = \"file:%s\" }", "url=https://h.example/secret retry"},
	    {"url, CRLF", "https://h.example/secret\r\n", 0640,
	     "alert a { type = slack url = \"file:%s\" }", "url=https://h.example/secret retry"},
	    {"address", "127.0.0.1:77\n", 0644, "listener l { address = \"file:%s\" }",
	     "127.0.0.1 port 77"},
	    {"hostname", "gate.example\n", 0644, "hostname = \"file:%s\"",
	     "hostname=gate.example "},
	    {"everybody can read it", "https://h.example/\n", 0644,
	     "\nalert a { type = slack\nurl = \"file:%s\" }", "t:3: url: every user can read "},
	    {"everybody can write it", "https://h.example/\n", 0602,
	     "alert a { type = slack url = \"file:%s\" }", "t:1: url: every user can write "},
	    {"everybody can run it", "https://h.example/\n", 0601,
	     "alert a { type = slack url = \"file:%s\" }", "t:1: url: every user can run "},
	    {"its group can write it", "https://h.example/\n", 0660,
	     "alert a { type = slack url = \"file:%s\" }", "t:1: url: its whole group can write "},
	    {"password", "a word\n", 0440,
	     "upstream u { address = \"h.example:465\" tls = implicit user = x password = "
	     "\"file:%s\" }",
	     " user=x password=a word "},
	    {"password that everybody can read", "secret\n", 0644,
	     "upstream u { address = \"h.example:465\" tls = implicit user = x password = "
	     "\"file:%s\" }",
	     "t:1: password: every user can read "},
	    {"users", "", 0640, "users = \"%s\"", " users=/"},
	    {"users that everybody can read", "", 0644, "\nusers = \"%s\"",
	     "t:2: users: every user can read "},
	    {"users that its group can write", "", 0660, "users = \"%s\"",
	     "t:1: users: its whole group can write "},
	    {"key", "", 0640,
	     "listener l { address = \"127.0.0.1:1\" tls = starttls certificate = \"/c\" key = "
	     "\"%s\" }",
	     " tls=1 "},
	    {"key that everybody can read", "", 0604,
	     "listener l { address = \"127.0.0.1:1\" tls = starttls certificate = \"/c\"\nkey = "
	     "\"%s\" }",
	     "t:2: key: every user can read "},
	    {"key in the file of the certificate", "", 0644,
	     "listener l { address = \"127.0.0.1:1\" tls = starttls\n certificate = \"%s\" }",
	     "t:2: certificate: every user can read "},
	    {"key of its own, so the certificate may be read", "", 0644,
	     "listener l { address = \"127.0.0.1:1\" tls = starttls key = \"/k\" certificate = "
	     "\"%s\" }",
	     " tls=1 "},
	    {"a mistake, and a key that is missing", "", 0640,
	     "listener l { address = \"127.0.0.1:1\" tls = starttls bare_newline = x "
	     "certificate = \"%s\"\nkey = \"/nonexistent/k\" }",
	     "t:2: key: cannot read /nonexistent/k: No such file or directory\n"},
	    {"a mistake, and users that are missing", "", 0640, "users = \"%s.missing\"\nloops = x",
	     ".missing: No such file or directory; mailfuse passwd NAME --users FILE makes it\n"},
	    {"empty", "\nx\n", 0600, "alert a { type = slack url = \"file:%s\" }",
	     "t:1: url: the first line of "},
	    {"no regular file", "", 0600, "alert a { type = slack url = \"file:/dev\" }\n# %s",
	     "t:1: url: /dev is not a regular file\n"},
	    {"missing", "", 0600, "alert a { type = slack url = \"file:%s.missing\" }",
	     ".missing: No such file or directory\n"},
	    {"relative", "", 0600, "alert a { type = slack url = \"file:x\" }\n# %s",
	     "t:1: url: the path behind file: must begin with /, not x\n"},
	    {"control character", "https://h.example/\033[1m\n", 0600,
	     "alert a { type = slack url = \"file:%s\" }",
	     "t:1: url has a control character in it; remove it\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = write_file(rows[i].content, rows[i].mode);
		struct buf text = {0}, errors = {0}, out = {0};
		const char *at = strstr(rows[i].format, "%s");
		struct config *c;

		buf_add(&text, rows[i].format, (size_t)(at - rows[i].format));
		buf_printf(&text, "%s%s", path, at + 2);
		c = load(buf_text(&text), &errors);
		if (c != NULL)
			dump(&out, c);
		buf_add_text(&out, buf_text(&errors));
		if (strstr(buf_text(&out), rows[i].wanted) == NULL)
			fail_msg("%s: wanted: %s\ngot: %s", rows[i].name, rows[i].wanted,
				 buf_text(&out));
		/* The secret itself is in no message. */
		assert_null(strstr(buf_text(&errors), "secret"));
		config_unref(c);
		unlink(path);
		free(path);
		buf_free(&text);
		buf_free(&errors);
		buf_free(&out);
	}
}

static void
test_load_file(void **state)
{
	struct buf errors = {0};
	char *path = write_file("loops = 3\n", 0644);
	struct config *c = config_load(path, &errors);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->path, path);
	assert_int_equal(c->loops, 3);
	assert_ptr_equal(config_ref(c), c);
	config_unref(c);
	assert_int_equal(c->loops, 3);
	config_unref(c);
	unlink(path);
	assert_null(config_load(path, &errors));
	assert_non_null(strstr(buf_text(&errors), ": cannot be read: No such file or directory\n"));
	buf_clear(&errors);
	assert_null(config_load("/", &errors));
	assert_string_equal(buf_text(&errors), "/: is no file; give the path of a configuration\n");
	buf_clear(&errors);
	c = config_load(NULL, &errors);
	assert_non_null(c);
	assert_string_equal(c->path, "");
	config_unref(c);
	buf_free(&errors);
	free(path);
}

struct mode_row {
	const char *name, *text;
	mode_t mode;
	const char *wanted; /* in the errors; NULL = it is taken */
};

#define LOGIN "\nupstream u { address = \"127.0.0.1:25\" user = x\npassword = "

/* A configuration is only as secret as what stands in it. */
static void
test_file_mode(void **state)
{
	static const struct mode_row rows[] = {
	    {"nothing secret", "loops = 3", 0644, NULL},
	    {"written by all", "loops = 3", 0646, ": every user can write it; run chmod 640 "},
	    {"a word", LOGIN "secret }", 0640, NULL},
	    {"a word, read by all", LOGIN "secret }", 0644, ":3: password: every user can read "},
	    {"a word, written by the group", LOGIN "secret }", 0660,
	     ":3: password: its whole group can write "},
	    {"what to do else", LOGIN "\"secret\" }", 0604,
	     ", or write \"file:/path\" or \"${NAME}\"\n"},
	    {"a variable", LOGIN "\"${MAILFUSE_TEST_SET}\" }", 0644, NULL},
	    {"a variable with a default", LOGIN "\"${MAILFUSE_TEST_SET:-secret}\" }", 0644,
	     ":3: password: every user can read "},
	    {"a variable and a word", LOGIN "\"${MAILFUSE_TEST_SET}secret\" }", 0644,
	     ":3: password: every user can read "},
	    {"no variable", LOGIN "'${MAILFUSE_TEST_SET}' }", 0644,
	     ":3: password: every user can read "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = write_file(rows[i].text, rows[i].mode);
		struct buf errors = {0};
		struct config *c = config_load(path, &errors);

		if ((c == NULL) != (rows[i].wanted != NULL) ||
		    (c == NULL && strstr(buf_text(&errors), rows[i].wanted) == NULL))
			fail_msg("%s: wanted: %s\ngot: %s", rows[i].name,
				 rows[i].wanted != NULL ? rows[i].wanted : "to be taken",
				 buf_text(&errors));
		assert_null(strstr(buf_text(&errors), "secret"));
		config_unref(c);
		unlink(path);
		free(path);
		buf_free(&errors);
	}
}

struct policy_row {
	const char *name, *text;
	const char *wanted;  /* in the dump, or in the errors */
	const char *refused; /* in the errors of config_load(); NULL = it takes it too */
};

/* Who looks at a policy need not be able to read its secrets. */
static void
test_policy(void **state)
{
	static const struct policy_row rows[] = {
	    {"a url in a file that is not there",
	     "alert a { type = slack url = \"file:/nonexistent/u\" }", "alert a type=1 url= retry",
	     "cannot read /nonexistent/u"},
	    {"a url in a variable", "alert a { type = slack url = \"${MAILFUSE_TEST_UNSET}\" }",
	     "alert a type=1 url= retry", "is not set"},
	    {"a part of a url in a variable",
	     "alert a { type = slack url = \"https://${MAILFUSE_TEST_UNSET}/x\" }",
	     "alert a type=1 url=https:///x retry", "is not set"},
	    {"a password in a file that is not there", LOGIN "\"file:/nonexistent/p\" }",
	     " user=x password= ", "cannot read /nonexistent/p"},
	    {"a password in a variable", LOGIN "\"${MAILFUSE_TEST_UNSET}\" }",
	     " user=x password= ", "is not set"},
	    {"a word that everybody can read", LOGIN "secret }", " user=x password=secret ",
	     "every user can read"},
	    {"users and keys are not looked at",
	     "users = \"/dev/null\" listener l { address = \"127.0.0.1:1\" tls = required "
	     "certificate = \"/dev/null\" auth = required }",
	     " users=/dev/null ", "every user can read"},
	    {"a user without a password is still wrong",
	     "upstream u { address = \"127.0.0.1:25\" user = x }", ":1: user needs a password",
	     "user needs a password"},
	    {"an alert without a url is still wrong", "alert a { type = slack }",
	     ":1: alert a has no url", "alert a has no url"},
	    {"what is no secret is read", "hostname = \"file:/nonexistent/h\"",
	     ":1: hostname: cannot read /nonexistent/h", "cannot read /nonexistent/h"},
	    {"a variable in what is no secret", "store = \"${MAILFUSE_TEST_UNSET}\"",
	     ":1: ${MAILFUSE_TEST_UNSET} is not set", "is not set"},
	    {"a variable behind a secret",
	     "alert a { type = slack url = \"${MAILFUSE_TEST_UNSET}\" retry_for = "
	     "\"${MAILFUSE_TEST_UNSET}\" }",
	     ":1: ${MAILFUSE_TEST_UNSET} is not set", "is not set"},
	    {"another mistake is told", "loops = x", ":1: loops cannot be x", "loops cannot be x"},
	    {"nothing secret", "loops = 3", " loops=3 ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = write_file(rows[i].text, 0644);
		struct buf errors = {0}, out = {0};
		struct config *c = config_load_policy(path, &out);

		if (c != NULL)
			dump(&out, c);
		if (strstr(buf_text(&out), rows[i].wanted) == NULL)
			fail_msg("%s: wanted: %s\ngot: %s", rows[i].name, rows[i].wanted,
				 buf_text(&out));
		config_unref(c);
		c = config_load(path, &errors);
		if ((c == NULL) != (rows[i].refused != NULL) ||
		    (c == NULL && strstr(buf_text(&errors), rows[i].refused) == NULL))
			fail_msg("%s: config_load() said: %s", rows[i].name, buf_text(&errors));
		config_unref(c);
		unlink(path);
		free(path);
		buf_free(&errors);
		buf_free(&out);
	}
}

static void
test_nul_byte(void **state)
{
	struct buf errors = {0};
	char path[] = "test_config_XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "loops = 3\n\0loops", 16), 16);
	close(fd);
	assert_null(config_load(path, &errors));
	assert_non_null(strstr(buf_text(&errors), "has a NUL byte in it"));
	unlink(path);
	buf_free(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_file_values), cmocka_unit_test(test_load_file),
	    cmocka_unit_test(test_file_mode),   cmocka_unit_test(test_policy),
	    cmocka_unit_test(test_nul_byte),
	};

	setenv("MAILFUSE_TEST_SET", "value", 1);
	unsetenv("MAILFUSE_TEST_UNSET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
