// SPDX-License-Identifier: BSD-2-Clause
#include "lane/ends.h"

#include <netinet/in.h>

bool lane_ipv4_of(const struct sockaddr *a, uint32_t *ip)
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

bool lane_is_loopback(const struct sockaddr *a)
{
    uint32_t ip;

    if (lane_ipv4_of(a, &ip))
        return ip >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}
