/*
 * Who a client is for limits and counts: of an IPv6 address its /64, of which one customer has all.
 */
#ifndef NET_CLIENT_NAME_H
#define NET_CLIENT_NAME_H

enum { CLIENT_NAME_BYTES = 64 };

/* "192.0.2.1", also of "::ffff:192.0.2.1"; "2001:db8:1:2::/64"; what is no address as it is. Any
 * thread. */
void client_name(const char *address, char out[CLIENT_NAME_BYTES]);

#endif
