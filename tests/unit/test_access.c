/*
 * Who may do what: roles of users of this machine by name and group; and the TCP port with its
 * tokens, hosts and origins, through real sockets.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/load.h"
#include "control/access.h"
#include "mail/mime.h"
#include "tests/unit/control_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- users and groups */

static struct config *
load(const char *text)
{
	char *copy = mem_strdup(text);
	struct buf errors = {0};
	struct config *c = load_text(copy, "t", false, &errors);

	if (c == NULL)
		fail_msg("%s", buf_text(&errors));
	buf_free(&errors);
	free(copy);
	return c;
}

/* %u is the user that runs the test, %g its first group. */
static char *
fill_in(const char *text)
{
	struct passwd *user = getpwuid(getuid());
	struct group *group = getgrgid(getgid());
	struct buf out = {0};

	assert_non_null(user);
	assert_non_null(group);
	for (; *text != '\0'; text++) {
		if (*text != '%')
			buf_add_char(&out, *text);
		else
			buf_add_text(&out, *++text == 'u' ? user->pw_name : group->gr_name);
	}
	return buf_take(&out);
}

static void
test_users(void **state)
{
	static const struct {
		const char *name, *text;
		unsigned roles;
	} rows[] = {
	    {"no section", "", ROLE_ALL},
	    {"not named", "access { operators = {nosuchuser} }", 0},
	    {"user", "access { operators = {nosuchuser, %u} }", ROLE_OPERATOR},
	    {"group", "access { operators = {\"@%g\"} }", ROLE_OPERATOR},
	    {"a user is no group", "access { operators = {\"@nosuchgroup\", \"%u-not\"} }", 0},
	    {"everybody may look", "access { operators = {x} viewers = {\"*\"} }", ROLE_VIEWER},
	    {"several", "access { operators = {%u} approvers = {\"@%g\"} }",
	     ROLE_OPERATOR | ROLE_APPROVER},
	    {"all", "access { operators = {\"*\"} approvers = {\"*\"} viewers = {\"*\"} }",
	     ROLE_ALL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *text = fill_in(rows[i].text);
		struct config *c = load(text);
		unsigned roles = access_roles_of_user(c, getuid());

		if (roles != rows[i].roles)
			fail_msg("%s: %u, wanted %u", rows[i].name, roles, rows[i].roles);
		config_unref(c);
		free(text);
	}
}

/* A uid without an entry has no name and no group: only what is for everybody. */
static void
test_nameless(void **state)
{
	struct config *c = load("access { operators = {root, \"@root\"} viewers = {\"*\"} }");

	(void)state;
	if (getpwuid(4000000001U) != NULL)
		skip();
	assert_int_equal(access_roles_of_user(c, 4000000001U), ROLE_VIEWER);
	config_unref(c);
}

static void
test_strangers(void **state)
{
	char *text = fill_in("access { operators = {\"%u\", nosuchuser, \"*\"} viewers = {\"@%g\", "
			     "\"@nosuchgroup\"} }");
	struct config *c = load(text);
	struct buf out = {0};

	(void)state;
	access_check_names(c, &out);
	assert_string_equal(
	    buf_text(&out),
	    "access: viewers: there is no group nosuchgroup on this machine, so it is "
	    "nobody\naccess: operators: there is no user nosuchuser on this machine, "
	    "so it is nobody\n");
	buf_free(&out);
	config_unref(c);
	free(text);
}

/* ---- the TCP port */

static struct sockaddr_in served;
static struct tokens *tokens;

/* SHA-256 of each token's name, so that `viewer` is the token of `viewer`. */
static struct tokens *
make_tokens(void)
{
	static const char *const lines[][2] = {{"viewer", "viewer"},
					       {"operator", "operator"},
					       {"approver", "approver"},
					       {"both", "operator,approver"}};
	char path[] = "/tmp/test_access.XXXXXX", hash[TOKEN_HASH_BYTES];
	struct buf errors = {0};
	struct tokens *t;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	for (size_t i = 0; i < COUNT(lines); i++) {
		token_hash(lines[i][0], hash);
		fprintf(f, "%s:%s:%s\n", lines[i][0], lines[i][1], hash);
	}
	fclose(f);
	t = tokens_load(path, &errors);
	if (t == NULL)
		fail_msg("%s", buf_text(&errors));
	unlink(path);
	return t;
}

static void
serve(void)
{
	socklen_t len = sizeof(served);

	served = (struct sockaddr_in){.sin_family = AF_INET};
	served.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	gate_http.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(gate_http.fd, (struct sockaddr *)&served, sizeof(served)), 0);
	assert_int_equal(listen(gate_http.fd, 128), 0);
	assert_int_equal(getsockname(gate_http.fd, (struct sockaddr *)&served, &len), 0);
	tokens = make_tokens();
	gate_http.tokens = tokens;
	gate_start();
}

