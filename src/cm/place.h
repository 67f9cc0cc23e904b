// SPDX-License-Identifier: BSD-2-Clause
// Where shuntd listens.
//
//   SHUNT_SOCKET             goes before everything
//   /run/shunt/shuntd.sock   the system's, and root's
//   $XDG_RUNTIME_DIR/shunt/shuntd.sock or /tmp/shunt-UID/shuntd.sock: private to a user
#ifndef SHUNT_CM_PLACE_H
#define SHUNT_CM_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#define PLACE_MAX    108 // of sockaddr_un.sun_path
#define PLACE_SYSTEM "/run/shunt/shuntd.sock"

// Copies what the environment says, for all that follows: programs such as nginx write over theirs.
// Called at set-up by those who live inside a program; the others just read the environment.
void place_remember(void);

// True if SHUNT_SOCKET is set and not empty.
bool place_is_named(void);

// Writes the path of the private daemon of uid. 0, or -ENAMETOOLONG.
int place_private(uid_t uid, char path[static PLACE_MAX]);

// The i-th place, from 0, where a program of uid looks for shuntd. 0; -ENOENT: there are no more;
// -ENAMETOOLONG: this one cannot be.
int place_nth(int i, uid_t uid, char path[static PLACE_MAX]);

// Connects to shuntd at path, trusting only root and this process's user, without ever blocking.
// Returns a close-on-exec socket, or -errno: -ECONNREFUSED and -ENOENT (nobody there), -EPERM (it
// belongs to somebody else), -EAGAIN (too busy to accept).
int place_connect(const char *path);

#endif
