// SPDX-License-Identifier: BSD-2-Clause
// Where shuntd listens.
//
//   SHUNT_SOCKET, else daemon_socket of shunt.conf: the only place then
//   /run/shunt/shuntd.sock   the system's, and root's
//   $XDG_RUNTIME_DIR/shunt/shuntd.sock or /tmp/shunt-UID/shuntd.sock: private to a user
//
// `named` is the daemon_socket of the caller's policy, NULL where there is none.
#ifndef SHUNT_CM_PLACE_H
#define SHUNT_CM_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#define PLACE_MAX    108 // of sockaddr_un.sun_path
#define PLACE_SYSTEM "/run/shunt/shuntd.sock"

// Copies what the environment says, for all that follows: programs such as nginx write over theirs.
// Called at set-up by those who live inside a program; the others just read the environment.
void place_remember(void);

// Writes the path where a daemon of uid's own listens. 0, or -ENAMETOOLONG.
int place_own(const char *named, uid_t uid, char path[static PLACE_MAX]);

// The i-th place, from 0, where a program of uid looks for shuntd. 0; -ENOENT: there are no more;
// -ENAMETOOLONG: this one cannot be.
int place_nth(int i, const char *named, uid_t uid, char path[static PLACE_MAX]);

// Connects to shuntd at path, trusting only root and this process's user, without ever blocking.
// Returns a close-on-exec socket, or -errno: -ECONNREFUSED and -ENOENT (nobody there), -EPERM (it
// belongs to somebody else), -EAGAIN (too busy to accept).
int place_connect(const char *path);

// Connects to the first place of this process's user where shuntd answers; else as place_connect()
// for the last one.
int place_connect_any(const char *named);

#endif