static void
unserve(void)
{
	gate_stop();
	tokens_free(tokens);
	gate_http = (struct gate_http){NULL, -1};
}

static int
connect_http(void)
{
	struct timeval patience = {20, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&served, sizeof(served)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* All that comes back, header too. The status, 0 where none came. */
static int
ask(const char *request, struct buf *answer)
{
	int fd = connect_http(), status = 0;
	char data[4096];
	ssize_t n;

	buf_clear(answer);
	client_send(fd, request, strlen(request));
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		buf_add(answer, data, (size_t)n);
	close(fd);
	sscanf(buf_text(answer), "HTTP/1.1 %d", &status);
	return status;
}

#define GET(path) "GET " path " HTTP/1.1\r\nConnection: close\r\n"
#define POST(path)                                                                                 \
	"POST " path " HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\nHost: localhost\r\n"
#define HOST "Host: localhost\r\n"
#define AS(token) "Authorization: Bearer " token "\r\n"
#define BODY "\r\n{}"
#define END "\r\n"

static void
test_http(void **state)
{
	static const struct {
		const char *name, *request;
		int status;
		const char *wanted; /* NULL = anything */
	} rows[] = {
	    {"no token", GET("/v1/batches") HOST END, 401,
	     "WWW-Authenticate: Bearer realm=\"mailfuse\"\r\n"},
	    {"no token, no such path", GET("/v1/nothing") HOST END, 401, NULL},
	    {"wrong token", GET("/v1/batches") HOST AS("nobody") END, 401,
	     "error=\"invalid_token\""},
	    {"another scheme", GET("/v1/batches") HOST "Authorization: Basic dmlld2VyOg==\r\n" END,
	     401, NULL},
	    {"no token behind Bearer", GET("/v1/batches") HOST "Authorization: Bearer \r\n" END,
	     401, NULL},
	    {"two tokens", GET("/v1/batches") HOST AS("viewer") AS("operator") END, 401, NULL},
	    {"viewer looks", GET("/v1/batches") HOST AS("viewer") END, 200, "\"items\""},
	    {"bearer in small letters",
	     GET("/v1/batches") HOST "authorization: bearer viewer\r\n" END, 200, NULL},
	    {"operator looks", GET("/v1/batches") HOST AS("operator") END, 200, NULL},
	    {"approver looks", GET("/v1/log") HOST AS("approver") END, 200, NULL},
	    {"viewer decides", POST("/v1/release") AS("viewer") BODY, 403,
	     "this takes the role operator, which all on the control socket, token:operator, "
	     "token:both have; token:viewer has the role viewer"},
	    {"approver decides", POST("/v1/discard") AS("approver") BODY, 403,
	     "token:approver has the role approver"},
	    {"operator approves", POST("/v1/approve") AS("operator") BODY, 403,
	     "this takes the role approver, which all on the control socket, token:approver, "
	     "token:both have"},
	    {"viewer purges", POST("/v1/purge") AS("viewer") BODY, 403, NULL},
	    {"viewer stops mail", POST("/v1/hold") AS("viewer") BODY, 403, NULL},
	    {"viewer asks for a verdict", POST("/v1/explain") AS("viewer") BODY, 400, NULL},
	    {"operator may, but must say what", POST("/v1/release") AS("operator") BODY, 400, NULL},
	    {"approver may, but must say what", POST("/v1/approve") AS("approver") BODY, 400, NULL},
	    {"both", POST("/v1/approve") AS("both") BODY, 400, NULL},
	    {"its address", GET("/v1/batches") "Host: 127.0.0.1\r\n" AS("viewer") END, 200, NULL},
	    {"its address and a port", GET("/v1/batches") "Host: 127.0.0.1:9\r\n" AS("viewer") END,
	     200, NULL},
	    {"LOCALHOST", GET("/v1/batches") "Host: LOCALHOST:80\r\n" AS("viewer") END, 200, NULL},
	    {"another host", GET("/v1/batches") "Host: evil.example\r\n" AS("viewer") END, 421,
	     "this is 127.0.0.1 and not evil.example"},
	    {"a host that begins so",
	     GET("/v1/batches") "Host: localhost.evil\r\n" AS("viewer") END, 421, NULL},
	    {"a host with rubbish behind the port",
	     GET("/v1/batches") "Host: localhost:80.evil\r\n" AS("viewer") END, 421, NULL},
	    {"no host", GET("/v1/batches") AS("viewer") END, 421, NULL},
	    {"two hosts", GET("/v1/batches") HOST "Host: evil.example\r\n" AS("viewer") END, 421,
	     NULL},
	    {"another host in the request line",
	     GET("http://evil.example/v1/batches") HOST AS("viewer") END, 421, NULL},
	    {"own origin",
	     GET("/v1/batches") "Host: localhost:8\r\nOrigin: http://localhost:8\r\n" AS("viewer")
		 END,
	     200, NULL},
	    {"another origin",
	     GET("/v1/batches") HOST "Origin: https://evil.example\r\n" AS("viewer") END, 403,
	     "may not ask here"},
	    {"an origin on another port of this machine",
	     GET("/v1/batches") "Host: localhost:8\r\nOrigin: http://localhost:3000\r\n" AS(
		 "viewer") END,
	     403, NULL},
	    {"origin of a file", GET("/v1/batches") HOST "Origin: null\r\n" AS("viewer") END, 403,
	     NULL},
	    {"preflight of a browser",
	     "OPTIONS /v1/release HTTP/1.1\r\nConnection: close\r\n" HOST
	     "Origin: https://evil.example\r\n" END,
	     403, NULL},
	};
	struct buf answer = {0};

	(void)state;
	serve();
	for (size_t i = 0; i < COUNT(rows); i++) {
		int status = ask(rows[i].request, &answer);

		if (status != rows[i].status)
			fail_msg("%s: status %d, wanted %d: %s", rows[i].name, status,
				 rows[i].status, buf_text(&answer));
		if (rows[i].wanted != NULL && strstr(buf_text(&answer), rows[i].wanted) == NULL)
			fail_msg("%s: no %s in: %s", rows[i].name, rows[i].wanted,
				 buf_text(&answer));
	}
	buf_free(&answer);
	unserve();
}

/* The eleventh wrong one within a minute is told to wait; a right one is let in all the same. */
static void
test_guesses(void **state)
{
	struct buf answer = {0};

	(void)state;
	serve();
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask(GET("/v1/batches") HOST AS("guess") END, &answer), 401);
	assert_int_equal(ask(GET("/v1/batches") HOST AS("guess") END, &answer), 429);
	assert_non_null(strstr(buf_text(&answer), "Retry-After: "));
	assert_int_equal(ask(GET("/v1/batches") HOST AS("viewer") END, &answer), 200);
	assert_int_equal(ask(GET("/v1/batches") HOST END, &answer), 401); /* no guess */
	buf_free(&answer);
	unserve();
}

/* Who sits there without a word has one of 64 seats, and gives it back when it goes. */
static void
test_seats(void **state)
{
	static const char request[] = GET("/v1/batches") HOST AS("viewer") END;
	struct buf answer = {0};
	int seats[64];

	(void)state;
	serve();
	for (size_t i = 0; i < COUNT(seats); i++)
		seats[i] = connect_http();
	assert_int_equal(ask(request, &answer), 0);
	for (size_t i = 0; i < COUNT(seats); i++)
		close(seats[i]);
	/* The end of the others may come after the next beginning: once more, then. */
	for (int i = 0; ask(request, &answer) != 200; i++) {
		assert_true(i < 2000);
		usleep(10000);
	}
	buf_free(&answer);
	unserve();
}

/* What is too long is refused by its length alone. */
static void
test_long_body(void **state)
{
	struct buf answer = {0};

	(void)state;
	serve();
	assert_int_equal(ask("POST /v1/explain HTTP/1.1\r\nConnection: close\r\nContent-Length: "
			     "3000000\r\n" HOST AS("operator") END,
			     &answer),
			 413);
	buf_free(&answer);
	unserve();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_users),     cmocka_unit_test(test_nameless),
	    cmocka_unit_test(test_strangers), cmocka_unit_test(test_http),
	    cmocka_unit_test(test_guesses),   cmocka_unit_test(test_seats),
	    cmocka_unit_test(test_long_body),
	};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
