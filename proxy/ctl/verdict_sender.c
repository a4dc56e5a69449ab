#include "proxy/ctl/verdict_sender.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool
verdict_sender_open(struct verdict_sender *s, const char *path)
{
	if (path == NULL)
		path = VERDICT_SOCKET_PATH;
	*s = (struct verdict_sender){.fd = -1, .to.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(s->to.sun_path)) {
		fprintf(stderr,
			"tarryctl: %.40s...: longer than a socket's "
			"name can be\n",
			path);
		return false;
	}
	memcpy(s->to.sun_path, path, strlen(path) + 1);
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		perror("tarryctl: socket");
	return s->fd >= 0;
}

static int
put(char *out, size_t cap, int len, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return len;
	return len + snprintf(out + len, cap - (size_t)len,
			      "%s\"%s\":\"%.80s\"", len > 1 ? "," : "", key,
			      value);
}

bool
verdict_sender_send(struct verdict_sender *s, const struct verdict_out *out)
{
	char line[600] = "{";
	int len = 1;

	len = put(line, sizeof(line), len, "verdict", out->verdict);
	len = put(line, sizeof(line), len, "client", out->client);
	len = put(line, sizeof(line), len, "id", out->id);
	len = put(line, sizeof(line), len, "source", out->source);
	line[len++] = '}';
	if (sendto(s->fd, line, (size_t)len, 0, (struct sockaddr *)&s->to,
		   sizeof(s->to)) == len) {
		s->is_said = false;
		return true;
	}
	s->lost++;
	if (!s->is_said)
		fprintf(stderr,
			"tarryctl: %s: %s; is tarryd running, and is this its "
			"verdict.socket?\n",
			s->to.sun_path, strerror(errno));
	s->is_said = true;
	return false;
}

void
verdict_sender_close(struct verdict_sender *s)
{
	if (s->lost > 0)
		fprintf(stderr, "tarryctl: %llu verdicts were lost\n",
			(unsigned long long)s->lost);
	close(s->fd);
}
