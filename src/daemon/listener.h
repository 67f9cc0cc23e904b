// SPDX-License-Identifier: BSD-2-Clause
// The socket that shuntd listens on, and the lock that says whose it is.
#ifndef SHUNT_DAEMON_LISTENER_H
#define SHUNT_DAEMON_LISTENER_H

#include "cm/place.h"

struct listener {
    char path[PLACE_MAX];
    int fd, lock_fd; // -1: not open
};

// Listens at path: makes its directory if it is missing, checks that no stranger can meddle in it,
// and takes the place of a socket that a dead shuntd has left. Root's is open to all users, others'
// to themselves. Does not block. 0 or -errno with *why a static text; -EADDRINUSE: a shuntd lives
// there.
int listener_open(struct listener *l, const char *path, const char **why);

// Closes, and takes the socket away. Legal after a failed open.
void listener_close(struct listener *l);

#endif
