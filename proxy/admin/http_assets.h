/*
 * The dashboard's files, compressed at build time and compiled in (see web/
 * and the Makefile).
 */
#ifndef PROXY_ADMIN_HTTP_ASSETS_H
#define PROXY_ADMIN_HTTP_ASSETS_H

#include <stddef.h>

struct http_asset {
	const char *path; /* as it is asked for */
	const char *type;
	const unsigned char *gzip;
	size_t len;
};

/* NULL: there is none of that path. */
const struct http_asset *http_asset_find(const char *path);

#endif
