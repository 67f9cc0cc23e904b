// SPDX-License-Identifier: BSD-2-Clause
// ICMP errors for the stacks. ICMP is the kernel's; it gives us a copy, and each stack whose ports
// an error is of hears of it.
#ifndef SHUNT_DAEMON_ICMP_H
#define SHUNT_DAEMON_ICMP_H

#include "daemon/loop.h"

struct icmp {
    struct loop *loop;
    struct watch v4, v6; // fd -1: not open
    // packet: an IP packet of len bytes, which the kernel found good.
    void (*heard)(struct icmp *icmp, const void *packet, uint32_t len);
};

void icmp_init(struct icmp *icmp, struct loop *loop,
               void (*heard)(struct icmp *icmp, const void *packet, uint32_t len));

// Listens, if it does not yet. Takes CAP_NET_RAW. 0 or -errno; one family may be missing.
int icmp_open(struct icmp *icmp);
void icmp_close(struct icmp *icmp);

#endif
