/*
 * A receiver for programs that tell what they found by HTTP, POST by POST.
 */
#ifndef PROXY_CTL_FOLLOW_HTTP_H
#define PROXY_CTL_FOLLOW_HTTP_H

#include "proxy/ctl/asking.h"
#include "proxy/ctl/follow.h"

/* Longest body. */
#define FOLLOW_HTTP_CAP (1u << 20)

/*
 * Serves one after the other on a loopback address, without end; says on
 * standard error where it listens, or what is wrong. A body is shown as one
 * line. Who sends nothing for some seconds is hung up on.
 */
enum ctl_exit follow_http(struct follow *f, follow_line_fn *take,
			  const struct addr *at);

#endif
