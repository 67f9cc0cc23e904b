// SPDX-License-Identifier: BSD-2-Clause
// RFC 9293, 3.10.7.4, fifth: check the ACK field; and the fast path.
#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/cc.h"
#include "tcp/emit.h"
#include "tcp/input.h"
#include "tcp/receive.h"
#include "tcp/timers.h"

static uint32_t scaled_window(const struct tcp_conn *c, const struct segment *seg)
{
    return (uint32_t)seg->window << (seg->flags & SEG_SYN || !c->wscale_ok ? 0 : c->snd_wscale);
}

// "If SND.WL1 < SEG.SEQ, or SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK, the send window should be
// updated."
static bool update_window(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t wnd = scaled_window(c, in->seg), old = c->snd_wnd;

    if (!seq_lt(c->snd_una, in->seg->ack) && !seq_lt(c->snd_wl1, in->seg->seq) &&
        !(c->snd_wl1 == in->seg->seq && seq_le(c->snd_wl2, in->seg->ack)))
        return false;
    c->snd_wl1 = in->seg->seq;
    c->snd_wl2 = in->seg->ack;
    c->snd_wnd = wnd;
    c->snd_wnd_max = u64_max(c->snd_wnd_max, wnd);
    if (wnd > old)
        conn_ready(in->ctx, c);
    return wnd != old;
}

// The send ring's tail follows SND.UNA; SYN and FIN take no byte of it.
static void release_bytes(struct in *in, uint32_t una)
{
    struct tcp_conn *c = in->c;
    uint32_t end = c->fin_sent ? seq_min(una, c->snd_nxt - 1) : una;
    struct ring tx;

    if (!seq_lt(c->tx_seq, end) || !c->has_rings)
        return;
    c->tx_pos += end - c->tx_seq;
    c->tx_seq = end;
    if (!in->ctx->host->ring(in->ctx->self, c, TCP_TX, &tx))
        ring_publish_tail(&tx, c->tx_pos);
    in->ctx->events |= TCP_EV_TX;
}

static void advance_una(struct in *in, struct tcp_ack *ack, uint32_t una)
{
    struct tcp_conn *c = in->c;

    ack->acked = una - c->snd_una;
    scoreboard_ack(in->ctx, c, ack, una);
    release_bytes(in, una);
    c->snd_una = una;
    c->retries = 0;
    c->stall_ms = in->now_ns / NS_PER_MS;
    if (c->urgent_out && seq_le(c->snd_up, una))
        c->urgent_out = 0;
}

// Karn: what was sent again gives no sample, except through its timestamp (RFC 7323, 4.1).
static void take_rtt(struct in *in, const struct tcp_ack *ack)
{
    struct tcp_conn *c = in->c;
    uint64_t rtt_ns = ack->rtt_ns;

    if (!rtt_ns && ack->acked && c->ts_ok && in->seg->opts & SEG_OPT_TS)
        rtt_ns = rtt_from_ts(c, in->now_ns, in->seg->ts_ecr);
    if (!rtt_ns)
        return;
    rtt_sample(c, in->now_ns, rtt_ns, ack->rtt_min_ns ? ack->rtt_min_ns : rtt_ns);
    c->backoff = 0; // RFC 6298, 5.7: a new sample ends the back-off
}

// The window grows outside of recovery only; the ACK that ends a recovery was paid for by it. And
// only by "each ACK received that cumulatively acknowledges new data" (RFC 5681, 3.1).
static bool may_grow(uint8_t ca_state)
{
    return ca_state <= TCP_CA_DISORDER || ca_state == TCP_CA_LOSS;
}

static void control(struct in *in, struct tcp_ack *ack)
{
    struct tcp_conn *c = in->c;
    const struct tcp_cc *cc = cc_of(c);

    if (cc->model)
        cc->control(c, ack);
    else if (ack->acked && ack->delivered && c->wnd_limited && may_grow(c->ca_state) &&
             may_grow(ack->ca_before))
        cc->grow(c, ack);
    cc_pace_by_window(in->ctx, c);
}

static void begin(const struct in *in, struct tcp_ack *ack)
{
    const struct tcp_conn *c = in->c;

    // one by one: the compiler would clear the whole of it with an instruction that takes its time
    ack->now_ns = in->now_ns;
    ack->seg = in->seg;
    ack->una_before = c->snd_una;
    ack->flight_before = conn_pipe(c);
    ack->lost_before = c->lost;
    ack->ca_before = c->ca_state;
    ack->acked = ack->delivered = 0;
    ack->rtt_ns = ack->rtt_min_ns = ack->prior_ns = ack->rate = 0;
    ack->original = ack->retrans = ack->dsack = ack->duplicate = ack->limited = false;
}

// Everything that an acceptable ACK does to the sender.
static void process(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t seg_ack = in->seg->ack;
    bool data_before = c->snd_nxt != c->snd_una, wnd_changed;
    struct tcp_ack ack;

    begin(in, &ack);
    wnd_changed = update_window(in);
    if (seq_lt(c->snd_una, seg_ack))
        advance_una(in, &ack, seg_ack);
    scoreboard_sack(in->ctx, c, &ack);
    // RFC 5681, 2: what a duplicate ACK is
    ack.duplicate = !ack.acked && data_before && !in->seg->len && !wnd_changed &&
                    !(in->seg->flags & (SEG_SYN | SEG_FIN)) && seg_ack == c->snd_una;
    c->probes = 0;
    if (!c->snd_wnd) // answered: a closed window is no reason to give up (MUST-36)
        c->retries = 0;
    if (!data_before && c->loss_timer != TCP_LOSS_PERSIST) {
        if (wnd_changed)
            timer_rearm_loss(in->ctx, c, in->now_ns);
        return;
    }
    take_rtt(in, &ack);
    rate_sample(c, &ack);
    recovery_input(in->ctx, c, &ack);
    control(in, &ack);
    if (c->snd_nxt == c->snd_una && c->snd_wnd >= c->mss)
        c->backoff = 0;
    // RFC 6298, 5.3: only new data that is acknowledged restarts the timer, or a peer that plays
    // with its window puts the time-out off for ever
    if (ack.acked && c->loss_timer != TCP_LOSS_REORDER)
        timer_rearm_loss(in->ctx, c, in->now_ns);
    conn_ready_if_blocked(in->ctx, c);
}

