// SPDX-License-Identifier: BSD-2-Clause
// A stack: one raw queue joined to one TCP engine, in memory that the programs of one user share.
//
// The parts. The *arena* is a memfd without pointers: the lock, the engine, a table of sockets, the
// tables of links, addresses, routes and neighbours, and for every socket a channel
// (base/chanmem.h: a page and two rings). The *owner* (owner.h) is one privileged process, shuntd:
// it makes the arena, writes the tables, reserves ports, and watches the members. *Members* are
// processes that have attached; they need no privileges, only the arena's memfd, the queue's grant
// and the owner's bell.
//
// Driving. Nobody is appointed: whoever has work puts it where others can see it (bytes into a
// ring, a request into the socket), tries the lock, and who gets it does everybody's work and looks
// again after letting go. Who does not get it leaves. Calls that need an answer of the engine take
// a deadline and give -ETIMEDOUT where the lock could not be had by then; then nothing was done.
//
// The socket's channel is used as chan.h says, by the program as side 0; the stack is side 1. Both
// directions are in the ring for good: epoch, ack and ready are 1 from the beginning. chan's peer
// bell is not written: net_poke() takes its place, after chan_commit() and after reading.
//
// Death. When a holder of the lock is gone, or holds it for too long, or the queue or the owner
// ends, the stack is dead: net_dead() says why, every socket is NET_CLOSED with -ECONNRESET, every
// call gives that, and all who sleep are woken. A dead stack never lives again.
//
// Errors are 0 or a negative errno. Nothing blocks beyond its deadline. Threads of a process may
// use one struct net at once.
#ifndef SHUNT_NET_NET_H
#define SHUNT_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chanmem.h"
#include "queue/queue.h"
#include "tcp/tcp.h"

#define NET_NONE UINT32_MAX // no socket

struct net;

// Why a stack is dead.
enum net_death {
    NET_ALIVE = 0,
    NET_DEAD_HOLDER, // a process died while it drove the stack
    NET_DEAD_STUCK,  // a process drove the stack, and stopped in the middle for too long
    NET_DEAD_QUEUE,  // the queue is no more: the device is gone
    NET_DEAD_OWNER,  // shuntd has ended it, or is gone
    NET_DEAD_MEMORY, // the arena holds nonsense
};

// What is true of a socket. CLOSED, FIN and CONNECTED stay.
enum net_status {
    NET_CONNECTED = 1, // the handshake is through
    NET_FIN = 2,       // the peer sends no more: end of file after the ring's bytes
    NET_CLOSED = 4,    // over: net_error() says why, 0 after an orderly end
    NET_ACCEPT = 8,    // a listener: net_accept() would give one
    NET_URGENT = 16,   // net_info.urgent_pos is valid
};

// Attaching ---------------------------------------------------------------------------------------

struct net_attach {
    int arena; // memfd; stays the caller's
    // Its fds are the stack's when net_attach() succeeds. NULL: this process is no member and
    // never drives; its net_drive() rings the owner's bell, so that somebody else does.
    const struct queue_grant *queue;
    int owner_bell; // eventfd that the owner listens to; stays the caller's; -1: none
    // Wakes the sleepers of a socket that this process has the bell of; false: it has not, the
    // owner must. Called without the lock, may be called by any thread that drives. NULL: always
    // false.
    bool (*wake)(void *self, uint32_t sock);
    void *self;
};

// 0, -EPROTO (memory or grant do not fit), -ENOMEM, -EMFILE, -EUSERS (all 1,024 members are there).
int net_attach(struct net **out, const struct net_attach *how);
void net_detach(struct net *n);

// In a forked child: it becomes a member of its own. 0 or -EUSERS; until then it must not drive.
int net_forked(struct net *n);

enum net_death net_dead(const struct net *n);
const char *net_death_text(enum net_death why); // e.g. "a program died while it drove the stack"

// Driving -----------------------------------------------------------------------------------------

// Does everybody's work, if the lock is free: receives, runs timers, sends, kicks. Returns true
// where it did, false where another does it now. now_ns: CLOCK_MONOTONIC.
bool net_drive(struct net *n, uint64_t now_ns);

// The program has put bytes into sock's ring, or has taken some: net_drive() with that known.
bool net_poke(struct net *n, uint64_t now_ns, uint32_t sock);

// When net_drive() must be called again though the queue is silent. CLOCK_NEVER: at no time.
uint64_t net_deadline(const struct net *n);

// Readable when frames have come: for poll(2). Stays the stack's.
int net_wait_fd(const struct net *n);

// A thread of this process begins (+1) or ends (-1) to poll net_wait_fd(), or to spin on
// net_drive(): meanwhile the owner need not.
void net_look(struct net *n, int change);

// Sockets -----------------------------------------------------------------------------------------

struct net_option {
    enum tcp_option option;
    uint64_t value;
};

struct net_open {
    struct ip_addr local, remote; // local any: chosen by the route
    uint16_t local_port;          // reserved by the owner (owner.h); 0: the engine picks one
    uint16_t remote_port;
    const struct net_option *options;
    uint32_t option_count;
};

