/*
 * POST /v1/backup and /v1/import at the edges that a running gate hardly meets: two copies at once,
 * a copy that fails, a client that is gone. The store's part is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mail/mime.h"
#include "tests/unit/control_rig.h"

static _Atomic(struct store_copy *) started;

void __wrap_store_copy_start(struct store *s, struct store_copy *copy);

void
__wrap_store_copy_start(struct store *s, struct store_copy *copy)
{
	(void)s;
	started = copy;
}

static int
ask(const char *body)
{
	char text[400];
	int fd = client_connect();

	snprintf(text, sizeof(text),
		 "POST /v1/backup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		 "Content-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	client_send(fd, text, strlen(text));
	return fd;
}

static struct store_copy *
wait_started(void)
{
	struct store_copy *copy;

	while ((copy = started) == NULL)
		usleep(1000);
	started = NULL;
	return copy;
}

static void
test_one_at_a_time(void **state)
{
	static const char body[] = "{\"path\":\"/nowhere/copy.db\",\"reason\":\"nightly\"}";
	struct store_copy *copy;
	struct buf answer = {0};
	int fd = ask(body);

	(void)state;
	copy = wait_started();
	assert_string_equal(copy->path, "/nowhere/copy.db");
	assert_int_equal(client_call("POST", "/v1/backup", body, strlen(body), &answer), 409);
	assert_non_null(strstr(buf_text(&answer), "already"));
	buf_clear(&answer);
	copy->result = STORE_OK;
	copy->report = (struct backup_report){.bytes = 4096, .messages = 3, .audit_id = 7};
	copy->done(copy);
	assert_int_equal(client_read(fd, &answer), 200);
	assert_non_null(strstr(buf_text(&answer), "\"messages\":3"));
	buf_clear(&answer);
	assert_int_equal(client_call("GET", "/v1/log?last=1", "", 0, &answer), 200);
	assert_non_null(strstr(buf_text(&answer), "backup.made"));
	assert_non_null(strstr(buf_text(&answer), "nightly"));
	buf_free(&answer);
}

static void
test_a_copy_that_fails(void **state)
{
	struct store_copy *copy;
	struct buf answer = {0};
	int fd = ask("{\"path\":\"/nowhere/copy.db\"}");

	(void)state;
	copy = wait_started();
	copy->result = STORE_REFUSED;
	snprintf(copy->error, sizeof(copy->error), "no space there; choose another disk");
	copy->done(copy);
	assert_int_equal(client_read(fd, &answer), 409);
	assert_non_null(strstr(buf_text(&answer), "choose another disk"));
	buf_free(&answer);
}

/* The next one may be made whatever became of the one before. */
static void
test_a_client_that_is_gone(void **state)
{
	struct store_copy *copy;
	struct buf answer = {0};
	int fd = ask("{\"path\":\"/nowhere/copy.db\"}");

	(void)state;
	copy = wait_started();
	close(fd);
	copy->result = STORE_FULL;
	copy->done(copy);
	/* Its end is behind this in the loop's list. */
	assert_int_equal(client_call("GET", "/v1/queue", "", 0, &answer), 200);
	fd = ask("{\"path\":\"/nowhere/other.db\"}");
	copy = wait_started();
	copy->result = STORE_FULL;
	copy->done(copy);
	buf_clear(&answer);
	assert_int_equal(client_read(fd, &answer), 503);
	buf_free(&answer);
}

static int
start(void **state)
{
	(void)state;
	gate_start();
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	gate_stop();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_one_at_a_time, start, stop),
	    cmocka_unit_test_setup_teardown(test_a_copy_that_fails, start, stop),
	    cmocka_unit_test_setup_teardown(test_a_client_that_is_gone, start, stop),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
