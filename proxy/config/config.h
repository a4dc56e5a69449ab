/*
 * The configuration: one INI file, read and checked as a whole.
 *
 * A loaded config is never changed. Loading touches no globals, so that a
 * second one can be loaded while the first is in use, and the first freed
 * when nobody reads it any more. No uv.h here: rule files are read by tools
 * too.
 */
#ifndef PROXY_CONFIG_CONFIG_H
#define PROXY_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/config/report.h"
#include "tarry/addr.h"
#include "tarry/policy.h"
#include "tarry/session.h"

#define CONFIG_MUST_CHECK __attribute__((warn_unused_result))

struct arena;
struct tree;

/* The order of the words in keys.def. */
enum config_log_format { CONFIG_LOG_LOGFMT, CONFIG_LOG_JSON };
enum config_log_addresses {
	CONFIG_LOG_FULL,    /* 192.0.2.1 */
	CONFIG_LOG_NETWORK, /* the /24 or /48 */
	CONFIG_LOG_NONE	    /* - */
};

/* The order of the words in keys.def. */
enum config_listen_tls { CONFIG_LISTEN_STARTTLS, CONFIG_LISTEN_IMPLICIT };

/* One [listen NAME]. */
struct config_listener {
	const char *name;
	enum config_listen_tls tls;
	const struct addr *addresses; /* with port; at least one */
	size_t addresses_count;
	bool is_transparent; /* clients were going elsewhere */
};

enum config_mta_tls { CONFIG_MTA_CLEAR, CONFIG_MTA_STARTTLS };

/* [mta] */
struct config_mta {
	struct addr address; /* with port; family 0: see config_is_original */
	enum client_address client_address;
	enum config_mta_tls tls;
	uint32_t max_connections;
	uint32_t reserve_percent; /* of them, for sessions not throttled */
	uint32_t connect_timeout_ms;
	uint32_t patience_ms;
	bool open_relay_checked; /* surely true with CLIENT_ADDRESS_NONE */
};

/* [syn] */
struct config_syn {
	const char *sidecar; /* socket path; "": none */
	const char *labels;  /* file path; "": none */
	bool kernel;	     /* ask for TCP_SAVE_SYN */
};

/* The order of the words in keys.def. */
enum config_tls_mode { CONFIG_TLS_PASS, CONFIG_TLS_TERMINATE };

/* A file, and where it is named. */
struct config_path {
	const char *path;
	const char *file;
	unsigned line;
};

struct config_certificate {
	struct config_path certificate;
	struct config_path key;
};

/* [tls] */
struct config_tls {
	enum config_tls_mode mode;
	/* At least one if TLS ends here; the first is for any name. */
	const struct config_certificate *certificates;
	size_t certificates_count;
	uint32_t max_sessions;
};

/* [log] */
struct config_log {
	enum config_log_format format;
	enum config_log_addresses addresses;
};

/* [journal] */
struct config_journal {
	const char *path;    /* "": none */
	uint32_t size_bytes; /* of one file */
	uint32_t files;	     /* at most, the one in use included */
};

/* [learn] */
struct config_learn {
	uint32_t capacity; /* rows; 0: nothing is remembered */
	uint32_t half_life_ms;
	uint32_t holdout_percent;
	const char *holdout_salt; /* "": one is made at the start */
};

struct config_verdict {
	const char *socket; /* path; "": none */
	uint32_t sessions;  /* remembered */
};

/*
 * Of an answer's four bytes, what may stand in each: a bit a value. Any
 * 127.0.0.0/8 where the file says nothing.
 */
struct config_filter {
	uint64_t bytes[4][4];
};

#define CONFIG_LISTS_CAP EVIDENCE_LISTS_CAP
#define CONFIG_LIST_WEIGHT_MAX 100

/* [dnsbl NAME] or [dnswl NAME] */
struct config_list {
	const char *name;
	const char *zone;   /* as the file has it */
	const char *domain; /* of it */
	struct config_filter filter;
	uint8_t weight; /* 1 .. CONFIG_LIST_WEIGHT_MAX */
	bool is_allow;	/* [dnswl NAME] */
};

