// SPDX-License-Identifier: BSD-2-Clause
// One engine and a peer that the test plays itself, segment by segment. Numbers are relative: 0 is
// the first byte after each side's SYN.
#ifndef SHUNT_TESTS_TCP_PEER_H
#define SHUNT_TESTS_TCP_PEER_H

#include "pair.h"

#define PEER_IRS 1000u
#define PEER_OUT 256

struct peer {
    struct pair *p; // the engine is its side 0
    struct tcp_conn *c, *listener;
    uint32_t iss;                 // ours
    struct segment out[PEER_OUT]; // what the engine sent since the last peer_take()
    int n;
    uint8_t opts; // what the peer's SYN offers
    uint16_t mss, window;
    uint8_t wscale;
    uint32_t ts; // the peer's timestamp clock
};

// A segment of the peer, to be changed before peer_put().
struct segment peer_segment(struct peer *e, uint8_t flags, int32_t seq, int32_t ack, uint32_t len);
void peer_put(struct peer *e, const struct segment *seg);

// Short: seq and ack relative, len bytes of payload.
void peer_send(struct peer *e, uint8_t flags, int32_t seq, int32_t ack, uint32_t len);

// Everything that the engine has to say now goes to e->out; the count is returned. The old is
// forgotten.
int peer_take(struct peer *e);

// Time passes; what is sent meanwhile stays in e->out behind what peer_take() left.
void peer_wait(struct peer *e, uint64_t ns);

// Relative numbers of a segment of ours.
int32_t peer_seq(const struct peer *e, const struct segment *s);
int32_t peer_ack(const struct peer *e, const struct segment *s);

// A new engine; opts are SEG_OPT_* that the peer offers. Then into a state: TCP_SYN_SENT,
// TCP_SYN_RECEIVED (passive), TCP_ESTABLISHED (active) and all that follow; nothing is left in
// e->out.
void peer_start(struct peer *e, const struct tcp_config *cfg, uint8_t opts, enum tcp_state state);
void peer_start_passive(struct peer *e, const struct tcp_config *cfg, uint8_t opts,
                        enum tcp_state state);
void peer_end(struct peer *e);

// Bytes into the send ring, and out at once (as far as windows let them).
void peer_write(struct peer *e, uint32_t len);
struct pair_end *peer_rings(struct peer *e);

#endif
