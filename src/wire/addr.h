// SPDX-License-Identifier: BSD-2-Clause
// An IP address of either family: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC
// 4291, 2.5.5.2).
#ifndef SHUNT_WIRE_ADDR_H
#define SHUNT_WIRE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
    union {
        uint8_t b[16];
        uint32_t w[4]; // network order, as they lie in memory
    };
};

// v4 as in in_addr.s_addr: network order.
static inline struct ip_addr ip_addr_v4(uint32_t v4)
{
    struct ip_addr a = {.b = {[10] = 0xff, [11] = 0xff}};

    a.w[3] = v4;
    return a;
}

static inline struct ip_addr ip_addr_v6(const void *bytes16)
{
    struct ip_addr a;

    memcpy(a.b, bytes16, sizeof a.b);
    return a;
}

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return !memcmp(a->b, b->b, sizeof a->b);
}

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
    static const uint8_t mapped[4] = {[2] = 0xff, [3] = 0xff};

    return !(a->w[0] | a->w[1]) && !memcmp(&a->w[2], mapped, sizeof mapped);
}

// True for ::, and for 0.0.0.0 in its mapped form.
static inline bool ip_addr_is_any(const struct ip_addr *a)
{
    return !a->w[3] && !a->w[0] && !a->w[1] && (!a->w[2] || ip_addr_is_v4(a));
}

// True for 224.0.0.0/4, 255.255.255.255 and ff00::/8: no TCP peer (RFC 9293, 3.9.2.3).
static inline bool ip_addr_is_group(const struct ip_addr *a)
{
    if (!ip_addr_is_v4(a))
        return a->b[0] == 0xff;
    return a->b[12] >> 4 == 14 || a->w[3] == UINT32_MAX;
}

#endif
