// SPDX-License-Identifier: BSD-2-Clause
// Loss recovery: when to cut the window, how to send while it is cut (PRR, RFC 6937), and how to
// find out that it was for nothing (F-RTO, RFC 5682; Eifel, RFC 3522; DSACK, RFC 3708).
#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/cc.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"
#include "tcp/timers.h"

#define DUP_THRESHOLD 3

static void start_prr(struct tcp_conn *c)
{
    c->prr_delivered = c->prr_out = 0;
    c->prr_flight = u64_max(c->snd_nxt - c->snd_una, 1);
}

// Cuts the window, once for all that is in flight now.
static void reduce(struct tcp_conn *c, uint64_t now_ns)
{
    c->prior_cwnd = c->cwnd;
    c->prior_ssthresh = c->ssthresh;
    c->recovery_point = c->snd_nxt;
    if (!cc_of(c)->model)
        c->ssthresh = cc_of(c)->ssthresh(c, now_ns);
    start_prr(c);
}

static void arm_undo(struct tcp_conn *c)
{
    c->undo_point = c->snd_una;
    c->undo_bytes = c->retrans;
    if (!c->retrans) // else the ACK of a copy under way would look older than the first one
        c->retrans_ts = 0;
}

void recovery_enter_cwr(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->ca_state >= TCP_CA_CWR)
        return;
    reduce(c, now_ns);
    c->undo_bytes = UINT32_MAX;
    c->ca_state = TCP_CA_CWR;
}

static void enter_recovery(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->ca_state < TCP_CA_CWR)
        reduce(c, now_ns);
    else
        start_prr(c);
    c->recovery_point = c->snd_nxt;
    arm_undo(c);
    c->ca_state = TCP_CA_RECOVERY;
    c->tlp_out = 0;
    tcp_count(ctx, fast_recoveries);
    conn_ready(ctx, c);
}

// RFC 6298, 5.4 to 5.6; RFC 5681, 3.1: ssthresh by the flight, cwnd one segment.
void recovery_on_rto(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    bool first = c->ca_state != TCP_CA_LOSS;

    if (first) {
        if (c->ca_state < TCP_CA_CWR)
            reduce(c, now_ns);
        arm_undo(c);
        // RFC 5682, 3.1: not during a recovery that was still going on
        c->frto = c->state >= TCP_ESTABLISHED && c->sack_ok ? 1 : 0;
    }
    if (!first)
        c->frto = 0; // the ACKs that it waited for did not come
    if (!c->sack_ok)
        c->sacked = 0;
    scoreboard_mark_all(ctx, c);
    c->recovery_point = c->snd_nxt;
    c->cwnd = c->mss;
    c->ca_state = TCP_CA_LOSS;
    c->dupacks = 0;
    c->tlp_out = 0;
    conn_ready(ctx, c);
}

// What is lost now was too big for the path, not for the network: it goes again, nothing is cut.
void recovery_simple_retransmit(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    if (c->ca_state < TCP_CA_RECOVERY) {
        c->ssthresh = u64_min(c->ssthresh, u64_max(c->cwnd, 2u * c->mss));
        c->recovery_point = c->snd_nxt;
        c->undo_bytes = UINT32_MAX;
        c->ca_state = TCP_CA_LOSS;
        c->frto = 0;
    }
    conn_ready(ctx, c);
}

// A lost probe of the path MTU says nothing about congestion, as long as nothing else is lost.
static bool only_probe_lost(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (!c->mtu_probe)
        return false;
    for_each_span(ctx, i, c->span_first)
    {
        struct tcp_span *s = span_at(ctx, i);

        if (!(s->flags & SPAN_LOST))
            continue;
        if (!(s->flags & SPAN_PROBE) || span_len(s) != c->lost)
            return false;
        s->flags &= ~SPAN_PROBE;
        mtu_probe_lost(c, now_ns);
        return true;
    }
    return false;
}

static void react_to_loss(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (!c->lost || c->ca_state >= TCP_CA_RECOVERY)
        return;
    if (only_probe_lost(ctx, c, now_ns))
        recovery_simple_retransmit(ctx, c);
    else
        enter_recovery(ctx, c, now_ns);
}