/* [dns] */
struct config_dns {
	struct addr resolver; /* with port; family 0: the system's */
	uint32_t timeout_ms;
	bool has_ptr;
	const struct config_list *lists; /* CONFIG_LISTS_CAP at most */
	const char *const *names;	 /* theirs */
	size_t lists_count;
};

/* [asn] */
struct config_asn {
	const char *database; /* path; "": none */
};

/* Hex digits of a hash, and a NUL; and how many the journal's lines have. */
#define CONFIG_HASH_CAP 33
#define CONFIG_HASH_SHOWN 12

struct config {
	/* [tarry]; its mode is policy.is_shadow */
	uint32_t workers;
	uint32_t max_sessions; /* 0: auto; see config_max_sessions() */
	uint32_t drain_timeout_ms;
	const char *state; /* path; "": none */
	uint32_t state_interval_ms;
	const char *name; /* "": not set; at most SESSION_NAME_CAP bytes */

	const struct config_listener *listeners;
	size_t listeners_count;
	struct config_mta mta;
	struct config_syn syn;
	struct config_tls tls;
	struct addr http_address;   /* with port; family 0: none */
	const char *control_socket; /* path; "": none */
	const char *p0f_socket;	    /* path; "": none */
	struct config_verdict verdict;
	struct config_learn learn;
	struct config_dns dns;
	struct config_asn asn;
	struct config_log log;
	struct config_journal journal;

	/* [budget], [score], [class NAME] and [rule NAME], ready for
	 * plan_make(). */
	struct policy policy;

	/* config_hash(), its first digits; "" where there is no journal. */
	char journal_hash[CONFIG_HASH_SHOWN + 1];

	/* For config.c and config_print.c alone. */
	struct arena *arena;
	const struct tree *tree;
};

/* The mode of one rule, or of all, in place of what the file says. */
struct config_mode {
	const char *rule; /* a rule of the file; "": tarry.mode */
	bool is_shadow;
};

/* What a command line may set in place of the file. NULL: not set. */
struct config_options {
	const char *listen;	    /* ADDR:PORT; replaces all [listen NAME] */
	const char *mta;	    /* mta.address */
	const char *client_address; /* mta.client_address */
	const char *open_relay_checked;	 /* mta.open_relay_checked */
	const struct config_mode *modes; /* not of the command line */
	size_t modes_count;
};

/*
 * Loads and checks a configuration. `path` NULL: the built-in text, the one
 * that is shipped as config/tarry.ini. `options` may be NULL.
 *
 * Returns 0 and the config in *out, owned by the caller (config_free()); the
 * report may then hold warnings. Or a negative errno, *out is NULL and the
 * report holds every mistake there is, at least one: -EINVAL for mistakes in
 * the text, the errno of open or read, -ENOMEM. The report is the caller's
 * (report_free()) and must be zeroed or empty before.
 */
CONFIG_MUST_CHECK int config_load(struct config **out, const char *path,
				  const struct config_options *options,
				  struct report *report);

/* Frees a config and everything it points to. NULL is fine. */
void config_free(struct config *config);

/*
 * How many sessions fit: 0.95 x (descriptor limit - 256 - all
 * max_connections), and no more than tarry.max_sessions where that is a
 * number. 0: the limit is too low to run at all.
 */
uint32_t config_max_sessions(const struct config *config,
			     uint64_t nofile_limit);

/* True if the MTA is where each client was going. */
static inline bool
config_is_original(const struct config *config)
{
	return config->mta.address.family == 0;
}

/* mta.address as the file has it. */
void config_mta_text(const struct config *config, char out[ADDR_TEXT_CAP]);

/* True if a socket is to have an address that is not this host's. */
bool config_is_transparent(const struct config *config);

/*
 * Prints every key with its value and, as a comment, where that came from:
 * `built-in default`, `command line` or file:line. What is printed is a
 * configuration file that loads to the same values.
 */
void config_print_effective(const struct config *config, FILE *out);

/*
 * One text for one meaning: the values that hold, and the files that the
 * values name with @. NUL-terminated hex digits, "" if memory is out.
 */
void config_hash(const struct config *config, char out[CONFIG_HASH_CAP]);

#endif
