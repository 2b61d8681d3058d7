/*
 * The TCP port as browsers and hostile programs meet it, through real sockets: sessions and their
 * cookies, what another page cannot do, the console's files, headers that every answer has, and
 * requests that are framed in two ways.
 */
#include <arpa/inet.h>
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
#include "base/token.h"
#include "control/assets.h"
#include "mail/mime.h"
#include "tests/unit/control_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- a console of two files */

static const unsigned char index_html[] = "<!doctype html><title>index</title>";
static const unsigned char app_js[] = "app();\0;"; /* a NUL is a byte as others */

const struct asset console_assets[] = {
    {"/index.html", "text/html; charset=utf-8", index_html, sizeof(index_html) - 1, "\"i1\"",
     false},
    {"/app-1.js", "text/javascript; charset=utf-8", app_js, sizeof(app_js) - 1, "\"a1\"", true},
};
const size_t console_asset_count = COUNT(console_assets);

/* ---- the port */

static struct sockaddr_in served;
static struct tokens *tokens;

/* The token of each name is the name. */
static struct tokens *
make_tokens(const char *const *names)
{
	char path[] = "/tmp/test_http_door.XXXXXX", hash[TOKEN_HASH_BYTES];
	struct buf errors = {0};
	struct tokens *t;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	for (; *names != NULL; names++) {
		token_hash(*names, hash);
		fprintf(f, "%s:%s:%s\n", *names, *names, hash);
	}
	fclose(f);
	t = tokens_load(path, &errors);
	if (t == NULL)
		fail_msg("%s", buf_text(&errors));
	unlink(path);
	return t;
}

static void
serve(const char *settings)
{
	static const char *const names[] = {"viewer", "operator", NULL};
	socklen_t len = sizeof(served);

	served = (struct sockaddr_in){.sin_family = AF_INET};
	served.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	gate_http.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(gate_http.fd, (struct sockaddr *)&served, sizeof(served)), 0);
	assert_int_equal(listen(gate_http.fd, 128), 0);
	assert_int_equal(getsockname(gate_http.fd, (struct sockaddr *)&served, &len), 0);
	tokens = make_tokens(names);
	gate_http.tokens = tokens;
	gate_start_with(settings);
}

static void
unserve(void)
{
	gate_stop();
	tokens_free(tokens);
	gate_http = (struct gate_http){NULL, -1};
}

