// SPDX-License-Identifier: BSD-2-Clause
// What one acknowledgement told us: gathered by the scoreboard, used by RACK, recovery, rate
// estimation and congestion control, in this order.
#ifndef SHUNT_TCP_ACK_H
#define SHUNT_TCP_ACK_H

#include "tcp/arena.h"
#include "tcp/span.h"

struct tcp_ack {
    uint64_t now_ns;
    const struct segment *seg;
    uint32_t una_before;    // SND.UNA before it
    uint32_t flight_before; // bytes taken to be in the network before it
    uint32_t acked;         // sequence numbers it newly acknowledged
    uint32_t delivered;     // bytes newly known to have arrived: acknowledged or SACKed
    uint32_t lost_before;   // c->lost before it
    uint8_t ca_before;      // c->ca_state before it
    uint64_t rtt_ns;        // longest sample: with the delay of a delayed ACK; 0: none (Karn)
    uint64_t rtt_min_ns;    // shortest sample; 0: none
    bool original;          // something that was sent once only has arrived
    bool retrans;           // something that was sent more often has arrived
    bool dsack;             // a duplicate arrived at the peer
    bool duplicate;         // a duplicate ACK by RFC 5681, 2
    // delivery rate: the sample of the packet that was sent last
    uint64_t prior_ns, sent_ns, first_ns; // prior_ns 0: no sample
    uint32_t prior_delivered;
    bool limited;  // the program sent less than it might have
    uint64_t rate; // bytes a second; 0: no sample
};

// Bytes taken to be in the network (RFC 6675's pipe).
static inline uint32_t conn_pipe(const struct tcp_conn *c)
{
    uint32_t out = c->snd_nxt - c->snd_una + c->retrans, gone = c->sacked + c->lost;

    return out > gone ? out - gone : 0;
}

// scoreboard.c -----------------------------------------------------------------------------------

// Takes everything before seq out of what is in flight.
void scoreboard_ack(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack, uint32_t seq);

// Notes the SACK and DSACK blocks of ack->seg.
void scoreboard_sack(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack);

// Marks [snd_una, snd_una + bytes) lost: for peers without SACK.
void scoreboard_mark_first(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t bytes);

// Marks everything lost; forget_sacks also drops what the peer reported (it has reneged).
void scoreboard_mark_all(struct tcp_ctx *ctx, struct tcp_conn *c);

// Takes all loss marks off: the loss was none.
void scoreboard_unmark_all(struct tcp_ctx *ctx, struct tcp_conn *c);

// rack.c: RFC 8985 --------------------------------------------------------------------------------

void rack_note(struct tcp_conn *c, const struct tcp_span *s, const struct tcp_ack *ack);
void rack_note_dsack(struct tcp_conn *c, const struct tcp_ack *ack);

// Marks what must be lost by now and arms the reordering timer for what may be soon.
void rack_detect(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// The tail-loss probe's time from now, CLOCK_NEVER where none is due (7.2).
uint64_t rack_probe_timeout(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// An ACK may answer the probe: was it a loss? (7.4)
void rack_probe_acked(struct tcp_ctx *ctx, struct tcp_conn *c, const struct tcp_ack *ack);

// recovery.c --------------------------------------------------------------------------------------

// Moves between OPEN, DISORDER, CWR, RECOVERY and LOSS, and sets cwnd where recovery rules it.
void recovery_input(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack);
void recovery_on_rto(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);
void recovery_enter_cwr(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

void recovery_on_reorder_timer(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);
void recovery_simple_retransmit(struct tcp_ctx *ctx, struct tcp_conn *c);

// Bytes were sent: for PRR and for undo.
void recovery_sent(struct tcp_conn *c, uint32_t bytes, bool retransmission, uint32_t ts_val);

// rtt.c: RFC 6298 ---------------------------------------------------------------------------------

void rtt_sample(struct tcp_conn *c, uint64_t now_ns, uint64_t rtt_ns, uint64_t rtt_min_ns);

// The retransmission timeout, back-off included.
uint64_t rtt_rto_ns(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// Our timestamp clock for c's peer: milliseconds plus the connection's own offset (RFC 7323, 5.4).
static inline uint32_t tcp_ts_now(const struct tcp_conn *c, uint64_t now_ns)
{
    return (uint32_t)(now_ns / NS_PER_MS) + c->ts_offset;
}

// A sample from an echoed timestamp, in ns; 0 where it makes no sense.
uint64_t rtt_from_ts(const struct tcp_conn *c, uint64_t now_ns, uint32_t ts_ecr);

// rate.c: draft-cheng-iccrg-delivery-rate-estimation
// -------------------------------------------------

void rate_note(struct tcp_conn *c, const struct tcp_span *s, struct tcp_ack *ack);
void rate_sample(struct tcp_conn *c, struct tcp_ack *ack);

#endif
