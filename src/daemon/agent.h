// SPDX-License-Identifier: BSD-2-Clause
// The agent: how this shuntd speaks with those of other hosts. It keeps the peers, whom it asks
// only when a claim wants it, and seldom where nobody answers; and the sessions with them. What is
// said in a session is asking.h's matter.
//
// All that comes from outside is bounded: links before they are known, by host and together;
// sessions by host; what waits to be sent, by session and together; what is parked.
#ifndef SHUNT_DAEMON_AGENT_H
#define SHUNT_DAEMON_AGENT_H

#include "daemon/link.h"
#include "daemon/registry.h"
#include "daemon/session.h"
#include "daemon/table.h"
#include "policy/policy.h"

#define AGENT_NOTE_BYTES 96

// A pair of addresses, the far one of a host that may have a shuntd. It is forgotten when nothing
// is wanted of it and it may be asked again.
struct peer {
    struct list of; // in agent.peers
    struct table_node by_ends;
    struct flow_end local, remote; // without ports
    uint16_t port;                 // where its shuntd listens
    struct session *session;       // NULL: none, nor an attempt at one
    struct list queued, asked;     // of struct ask: not said yet in this session, and said
    uint32_t failures;             // since it last answered
    uint64_t retry_ns;             // no attempt before
    bool absent;                   // the last attempt failed
    char note[AGENT_NOTE_BYTES];   // what its claims wait for, when absent
};

struct agent {
    struct loop *loop;
    struct registry *registry;
    uint64_t *count; // by enum counter
    const struct policy *policy;
    const struct policy_agent *config;
    struct seal_key key;
    bool on, keyed;
    bool deaf; // had no fd to accept with
    uint8_t instance[SESSION_INSTANCE_BYTES];
    struct siphash_key hash_key;
    struct watch listener; // fd -1: somebody else has the port
    struct timer tick;
    struct list links, dead_links;
    struct list sessions, peers;
    struct table peers_by_ends;
    struct table asks, channels; // of asking.h, by nonce and by id
    struct table parked;         // by flow
    uint32_t n_parked, n_peers, n_connecting, n_strangers;
    uint64_t out_bytes; // of all sessions
    struct registry_far far;
};

// Begins, if the policy lists peers: then it listens, and is the registry's far side. Returns 0
// also where it does not; -errno with a sentence in why: it cannot begin as the policy wants it.
int agent_open(struct agent *a, struct loop *loop, struct registry *registry, uint64_t *count,
               const struct policy *policy, char why[static SEAL_WHY_BYTES]);

// Hangs up on all. Legal after a failed open.
void agent_close(struct agent *a);

// To be called between the rounds of the loop: frees what has ended.
void agent_bury(struct agent *a);

// The peer at the other end of a flow, made if need be. NULL with a static sentence in why: it is
// not to be asked.
struct peer *agent_peer(struct agent *a, const struct flow *flow, int side, const char **why);

// A claim wants p: makes a link if there is none and it may be tried now.
void agent_want(struct agent *a, struct peer *p);

uint64_t agent_random(void); // not 0

#endif
