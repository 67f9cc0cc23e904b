// SPDX-License-Identifier: BSD-2-Clause
// The program on a device's ingress that drops what a packet socket has taken. With tcx (Linux 6.6)
// a link holds it, which goes with the process. Before that it is a filter of the clsact qdisc,
// which stays when the process dies: it then drops nothing any more (see packet.bpf.c) and is
// replaced by the next owner on the device, of which there can be one at a time.
#ifndef SHUNT_QUEUE_TC_H
#define SHUNT_QUEUE_TC_H

#include "queue/steer.h"

struct tc {
    int link_fd;      // tcx; -1: none
    uint32_t ifindex; // clsact, 0: none
    int lock_fd;      // clsact: one owner a device
};

// 0, or what the kernel says; -EBUSY: clsact, and another process owns the device. clsact: even
// where there is tcx.
int tc_attach(struct tc *tc, uint32_t ifindex, const struct steer *steer, bool clsact);

// Legal on a struct with link_fd -1 and ifindex 0.
void tc_detach(struct tc *tc);

#endif
