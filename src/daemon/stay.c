// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/stay.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

struct stay {
    struct list link;   // in clients.stays
    struct watch watch; // of a pidfd
    struct clients *clients;
    struct user *user;
    pid_t pid;
};

static void stay_free(struct stay *stay)
{
    list_del(&stay->link);
    user_drop_fds(stay->user, 1);
    close(stay->watch.fd);
    free(stay);
}

// A pidfd has one watch and is readable once: freeing it here leaves nothing behind in the round.
static void ended(struct watch *watch, uint32_t events)
{
    struct stay *stay = list_entry(watch, struct stay, watch);

    loop_remove(stay->clients->loop, watch);
    stay_free(stay);
}

static bool stays_for(const struct clients *cs, pid_t pid)
{
    list_for_each (it, &cs->stays)
        if (list_entry(it, struct stay, link)->pid == pid)
            return true;
    return false;
}

void stay_add(struct client *client)
{
    struct clients *cs = client->clients;
    struct stay *stay;

    if (stays_for(cs, client->pid) || user_add_fds(&cs->registry->users, client->user, 1))
        return;
    stay = calloc(1, sizeof *stay);
    if (!stay) {
        user_drop_fds(client->user, 1);
        return;
    }
    list_add_tail(&cs->stays, &stay->link);
    stay->clients = cs;
    stay->user = client->user;
    stay->pid = client->pid;
    stay->watch = (struct watch){(int)syscall(SYS_pidfd_open, client->pid, 0), ended};
    if (stay->watch.fd < 0 || loop_add(cs->loop, &stay->watch, EPOLLIN))
        stay_free(stay);
}

void stays_end(struct clients *cs)
{
    while (!list_empty(&cs->stays))
        stay_free(list_entry(cs->stays.next, struct stay, link));
}
