/*
 * What this process uses, for the process_* families of /metrics.
 */
#ifndef PROXY_ADMIN_PROCESS_VALUES_H
#define PROXY_ADMIN_PROCESS_VALUES_H

#include "proxy/admin/metrics.h"

/* Fills the process_* values; reads /proc, so not on a worker. */
void process_values(double values[METRIC_VALUE_COUNT]);

#endif
