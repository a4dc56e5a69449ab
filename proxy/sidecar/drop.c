/*
 * Giving up privileges. A capture that is open needs none: not to read, not
 * for its statistics, not after an interface went down and up again.
 */
#include "proxy/sidecar/drop.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proxy/sidecar/say.h"

static int
failed(const char *what)
{
	int error = errno != 0 ? errno : EPERM;

	sidecar_say("cannot give up privileges: %s: %s", what, strerror(error));
	return -error;
}

static void
set_user(struct drop_user *user, const struct passwd *pw)
{
	user->uid = pw != NULL ? pw->pw_uid : getuid();
	user->gid = pw != NULL ? pw->pw_gid : getgid();
	if (pw != NULL)
		snprintf(user->name, sizeof(user->name), "%s", pw->pw_name);
	else
		snprintf(user->name, sizeof(user->name), "%u",
			 (unsigned int)user->uid);
}

int
drop_find_user(struct drop_user *user, const char *name, const char *fallback)
{
	const struct passwd *pw;

	memset(user, 0, sizeof(*user));
	user->is_change = geteuid() == 0;
	if (!user->is_change && name == NULL) {
		set_user(user, getpwuid(getuid()));
		return 0;
	}
	pw = getpwnam(name != NULL ? name : fallback);
	if (pw == NULL) {
		sidecar_say("there is no user %s to become: make one "
			    "(`adduser --system --group %s`) or name another "
			    "with -u",
			    name != NULL ? name : fallback, fallback);
		return -ENOENT;
	}
	if (!user->is_change && pw->pw_uid != getuid()) {
		sidecar_say("cannot become user %s: only root can; leave out "
			    "-u, or start as root",
			    name);
		return -EPERM;
	}
	set_user(user, pw);
	return 0;
}

static int
become(const struct drop_user *user)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* The bounding set goes first: that takes CAP_SETPCAP. */
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return failed("bounding set");
	if (setgroups(1, &user->gid) != 0)
		return failed("setgroups");
	if (setresgid(user->gid, user->gid, user->gid) != 0)
		return failed("setresgid");
	if (setresuid(user->uid, user->uid, user->uid) != 0)
		return failed("setresuid");
	return 0;
}

int
drop_all(const struct drop_user *user)
{
	int error;

	errno = 0;
	if (user->is_change) {
		error = become(user);
		if (error != 0)
			return error;
	}
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return failed("capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed("no_new_privs");
	if (capng_get_caps_process() != 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return failed("some capabilities are still there");
	if (user->uid != 0 && setresuid(0, 0, 0) == 0)
		return failed("root could be had back");
	return 0;
}