// RFC 8985, 6.2: the reordering timer has run out.
void recovery_on_reorder_timer(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    rack_detect(ctx, c, now_ns);
    react_to_loss(ctx, c, now_ns);
    if (c->ca_state == TCP_CA_RECOVERY && c->lost > c->retrans && !cc_of(c)->model && !c->prr_out)
        c->cwnd = conn_pipe(c) + c->mss;
    conn_ready(ctx, c);
}

static void leave(struct tcp_conn *c)
{
    // where PRR was to end (RFC 6937, 3); after a time-out slow start goes on
    if (!cc_of(c)->model && c->ca_state != TCP_CA_LOSS)
        c->cwnd = c->ssthresh;
    c->ca_state = TCP_CA_OPEN;
    c->frto = 0;
    c->dupacks = 0;
    if (c->rack_persist && !--c->rack_persist)
        c->rack_mult = 1;
}

// The loss was none: all marks off, the window as it was.
static void undo(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    scoreboard_unmark_all(ctx, c);
    c->cwnd = u64_max(c->cwnd, c->prior_cwnd);
    c->ssthresh = u64_max(c->ssthresh, c->prior_ssthresh);
    c->ca_state = TCP_CA_OPEN;
    c->frto = 0;
    c->backoff = 0;
    c->undo_bytes = UINT32_MAX;
    if (cc_of(c)->undo)
        cc_of(c)->undo(c);
    tcp_count(ctx, undos);
    conn_ready(ctx, c);
}

// Eifel (RFC 3522, 3.2): the ACK echoes a timestamp from before the first retransmission. DSACK:
// every byte that was sent again has been reported as a duplicate.
static bool was_spurious(const struct tcp_conn *c, const struct tcp_ack *ack)
{
    if (c->undo_bytes == UINT32_MAX)
        return false;
    if (c->ts_ok && c->retrans_ts && ack->acked && ack->seg->opts & SEG_OPT_TS &&
        seq_lt(ack->seg->ts_ecr, c->retrans_ts))
        return true;
    return !c->undo_bytes && ack->dsack;
}

// RFC 6937, 3, with the slow-start bound of its section 3.1 where no further loss shows.
static void prr(struct tcp_conn *c, const struct tcp_ack *ack)
{
    uint32_t pipe = conn_pipe(c), mss = nonzero(c->mss), quota;

    c->prr_delivered += ack->delivered;
    if (!ack->delivered && !ack->acked)
        return;
    if (pipe > c->ssthresh) {
        uint64_t due =
            ((uint64_t)c->prr_delivered * c->ssthresh + c->prr_flight - 1) / nonzero(c->prr_flight);

        // in whole segments, as the RFC's variables are: less than one would send nothing
        quota = due > c->prr_out ? due - c->prr_out : 0;
        quota += mss - 1 - (quota + mss - 1) % mss;
    } else {
        uint32_t behind = c->prr_delivered > c->prr_out ? c->prr_delivered - c->prr_out : 0;
        uint32_t limit = u64_max(behind, ack->delivered);

        if (ack->acked && c->lost <= ack->lost_before)
            limit += c->mss;
        quota = u64_min(c->ssthresh - pipe, limit);
    }
    if (!c->prr_out) // the first retransmission goes whatever the sum says
        quota = u64_max(quota, c->mss);
    c->cwnd = pipe + quota;
}

void recovery_sent(struct tcp_conn *c, uint32_t bytes, bool retransmission, uint32_t ts_val)
{
    if (c->ca_state >= TCP_CA_CWR)
        c->prr_out += bytes;
    if (!retransmission || c->undo_bytes == UINT32_MAX)
        return;
    c->undo_bytes = u64_min(c->undo_bytes + (uint64_t)bytes, UINT32_MAX - 1);
    if (!c->retrans_ts)
        c->retrans_ts = ts_val | !ts_val;
}

