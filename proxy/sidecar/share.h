/*
 * Sharing the table: a sealed memfd, and the socket it is handed out on.
 *
 * Whoever connects gets one message of a single byte with the descriptor
 * (SCM_RIGHTS), and nothing else ever; the connection staying open means that
 * we live. Readers cannot write, shrink or grow what they get.
 */
#ifndef PROXY_SIDECAR_SHARE_H
#define PROXY_SIDECAR_SHARE_H

#include <uv.h>

#include "proxy/admin/socket_file.h"
#include "tarry/syn_table.h"

#define SHARE_MUST_CHECK __attribute__((warn_unused_result))
/* Readers at once; further ones are told to come back (closed). */
#define SHARE_READERS_CAP 16

struct share_reader {
	uv_poll_t poll;
	int fd; /* -1: free; freed by the close callback */
};

/* Embedded by its owner; zeroed is not open. */
struct share {
	struct syn_table *table;
	size_t bytes;
	int memfd;
	int socket;
	uv_poll_t poll;
	struct share_reader readers[SHARE_READERS_CAP];
	struct socket_file file;
};

/*
 * Makes the table and seals it. Returns 0 with share->table writable here, or
 * a negative errno after saying what failed.
 */
SHARE_MUST_CHECK int share_make(struct share *share, uint32_t entries_count,
				const uint16_t ports[SYN_TABLE_PORTS_CAP]);

/*
 * Listens on `path`, mode 0660, and serves from `loop`. A socket left over
 * there is replaced; one that answers is not. Returns 0, or a negative errno
 * after saying what is wrong and what to do.
 */
SHARE_MUST_CHECK int share_listen(struct share *share, uv_loop_t *loop,
				  const char *path);

/* Closes everything and removes the socket; the loop must run on for a turn. */
void share_close(struct share *share);

/* Unmaps the table, after the loop has ended. */
void share_free(struct share *share);

#endif
