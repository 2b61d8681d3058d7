/*
 * The name of a client for limits. Called by relay/ on the loops and by control/ on the main one;
 * keeps nothing.
 */
#include "net/client_name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void
client_name(const char *address, char out[CLIENT_NAME_BYTES])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t len = strcspn(address, "%"); /* "fe80::1%eth0" */
	struct in6_addr v6;
	char text[INET6_ADDRSTRLEN] = "";

	if (len < sizeof(text)) {
		memcpy(text, address, len);
		text[len] = '\0';
	}
	if (inet_pton(AF_INET6, text, &v6) != 1) {
		snprintf(out, CLIENT_NAME_BYTES, "%s", address);
	} else if (memcmp(v6.s6_addr, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, v6.s6_addr + 12, out, CLIENT_NAME_BYTES);
	} else {
		memset(v6.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &v6, text, sizeof(text));
		snprintf(out, CLIENT_NAME_BYTES, "%s/64", text);
	}
}