// Peers without SACK: each duplicate ACK stands for a segment that has left the network (RFC 6582).
static void count_duplicates(struct tcp_ctx *ctx, struct tcp_conn *c, const struct tcp_ack *ack)
{
    uint32_t flight = c->snd_nxt - c->snd_una;

    if (c->sack_ok)
        return;
    if (ack->acked) { // a partial ACK: the next hole is lost, too (RFC 6582, 3.2, step 3)
        c->sacked -= u64_min(c->sacked, ack->acked);
        c->dupacks = 0;
        if (c->ca_state == TCP_CA_RECOVERY && seq_lt(c->snd_una, c->recovery_point))
            scoreboard_mark_first(ctx, c, c->mss);
    } else if (ack->duplicate && flight) {
        c->dupacks = u64_min(c->dupacks + 1, 254);
        c->sacked = u64_min(c->sacked + c->mss, flight > c->mss ? flight - c->mss : 0);
        if (c->dupacks == DUP_THRESHOLD && c->ca_state < TCP_CA_RECOVERY)
            scoreboard_mark_first(ctx, c, c->mss);
    }
    if (c->sacked + c->lost > c->snd_nxt - c->snd_una)
        c->sacked = c->snd_nxt - c->snd_una - c->lost;
}

// RFC 5682, 3.1. Step 2: the first ACK after the time-out moves on: send new data, and wait. Step
// 3: so does the second: what it covers was never sent again, so the time-out was spurious.
static bool frto_step(struct tcp_ctx *ctx, struct tcp_conn *c, const struct tcp_ack *ack)
{
    if (!c->frto)
        return false;
    if (ack->original) {
        tcp_count(ctx, frto_spurious);
        undo(ctx, c);
        return true;
    }
    if (c->frto == 1 && ack->acked && seq_lt(c->snd_una, c->recovery_point)) {
        c->frto = 2;
        c->cwnd = conn_pipe(c) + 2u * c->mss;
        conn_ready(ctx, c);
        return true;
    }
    c->frto = 0;
    return false;
}

static void input_loss(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    if (was_spurious(c, ack)) {
        undo(ctx, c);
        return;
    }
    if (frto_step(ctx, c, ack))
        return;
    if (ack->acked && seq_le(c->recovery_point, c->snd_una))
        leave(c);
    if (c->lost > c->retrans)
        conn_ready(ctx, c);
}

static void input_recovery(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    if (was_spurious(c, ack)) {
        undo(ctx, c);
        return;
    }
    if (ack->acked && seq_le(c->recovery_point, c->snd_una)) {
        leave(c);
        return;
    }
    if (!cc_of(c)->model)
        prr(c, ack);
    conn_ready(ctx, c);
}

static void input_open(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    // late proof (RFC 3708) that the last recovery was for nothing
    if (was_spurious(c, ack))
        undo(ctx, c);
    c->ca_state = c->sacked || c->dupacks ? TCP_CA_DISORDER : TCP_CA_OPEN;
    if (c->ca_state == TCP_CA_DISORDER)
        conn_ready(ctx, c); // limited transmit (RFC 3042): the pipe has shrunk
}

void recovery_input(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    count_duplicates(ctx, c, ack);
    if (c->sack_ok)
        rack_detect(ctx, c, ack->now_ns);
    rack_probe_acked(ctx, c, ack);
    // in a SYN the flag speaks of the agreement, not of congestion (RFC 3168, 6.1.1)
    if ((ack->seg->flags & (SEG_ECE | SEG_SYN)) == SEG_ECE && c->ecn_ok && ack->acked) {
        tcp_count(ctx, ece_in);
        if (c->ca_state < TCP_CA_CWR) {
            recovery_enter_cwr(ctx, c, ack->now_ns);
            c->cwr_pending = 1;
        }
    }
    react_to_loss(ctx, c, ack->now_ns);
    switch (c->ca_state) {
    case TCP_CA_LOSS:
        input_loss(ctx, c, ack);
        break;
    case TCP_CA_CWR:
    case TCP_CA_RECOVERY:
        input_recovery(ctx, c, ack);
        break;
    default:
        input_open(ctx, c, ack);
    }
    react_to_loss(ctx, c, ack->now_ns); // what was lost behind the recovery that has just ended
}
