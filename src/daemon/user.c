// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void users_init(struct users *users, const struct user_limits *max)
{
    *users = (struct users){.max = *max};
    list_init(&users->all);
}

void users_fini(struct users *users)
{
    list_for_each_safe (it, &users->all) {
        struct user *user = list_entry(it, struct user, link);

        list_for_each_safe (of, &user->links)
            free(list_entry(of, struct user_link, of_user));
        free(user);
    }
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
    list_init(&user->links);
    list_add_tail(&users->all, &user->link);
    return user;
}

const char *user_add_channel(struct users *users, struct user *user, uint64_t ring_bytes)
{
    if (user->channels >= users->max.channels)
        return "the user has too many channels";
    if (ring_bytes > users->max.ring_bytes - user->ring_bytes)
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

// ---- lane rdma ----

static struct user_link *find_link(const struct user *user, const struct user_ends *e)
{
    list_for_each (it, &user->links) {
        struct user_link *link = list_entry(it, struct user_link, of_user);

        if (link->own_bytes == e->own_bytes && link->peer_bytes == e->peer_bytes &&
            !memcmp(link->names, e->own, e->own_bytes) &&
            !memcmp(link->names + e->own_bytes, e->peer, e->peer_bytes))
            return link;
    }
    return NULL;
}

static struct user_link *add_link(struct user *user, const struct user_ends *e)
{
    struct user_link *link = calloc(1, sizeof *link + e->own_bytes + e->peer_bytes);

    if (!link)
        return NULL;
    link->user = user;
    link->own_bytes = e->own_bytes;
    link->peer_bytes = e->peer_bytes;
    memcpy(link->names, e->own, e->own_bytes);
    memcpy(link->names + e->own_bytes, e->peer, e->peer_bytes);
    list_add_tail(&user->links, &link->of_user);
    user->n_links++;
    return link;
}

const char *user_add_link(struct users *users, struct user *user, const struct user_ends *ends,
                          uint64_t ring_bytes, struct user_link **link)
{
    *link = find_link(user, ends);
    if (ring_bytes > users->max.pinned_bytes - user->pinned_bytes)
        return "the user's budget of pinned memory is spent";
    if (!*link && user->n_links >= users->max.links)
        return "the user has too many RDMA links";
    if (!*link)
        *link = add_link(user, ends);
    if (!*link)
        return "shuntd has no memory for the link";
    (*link)->channels++;
    user->pinned_bytes += ring_bytes;
    return NULL;
}

void user_drop_link(struct user_link *link, uint64_t ring_bytes)
{
    link->user->pinned_bytes -= ring_bytes;
    if (--link->channels)
        return;
    link->user->n_links--;
    list_del(&link->of_user);
    free(link);
}

// ---- file descriptors ----

int user_add_fds(struct users *users, struct user *user, uint32_t n)
{
    if (user->uid != geteuid() && user->fds + n > users->max.fds)
        return -EMFILE;
    user->fds += n;
    return 0;
}

void user_drop_fds(struct user *user, uint32_t n)
{
    user->fds -= n;
}
