// SPDX-License-Identifier: BSD-2-Clause
// Shared memory between two processes of one host. The channel is the whole lane: nothing stands
// behind its rings but the peer.
#include "lane/ends.h"
#include "lane/lane.h"
#include "shunt/info.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
    uint32_t x, y;
    bool v4 = lane_ipv4_of(a, &x);

    if (lane_ipv4_of(b, &y) != v4)
        return false;
    return v4 ? x == y : !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr);
}

// The kernel talks to its own addresses from themselves, so equal ends are one host.
static const char *obstacle(const struct lane_ends *ends)
{
    if (lane_is_loopback(ends->remote))
        return NULL;
    if (ends->local && same_address(ends->local, ends->remote))
        return NULL;
    return "the peer is on another host";
}

const struct lane lane_shm = {"shm", SHUNT_LANE_SHM, obstacle};
