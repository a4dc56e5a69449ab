#include "proxy/admin/http_assets.h"

#include <string.h>

#include "web_assets.h"

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"
#define ASSET(path, type, name)                                                \
	{                                                                      \
		path, type, name, sizeof(name)                                 \
	}

static const struct http_asset assets[] = {
    ASSET("/", HTML, web_index_html),
    ASSET("/tarry.css", CSS, web_tarry_css),
    ASSET("/page.js", JS, web_page_js),
    ASSET("/charts.js", JS, web_charts_js),
    ASSET("/tables.js", JS, web_tables_js),
    ASSET("/dygraph.js", JS, web_dygraph_js),
    ASSET("/dygraph.css", CSS, web_dygraph_css),
};

const struct http_asset *
http_asset_find(const char *path)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	}
	return NULL;
}
