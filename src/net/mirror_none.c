// SPDX-License-Identifier: BSD-2-Clause
// The mirror of a build without libmnl: there is none.
#include <errno.h>

#include "net/mirror.h"

bool net_mirror_is_built(void)
{
    return false;
}

int net_mirror_open(struct net_mirror **out, struct net *n, uint32_t ifindex)
{
    return -EOPNOTSUPP;
}

void net_mirror_close(struct net_mirror *m)
{
}

int net_mirror_fd(const struct net_mirror *m)
{
    return -1;
}

void net_mirror_run(struct net_mirror *m, uint64_t now_ns)
{
}

bool net_mirror_gone(const struct net_mirror *m)
{
    return false;
}

uint64_t net_mirror_deadline(const struct net_mirror *m)
{
    return UINT64_MAX;
}

int net_mirror_resolve(struct net_mirror *m, const struct ip_addr *remote, uint64_t deadline_ns)
{
    return -EOPNOTSUPP;
}