// Begins a connection; NET_CONNECTED or NET_CLOSED follows. -ENETUNREACH, -EHOSTUNREACH, -EACCES
// (the route forbids), -EXDEV (the route leads to another interface, or to this host), -ENETDOWN,
// -EADDRNOTAVAIL, -EADDRINUSE, -ENOBUFS (no socket is free), -EINVAL (an option), -ETIMEDOUT,
// -ECONNRESET (dead).
int net_open(struct net *n, uint64_t deadline_ns, const struct net_open *o, uint32_t *sock);

// Listens on local (any: on all addresses) and port, which the owner has reserved. Options are
// inherited by the connections. Errors as above.
int net_listen(struct net *n, uint64_t deadline_ns, const struct net_open *o, uint32_t backlog,
               uint32_t *sock);

// The next connection of a listener. -EAGAIN: none is there. -EINVAL: it is no listener.
int net_accept(struct net *n, uint64_t deadline_ns, uint32_t listener, uint32_t *sock);

// Requests, done by whoever drives next (this call tries): they never fail and never wait.
enum net_request {
    NET_SHUT_TX = 1, // FIN after the bytes in the ring
    NET_SHUT_RX = 2,
    NET_CLOSE =
        4, // the last user lets go: FIN, or RST with unread bytes. sock is not ours any more
    NET_ABORT = 8, // the same, with RST in any case
    // The last user lets go, as NET_CLOSE and NET_ABORT, but whoever opened sock has not heard of
    // it yet: sock names nothing else before NET_CLOSE follows.
    NET_END = 16,
    NET_RESET = 32,
};
void net_request(struct net *n, uint64_t now_ns, uint32_t sock, uint32_t requests);

// -ENOPROTOOPT, -EINVAL, -EISCONN, -ETIMEDOUT, -ECONNRESET.
int net_set(struct net *n, uint64_t deadline_ns, uint32_t sock, enum tcp_option option,
            uint64_t value);

// The last of the next ahead bytes that are put into sock's ring is urgent. To be said before: what
// has been sent is not urgent any more. -EBADF, -ETIMEDOUT, -ECONNRESET.
int net_urgent(struct net *n, uint64_t deadline_ns, uint32_t sock, uint32_t ahead);

// enum net_status; NET_CLOSED for what is no socket and on a dead stack. No lock, no system call.
uint32_t net_status(const struct net *n, uint32_t sock);

// 0, or the negative errno that ended the connection.
int net_error(const struct net *n, uint32_t sock);

struct net_info {
    struct tcp_tuple tuple;
    enum tcp_state state;
    uint32_t status; // enum net_status
    uint64_t srtt_ns, rttvar_ns, min_rtt_ns;
    uint32_t cwnd_bytes, ssthresh_bytes, mss, mss_peer, pmtu, rcv_limit_bytes;
    uint32_t unacked_bytes, unsent_bytes, unread_bytes; // SIOCOUTQ is the sum of the first two
    uint32_t retransmits, keep_idle_ms, keep_interval_ms, user_timeout_ms;
    uint64_t urgent_pos, pacing_rate; // stream position behind the urgent byte; bytes a second
    uint8_t keep_count, tos, cc;
    bool nodelay, cork, keepalive, quickack, timestamps, sack, wscale;
    uint8_t snd_wscale, rcv_wscale;
    uint32_t backlog, waiting; // of a listener
};

// Sockets are numbered from 0 to this, less one.
uint32_t net_socks(const struct net *n);

// A look at sock, and its connection, without the lock: each value is right, but not all are of one
// moment. -EBADF: no such socket.
int net_info(const struct net *n, uint32_t sock, struct net_info *info);

// Where sock's channel lies in the arena's memfd: offset and ring size, for a doubled mapping.
int net_channel(const struct net *n, uint32_t sock, uint64_t *offset, uint32_t *ring_bytes);

// The channel in this process's linear mapping of the arena; rings wrap. NULL: no such socket.
struct chan_shared *net_channel_at(const struct net *n, uint32_t sock);

// Sleeping without a byte to wait for (connect, accept): the next change of net_status() rings.
// Look again after it. Changes of the rings ring by chan's own flags.
void net_arm(struct net *n, uint32_t sock);

// Paths -------------------------------------------------------------------------------------------

struct net_path {
    struct ip_addr source, next_hop;
    uint32_t ifindex;
    uint16_t mtu;
    bool reachable; // the neighbour's link-layer address is known
};

// The way to remote, from local (any: the kernel's rules choose). Errors as net_open().
int net_path(const struct net *n, const struct ip_addr *remote, const struct ip_addr *local,
             struct net_path *path);

// Counters ----------------------------------------------------------------------------------------

// In the arena; written by whoever drives.
struct net_counters {
    uint64_t turns, turns_left; // drives with the lock, and without
    uint64_t frames_in, frames_out, super_in, super_out;
    uint64_t bad_frames, bad_checksums, not_ours, not_tcp, fragments;
    uint64_t no_route, unresolved, held, held_sent, held_expired;
    uint64_t icmp_in, icmp_taken;
    uint64_t wakes, wakes_forwarded;
    uint64_t queue_full, path_changes;
};

const struct net_counters *net_counters(const struct net *n);
const struct tcp_counters *net_tcp_counters(const struct net *n);

#endif
