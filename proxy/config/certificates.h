/*
 * [tls] certificate and key: two lists that belong together.
 */
#ifndef PROXY_CONFIG_CERTIFICATES_H
#define PROXY_CONFIG_CERTIFICATES_H

#include "proxy/config/tree.h"

struct config_tls;

/* Fills in the certificates; mistakes are reported. Opens no file. */
void certificates_build(const struct tree *tree, struct config_tls *tls);

#endif
