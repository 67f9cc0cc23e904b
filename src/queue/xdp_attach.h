// SPDX-License-Identifier: BSD-2-Clause
// The XDP program on a device. Through libxdp's dispatcher where the kernel can do that, so that
// the programs of others stay and may come; else directly, by a link that goes with the process.
#ifndef SHUNT_QUEUE_XDP_ATTACH_H
#define SHUNT_QUEUE_XDP_ATTACH_H

#include <xdp/libxdp.h>

#include "queue/device.h"
#include "queue/steer.h"

struct xdp_attachment {
    struct xdp_program *program; // dispatched; NULL: direct
    int link_fd;                 // direct; -1: none
    int lock_fd;                 // one owner a device; -1: none
    uint32_t ifindex;
    bool generic;
    const char *how; // "dispatcher", or why not
};

// Loads the object of steer and attaches its program shunt_xdp, in native mode if asked for or else
// generic (and generic also where native fails). direct: no dispatcher. 0, -EBUSY (another owner,
// or another's XDP program that does not share), or what the kernel says.
int xdp_attach(struct xdp_attachment *a, struct steer *steer, uint32_t ifindex, bool native,
               bool direct);

// Legal on a struct with program NULL and both fds -1.
void xdp_detach(struct xdp_attachment *a);

#endif
