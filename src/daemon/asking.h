// SPDX-License-Identifier: BSD-2-Clause
// Who has the other end of a claimed connection? The asks of this host's claims, those of other
// hosts that wait for a claim here, and the channels that came of them.
//
// Both ends ask when they claim, whoever is second finds the other's. Where two asks cross, that of
// the lesser end of the flow counts: its agent leaves the other's unanswered.
#ifndef SHUNT_DAEMON_ASKING_H
#define SHUNT_DAEMON_ASKING_H

#include "daemon/agent.h"

enum ask_state {
    ASK_QUEUED,   // not said yet
    ASK_SENT,     // or said, and told to wait
    ASK_ANSWERED, // there is nothing to take back
};

// Of a claim here.
struct ask {
    struct table_node by_nonce;
    struct list of_peer; // in queued or asked
    struct peer *peer;
    struct side *side;
    uint64_t nonce;
    enum ask_state state;
};

// Of a claim on another host.
struct parked {
    struct table_node by_flow;
    struct list of_session;
    struct session *session;
    struct flow flow;
    uint64_t nonce;
    uint32_t ring_bytes;
    size_t endpoint_bytes;
    uint8_t endpoint[];
};

// A channel whose other side is on another host.
struct far {
    struct table_node by_id;
    struct list of_session;
    struct session *session;
    struct conn *conn;
};

// What the registry calls.
extern const struct registry_far asking_far;

// A frame came that is no matter of the session itself.
void asking_heard(struct agent *a, struct session *s, const Agt__Frame *frame);

// The session with peer is up: asks what waits for it.
void asking_send(struct agent *a, struct peer *peer);

// Forgets the asks to peer, which no claim waits for any more.
void asking_forget(struct agent *a, struct peer *peer);

// The peer is not to be had now: tells its claims what they wait for.
void asking_note(struct agent *a, const struct peer *peer);

// The session is over: so are its channels, what it has parked, and the answers to its asks.
void asking_cut(struct agent *a, struct session *s);

// The session has no link at the moment: asks that it left unanswered stand in nobody's way.
void asking_lost(struct agent *a, struct session *s);

#endif
