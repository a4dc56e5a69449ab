/*
 * Any bytes as a configuration file: it loads or is refused with a mistake,
 * and what loads is printed as a file that loads to the same text.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(int is_true)
{
	if (!is_true)
		abort();
}

/* Loads bytes by way of a file without a name. */
static struct config *
load(const void *bytes, size_t len)
{
	struct report report = {0};
	struct config *config;
	char path[64];
	int fd = memfd_create("config_fuzz", MFD_CLOEXEC);
	int rc;

	check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = config_load(&config, path, NULL, &report);
	close(fd);
	check((rc == 0) == (report.mistakes == 0));
	check((rc == 0) == (config != NULL));
	report_free(&report);
	return config;
}

static char *
print(const struct config *config, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	check(out != NULL);
	config_print_effective(config, out);
	fclose(out);
	return text;
}

/* Cuts the origins off, which name other files and lines. */
static size_t
cut_origins(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0';) {
		if (strncmp(at, "  ; ", 4) == 0)
			at += strcspn(at, "\n");
		else
			*to++ = *at++;
	}
	*to = '\0';
	return (size_t)(to - text);
}

/* The compiled rules decide as the plain loop does. */
static void
check_index(const struct policy *policy, const struct evidence *e)
{
	struct policy plain = *policy;
	struct plan_trace got, want;

	plain.index = NULL;
	plan_make(policy, e, NULL, &got);
	plan_make(&plain, e, NULL, &want);
	check(got.rule == want.rule && got.held_count == want.held_count);
	check(got.score == want.score && got.sources == want.sources);
}

/* No plan exceeds the budget, whatever the file says. */
static void
check_plan(const struct config *config)
{
	struct evidence e = {.present = evidence_bit(EVIDENCE_EARLY_TALKER),
			     .early_talker = true};
	struct plan p = plan_make(&config->policy, &e, NULL, NULL);

	check(p.greet_ms <= p.reply_cap_ms && p.reply_ms <= p.reply_cap_ms);
	check(p.error_ms <= p.patience_ms && p.reply_ms <= p.patience_ms);
	check(p.reply_cap_ms <= PLAN_REPLY_MAX_MS);
	check_index(&config->policy, &e);
	e.present = UINT64_MAX;
	check(addr_parse_ip(&e.client, "192.0.2.1", 9));
	e.label = "Linux";
	e.listener = "smtp";
	e.syn.version = 4;
	e.syn.ttl = 120;
	e.syn.window = 8192;
	e.syn.mss = 1460;
	e.syn.eol_pad = SYN_EOL_ABSENT;
	e.syn.kinds_count = 6;
	memcpy(e.syn.kinds, "\x02\x01\x03\x01\x01\x04", 6);
	check_index(&config->policy, &e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = load(data, size);
	struct config *again;
	char *first, *second;
	size_t first_len, second_len;

	if (config == NULL)
		return 0;
	check_plan(config);
	first = print(config, &first_len);
	again = load(first, first_len);
	check(again != NULL);
	second = print(again, &second_len);
	check(cut_origins(first) == cut_origins(second));
	check(strcmp(first, second) == 0);
	free(first);
	free(second);
	config_free(config);
	config_free(again);
	return 0;
}
