/*
 * See privileges.h. Sockets on ports below 1024 are bound after the drop, by
 * a capability that is kept: so no line of the proxy itself ever runs
 * as root, and no thread misses the drop.
 */
#include "proxy/daemon/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/admin/socket_file.h"
#include "proxy/daemon/log.h"

uint64_t
privileges_raise_nofile(uint64_t wanted)
{
	struct rlimit was;
	struct rlimit want;

	if (getrlimit(RLIMIT_NOFILE, &was) != 0)
		return 0;
	want = was;
	if (want.rlim_max < wanted)
		want.rlim_max = wanted;
	want.rlim_cur = want.rlim_max < wanted ? want.rlim_max : wanted;
	if (want.rlim_cur <= was.rlim_cur)
		return was.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return want.rlim_cur;
	/* Not allowed to lift the hard limit: up to it, then. */
	want.rlim_max = was.rlim_max;
	want.rlim_cur = was.rlim_max < wanted ? was.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return want.rlim_cur;
	return was.rlim_cur;
}

/* The account to become, or NULL; says so. */
static const struct passwd *
find_user(const char *user)
{
	const struct passwd *pw;

	if (user != NULL) {
		pw = getpwnam(user);
		if (pw == NULL)
			log_say(LOG_LEVEL_ERROR, "there is no user \"%s\"",
				user);
		return pw;
	}
	pw = getpwnam(PRIVILEGES_USER);
	if (pw != NULL)
		return pw;
	pw = getpwnam(PRIVILEGES_FALLBACK);
	if (pw == NULL)
		log_say(LOG_LEVEL_ERROR,
			"started as root, and there is neither a user "
			"\"%s\" nor \"%s\" to become; -u names another",
			PRIVILEGES_USER, PRIVILEGES_FALLBACK);
	else
		log_say(LOG_LEVEL_INFO,
			"there is no user \"%s\", running as \"%s\"",
			PRIVILEGES_USER, PRIVILEGES_FALLBACK);
	return pw;
}

static bool
is_permitted(unsigned capability)
{
	return capng_have_capability(CAPNG_PERMITTED, capability) == 1;
}

static void
keep(unsigned capability)
{
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capability);
}

/* Leaves what is needed in the sets that will be applied. */
static void
choose_capabilities(enum privileges_needs needs)
{
	bool may_bind;
	bool has_raw;
	bool has_admin;

	capng_get_caps_process();
	may_bind = is_permitted(CAP_NET_BIND_SERVICE);
	has_raw = is_permitted(CAP_NET_RAW);
	has_admin = is_permitted(CAP_NET_ADMIN);
	capng_clear(CAPNG_SELECT_BOTH);
	if (may_bind)
		keep(CAP_NET_BIND_SERVICE);
	if (needs == PRIVILEGES_TRANSPARENT && has_raw)
		keep(CAP_NET_RAW);
	else if (needs == PRIVILEGES_TRANSPARENT && has_admin)
		keep(CAP_NET_ADMIN);
}

bool
privileges_are_transparent(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW) == 1 ||
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) == 1;
}

static int
become(const struct passwd *pw)
{
	int rc = capng_change_id((int)pw->pw_uid, (int)pw->pw_gid,
				 CAPNG_DROP_SUPP_GRP);

	if (rc == 0)
		return 0;
	log_say(LOG_LEVEL_ERROR, "cannot become user \"%s\" (step %d): %s",
		pw->pw_name, rc, strerror(errno));
	return -EPERM;
}

int
privileges_drop(const char *user, enum privileges_needs needs,
		const char *const *sockets)
{
	const struct passwd *pw;
	int rc = 0;

	if (geteuid() == 0) {
		pw = find_user(user);
		if (pw == NULL)
			return -ENOENT;
		for (; *sockets != NULL; sockets++)
			socket_file_make_directory(*sockets, pw->pw_uid,
						   pw->pw_gid);
		choose_capabilities(needs);
		if (pw->pw_uid != 0)
			rc = become(pw);
		else
			log_say(LOG_LEVEL_WARNING,
				"user \"%s\" is root: running with all rights",
				pw->pw_name);
	} else if (user != NULL) {
		log_say(LOG_LEVEL_INFO,
			"not started as root: -u %s has no "
			"effect",
			user);
	}
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		rc = -errno;
		log_say(LOG_LEVEL_ERROR, "no_new_privs: %s", strerror(errno));
	}
	return rc;
}
