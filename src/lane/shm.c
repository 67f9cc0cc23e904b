// SPDX-License-Identifier: BSD-2-Clause
// Shared memory between two processes of one host. The channel is the whole lane: nothing stands
// behind its rings but the peer.
#include "lane/lane.h"
#include "shunt/info.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

// The IPv4 address of a, also where it is mapped into IPv6.
static bool ipv4_of(const struct sockaddr *a, uint32_t *ip)
{
    const struct sockaddr_in *in = (const void *)a;
    const struct sockaddr_in6 *in6 = (const void *)a;

    if (a->sa_family == AF_INET)
        *ip = ntohl(in->sin_addr.s_addr);
    else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        *ip = ntohl(in6->sin6_addr.s6_addr32[3]);
    else
        return false;
    return true;
}

static bool is_loopback(const struct sockaddr *a)
{
    uint32_t ip;

    if (ipv4_of(a, &ip))
        return ip >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
    uint32_t x, y;
    bool v4 = ipv4_of(a, &x);

    if (ipv4_of(b, &y) != v4)
        return false;
    return v4 ? x == y : !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr);
}

// The kernel talks to its own addresses from themselves, so equal ends are one host.
static const char *obstacle(const struct lane_ends *ends)
{
    if (is_loopback(ends->remote))
        return NULL;
    if (ends->local && same_address(ends->local, ends->remote))
        return NULL;
    return "the peer is on another host";
}

const struct lane lane_shm = {"shm", SHUNT_LANE_SHM, obstacle};
