#include "proxy/evidence/asn.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (512 << 20)
#define COPY_BYTES (1 << 20)

struct asn {
	MMDB_s db;
};

/* An opened file that is fit to be copied; or a negative errno. */
static int
open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else if (st.st_size > FILE_BYTES_MAX)
		rc = -EFBIG;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int
copy(int from, int to)
{
	ssize_t sent;

	do
		sent = sendfile(to, from, NULL, COPY_BYTES);
	while (sent > 0);
	return sent < 0 ? -errno : 0;
}

/* A copy of the file that nobody else can reach; or a negative errno. */
static int
copy_file(const char *path)
{
	int from = open_file(path);
	int to;
	int rc;

	if (from < 0)
		return from;
	to = memfd_create("tarry-asn", MFD_CLOEXEC);
	rc = to < 0 ? -errno : copy(from, to);
	close(from);
	if (rc == 0)
		return to;
	if (to >= 0)
		close(to);
	return rc;
}

static int
open_db(struct asn *a, int fd, char *why, size_t why_cap)
{
	char path[40];
	int status;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	status = MMDB_open(path, MMDB_MODE_MMAP, &a->db);
	if (status == MMDB_SUCCESS)
		return 0;
	snprintf(why, why_cap, "%s", MMDB_strerror(status));
	return -EINVAL;
}

int
asn_open(struct asn **out, const char *path, char *why, size_t why_cap)
{
	struct asn *a = calloc(1, sizeof(*a));
	int fd;
	int rc;

	*out = NULL;
	fd = a == NULL ? -ENOMEM : copy_file(path);
	if (fd < 0) {
		snprintf(why, why_cap, "%s", strerror(-fd));
		free(a);
		return fd;
	}
	rc = open_db(a, fd, why, why_cap);
	close(fd);
	if (rc != 0) {
		free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void
asn_close(struct asn *a)
{
	if (a == NULL)
		return;
	MMDB_close(&a->db);
	free(a);
}

static struct sockaddr_storage
socket_address(const struct addr *client)
{
	struct sockaddr_storage storage = {0};

	if (client->family == 4) {
		struct sockaddr_in *v4 = (void *)&storage;

		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, client->ip + 12, 4);
	} else {
		struct sockaddr_in6 *v6 = (void *)&storage;

		v6->sin6_family = AF_INET6;
		memcpy(&v6->sin6_addr, client->ip, 16);
	}
	return storage;
}

uint32_t
asn_find(const struct asn *a, const struct addr *client)
{
	static const char *const path[] = {"autonomous_system_number", NULL};
	struct sockaddr_storage address;
	MMDB_lookup_result_s found;
	MMDB_entry_data_s data;
	int error;

	if (a == NULL)
		return 0;
	address = socket_address(client);
	found =
	    MMDB_lookup_sockaddr(&a->db, (struct sockaddr *)&address, &error);
	if (error != MMDB_SUCCESS || !found.found_entry)
		return 0;
	if (MMDB_aget_value(&found.entry, &data, path) != MMDB_SUCCESS ||
	    !data.has_data)
		return 0;
	return data.type == MMDB_DATA_TYPE_UINT32 ? data.uint32 : 0;
}