/* All that comes back, header too. The status, 0 where none came. */
static int
ask_bytes(const char *request, size_t size, struct buf *answer)
{
	struct timeval patience = {20, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
	char data[4096];
	ssize_t n;

	buf_clear(answer);
	assert_int_equal(connect(fd, (struct sockaddr *)&served, sizeof(served)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	client_send(fd, request, size);
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		buf_add(answer, data, (size_t)n);
	close(fd);
	sscanf(buf_text(answer), "HTTP/1.1 %d", &status);
	return status;
}

/* What stands between `from` and `to` in the answer, "" if it is not there; for free(). */
static char *
cut(const struct buf *answer, const char *from, const char *to)
{
	const char *at = strstr(buf_text(answer), from);

	return at == NULL ? mem_strdup("")
			  : mem_strndup(at + strlen(from), strcspn(at + strlen(from), to));
}

struct login {
	char *id, *csrf;
};

static struct login
sign_in(const char *token)
{
	struct buf answer = {0};
	char *body = mem_printf("{\"token\":\"%s\"}", token);
	char *request = mem_printf("POST /v1/session HTTP/1.1\r\nConnection: close\r\nHost: "
				   "localhost\r\nOrigin: http://localhost\r\nContent-Type: "
				   "application/json\r\nContent-Length: %zu\r\n\r\n%s",
				   strlen(body), body);
	struct login l;

	assert_int_equal(ask_bytes(request, strlen(request), &answer), 200);
	l.id = cut(&answer, "Set-Cookie: mailfuse=", ";");
	l.csrf = cut(&answer, "\"csrf\":\"", "\"");
	assert_int_equal(strlen(l.id), 43);
	assert_int_equal(strlen(l.csrf), 43);
	free(request);
	free(body);
	buf_free(&answer);
	return l;
}

static void
forget(struct login *l)
{
	free(l->id);
	free(l->csrf);
}

/* $ID and $CSRF are of the login. */
static char *
fill_in(const char *text, const struct login *l)
{
	struct buf out = {0};

	for (; *text != '\0'; text++) {
		if (strncmp(text, "$ID", 3) == 0) {
			buf_add_text(&out, l->id);
			text += 2;
		} else if (strncmp(text, "$CSRF", 5) == 0) {
			buf_add_text(&out, l->csrf);
			text += 4;
		} else {
			buf_add_char(&out, *text);
		}
	}
	return buf_take(&out);
}

struct case_row {
	const char *name, *request;
	int status;
	const char *wanted, *unwanted; /* NULL = anything */
};

static void
check_case(const struct case_row *row, const struct login *l)
{
	static const char *const always[] = {"\r\nX-Content-Type-Options: nosniff\r\n",
					     "\r\nReferrer-Policy: no-referrer\r\n",
					     "\r\nCross-Origin-Opener-Policy: same-origin\r\n",
					     "\r\nCross-Origin-Resource-Policy: same-origin\r\n",
					     "\r\nCache-Control: ",
					     "\r\nContent-Security-Policy: default-src 'none'; "};
	char *request = fill_in(row->request, l);
	struct buf answer = {0};
	int status = ask_bytes(request, strlen(request), &answer);

	if (status != row->status)
		fail_msg("%s: status %d, wanted %d: %s", row->name, status, row->status,
			 buf_text(&answer));
	if (row->wanted != NULL && strstr(buf_text(&answer), row->wanted) == NULL)
		fail_msg("%s: no %s in: %s", row->name, row->wanted, buf_text(&answer));
	if (row->unwanted != NULL && strstr(buf_text(&answer), row->unwanted) != NULL)
		fail_msg("%s: %s in: %s", row->name, row->unwanted, buf_text(&answer));
	for (size_t i = 0; i < COUNT(always); i++)
		if (strstr(buf_text(&answer), always[i]) == NULL)
			fail_msg("%s: no %s in: %s", row->name, always[i], buf_text(&answer));
	free(request);
	buf_free(&answer);
}

static void
check_cases(const struct case_row *rows, size_t count, const struct login *l)
{
	for (size_t i = 0; i < count; i++)
		check_case(&rows[i], l);
}

#define CLOSE "Connection: close\r\n"
#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" CLOSE HOST
#define POST(path) "POST " path " HTTP/1.1\r\n" CLOSE HOST
#define DELETE(path) "DELETE " path " HTTP/1.1\r\n" CLOSE HOST
#define COOKIE "Cookie: mailfuse=$ID\r\n"
#define CSRF "X-Mailfuse-Csrf: $CSRF\r\n"
#define ORIGIN "Origin: http://localhost\r\n"
#define SITE(site) "Sec-Fetch-Site: " site "\r\n"
#define JSON(len) "Content-Type: application/json\r\nContent-Length: " len "\r\n"
#define END "\r\n"

static void
test_sessions(void **state)
{
	static const struct case_row rows[] = {
	    {"who am I", GET("/v1/session") COOKIE END, 200,
	     "\"name\":\"operator\",\"roles\":[\"operator\"],\"csrf\":\"", "Set-Cookie"},
	    {"nobody", GET("/v1/session") END, 401, "WWW-Authenticate", NULL},
	    {"by a token", GET("/v1/session") "Authorization: Bearer viewer\r\n" END, 401,
	     "no session", NULL},
	    {"a cookie of nobody",
	     GET("/v1/batches") "Cookie: "
				"mailfuse=0123456789abcdefghijklmnopqrstuvwxyzABCDEFG\r\n" END,
	     401, "the session is over; sign in again", NULL},
	    {"two cookies", GET("/v1/batches") "Cookie: mailfuse=$ID; mailfuse=$ID\r\n" END, 401,
	     "twice", NULL},
	    {"two cookie headers", GET("/v1/batches") COOKIE COOKIE END, 401, "twice", NULL},
	    {"looks", GET("/v1/batches") COOKIE END, 200, "\"items\"", NULL},
	    {"looks, with others' cookies",
	     GET("/v1/batches") "Cookie: a=b; mailfuse=$ID; c=d\r\n" END, 200, "\"items\"", NULL},
	    {"opens it in a tab", GET("/v1/batches") COOKIE SITE("none") END, 200, NULL, NULL},
	    {"a page of this origin looks", GET("/v1/batches") COOKIE SITE("same-origin") END, 200,
	     NULL, NULL},
	    {"a page on another port looks", GET("/v1/batches") COOKIE SITE("same-site") END, 403,
	     "another site", NULL},
	    {"a page of another site looks", GET("/v1/batches") COOKIE SITE("cross-site") END, 403,
	     "another site", NULL},
	    {"a token is right whatever the cookie is",
	     GET("/v1/batches") "Cookie: mailfuse=x\r\nAuthorization: Bearer viewer\r\n" END, 200,
	     NULL, NULL},
	    {"a wrong token is wrong whatever the cookie is",
	     GET("/v1/batches") COOKIE "Authorization: Bearer nobody\r\n" END, 401, NULL, NULL},
	    {"decides", POST("/v1/hold") COOKIE CSRF ORIGIN JSON("2") END "{}", 400, "say why",
	     NULL},
	    {"decides, by Sec-Fetch-Site",
	     POST("/v1/hold") COOKIE CSRF SITE("same-origin") JSON("2") END "{}", 400, "say why",
	     NULL},
	    {"decides without csrf", POST("/v1/hold") COOKIE ORIGIN JSON("2") END "{}", 403,
	     "takes its session's csrf", NULL},
	    {"with another's csrf",
	     POST("/v1/hold") COOKIE "X-Mailfuse-Csrf: $ID\r\n" ORIGIN JSON("2") END "{}", 403,
	     "is not this session's", NULL},
	    {"with two csrf", POST("/v1/hold") COOKIE CSRF CSRF ORIGIN JSON("2") END "{}", 403,
	     "is there twice", NULL},
	    {"from nowhere", POST("/v1/hold") COOKIE CSRF JSON("2") END "{}", 403,
	     "where it comes from", NULL},
	    {"typed into the address bar",
	     POST("/v1/hold") COOKIE CSRF SITE("none") JSON("2") END "{}", 403,
	     "Sec-Fetch-Site: none", NULL},
	    {"from another origin",
	     POST("/v1/hold") COOKIE CSRF "Origin: http://localhost:3000\r\n" JSON("2") END "{}",
	     403, "may not ask here", NULL},
	    {"from a form",
	     POST("/v1/hold") COOKIE CSRF ORIGIN
	     "Content-Type: text/plain\r\nContent-Length: 2\r\n" END "{}",
	     403, "application/json", NULL},
	    {"with no type", POST("/v1/hold") COOKIE CSRF ORIGIN "Content-Length: 2\r\n" END "{}",
	     403, "application/json", NULL},
	    {"with a type that begins so",
	     POST("/v1/hold") COOKIE CSRF ORIGIN
	     "Content-Type: application/jsonp\r\nContent-Length: 2\r\n" END "{}",
	     403, "application/json", NULL},
	    {"with parameters",
	     POST("/v1/hold") COOKIE CSRF ORIGIN
	     "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n" END "{}",
	     400, "say why", NULL},
	    {"another role", POST("/v1/approve") COOKIE CSRF ORIGIN JSON("2") END "{}", 403,
	     "token:operator has the role operator", NULL},
	    {"signs out without csrf", DELETE("/v1/session") COOKIE ORIGIN END, 403, "csrf", NULL},
	    {"is still there", GET("/v1/session") COOKIE END, 200, NULL, NULL},
	    {"signs out", DELETE("/v1/session") COOKIE CSRF ORIGIN END, 200,
	     "Set-Cookie: mailfuse=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0\r\n", NULL},
	    {"is gone", GET("/v1/batches") COOKIE END, 401, "the session is over", NULL},
	};
	struct login l;

	(void)state;
	serve("");
	l = sign_in("operator");
	check_cases(rows, COUNT(rows), &l);
	forget(&l);
	unserve();
}

static void
test_sign_in(void **state)
{
	static const struct case_row rows[] = {
	    {"plain", POST("/v1/session") JSON("18") ORIGIN END "{\"token\":\"viewer\"}", 200,
	     "; Path=/; HttpOnly; SameSite=Strict\r\n", "Secure"},
	    {"through a TLS proxy",
	     POST("/v1/session") JSON("18") "Origin: https://localhost\r\n" END
					    "{\"token\":\"viewer\"}",
	     200, "; SameSite=Strict; Secure\r\n", NULL},
	    {"no such token", POST("/v1/session") JSON("16") ORIGIN END "{\"token\":\"none\"}", 401,
	     "error=\"invalid_token\"", "Set-Cookie"},
	    {"no token", POST("/v1/session") JSON("2") ORIGIN END "{}", 401, NULL, "Set-Cookie"},
	    {"a number", POST("/v1/session") JSON("11") ORIGIN END "{\"token\":1}", 400, NULL,
	     "Set-Cookie"},
	    {"more", POST("/v1/session") JSON("24") ORIGIN END "{\"token\":\"viewer\",\"a\":1}",
	     400, "unknown field a", "Set-Cookie"},
	    {"of another page",
	     POST("/v1/session") JSON("18") ORIGIN SITE("same-site") END "{\"token\":\"viewer\"}",
	     403, NULL, "Set-Cookie"},
	    {"by a form of another page",
	     POST("/v1/session") "Content-Type: text/plain\r\nContent-Length: 18\r\n" ORIGIN END
				 "{\"token\":\"viewer\"}",
	     403, NULL, "Set-Cookie"},
	    {"takes no PUT", "PUT /v1/session HTTP/1.1\r\n" CLOSE HOST JSON("2") END "{}", 401,
	     NULL, NULL},
	};
	static const struct row socket = {"on the socket",
					  "POST",
					  "/v1/session",
					  "{\"token\":\"viewer\"}",
					  400,
					  "the socket knows who asks",
					  NULL};
	struct login l;

	(void)state;
	serve("");
	l = sign_in("viewer");
	check_cases(rows, COUNT(rows), &l);
	check_row(&socket);
	forget(&l);
	unserve();
}

/* Who signs in anew with the old cookie leaves no session behind. */
static void
test_sign_in_anew(void **state)
{
	static const struct case_row again = {
	    "again", POST("/v1/session") COOKIE JSON("18") ORIGIN END "{\"token\":\"viewer\"}", 200,
	    "Set-Cookie: mailfuse=", NULL};
	static const struct case_row old = {"the old one", GET("/v1/batches") COOKIE END, 401, NULL,
					    NULL};
	struct login l;

	(void)state;
	serve("");
	l = sign_in("operator");
	check_case(&again, &l);
	check_case(&old, &l);
	forget(&l);
	unserve();
}

#define PAGE_POLICY                                                                                \
	"\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "   \
	"img-src 'self' data:; connect-src 'self'; frame-src 'self'; font-src 'self'; "            \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"

static void
test_pages(void **state)
{
	static const struct case_row rows[] = {
	    {"the page", GET("/") END, 200, "\r\n\r\n<!doctype html>", NULL},
	    {"its policy", GET("/") END, 200, PAGE_POLICY, NULL},
	    {"its caching", GET("/index.html") END, 200, "\r\nCache-Control: no-cache\r\n", NULL},
	    {"a batch", GET("/batches/B17") END, 200, "<!doctype html>", NULL},
	    {"a batch, deeper", GET("/batches/B17/x?y=z") END, 200, "<!doctype html>", NULL},
	    {"an inbox", GET("/inbox/staging?q=%3Cscript%3E") END, 200, "<!doctype html>", NULL},
	    {"inboxes", GET("/inbox") END, 200, "<!doctype html>", NULL},
	    {"inboxes and more", GET("/inboxes") END, 404, "problem+json", "<!doctype"},
	    {"login", GET("/login") END, 200, "<!doctype html>", NULL},
	    {"login/x", GET("/login/x") END, 404, "problem+json", NULL},
	    {"a file", GET("/app-1.js") END, 200,
	     "\r\nCache-Control: public, max-age=31536000, immutable\r\n", NULL},
	    {"its type", GET("/app-1.js") END, 200,
	     "\r\nContent-Type: text/javascript; charset=utf-8\r\n", NULL},
	    {"a file that is known", GET("/app-1.js") "If-None-Match: \"a1\"\r\n" END, 304,
	     "\r\nETag: \"a1\"\r\n", "app()"},
	    {"one of several that are known",
	     GET("/app-1.js") "If-None-Match: \"x\", W/\"a1\"\r\n" END, 304, NULL, "app()"},
	    {"anything is known", GET("/app-1.js") "If-None-Match: *\r\n" END, 304, NULL, NULL},
	    {"another is known", GET("/app-1.js") "If-None-Match: \"a11\", \"b\"\r\n" END, 200,
	     "app()", NULL},
	    {"HEAD", "HEAD /app-1.js HTTP/1.1\r\n" CLOSE HOST END, 200, "\r\nContent-Length: 8\r\n",
	     "app()"},
	    {"no such file", GET("/app-2.js") END, 404, "\"detail\":\"there is no /app-2.js", NULL},
	    {"up", GET("/../app-1.js") END, 404, NULL, "app()"},
	    {"up in the middle", GET("/x/../app-1.js") END, 404, NULL, "app()"},
	    {"up, encoded", GET("/%2e%2e/app-1.js") END, 404, NULL, "app()"},
	    {"here", GET("/./app-1.js") END, 404, NULL, "app()"},
	    {"encoded", GET("/app%2d1.js") END, 404, NULL, "app()"},
	    {"an encoded NUL", GET("/app-1.js%00") END, 404, NULL, "app()"},
	    {"two slashes are a host", GET("//app-1.js") END, 421, NULL, "app()"},
	    {"a backslash", GET("/\\app-1.js") END, 404, NULL, "app()"},
	    {"the system's", GET("/etc/passwd") END, 404, NULL, "root"},
	    {"the system's, from here", GET("/../../../../etc/passwd") END, 404, NULL, "root"},
	    {"markup in the path", GET("/<script>") END, 404, "application/problem+json", NULL},
	    {"posts to a page", POST("/") JSON("2") END "{}", 401, NULL, NULL},
	    {"a page by another name", "GET / HTTP/1.1\r\n" CLOSE "Host: evil.example\r\n" END, 421,
	     NULL, NULL},
	    {"the API is no page", GET("/v1") END, 401, NULL, NULL},
	    {"nor what is below it", GET("/v1/") END, 401, NULL, NULL},
	    {"metrics are none", GET("/metrics") END, 401, NULL, NULL},
	};
	static const struct row socket = {
	    "no pages on the socket", "GET", "/", NULL, 404, NULL, "doctype"};

	(void)state;
	serve("");
	check_cases(rows, COUNT(rows), NULL);
	check_row(&socket);
	unserve();
}

static void
test_console_off(void **state)
{
	static const struct case_row rows[] = {
	    {"the page", GET("/") END, 404, "switched off", "doctype"},
	    {"a file", GET("/app-1.js") END, 404, NULL, "app()"},
	    {"the API", GET("/v1/batches") "Authorization: Bearer viewer\r\n" END, 200, NULL, NULL},
	};

	(void)state;
	serve("http { address = \"127.0.0.1:0\" tokens = \"/t\" console = off }");
	check_cases(rows, COUNT(rows), NULL);
	unserve();
}

static void
test_names(void **state)
{
	static const struct case_row rows[] = {
	    {"of the list", "GET /livez HTTP/1.1\r\n" CLOSE "Host: Gate.example:99\r\n" END, 200,
	     NULL, NULL},
	    {"an address of the list",
	     "GET /livez HTTP/1.1\r\n" CLOSE "Host: [2001:db8::1]\r\n" END, 200, NULL, NULL},
	    {"of the URL", "GET /livez HTTP/1.1\r\n" CLOSE "Host: console.example\r\n" END, 200,
	     NULL, NULL},
	    {"a page at the URL, through a proxy that says localhost",
	     GET("/livez") "Origin: https://console.example:8443\r\n" END, 200, NULL, NULL},
	    {"a page at the URL without its port",
	     GET("/livez") "Origin: https://console.example\r\n" END, 403, NULL, NULL},
	    {"below the name", "GET /livez HTTP/1.1\r\n" CLOSE "Host: x.gate.example\r\n" END, 421,
	     "hosts of section http", NULL},
	    {"another", "GET /livez HTTP/1.1\r\n" CLOSE "Host: gate.example.evil\r\n" END, 421,
	     NULL, NULL},
	    {"empty", "GET /livez HTTP/1.1\r\n" CLOSE "Host: \r\n" END, 421, NULL, NULL},
	};

	(void)state;
	serve("http { address = \"127.0.0.1:0\" tokens = \"/t\" hosts = {\"gate.example\", "
	      "\"[2001:db8::1]\"} url = \"https://console.example:8443\" }");
	check_cases(rows, COUNT(rows), NULL);
	unserve();
}

static void
test_health(void **state)
{
	static const struct case_row rows[] = {
	    {"lives", GET("/livez") END, 200, "{\"status\":\"ok\"}", NULL},
	    {"is ready", GET("/readyz") END, 200, "{\"status\":\"ok\"}", NULL},
	    {"HEAD", "HEAD /readyz HTTP/1.1\r\n" CLOSE HOST END, 200, "\r\nContent-Length: 15\r\n",
	     "{\"status\""},
	    {"is not to be changed", POST("/livez") JSON("2") END "{}", 401, NULL, NULL},
	};
	static const struct row socket[] = {
	    {"lives", "GET", "/livez", NULL, 200, "{\"status\":\"ok\"}", NULL},
	    {"is ready", "GET", "/readyz", NULL, 200, "{\"status\":\"ok\"}", NULL},
	    {"takes GET", "POST", "/readyz", "{}", 405, "GET, HEAD", NULL}};

	(void)state;
	serve("");
	check_cases(rows, COUNT(rows), NULL);
	CHECK_ROWS(socket);
	store_set_limits(gate.store, 1, 0);
	for (int i = 0; store_has_room(gate.store, NULL); i++) {
		assert_true(i < 5000);
		gate_wait_writer();
		usleep(1000);
	}
	check_row(&(struct row){"no room", "GET", "/readyz", NULL, 503, "has no room", NULL});
	check_row(&(struct row){"lives all the same", "GET", "/livez", NULL, 200, "ok", NULL});
	unserve();
}

#define VIEWER "Authorization: Bearer viewer\r\n"

/* Also that what libevent refuses by itself has the headers that all answers have. */
static void
test_requests(void **state)
{
	static const struct case_row rows[] = {
	    {"HEAD", "HEAD /v1/batches HTTP/1.1\r\n" CLOSE HOST VIEWER END, 200,
	     "Content-Length: ", "items"},
	    {"OPTIONS", "OPTIONS /v1/batches HTTP/1.1\r\n" CLOSE HOST VIEWER END, 405,
	     "\r\nAllow: GET, HEAD\r\n", NULL},
	    {"OPTIONS of all methods", "OPTIONS /v1/session HTTP/1.1\r\n" CLOSE HOST VIEWER END,
	     405, "\r\nAllow: POST, GET, HEAD, DELETE\r\n", NULL},
	    {"TRACE", "TRACE /v1/batches HTTP/1.1\r\n" CLOSE HOST VIEWER END, 405, NULL,
	     "Bearer v"},
	    {"PATCH",
	     "PATCH /v1/batches HTTP/1.1\r\n" CLOSE HOST VIEWER "Content-Length: 0\r\n" END, 405,
	     NULL, NULL},
	    {"a method that nobody knows", "BREW /v1/batches HTTP/1.1\r\n" CLOSE HOST VIEWER END,
	     405, NULL, NULL},
	    {"a GET with a body", GET("/v1/batches") VIEWER "Content-Length: 2\r\n" END "{}", 400,
	     "takes no body", NULL},
	    {"a GET with chunks",
	     GET("/v1/batches") VIEWER "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n", 400,
	     "takes no body", NULL},
	    {"a DELETE with a body", DELETE("/v1/session") VIEWER "Content-Length: 2\r\n" END "{}",
	     400, "takes no body", NULL},
	    {"a call behind a GET",
	     "GET /livez HTTP/1.1\r\n" HOST "Content-Length: 40\r\n" END
	     "GET /v1/batches HTTP/1.1\r\n" HOST VIEWER END,
	     400, "takes no body", "items"},
	    {"two lengths",
	     POST("/v1/explain") VIEWER "Content-Length: 2\r\nContent-Length: 2\r\n" END "{}", 400,
	     "said twice", NULL},
	    {"a length and chunks",
	     POST("/v1/explain") VIEWER "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END
					"0\r\n\r\n",
	     400, NULL, NULL},
	    {"chunks",
	     POST("/v1/explain") VIEWER "Transfer-Encoding: chunked\r\n" END
					"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
	     400, "application/problem+json", NULL},
	    {"gzip",
	     POST("/v1/explain") VIEWER
	     "Transfer-Encoding: gzip\r\nConnection: close\r\nContent-Length: 2\r\n" END "{}",
	     400, NULL, NULL},
	    {"broken chunks",
	     POST("/v1/explain") VIEWER "Transfer-Encoding: chunked\r\n" END "zz\r\n", 413, NULL,
	     NULL},
	    {"a negative length", POST("/v1/explain") VIEWER "Content-Length: -1\r\n" END, 400,
	     NULL, NULL},
	    {"a length beyond numbers",
	     POST("/v1/explain") VIEWER "Content-Length: 99999999999999999999999\r\n" END, 413,
	     NULL, NULL},
	    {"a header without a colon", "GET /livez HTTP/1.1\r\n" HOST "nonsense\r\n" END, 400,
	     NULL, NULL},
	    {"an address that is none", "GET http://[::1/ HTTP/1.1\r\n" CLOSE HOST END, 400, NULL,
	     NULL},
	};

	(void)state;
	serve("");
	check_cases(rows, COUNT(rows), NULL);
	unserve();
}

/* Headers of more than 16 KB in all, in one or in many: refused, and the next is answered. */
static void
test_huge_headers(void **state)
{
	static const char alive[] = GET("/livez") END;
	struct buf request = {0}, answer = {0};

	(void)state;
	serve("");
	for (int many = 0; many <= 1; many++) {
		buf_clear(&request);
		buf_add_text(&request, GET("/livez"));
		buf_add_text(&request, "X: ");
		for (int i = 0; i < 20000; i++)
			buf_add_text(&request, many && i % 20 == 19 ? "\r\nX: " : "x");
		buf_add_text(&request, "\r\n\r\n");
		assert_in_range(ask_bytes(request.data, request.len, &answer), 400, 499);
		assert_non_null(strstr(buf_text(&answer), "X-Content-Type-Options: nosniff"));
		assert_int_equal(ask_bytes(alive, sizeof(alive) - 1, &answer), 200);
	}
	buf_free(&request);
	buf_free(&answer);
	unserve();
}

/* A NUL ends a path nowhere but in a test of its own. */
static void
test_nul(void **state)
{
	static const char request[] = "GET /app-1.js\0/x HTTP/1.1\r\n" CLOSE HOST END;
	struct buf answer = {0};
	int status;

	(void)state;
	serve("");
	status = ask_bytes(request, sizeof(request) - 1, &answer);
	assert_true(status == 0 || status >= 400);
	assert_null(strstr(buf_text(&answer), "app()"));
	buf_free(&answer);
	unserve();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sessions),     cmocka_unit_test(test_sign_in),
	    cmocka_unit_test(test_sign_in_anew), cmocka_unit_test(test_pages),
	    cmocka_unit_test(test_console_off),  cmocka_unit_test(test_names),
	    cmocka_unit_test(test_health),       cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_huge_headers), cmocka_unit_test(test_nul),
	};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
