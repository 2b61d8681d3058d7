/*
 * Reads --url and the token for it, so that a token never leaves this machine in clear. Called by
 * main() before the first call; nothing is kept here.
 */
#include "cli/remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "cli/screen.h"

enum { TOKEN_MAX = 200 };

/* ---- the URL */

/* As curl writes hosts: IPv6 in brackets. */
static bool
is_loopback(const char *host)
{
	unsigned char bytes[16];
	char v6[64];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, bytes) == 1)
		return bytes[0] == 127;
	if (host[0] != '[' || strlen(host) >= sizeof(v6))
		return false;
	snprintf(v6, sizeof(v6), "%.*s", (int)strcspn(host + 1, "]"), host + 1);
	return inet_pton(AF_INET6, v6, bytes) == 1 &&
	       memcmp(bytes, &in6addr_loopback, sizeof(bytes)) == 0;
}

static char *
get_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;

	return curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool
has_part(CURLU *url, CURLUPart part)
{
	char *text = get_part(url, part);
	bool has = text != NULL;

	curl_free(text);
	return has;
}

/* NULL, or why it is refused. */
static const char *
judge_url(CURLU *url, const char *scheme, const char *host)
{
	if (scheme == NULL || host == NULL ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return "it must begin with https:// or http:// and a host";
	if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
		return "a name or password in it is seen by everybody on this machine; the token "
		       "stands in MAILFUSE_TOKEN or --token-file";
	if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
		return "leave out what follows ? or #";
	if (strcmp(scheme, "http") == 0 && !is_loopback(host))
		return "http would show the token to whoever stands between; write https, or ask "
		       "on the machine itself";
	return NULL;
}

char *
remote_read_url(const char *text, struct buf *error)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *host = NULL, *whole = NULL, *result = NULL;
	const char *why = "it is no URL; write one such as http://127.0.0.1:8025";

	if (url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
		scheme = get_part(url, CURLUPART_SCHEME);
		host = get_part(url, CURLUPART_HOST);
		why = judge_url(url, scheme, host);
	}
	if (why == NULL && (whole = get_part(url, CURLUPART_URL)) != NULL) {
		size_t len = strlen(whole);

		while (len > 0 && whole[len - 1] == '/')
			len--;
		result = mem_strndup(whole, len);
	} else {
		buf_printf(error, "--url %s: %s.", screen_text(text),
			   why != NULL ? why : "it cannot be read");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(whole);
	curl_url_cleanup(url);
	return result;
}

/* ---- the token */

static char *
check_token(const char *text, size_t len, const char *from, struct buf *error)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

	if (len > 0 && len <= TOKEN_MAX && strspn(text, allowed) >= len)
		return mem_strndup(text, len);
	buf_printf(error, "%s has no token; mailfuse token NAME --role viewer makes one.", from);
	return NULL;
}

char *
remote_read_token(const char *file, struct buf *error)
{
	const char *set = getenv("MAILFUSE_TOKEN");
	char line[TOKEN_MAX + 2] = "", *token = NULL;
	struct stat st;
	ssize_t n;
	int fd;

	if (file == NULL && set == NULL) {
		buf_add_text(error,
			     "--url takes a token: set MAILFUSE_TOKEN, or name its file with "
			     "--token-file PATH.");
		return NULL;
	}
	if (file == NULL)
		return check_token(set, strlen(set), "MAILFUSE_TOKEN", error);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, line, sizeof(line) - 1)) < 0) {
		buf_printf(error, "--token-file %s: cannot read it: %s.", screen_text(file),
			   strerror(errno));
	} else if (S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO) != 0) {
		buf_printf(error,
			   "--token-file %s: every user can read or write it; run chmod o= on it.",
			   screen_text(file));
	} else {
		token = check_token(line, strcspn(line, "\r\n"), screen_text(file), error);
	}
	explicit_bzero(line, sizeof(line));
	if (fd >= 0)
		close(fd);
	return token;
}

void
remote_free_token(char *token)
{
	if (token != NULL)
		explicit_bzero(token, strlen(token));
	free(token);
}

/* ---- who signs certificates */

bool
remote_read_ca(const char *file, char **ca, struct buf *error)
{
	const char *from = file != NULL ? "--ca" : "MAILFUSE_CA";

	*ca = NULL;
	if (file == NULL)
		file = getenv("MAILFUSE_CA");
	if (file == NULL || *file == '\0')
		return true;
	if (access(file, R_OK) != 0) {
		buf_printf(error, "%s %s: cannot read it: %s.", from, screen_text(file),
			   strerror(errno));
		return false;
	}
	*ca = mem_strdup(file);
	return true;
}
