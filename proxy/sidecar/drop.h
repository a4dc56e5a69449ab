/* Privileges of tarry-sidecar: given up once the capture is open. */
#ifndef PROXY_SIDECAR_DROP_H
#define PROXY_SIDECAR_DROP_H

#include <stdbool.h>
#include <sys/types.h>

/* Whom to become. */
struct drop_user {
	bool is_change; /* we are root, and become someone */
	uid_t uid;
	gid_t gid;
	char name[64]; /* as shown; of ourselves if there is no change */
};

/*
 * Finds the user to become: `name`, or by default `fallback` if we are root.
 * Not root: ourselves; a `name` of somebody else is then an error.
 * Returns 0, or a negative errno after saying what is wrong and what to do.
 */
__attribute__((warn_unused_result)) int
drop_find_user(struct drop_user *user, const char *name, const char *fallback);

/*
 * Becomes that user, for good: no other groups, no capabilities, no way to
 * gain any (PR_SET_NO_NEW_PRIVS). Verified afterwards. Returns 0, or a
 * negative errno after saying what failed; the process must then end.
 */
__attribute__((warn_unused_result)) int drop_all(const struct drop_user *user);

#endif
