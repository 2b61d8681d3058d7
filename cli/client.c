/*
 * The HTTP call behind every verb, and what its failures mean to a person. The daemon may be
 * stopped, hung, cut off in the middle or not mailfused at all: each gets its own sentence.
 * One thread; a client is made by main() and freed by it.
 */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "cli/remote.h"
#include "cli/screen.h"

/* Seconds; MAILFUSE_TIMEOUT overrides. An answer may be that of a release of millions. */
enum { TIMEOUT = 30, TIMEOUT_MAX = 3600 };
/* A list of 1000 rows is under 2 MB; a message's text is cut by the daemon. */
#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

struct client {
	CURL *curl;
	CURLM *multi; /* of watched calls */
	char *path;   /* of the socket; or the URL, for messages too */
	char *token;  /* for the URL; NULL: it is the socket */
	char *ca;     /* NULL: what this machine trusts */
	const struct client_watch *watch;
	char why[CURL_ERROR_SIZE]; /* what libcurl says of the last failure */
	long timeout;
};

/* One call; lives on the stack of client_call(). */
struct call {
	struct client *client;
	const char *method, *path;
	char *body;
	void (*take)(void *context, const char *data, size_t len);
	void *context;
	struct buf answer;
	long status;
	bool too_long;
};

static long
timeout_read(void)
{
	const char *text = getenv("MAILFUSE_TIMEOUT");
	char *end;
	long n;

	if (text == NULL || *text == '\0')
		return TIMEOUT;
	n = strtol(text, &end, 10);
	return *end == '\0' && n >= 1 && n <= TIMEOUT_MAX ? n : TIMEOUT;
}

struct client *
client_new(const char *path)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->path = mem_strdup(path);
	c->timeout = timeout_read();
	return c;
}

struct client *
client_new_remote(char *url, char *token, char *ca)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->path = url;
	c->token = token;
	c->ca = ca;
	c->timeout = timeout_read();
	return c;
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	curl_easy_cleanup(c->curl);
	curl_multi_cleanup(c->multi);
	remote_free_token(c->token);
	free(c->ca);
	free(c->path);
	free(c);
}

void
client_set_watch(struct client *c, const struct client_watch *watch)
{
	c->watch = watch;
}

void
client_wait(struct client *c, long seconds)
{
	if (c->timeout < seconds)
		c->timeout = seconds;
}

static size_t
call_take(char *data, size_t size, size_t n, void *context)
{
	struct call *call = context;

	if (call->status == 0)
		curl_easy_getinfo(call->client->curl, CURLINFO_RESPONSE_CODE, &call->status);
	if (call->take != NULL && call->status == 200) {
		call->take(call->context, data, size * n);
		return size * n;
	}
	if (size * n > ANSWER_MAX - call->answer.len) {
		call->too_long = true;
		return 0;
	}
	buf_add(&call->answer, data, size * n);
	return size * n;
}

static int
report_unreachable(const struct client *c, int error_number, struct buf *error)
{
	buf_printf(error, "mailfused does not answer on %s: %s. ", screen_text(c->path),
		   error_number != 0 ? strerror(error_number) : "the connection failed");
	if (c->token != NULL)
		buf_add_text(error, "Is it running, with a section http of this address?");
	else if (error_number == EACCES || error_number == EPERM)
		buf_add_text(error, "Only root and the socket's group may ask: try sudo.");
	else
		buf_add_text(error, "Is it running? Another socket: --control PATH or "
				    "MAILFUSE_CONTROL.");
	return CLIENT_NOT_REACHED;
}

/* A change whose answer was lost may have been made all the same. */
static void
add_doubt(const struct call *call, struct buf *error)
{
	if (strcmp(call->method, "POST") == 0 && strcmp(call->path, "/v1/explain") != 0)
		buf_add_text(error, " It may have been done all the same: look with mailfuse "
				    "status and mailfuse log before you repeat it.");
}

/* What a port with TLS makes of HTTP is an end without a word, or an alert of TLS. */
static void
add_scheme(const struct client *c, struct buf *error)
{
	if (strncmp(c->path, "http:", 5) == 0)
		buf_add_text(error, " Where its section http has a certificate, write https.");
}

