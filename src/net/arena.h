// SPDX-License-Identifier: BSD-2-Clause
// A stack, inside: the arena's layout, and one process's handle. The layout follows from three
// numbers (sockets, ring size, the engine's size) that are checked against the memfd's length when
// a process attaches, and never read from the arena again.
#ifndef SHUNT_NET_ARENA_H
#define SHUNT_NET_ARENA_H

#include "base/clock.h"
#include "base/util.h"
#include "net/bits.h"
#include "net/net.h"
#include "net/tables.h"
#include "wire/ip.h"

#define NET_MAGIC   UINT64_C(0x3174656e746e6873) // "shntnet1"
#define NET_VERSION 2
#define NET_MEMBERS 1024
#define NET_HELD    64
#define NET_HOPS    256 // of the cache; a power of two

// A process that has attached. Its place is free while pid is 0.
struct net_member {
    _Atomic uint32_t pid;     // as it sees itself
    _Atomic uint32_t lookers; // threads that poll or spin
    uint64_t start_ticks; // field 22 of /proc/PID/stat: tells it from a later process of that pid
    uint64_t pid_ns;      // inode of its pid namespace: only there pid means something
};

enum net_sock_use {
    NET_FREE,
    NET_USED,
    NET_ENDED, // NET_END: the engine still has the connection
    NET_OVER,  // and no more
    NET_LETGO, // NET_CLOSE: free once the engine is done with the connection
};

struct net_sock {
    alignas(64) _Atomic uint32_t status; // enum net_status
    _Atomic uint32_t wait;               // somebody sleeps for a change of status
    _Atomic uint32_t requests;           // enum net_request
    _Atomic int32_t error;
    // written with the lock
    _Atomic uint32_t conn; // index in the engine, TCP_NONE: none
    uint32_t next_free;
    uint16_t path_mtu;   // that the engine knows of
    _Atomic uint8_t use; // enum net_sock_use
    uint8_t kept;        // free, and its channel has memory; not 0 is true, whoever wrote it
};

// A segment without payload that waits for its next hop's address. Those with payload are dropped:
// TCP sends them again.
struct net_held {
    uint64_t since_ns; // 0: the place is free
    uint8_t failed;    // the address could not be found earlier: that says nothing of this time
    struct segment seg;
};

struct net_arena {
    uint64_t magic;
    uint32_t version, socks, ring_bytes;
    uint64_t engine_bytes, stuck_ns;
    alignas(64) _Atomic uint64_t lock; // 0, or who holds it: see lock.h
    _Atomic uint32_t harmless;         // its holder is not in the middle of a change
    _Atomic uint64_t turn;             // counts what the holder does
    alignas(64) _Atomic uint32_t dead; // enum net_death
    _Atomic uint32_t full;             // no new sockets: net_set_full()
    _Atomic uint64_t deadline_ns;
    // with the lock
    alignas(64) uint32_t free_sock,
        fresh_sock;                 // the free list; sockets from here on were never used
    uint64_t turn_ns;               // of the last turn
    uint32_t last_member;           // who drove last
    uint32_t paths_seen, held_seen; // tables.paths_seq and .seq that were acted upon
    uint32_t held_count;
    uint32_t kept_count; // free sockets whose channels keep their memory
    struct net_held held[NET_HELD];
    struct net_counters counters;
    struct net_member member[NET_MEMBERS];
    struct net_bits kicks, wakes;
    struct net_tables tables;
};

// What happened to a socket in this turn.
struct net_touch {
    uint32_t sock, events; // TCP_EV_*
};

#define NET_TOUCHED 64

struct net {
    struct net_arena *arena;
    struct net_sock *socks;
    uint8_t *channels;
    uint64_t map_bytes, channels_at, channel_bytes;
    uint32_t sock_count, ring_bytes;
    struct tcp_ctx ctx;
    struct tcp_sink sink;
    struct queue *queue;
    int owner_bell;
    bool (*wake)(void *self, uint32_t sock);
    void *self;
    uint32_t member;
    uint64_t pid_ns;
    struct { // net_watch(): the holder when it was seen first, and what it did then
        uint64_t holder, turn, since_ns;
    } watch;
    // of the turn, with the lock
    uint64_t now_ns;
    uint64_t busy_ns;        // the last turn that was not idle
    bool work;               // the engine was asked for something since
    uint32_t tables_seq;     // that the cache is good for
    struct ip_addr local_ok; // an address that is ours, since local_seq
    uint32_t local_seq;
    uint32_t touched_count, rung_count;
    struct net_touch touched[NET_TOUCHED];
    uint32_t rung[NET_TOUCHED];
    struct {
        struct net_hop hop;
        uint64_t wanted_ns, used_ns;
        uint32_t seq;
        int err;
    } hops[NET_HOPS];
};

#define net_count(n, what) ((n)->arena->counters.what++)

// Connections of an engine that serves that many sockets.
static inline uint32_t net_conns_of(uint32_t socks)
{
    return 3 * socks + 64;
}

static inline uint32_t net_conn_count(const struct net *n)
{
    return net_conns_of(n->sock_count);
}

// NULL for an index that is no socket.
static inline struct net_sock *net_sock_at(const struct net *n, uint32_t sock)
{
    return sock < n->sock_count ? &n->socks[sock] : NULL;
}

static inline struct chan_shared *net_chan(const struct net *n, uint32_t sock)
{
    return (struct chan_shared *)(void *)(n->channels + sock * n->channel_bytes);
}

// sock.c: what the engine asks for.
extern const struct tcp_host net_host;

// output.c: struct tcp_sink.put: a segment becomes a frame.
int net_put(struct tcp_sink *sink, const struct segment *seg);

// The way that segments to remote take, from the cache; *out is good until the next call. Errors as
// net_tables_hop().
int net_hop_to(struct net *n, const struct ip_addr *remote, const struct net_hop **out);

// Segments that waited for an address: those that can go now go, the old are dropped.
void net_held_run(struct net *n);

// input.c: a frame becomes a segment, or is counted and dropped.
void net_input(struct net *n, const struct queue_frame *frame);

// sock.c, all with the lock. What the socket's user asked for.
void net_sock_serve(struct net *n, uint32_t sock);
// Tells the engine of paths that have changed.
void net_paths_changed(struct net *n);

// drive.c: one round of everybody's work; the lock is ours.
void net_turn(struct net *n, uint64_t now_ns);
// Lets go of the lock, wakes who is to be woken, and looks again: work that came meanwhile is done.
void net_leave(struct net *n);
// Notes an event for wake-ups.
void net_touch(struct net *n, uint32_t sock, uint32_t events);

void net_bell_owner(const struct net *n);

#endif
