/*
 * struct addr to the kernel's address record and back.
 */
#ifndef PROXY_RELAY_SOCKADDR_H
#define PROXY_RELAY_SOCKADDR_H

#include <sys/socket.h>

#include "tarry/addr.h"

/* Fills `out`; returns the length to tell the kernel. */
socklen_t sockaddr_set(struct sockaddr_storage *out, const struct addr *a);

/* Fills `a`; family 0 for what is neither IPv4 nor IPv6. */
void sockaddr_get(struct addr *a, const struct sockaddr_storage *sa);

#endif