/* No request was sent: nothing is in doubt, and the token was not shown. */
static void
report_tls(const struct call *call, CURLcode code, struct buf *error)
{
	const struct client *c = call->client;
	const char *path = screen_text(c->path);

	if (code == CURLE_SSL_CACERT_BADFILE)
		buf_printf(error, "--ca %s: there are no certificates in it that can be read.",
			   screen_text(c->ca));
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		buf_printf(error,
			   "%s shows a certificate that is not trusted: %s. Where it is signed by "
			   "your own authority, name that one's certificate: --ca FILE or "
			   "MAILFUSE_CA.",
			   path,
			   screen_text(c->why[0] != '\0' ? c->why : curl_easy_strerror(code)));
	else
		buf_printf(error, "TLS with %s failed: %s. Has its section http a certificate?",
			   path,
			   screen_text(c->why[0] != '\0' ? c->why : curl_easy_strerror(code)));
}

static int
report_curl(const struct call *call, CURLcode code, struct buf *error)
{
	const struct client *c = call->client;
	const char *path = screen_text(c->path);
	long number = 0;

	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &number);
		return report_unreachable(c, (int)number, error);
	case CURLE_OPERATION_TIMEDOUT:
		buf_printf(error,
			   "mailfused took the request on %s but did not answer within %ld "
			   "seconds.",
			   path, c->timeout);
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		buf_printf(error, "mailfused closed the connection on %s without an answer.", path);
		add_scheme(c, error);
		break;
	case CURLE_PARTIAL_FILE:
		buf_printf(error, "The answer of mailfused on %s broke off in the middle.", path);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CONNECT_ERROR:
		report_tls(call, code, error);
		return CLIENT_NOT_REACHED;
	case CURLE_ABORTED_BY_CALLBACK:
		buf_printf(error, "The answer on %s was not waited for.", path);
		break;
	case CURLE_WRITE_ERROR:
		if (call->too_long) {
			buf_printf(error,
				   "The answer on %s is over %zu MB: this is not "
				   "mailfused, or --limit is too high.",
				   path, ANSWER_MAX / 1024 / 1024);
			break;
		}
		/* fall through */
	default:
		buf_printf(error, "What answers on %s is not mailfused's %s (%s).", path,
			   c->token != NULL ? "HTTP port" : "control socket",
			   curl_easy_strerror(code));
		add_scheme(c, error);
	}
	add_doubt(call, error);
	return CLIENT_NOT_REACHED;
}

/* Anything but 200: the problem's detail (RFC 9457), else the bare status. */
static int
report_status(const struct call *call, struct buf *error)
{
	json_t *problem = json_loadb(buf_text(&call->answer), call->answer.len, 0, NULL);
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *title = json_string_value(json_object_get(problem, "title"));

	if (detail == NULL || *detail == '\0')
		detail = title;
	if (detail != NULL && *detail != '\0')
		buf_add_text(error, screen_text(detail));
	else
		buf_printf(error,
			   "What answers on %s said HTTP status %ld and no reason: is it "
			   "mailfused, of this version?",
			   screen_text(call->client->path), call->status);
	json_decref(problem);
	return CLIENT_REFUSED;
}

static void
call_prepare(struct call *call, struct curl_slist *headers, const char *url)
{
	struct client *c = call->client;
	CURL *curl = c->curl;

	curl_easy_reset(curl);
	if (c->token != NULL) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, c->token);
		curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
		if (c->ca != NULL)
			curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca);
	} else {
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, c->path);
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	/* http_proxy is for the world, not for a socket. */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	c->why[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->why);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "mailfuse/" PACKAGE_VERSION);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, call_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, c->timeout);
	/* Bytes may take as long as they come; a silent daemon may not. */
	if (call->take != NULL) {
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, c->timeout);
	} else {
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, c->timeout);
	}
	if (call->body != NULL) {
		/*
		 * On a kept connection that closes without an answer libcurl sends the request
		 * again: a release --first 10 would be done twice.
		 */
		curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(call->body));
	}
}

