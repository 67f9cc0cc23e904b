// SPDX-License-Identifier: BSD-2-Clause
// The owner's queue for a stack: a door of src/queue, and around it what tests and debugging ask
// for.
#ifndef SHUNT_NET_DOOR_H
#define SHUNT_NET_DOOR_H

#include "queue/fault.h"
#include "queue/owner.h"

struct net_door_options {
    const char *device;
    uint8_t door;                     // enum queue_door, or QUEUE_AUTO
    const struct fault_rates *faults; // both ways; NULL: none
    const char *capture;              // a pcapng file that is made, or written anew; NULL: none
};

struct net_door {
    struct queue_owner *owner;
    struct queue_grant grant; // of the outermost
    char why[sizeof((struct queue_caps *)0)->why];
};

// 0, or -errno as queue_open() with one line of text in why; *d is as after net_door_close() then.
int net_door_open(struct net_door *d, const struct net_door_options *o, char *why, size_t why_size);

// Gives all back to the kernel. Legal twice.
void net_door_close(struct net_door *d);

// Which door device would get, and why: static text, as in "af_xdp: the driver has zero copy".
// NULL: there is no such device.
const char *net_door_why(const char *device, uint8_t door);

#endif
