// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/user.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void users_init(struct users *users, uint64_t max_ring_bytes, uint32_t max_channels,
                uint32_t max_fds)
{
    *users = (struct users){
        .max_ring_bytes = max_ring_bytes, .max_channels = max_channels, .max_fds = max_fds};
    list_init(&users->all);
}

void users_fini(struct users *users)
{
    list_for_each_safe (it, &users->all)
        free(list_entry(it, struct user, link));
    list_init(&users->all);
}

struct user *user_of(struct users *users, uid_t uid)
{
    struct user *user;

    list_for_each (it, &users->all)
        if (list_entry(it, struct user, link)->uid == uid)
            return list_entry(it, struct user, link);
    user = calloc(1, sizeof *user);
    if (!user)
        return NULL;
    user->uid = uid;
    list_add_tail(&users->all, &user->link);
    return user;
}

const char *user_add_channel(struct users *users, struct user *user, uint64_t ring_bytes)
{
    if (user->channels >= users->max_channels)
        return "the user has too many channels";
    if (ring_bytes > users->max_ring_bytes - user->ring_bytes)
        return "the user's budget of ring memory is spent";
    user->channels++;
    user->ring_bytes += ring_bytes;
    return NULL;
}

void user_drop_channel(struct user *user, uint64_t ring_bytes)
{
    user->channels--;
    user->ring_bytes -= ring_bytes;
}

int user_add_fds(struct users *users, struct user *user, uint32_t n)
{
    if (user->uid != geteuid() && user->fds + n > users->max_fds)
        return -EMFILE;
    user->fds += n;
    return 0;
}

void user_drop_fds(struct user *user, uint32_t n)
{
    user->fds -= n;
}
