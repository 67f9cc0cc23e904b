// SPDX-License-Identifier: BSD-2-Clause
// Ports that are ours, and so nobody else's: for each a kernel socket is bound (without listening,
// without SO_REUSEADDR), which keeps every other bind and the kernel's own choice of ports away,
// and an entry in the queue takes its packets from the kernel. The reverse holds by the same
// socket: a port that the kernel has given out cannot be bound.
#ifndef SHUNT_NET_PORTS_H
#define SHUNT_NET_PORTS_H

#include "queue/owner.h"
#include "wire/addr.h"

struct net_ports;

// Reserves in the calling thread's network namespace. owner: the queue whose packets these are;
// NULL: reservations only. -ENOMEM.
int net_ports_new(struct net_ports **p, struct queue_owner *owner);
void net_ports_free(struct net_ports *p);

// Takes addr:*port; *port 0: one of the kernel's ephemeral ones, and *port is set. For connections:
// a port that was taken and released lately may be given again, to any number of holders; the
// 4-tuple decides then, in net_open(). -EADDRINUSE (the kernel's, or another's), -EADDRNOTAVAIL,
// -EACCES, -EMFILE, -ENOSPC.
int net_ports_take(struct net_ports *p, const struct ip_addr *addr, uint16_t *port);

// One holder less. The last one's release gives the port back.
void net_ports_release(struct net_ports *p, const struct ip_addr *addr, uint16_t port);

#endif
