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
    uint64_t pinned_bytes; // of these rings, those on lane rdma
    struct list links;
    uint32_t n_links;
    uint32_t fds; // of shuntd's, that this user makes it hold
};

// Two processes with channels on lane rdma between them: the first has a queue pair for them.
struct user_link {
    struct list of_user;
    struct user *user;
    uint32_t channels;
    size_t own_bytes, peer_bytes;
    uint8_t names[]; // endpoints of the first and of the second
};

struct user_limits {
    uint64_t ring_bytes;
    uint32_t channels;
    uint64_t pinned_bytes;
    uint32_t links;
    uint32_t fds; // for every user but the one that shuntd runs as
};

struct users {
    struct list all;
    struct user_limits max;
};

void users_init(struct users *users, const struct user_limits *max);
void users_fini(struct users *users);

// The record of uid, made when first asked for; it stays until users_fini(). NULL: no memory.
struct user *user_of(struct users *users, uid_t uid);

// Counts a channel. NULL, or why the user may not have it.
const char *user_add_channel(struct users *users, struct user *user, uint64_t ring_bytes);
void user_drop_channel(struct user *user, uint64_t ring_bytes);

// The endpoints of a mirrored channel: of this user's process, and of its peer's.
struct user_ends {
    const uint8_t *own, *peer;
    size_t own_bytes, peer_bytes;
};

// Counts what a channel on lane rdma takes beside the above: pinned rings, and a link where there
// is none between these two processes. NULL and *link, or why the user may not have it.
const char *user_add_link(struct users *users, struct user *user, const struct user_ends *ends,
                          uint64_t ring_bytes, struct user_link **link);
void user_drop_link(struct user_link *link, uint64_t ring_bytes);

// Counts fds. 0, or -EMFILE: too many.
int user_add_fds(struct users *users, struct user *user, uint32_t n);
void user_drop_fds(struct user *user, uint32_t n);

#endif
