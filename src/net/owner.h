// SPDX-License-Identifier: BSD-2-Clause
// The privileged side of a stack: makes the arena, mirrors the kernel's tables into it, reserves
// ports against the kernel, brings ICMP errors, finds members that died. The owner only writes to
// the arena what it holds in memory of its own, and takes every word that it reads there for a
// hint: what it asks the kernel for is checked against its own tables first. (Driving trusts the
// engine's state in the arena: who hosts users that it does not trust drives in a process with the
// user's identity.)
#ifndef SHUNT_NET_OWNER_H
#define SHUNT_NET_OWNER_H

#include "net/net.h"
#include "queue/owner.h"

struct net_config {
    uint32_t socks;        // connections and listeners, at most; default 4,096
    uint32_t ring_bytes;   // of each ring; a power of two, 4,096 to 64 MiB; default 1 MiB
    uint64_t stuck_ns;     // a holder that does not move for so long is declared dead; default 10 s
    struct tcp_config tcp; // max_conns and secret are filled in by net_arena_create()
};

void net_config_init(struct net_config *cfg);

// Makes an arena of memory that is taken only as it is used (10,000 sockets with rings of 1 MiB are
// 20 GB of address space). Returns the memfd, sealed against resizing, close-on-exec, the caller's;
// -EINVAL, -ENOMEM, -EMFILE.
int net_arena_create(const struct net_config *cfg, uint64_t now_ns);

// Death watch. Looks at the holder of the lock and at the members; frees the places of those that
// are gone. Returns NET_ALIVE or why the stack is dead; then it has been declared so, resets have
// been sent to the peers of all connections, and every socket is in the wake map. Cheap; call it
// when a lifeline hangs up and each tick.
enum net_death net_watch(struct net *n, uint64_t now_ns);

// Declares the stack dead, as net_watch() does.
void net_kill(struct net *n, uint64_t now_ns, enum net_death why);

// Is the arena to take no new connections (net_open() gives -ENOBUFS then, and peers' handshakes
// are refused)? The owner says so by the memory that the arena has taken.
void net_set_full(struct net *n, bool full);

// Only marks the stack as dead, for who does not drive it: nobody is told, but all who look see it.
void net_end(struct net *n, enum net_death why);

// Changes when a driver has asked for a next hop's address: the mirror is to run then.
uint32_t net_wants(const struct net *n);

// Threads that poll or spin for the stack now, in all members.
uint32_t net_lookers(const struct net *n);

// The next socket at or behind `from` that somebody could not wake by himself, taken out of the
// map; NET_NONE when there is none. The owner's bell says when to look.
uint32_t net_wake_next(struct net *n, uint32_t from);

// An ICMP or ICMPv6 error as it came from the wire, IP header included. Waits for the lock until
// deadline_ns. Returns true where a connection took it.
bool net_icmp(struct net *n, uint64_t deadline_ns, const void *packet, uint32_t len);

#endif
