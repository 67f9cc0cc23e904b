// SPDX-License-Identifier: BSD-2-Clause
// One TCP connection between two agents: records in and out, the greeting, the seal. What a frame
// means is the owner's matter, and so is what becomes of it when the link is lost.
#ifndef SHUNT_DAEMON_LINK_H
#define SHUNT_DAEMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cm/record.h"
#include "daemon/loop.h"
#include "daemon/proof.h"
#include "daemon/seal.h"
#include "proto/agent.pb-c.h"

#define LINK_VERSION      1
#define LINK_RECORD_BYTES 20480          // the longest record
#define LINK_BEFORE_BYTES 512            // the longest one before the other side is known
#define LINK_OUT_BYTES    65536          // unsent: then there is no more room
#define LINK_STEP_NS      (3 * NS_PER_S) // each step until the link is up takes so long at most
#define LINK_SILENCE_NS   (6 * NS_PER_S) // when up: nothing was heard for so long, and it is lost

enum link_state {
    LINK_CONNECTING, // the opener's, until the kernel has connected it
    LINK_GREETING,   // until the other side's Greeting
    LINK_HELLO,      // until its Hello or Welcome
    LINK_UP,
    LINK_DEAD, // to be freed by link_free(), after the round
};

// Why a link is dead.
enum link_end {
    LINK_LOST,     // the connection broke, or could not be made
    LINK_SILENT,   // a step took too long
    LINK_REFUSED,  // the other side does not want us
    LINK_BAD,      // what it said makes no sense, or does not open
    LINK_UNWANTED, // we do not want it
};

struct link;
struct session;

// How a link speaks to its owner. Each may call link_end(), also on this link.
struct link_events {
    void (*greeted)(struct link *link);                        // the other side may be spoken to
    void (*frame)(struct link *link, const Agt__Frame *frame); // good until it returns
    void (*room)(struct link *link);                           // there is room again
    void (*ended)(struct link *link, enum link_end end, const char *why);
};

struct link {
    struct list of; // in the owner's list
    struct watch watch;
    struct loop *loop;
    const struct link_events *events;
    void *owner;
    struct session *session; // the owner's; NULL: none
    bool was_up;
    const struct seal_key *key; // NULL: nothing is sealed
    struct seal *seal;
    bool opener;
    enum link_state state;
    uint64_t deadline_ns; // of the state
    uint64_t said_ns;     // when the last frame went out
    struct flow_end local, remote;
    uint8_t head[4]; // of the record that is coming in
    size_t got;      // of head and body
    uint8_t *body;
    size_t body_bytes;
    uint8_t *out;
    size_t out_at, out_end;
};

// A link to port of remote, from local, whose own port does not matter. Never blocks. Returns NULL
// with *err where not even the attempt can be made.
struct link *link_open(struct loop *loop, const struct flow_end *local,
                       const struct flow_end *remote, uint16_t port, int *err);

// A link of a connection that was accepted. Owns sock, in failure too. NULL: no memory.
struct link *link_accepted(struct loop *loop, int sock);

// To be called once, after events, owner and key are set: begins.
int link_begin(struct link *link);

// The link is up: what comes from now on is the other side's, and it may say longer things.
void link_set_up(struct link *link);

bool link_has_room(const struct link *link);

// Sends a frame, packed or not. Must not be called on a link without room, but for one last frame.
void link_send(struct link *link, const Agt__Frame *frame);
void link_send_bytes(struct link *link, const uint8_t *bytes, size_t n);

// Ends it, calling ended(). Legal on a dead one.
void link_end(struct link *link, enum link_end end, const char *why);

// The same, telling the other side.
void link_refuse(struct link *link, const char *why);

// Looks at its deadline.
void link_check(struct link *link, uint64_t now_ns);

// Frees a dead link.
void link_free(struct link *link);

// Makes *frame a frame whose body is FIELD of the .proto, in capitals CASE.
#define LINK_FRAME(frame, CASE, FIELD, what)                                                       \
    do {                                                                                           \
        agt__frame__init(frame);                                                                   \
        (frame)->body_case = AGT__FRAME__BODY_##CASE;                                              \
        (frame)->FIELD = (what);                                                                   \
    } while (0)

#endif
