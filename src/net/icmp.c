// SPDX-License-Identifier: BSD-2-Clause
// ICMP errors, which the kernel receives and the owner hands on.
#include <errno.h>

#include "net/lock.h"
#include "net/owner.h"
#include "wire/icmp.h"

struct meaning {
    enum tcp_icmp kind;
    int err;
};

// RFC 1122, 4.2.3.9 and RFC 5461, with the errnos of Linux.
static struct meaning meaning_of(enum icmp_error error)
{
    switch (error) {
    case ICMP_PACKET_TOO_BIG:
        return (struct meaning){TCP_ICMP_TOO_BIG, -EMSGSIZE};
    case ICMP_PORT_UNREACHABLE:
        return (struct meaning){TCP_ICMP_HARD, -ECONNREFUSED};
    case ICMP_PROHIBITED:
        return (struct meaning){TCP_ICMP_HARD, -EHOSTUNREACH};
    case ICMP_PARAMETER_PROBLEM:
        return (struct meaning){TCP_ICMP_SOFT, -EPROTO};
    default:
        return (struct meaning){TCP_ICMP_SOFT, -EHOSTUNREACH};
    }
}

static bool tell(struct net *n, const struct icmp *icmp)
{
    struct tcp_tuple t = {icmp->src, icmp->dst, icmp->src_port, icmp->dst_port};
    struct meaning m = meaning_of(icmp->error);
    uint32_t mtu = icmp->next_mtu_bytes;

    if (icmp->error == ICMP_PROHIBITED && !ip_addr_is_v4(&icmp->src))
        m.err = -EACCES; // Linux tells the two families' apart
    return tcp_icmp(&n->ctx, n->now_ns, &t, icmp->seq, m.kind, m.err,
                    (uint16_t)u64_min(mtu, UINT16_MAX));
}

bool net_icmp(struct net *n, uint64_t deadline_ns, const void *packet, uint32_t len)
{
    struct ip_header ip;
    struct icmp icmp;
    int at = ip_parse(packet, len, &ip);
    bool taken;

    if (at < 0 || ip.fragment ||
        icmp_parse(&ip, (const uint8_t *)packet + at, ip.payload_bytes, &icmp))
        return false;
    if (net_lock_until(n, deadline_ns))
        return false;
    n->now_ns = clock_now_ns();
    n->work = true;
    net_count(n, icmp_in);
    taken = tell(n, &icmp);
    n->arena->counters.icmp_taken += taken;
    net_turn(n, n->now_ns);
    net_leave(n);
    return taken;
}
