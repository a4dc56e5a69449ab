/* Lines on standard error; each is one write, so that none are mixed. */
#include "proxy/sidecar/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "tarry-sidecar: "

void
sidecar_say(const char *format, ...)
{
	char line[1024] = PREFIX;
	size_t len = strlen(PREFIX);
	va_list args;
	int added;

	va_start(args, format);
	added = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	if (added < 0)
		return;
	len += (size_t)added;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	/* If nobody listens there is nobody to tell. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
