// SPDX-License-Identifier: BSD-2-Clause
// What each user holds of shuntd, and how much that may be.
#ifndef SHUNT_DAEMON_USER_H
#define SHUNT_DAEMON_USER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

struct user {
    struct list link;
    uid_t uid;
    gid_t gid;           // of the process that connected last
    uint64_t ring_bytes; // of live channels with an end of this user
    uint32_t channels;
    uint32_t fds; // of shuntd's, that this user makes it hold
};

struct users {
    struct list all;
    uint64_t max_ring_bytes;
    uint32_t max_channels;
    uint32_t max_fds; // for every user but the one that shuntd runs as
};

void users_init(struct users *users, uint64_t max_ring_bytes, uint32_t max_channels,
                uint32_t max_fds);
void users_fini(struct users *users);

// The record of uid, made when first asked for; it stays until users_fini(). NULL: no memory.
struct user *user_of(struct users *users, uid_t uid);

// Counts a channel. NULL, or why the user may not have it.
const char *user_add_channel(struct users *users, struct user *user, uint64_t ring_bytes);
void user_drop_channel(struct user *user, uint64_t ring_bytes);

// Counts fds. 0, or -EMFILE: too many.
int user_add_fds(struct users *users, struct user *user, uint32_t n);
void user_drop_fds(struct user *user, uint32_t n);

#endif
