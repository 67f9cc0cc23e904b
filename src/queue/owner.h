// SPDX-License-Identifier: BSD-2-Clause
// The privileged side of a queue: opens a door on a device, says which flows are the queue's, and
// hands out grants. What is not the queue's stays the kernel's: ARP, ICMP, fragments, other ports.
// When the owner dies, by whatever signal, the kernel has all traffic again, and answers RST to the
// segments of connections that it does not know.
#ifndef SHUNT_QUEUE_OWNER_H
#define SHUNT_QUEUE_OWNER_H

#include <netinet/in.h>
#include <stddef.h>

#include "queue/queue.h"

#define QUEUE_AUTO 0 // as enum queue_door: choose by the device

struct queue_options {
    const char *device; // name, in the network namespace of the calling thread
    uint8_t door;       // enum queue_door, or QUEUE_AUTO
    uint16_t hw_first;  // AF_XDP: the first hardware queue
    uint16_t hw_queues; // AF_XDP: how many; 0: all from hw_first on
    // AF_PACKET: frames, 64 KB of memory each (2 KB with no_super), default 240; a peer without TSO
    // needs a slot for each segment of its window. AF_XDP: 4 KB chunks, default 4096.
    uint32_t rx_slots;
    uint32_t tx_slots;     // 4 KB chunks (AF_XDP); 0: default
    uint32_t flows_max;    // entries of the flow table; 0: default (65,536)
    bool no_super;         // AF_PACKET: single segments only, to compare packet for packet
    bool native;           // AF_XDP: native mode even on virtual Ethernet
    bool direct;           // AF_XDP: no dispatcher; AF_PACKET: clsact even where there is tcx
    uint32_t busy_poll_us; // AF_XDP: SO_PREFER_BUSY_POLL with that budget of time; 0: off
};

// The packets from `remote` to `local`: IPv6, or IPv4 as ::ffff:a.b.c.d; ports in network order. A
// listening port has remote and remote_port 0, and gets what no exact flow has; local may be `::`
// or ::ffff:0.0.0.0 then: every address of that family.
struct queue_flow {
    struct in6_addr local, remote;
    in_port_t remote_port, local_port; // in this order the structure is the programs' key
};

// What the owner has counted since open(), a verdict each.
struct queue_verdicts {
    uint64_t taken;    // to the queue: an exact flow or a listening port
    uint64_t passed;   // TCP that is not ours, left to the kernel
    uint64_t other;    // everything else: ARP, ICMP, fragments, other protocols
    uint64_t overflow; // to the queue, but its ring was full (where the kernel tells)
};

struct queue_owner {
    const struct queue_owner_ops *ops;
    const struct queue_caps *caps; // in shared memory: trust it until a grant is given away
    struct queue_grant
        grant; // its fds stay the owner's: duplicate them (queue_grant_dup, SCM_RIGHTS)
};

struct queue_owner_ops {
    enum queue_door door;

    // Opens the door. May take a few milliseconds (programs are loaded), and up to a second where a
    // predecessor's socket is still going away. Needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF;
    // AF_XDP CAP_IPC_LOCK, too, or RLIMIT_MEMLOCK for its packet memory (24 MB a hardware queue),
    // and for libxdp's dispatcher CAP_SYS_ADMIN. 0, -ENODEV, -EPERM, -EBUSY (another owner has the
    // hardware queue), -EOPNOTSUPP (the kernel or device lacks it), -ENOMEM, -EMFILE. `why`
    // (why_size bytes) gets one line of text on failure.
    int (*open)(struct queue_owner **owner, const struct queue_options *options, char *why,
                size_t why_size);

    // From now on the flow's packets come to the queue and the kernel does not see them. Call it
    // before the SYN goes out. 0, -EEXIST, -ENOSPC (the table is full), -EINVAL. One system call.
    int (*flow_add)(struct queue_owner *owner, const struct queue_flow *flow);

    // The flow is the kernel's again. 0, -ENOENT. Frames that are in the ring stay there.
    int (*flow_del)(struct queue_owner *owner, const struct queue_flow *flow);

    void (*verdicts)(struct queue_owner *owner, struct queue_verdicts *v);

    // Gives everything back to the kernel and ends the queue; drivers get -ENETDOWN from rx().
    void (*close)(struct queue_owner *owner);
};

// The door that options name; QUEUE_AUTO: queue_choose(). See queue_owner_ops.open.
// -EPROTONOSUPPORT: not built in.
int queue_open(struct queue_owner **owner, const struct queue_options *options, char *why,
               size_t why_size);

// Is any door built in?
bool queue_is_built(void);

// The best door for a device: AF_XDP where its driver has zero copy, else AF_PACKET. Static text in
// *why. Asks the kernel, does not block. -ENODEV.
int queue_choose(const char *device_name, const char **why);

static inline int queue_flow_add(struct queue_owner *owner, const struct queue_flow *flow)
{
    return owner->ops->flow_add(owner, flow);
}

static inline int queue_flow_del(struct queue_owner *owner, const struct queue_flow *flow)
{
    return owner->ops->flow_del(owner, flow);
}

static inline void queue_close(struct queue_owner *owner)
{
    owner->ops->close(owner);
}

#endif
