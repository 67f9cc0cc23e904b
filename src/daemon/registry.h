// SPDX-License-Identifier: BSD-2-Clause
// Who has claimed which end of which connection, and the channels made of mirrored claims.
//
// The registry never holds a program's socket. It learns from sock_diag whether one still lives.
#ifndef SHUNT_DAEMON_REGISTRY_H
#define SHUNT_DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "cm/cm.h"
#include "cm/counters.h"
#include "cm/parts.h"
#include "daemon/chunk.h"
#include "daemon/diag.h"
#include "daemon/lent.h"
#include "daemon/loop.h"
#include "daemon/proof.h"
#include "daemon/table.h"
#include "daemon/user.h"

struct client;
struct conn;
struct ask; // what the agent keeps of a claim that it asks another host for
struct far; // and of a channel with another host

enum side_state {
    SIDE_NONE,    // nobody claimed it, or it is over
    SIDE_CLAIMED, // by one client, which waits
    SIDE_LINKED,  // has the channel
    SIDE_FAR,     // has the channel, on another host: only its flow and ring_bytes are good
};

// One end of a connection.
struct side {
    enum side_state state;
    struct table_node by_cookie;
    struct conn *conn;
    struct proof proof;
    struct user *user;
    uint32_t ring_bytes;
    bool cross_user;
    struct chunk *chunk; // where its state is; NULL: nobody can attach
    uint32_t chunk_slot;
    uint8_t lanes[CM_LANES]; // enum shunt_lane, best first
    uint8_t n_lanes;
    uint8_t *endpoint; // for the peer's lane, on the heap
    size_t endpoint_bytes;
    struct ask *ask;    // NULL: no other host is asked
    struct list holds;  // of struct hold: the clients that use it
    struct list orphan; // in registry.orphans when linked and without holds
};

// One connection. It leaves the flow table, and is freed, when both sides are SIDE_NONE.
struct conn {
    struct table_node by_flow;
    struct side side[2];
    uint32_t ring_bytes;       // 0: no channel; else what follows is good
    uint8_t lane;              // enum shunt_lane
    uint64_t id;               // not 0
    bool here[2];              // the sides that are on this host
    struct cm_parts parts[2];  // of both sides in [0]; where it is mirrored, by side
    struct user_link *link[2]; // where it is mirrored, of the sides that are here
    struct far *far;           // NULL: both sides are here
};

// A client's part in a side.
struct hold {
    struct list of_side, of_client;
    struct side *side;
    struct client *client;
};

// What a client asks for, checked, with diag_learn() called for it.
struct claim {
    struct proof proof;
    uint32_t ring_bytes;
    bool cross_user;
    struct chunk *chunk; // the registry takes a reference of its own
    uint32_t chunk_slot;
    uint8_t lanes[CM_LANES]; // enum shunt_lane, best first
    uint8_t n_lanes;
    const uint8_t *endpoint; // copied
    size_t endpoint_bytes;
};

// How the registry speaks to clients. None may call back into the registry.
struct registry_events {
    void (*matched)(struct client *client, const struct side *side);
    void (*refused)(struct client *client, uint64_t cookie, enum counter why, const char *reason);
    // False: the client leaves too much unread.
    bool (*relayed)(struct client *client, const struct side *side, const uint8_t *bytes, size_t n);
    void (*peer_gone)(struct client *client, const struct side *side, enum cm_gone why);
    void (*noted)(struct client *client, uint64_t cookie, const char *text);
};

// How the registry speaks to the agent. Only wanted() may call back into the registry.
struct registry_far {
    // A claim that may go by lane rdma and has no other side here.
    void (*wanted)(void *arg, struct side *side);
    // side->ask is not needed any more, and is NULL when this returns.
    void (*unwanted)(void *arg, struct side *side);
    // False: it cannot be brought there.
    bool (*relay)(void *arg, const struct conn *conn, const uint8_t *bytes, size_t n);
    // The side here is no more; conn->far is NULL when this returns.
    void (*gone)(void *arg, struct conn *conn, enum cm_gone why);
    void *arg;
};

struct registry {
    struct table flows, cookies;
    struct siphash_key key;
    struct users users;
    struct chunks chunks;
    struct diag diag;
    struct lents lents;
    struct list orphans;
    struct timer sweep;
    uint64_t sweep_ns; // period of the sweep, now
    const struct registry_events *events;
    const struct registry_far *far; // NULL: no agent
    uint64_t *count;                // by enum counter
};

// 0 or -errno. The timer is the caller's to put into its loop.
int registry_init(struct registry *r, const struct registry_events *events, uint64_t *count);
void registry_fini(struct registry *r);

// The events tell what came of it. user is the client's; holds is its list of struct hold.
void registry_claim(struct registry *r, struct client *client, struct user *user,
                    struct list *holds, const struct claim *claim);

// Takes a claim back, or ends the client's part in a channel. Unknown cookies are ignored.
void registry_drop(struct registry *r, struct client *client, uint64_t cookie);

// Brings what the client says to the other side of a mirrored channel. What goes to a channel that
// is over is ignored.
void registry_relay(struct registry *r, const struct client *client, uint64_t cookie,
                    const uint8_t *bytes, size_t n);

// Makes the client, which has shown a socket of that cookie, a holder of its side; NULL after an
// event refused().
const struct side *registry_attach(struct registry *r, struct client *client, struct user *user,
                                   struct list *holds, uint64_t cookie);

// The side of that cookie, if it has a channel that another process could attach to; else NULL.
const struct side *registry_linked(const struct registry *r, uint64_t cookie);

// The client is gone: ends all its parts.
void registry_leave(struct registry *r, struct list *holds);

// ---- for the agent ----

// The side of flow that somebody has claimed and that waits; NULL: nobody.
struct side *registry_waiting(const struct registry *r, const struct flow *flow, int side);

// What side waits for, or why it waits for nothing more: then its claim is over.
void registry_note(const struct registry *r, const struct side *side, const char *text);
void registry_refuse(struct registry *r, struct side *side, enum counter why, const char *reason);

// What another host's side of a channel is.
struct registry_far_side {
    struct far *far;
    uint64_t id; // of the channel; 0: makes one
    uint32_t ring_bytes;
    const uint8_t *endpoint;
    size_t endpoint_bytes;
};

// Makes the waiting side's half of a channel on lane rdma with a side on another host, and tells
// its client. NULL: conn->far is set; else why not, and the claim was refused.
const char *registry_link_far(struct registry *r, struct side *side,
                              const struct registry_far_side *far);

// Something came for the side here. False: its program leaves too much unread.
bool registry_far_relay(struct registry *r, const struct conn *conn, const uint8_t *bytes,
                        size_t n);

// The far side is gone: tells the side here, and ends the channel without a word to the agent.
void registry_far_gone(struct registry *r, struct conn *conn, enum cm_gone why);

static inline int side_index(const struct side *side)
{
    return side->proof.side;
}

#endif
