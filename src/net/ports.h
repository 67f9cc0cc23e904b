// SPDX-License-Identifier: BSD-2-Clause
// Ports that are ours, and so nobody else's: for each a kernel socket is bound (without listening,
// without SO_REUSEADDR), which keeps every other bind and the kernel's own choice of ports away,
// and an entry in the queue takes its packets from the kernel. The reverse holds by the same
// socket: a port that the kernel has given out cannot be bound.
//
// A port that its last holder has released stays ours while the engine has a connection on it, in
// TIME-WAIT too: net_ports_run() looks.
#ifndef SHUNT_NET_PORTS_H
#define SHUNT_NET_PORTS_H

#include "net/net.h"
#include "queue/owner.h"

struct net_ports;

// Reserves in the calling thread's network namespace. owner: the queue whose packets these are;
// NULL: reservations only. Both stay the caller's. -ENOMEM.
int net_ports_new(struct net_ports **out, struct net *n, struct queue_owner *owner);

// Gives all ports back.
void net_ports_free(struct net_ports *p);

// Takes addr:*port. *port 0: an ephemeral one, and *port is set. The kernel chooses it; where there
// are many ports that only connections in TIME-WAIT have, it is one of those, which make room for
// their like (RFC 6191); and where the kernel has none left, it may be one that net_open() refuses
// with -EADDRINUSE. -EADDRINUSE (the kernel's, or all in use), -EADDRNOTAVAIL, -EACCES, -EMFILE,
// -ENOSPC (the queue's table is full).
int net_ports_take(struct net_ports *p, const struct ip_addr *addr, uint16_t *port);

// Takes a port that a kernel socket of a program holds already: a listener's. addr may be any. Its
// packets stay the kernel's until net_ports_steer(). When it is released, the connections that came
// through it keep their packets, and all others are the kernel's. Errors as above.
int net_ports_share(struct net_ports *p, const struct ip_addr *addr, uint16_t port);

// The engine listens there: it has the packets from now on. Before, it would have refused what the
// kernel serves. 0, -ENOENT (nobody has taken the port), -ENOSPC.
int net_ports_steer(struct net_ports *p, const struct ip_addr *addr, uint16_t port);

// One holder less of what net_ports_take() or net_ports_share() took.
void net_ports_release(struct net_ports *p, const struct ip_addr *addr, uint16_t port);

// Gives back what nobody needs any more. Call it each second or so; looks at every connection.
void net_ports_run(struct net_ports *p);

// Is the ICMP error (an IP packet, from the wire) of a connection on one of these ports?
bool net_ports_concerned(struct net_ports *p, const void *packet, uint32_t len);

// Ports and flows held now.
uint32_t net_ports_count(const struct net_ports *p);

#endif