/* Waits for whatever comes first: the network, what is watched, a second. */
static bool
wait_watched(struct client *c, CURLM *multi)
{
	struct pollfd fds[CLIENT_WATCH_FDS];
	struct curl_waitfd extra[CLIENT_WATCH_FDS];
	size_t count = c->watch->fds(c->watch->context, fds), i;
	int ready;

	for (i = 0; i < count; i++) {
		extra[i] = (struct curl_waitfd){.fd = fds[i].fd};
		extra[i].events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
					  (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
	}
	return curl_multi_poll(multi, extra, (unsigned)count, 1000, &ready) == CURLM_OK &&
	       c->watch->look(c->watch->context);
}

/* The connection is kept in `multi`, so that lives as long as the client. */
static CURLcode
perform_watched(struct client *c)
{
	CURLcode code = CURLE_ABORTED_BY_CALLBACK;
	CURLMsg *message;
	int running = 1, left;

	if (c->multi == NULL && (c->multi = curl_multi_init()) == NULL)
		return CURLE_OUT_OF_MEMORY;
	if (curl_multi_add_handle(c->multi, c->curl) != CURLM_OK)
		return CURLE_FAILED_INIT;
	while (curl_multi_perform(c->multi, &running) == CURLM_OK && running > 0)
		if (!wait_watched(c, c->multi))
			break;
	while ((message = curl_multi_info_read(c->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	curl_multi_remove_handle(c->multi, c->curl);
	return code;
}

static int
client_call(struct call *call, struct buf *error)
{
	struct client *c = call->client;
	struct curl_slist *headers = NULL;
	char *url = mem_printf("%s%s", c->token != NULL ? c->path : "http://mailfuse", call->path);
	CURLcode code;
	int result = CLIENT_DONE;

	if (c->token == NULL && strlen(c->path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		result = report_unreachable(c, ENAMETOOLONG, error);
		goto out;
	}
	if (c->curl == NULL && (c->curl = curl_easy_init()) == NULL) {
		buf_add_text(error, "libcurl does not start; out of memory?");
		result = CLIENT_REFUSED;
		goto out;
	}
	if (call->body != NULL)
		headers = curl_slist_append(headers, "Content-Type: application/json");
	/* Without this, curl asks first whether a long body may be sent. */
	headers = curl_slist_append(headers, "Expect:");
	call_prepare(call, headers, url);
	code = c->watch == NULL ? curl_easy_perform(c->curl) : perform_watched(c);
	if (code != CURLE_OK) {
		result = report_curl(call, code, error);
		goto out;
	}
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &call->status);
	if (call->status != 200)
		result = report_status(call, error);
out:
	curl_slist_free_all(headers);
	free(url);
	return result;
}

/* The body of a 200 as a JSON object. */
static int
read_answer(struct call *call, json_t **answer, struct buf *error)
{
	json_error_t where;

	*answer = json_loadb(buf_text(&call->answer), call->answer.len, 0, &where);
	if (json_is_object(*answer))
		return CLIENT_DONE;
	buf_printf(error,
		   "The answer on %s is not what mailfused says (%s): is it mailfused, of this "
		   "version?",
		   screen_text(call->client->path),
		   *answer != NULL ? "not an object" : screen_text(where.text));
	json_decref(*answer);
	*answer = NULL;
	add_doubt(call, error);
	return CLIENT_NOT_REACHED;
}

int
client_get(struct client *c, const char *path, json_t **answer, struct buf *error)
{
	struct call call = {.client = c, .method = "GET", .path = path};
	int result = client_call(&call, error);

	if (result == CLIENT_DONE)
		result = read_answer(&call, answer, error);
	buf_free(&call.answer);
	return result;
}

int
client_post(struct client *c, const char *path, json_t *body, json_t **answer, struct buf *error)
{
	struct call call = {.client = c, .method = "POST", .path = path};
	int result;

	call.body = json_dumps(body, JSON_COMPACT);
	result = client_call(&call, error);
	if (result == CLIENT_DONE)
		result = read_answer(&call, answer, error);
	buf_free(&call.answer);
	free(call.body);
	return result;
}

int
client_get_bytes(struct client *c, const char *path,
		 void (*take)(void *context, const char *data, size_t len), void *context,
		 struct buf *error)
{
	struct call call = {
	    .client = c, .method = "GET", .path = path, .take = take, .context = context};
	int result = client_call(&call, error);

	buf_free(&call.answer);
	return result;
}

void
client_add_query(struct buf *path, const char *name, const char *value)
{
	char *escaped;

	if (value == NULL)
		return;
	escaped = curl_easy_escape(NULL, value, 0);
	buf_printf(path, "%c%s=%s", strchr(buf_text(path), '?') == NULL ? '?' : '&', name,
		   escaped != NULL ? escaped : "");
	curl_free(escaped);
}
