// SPDX-License-Identifier: BSD-2-Clause
// One arriving segment on its way through RFC 9293, 3.10.7.
#ifndef SHUNT_TCP_INPUT_H
#define SHUNT_TCP_INPUT_H

#include "tcp/arena.h"
#include "tcp/machine.h"

// seq, len, skip and flags start as the segment's and shrink to what lies in the window.
struct in {
    struct tcp_ctx *ctx;
    struct tcp_conn *c;
    uint64_t now_ns;
    const struct segment *seg;
    struct tcp_sink *sink;
    uint32_t seq;
    uint32_t len;  // payload bytes left
    uint32_t skip; // payload bytes cut off at the front
    uint8_t flags;
};

// Each step returns true to go on, false where the segment is done with (c may be gone then).
bool input_listen(struct in *in);   // 3.10.7.2
bool input_syn_sent(struct in *in); // 3.10.7.3
bool input_ack(struct in *in);      // 3.10.7.4, fifth: check the ACK field
bool input_data(struct in *in);     // seventh: process the segment text
bool input_fin(struct in *in);      // eighth: check the FIN bit

// The common case in ESTABLISHED: in-order data, a new ACK, or both, with nothing in disorder.
// Returns false where the ladder has to decide; nothing has changed then.
bool input_fast(struct in *in);

// Acknowledges the segment because it is not acceptable, within the rate limit of RFC 5961, 7.
void input_challenge(struct in *in);

// A handshake is through, by a segment that acknowledges our SYN: window, timers, congestion
// control.
void input_established(struct in *in);

// Takes what the peer's SYN offers and announces: MSS, scale, timestamps, SACK.
void input_syn_options(struct tcp_ctx *ctx, struct tcp_conn *c, const struct segment *seg,
                       uint64_t now_ns);

// Makes a child of a listener for a SYN, or for an ACK that brought back a good cookie. NULL: no
// room.
struct tcp_conn *input_make_child(struct in *in, uint32_t iss);

// Gives a child its rings and puts it into the accept queue. False where the host or the queue is
// full.
bool input_offer_child(struct tcp_ctx *ctx, struct tcp_conn *c);

static inline uint32_t in_seq_len(const struct in *in)
{
    return in->len + !!(in->flags & SEG_SYN) + !!(in->flags & SEG_FIN);
}

#endif
