/*
 * Cross checks of the section http: no token over a wire that others can read, a key with its
 * certificate, names that a browser can send as Host, and a URL that links can be made of. Called
 * by check.c. Whether the certificate is any good is for who loads it.
 */
#include "config/check_http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config/check.h"

enum { HOST_BYTES = 256, HOSTS_MAX = 32 };

/* What may stand in a URL as its host: a name, an IPv4 address, or an IPv6 address in brackets. */
static bool
is_host(const char *text)
{
	unsigned char bytes[16];
	size_t len = strlen(text);
	char inner[HOST_BYTES];

	if (len == 0 || len >= sizeof(inner))
		return false;
	if (text[0] == '[') {
		if (text[len - 1] != ']')
			return false;
		memcpy(inner, text + 1, len - 2);
		inner[len - 2] = '\0';
		return inet_pton(AF_INET6, inner, bytes) == 1;
	}
	for (const char *p = text; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr(".-_", *p) == NULL)
			return false;
	return text[0] != '.' && strstr(text, "..") == NULL;
}

static void
check_hosts(const struct config_http *h, const struct text_section *at, struct problems *problems)
{
	size_t i;

	for (i = 0; h->hosts[i] != NULL; i++)
		if (!is_host(h->hosts[i]))
			problem_add(problems, text_value_line(at, "hosts", i),
				    "hosts: %s is no host name; write each as a browser has it, "
				    "without https:// and port, such as \"gate.example.com\"",
				    log_safe(h->hosts[i]));
	if (i > HOSTS_MAX)
		problem_add(problems, text_line(at, "hosts"),
			    "hosts has %zu names; write at most %d", i, HOSTS_MAX);
}

/* Behind the host: nothing, or a port. */
static bool
is_port(const char *text)
{
	size_t digits;

	if (text[0] != ':')
		return text[0] == '\0';
	digits = strspn(text + 1, "0123456789");
	return digits > 0 && digits <= 5 && text[1 + digits] == '\0';
}

static bool
is_url(const char *url)
{
	const char *host = strchr(url, ':');
	char name[HOST_BYTES];
	size_t len;

	if (strncasecmp(url, "https://", 8) != 0 && strncasecmp(url, "http://", 7) != 0)
		return false;
	host += 3;
	len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	if (len >= sizeof(name) || len > strlen(host))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return is_host(name) && is_port(host + len);
}

static void
check_reach(const struct config_http *h, const struct text_section *at, struct problems *problems)
{
	/* An address or path that is none was reported, and is "". */
	bool tls = text_is_set(at, "certificate");

	if (h->host[0] != '\0' && !check_is_loopback(h->host) && !tls)
		problem_add(problems, text_line(at, "address"),
			    "address %s can be reached from other machines, and without TLS each "
			    "token could be read on the way: add certificate = "
			    "\"/path/of/file.pem\", or write 127.0.0.1",
			    log_safe(h->host));
	if (text_is_set(at, "key") && !tls)
		problem_add(problems, text_line(at, "key"),
			    "key has no meaning without certificate; add certificate = "
			    "\"/path/of/file.pem\", or remove it");
	if (tls && h->certificate[0] == '\0' &&
	    !problem_is_at(problems, text_value_line(at, "certificate", 0)))
		problem_add(problems, text_line(at, "certificate"),
			    "certificate is empty; write \"/path/of/file.pem\", or remove it");
}

void
check_http(const struct config *c, const struct text_section *at, struct problems *problems)
{
	const struct config_http *h = &c->http;

	check_reach(h, at, problems);
	check_hosts(h, at, problems);
	if (h->url[0] != '\0' && !is_url(h->url))
		problem_add(problems, text_line(at, "url"),
			    "url cannot be %s; write how a browser reaches this port, without a "
			    "path, such as \"https://gate.example.com:8025\"",
			    log_safe(h->url));
	if (text_is_set(at, "tokens") && h->tokens[0] == '\0' &&
	    !problem_is_at(problems, text_value_line(at, "tokens", 0)))
		problem_add(problems, text_line(at, "tokens"),
			    "tokens is empty, so nobody could ask; write tokens = "
			    "\"/etc/mailfuse/tokens\"");
	for (size_t i = 0; i < c->listener_count; i++)
		if (h->port != 0 && h->port == c->listeners[i].port &&
		    strcmp(h->host, c->listeners[i].host) == 0)
			problem_add(problems, text_line(at, "address"),
				    "http has the address of listener %s; choose another port",
				    c->listeners[i].name);
}
