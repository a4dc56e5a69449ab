/*
 * Which form of the metrics a client asks for (RFC 9110 12.5.1).
 *
 * OpenMetrics goes only to who names it, in the version that is spoken here:
 * to a wildcard the older text is the safe answer. Who wants neither gets the
 * text too, as RFC 9110 lets a server do.
 */
#ifndef PROXY_ADMIN_ACCEPT_H
#define PROXY_ADMIN_ACCEPT_H

#include "proxy/admin/metrics.h"

/*
 * `accept`: the value of the Accept header, any bytes; NULL: there was none.
 * The form of more quality; of equal ones OpenMetrics, unless text/plain is
 * named before it. What is malformed counts as not said. Never fails.
 */
enum metrics_form accept_form(const char *accept);

#endif