// An ACK that was overtaken by a newer one: its number says nothing any more, its blocks may.
static void process_old(struct in *in)
{
    struct tcp_conn *c = in->c;
    struct tcp_ack ack;

    begin(in, &ack);
    scoreboard_sack(in->ctx, c, &ack);
    if (!ack.delivered && !ack.dsack)
        return;
    rate_sample(c, &ack);
    recovery_input(in->ctx, c, &ack);
    control(in, &ack);
    conn_ready_if_blocked(in->ctx, c);
}

// "If our FIN is now acknowledged": FIN-WAIT-1, CLOSING and LAST-ACK move on. False where c has
// ended.
static bool fin_acknowledged(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!c->fin_sent || c->snd_una != c->snd_nxt)
        return true;
    switch (c->state) {
    case TCP_FIN_WAIT_1:
        tcp_conn_move(in->ctx, c, TCP_FIN_WAIT_2);
        in->ctx->events |= TCP_EV_DRAINED;
        return !c->orphan || conn_linger2(in->ctx, c, in->now_ns);
    case TCP_CLOSING:
        in->ctx->events |= TCP_EV_DRAINED;
        conn_time_wait(in->ctx, c, in->now_ns);
        return true;
    case TCP_LAST_ACK:
        in->ctx->events |= TCP_EV_DRAINED;
        conn_end(in->ctx, c, 0);
        return false;
    default:
        return true;
    }
}

// "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state ... If the segment acknowledgment
// is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST>."
static bool input_ack_syn_received(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!seq_lt(c->snd_una, in->seg->ack) || seq_lt(c->snd_nxt, in->seg->ack)) {
        emit_reset_for(in->ctx, in->sink, in->seg);
        return false;
    }
    if (!c->active && !c->has_rings) {
        const struct tcp_conn *l = conn_at(in->ctx, c->listener);

        // TCP_DEFER_ACCEPT: the bare ACK is not enough until the time is over
        if (c->retries < l->listen.defer && !in->len && !(in->flags & SEG_FIN)) {
            c->deferred = 1;
            return false;
        }
        if (!input_offer_child(in->ctx, c))
            return false;
    }
    input_established(in);
    return true;
}

bool input_ack(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t ack = in->seg->ack;

    if (!(in->flags & SEG_ACK)) // "if the ACK bit is off, drop the segment and return"
        return false;
    if (c->state == TCP_SYN_RECEIVED && !input_ack_syn_received(in))
        return false;
    // RFC 5961, 5.2: "(SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT", else a challenge ACK
    if (seq_lt(c->snd_nxt, ack) || seq_lt(ack, c->snd_una - c->snd_wnd_max)) {
        input_challenge(in);
        return false;
    }
    if (seq_le(c->snd_una, ack))
        process(in);
    else if (in->seg->opts & SEG_OPT_SACK)
        process_old(in);
    if (!fin_acknowledged(in))
        return false;
    return true;
}

// Nothing in it that the ladder would have to look at twice.
static bool is_plain(const struct in *in)
{
    const struct tcp_conn *c = in->c;
    const struct segment *seg = in->seg;

    if ((seg->flags & ~SEG_PSH) != SEG_ACK || seg->seq != c->rcv_nxt || c->ooo_first != TCP_NONE)
        return false;
    if ((seg->opts & ~SEG_OPT_TS) || seg->ecn == IP_ECN_CE || c->ca_state != TCP_CA_OPEN ||
        c->sacked || c->tlp_out)
        return false;
    if (c->ts_ok && (!(seg->opts & SEG_OPT_TS) || seq_lt(seg->ts_val, c->ts_recent)))
        return false;
    if (c->rcv_adv - c->rcv_nxt < seg->len)
        return false;
    return seg->ack - c->snd_una <= c->snd_nxt - c->snd_una;
}

// The ACK's part of the fast path: SND.UNA moves over originals only.
static void fast_ack(struct in *in)
{
    struct tcp_conn *c = in->c;
    struct tcp_ack ack;

    begin(in, &ack);
    update_window(in);
    advance_una(in, &ack, in->seg->ack);
    take_rtt(in, &ack);
    rate_sample(c, &ack);
    control(in, &ack);
    timer_rearm_loss(in->ctx, c, in->now_ns);
    conn_ready_if_blocked(in->ctx, c);
}

bool input_fast(struct in *in)
{
    struct tcp_conn *c = in->c;
    const struct segment *seg = in->seg;

    if (!is_plain(in))
        return false;
    // a bare ACK that moves nothing may be a duplicate or a window update: the ladder sorts it out
    if (seg->ack == c->snd_una && (!seg->len || scaled_window(c, seg) != c->snd_wnd))
        return false;
    if (seg->len && !receive_in_order(in))
        return false;
    tcp_count(in->ctx, fast_path);
    if (c->ts_ok && seg->opts & SEG_OPT_TS && seq_le(seg->seq, c->rcv_acked)) {
        c->ts_recent = seg->ts_val;
        c->ts_recent_s = in->now_ns / NS_PER_S;
    }
    c->probes = 0;
    if (seg->ack != c->snd_una)
        fast_ack(in);
    return true;
}
