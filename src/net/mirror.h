// SPDX-License-Identifier: BSD-2-Clause
// The owner's mirror of the kernel's network: links, addresses, routes, rules and neighbours over
// netlink, followed live, written into the arena of a stack. One mirror serves one stack.
//
// The stack's links are the queue's device, a bond that it is a member of, and the VLANs on either.
// Routes that lead elsewhere are mirrored too, because they say what is not ours.
#ifndef SHUNT_NET_MIRROR_H
#define SHUNT_NET_MIRROR_H

#include "net/net.h"

struct net_mirror;

// Was there a libmnl when this was built?
bool net_mirror_is_built(void);

// Opens netlink in the calling thread's network namespace and fills n's tables; from then on
// net_mirror_run() follows. n stays the caller's and must outlive the mirror. Waits for the
// kernel's answers, some milliseconds. -ENODEV: no such interface; -EOPNOTSUPP: built without
// libmnl; -EPERM, -EMFILE, -ENOMEM.
int net_mirror_open(struct net_mirror **out, struct net *n, uint32_t ifindex);
void net_mirror_close(struct net_mirror *m);

// Readable when the kernel has news: for poll(2).
int net_mirror_fd(const struct net_mirror *m);

// Takes in the kernel's news, and asks it for the neighbours that the stack wants. Does not wait.
// Call it when the fd is readable, when the owner's bell rings, and at net_mirror_deadline().
void net_mirror_run(struct net_mirror *m, uint64_t now_ns);

// The interface has been deleted, or has left the namespace: the stack cannot go on. One that is
// made anew under its name is another.
bool net_mirror_gone(const struct net_mirror *m);

// When net_mirror_run() has something to do though nothing is readable.
uint64_t net_mirror_deadline(const struct net_mirror *m);

// Looks for the way to remote, and asks the kernel for its link-layer address where that is not
// known, waiting for it until deadline_ns. 0: known. -EHOSTUNREACH: nobody answers, or not by then;
// else errors as net_open().
int net_mirror_resolve(struct net_mirror *m, const struct ip_addr *remote, uint64_t deadline_ns);

#endif
