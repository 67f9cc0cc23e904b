// SPDX-License-Identifier: BSD-2-Clause
// What a connection may send, and when (RFC 9293, 3.8; RFC 1122's Nagle and silly-window rules).
#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/cc.h"
#include "tcp/emit.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"
#include "tcp/timers.h"

#define SPAN_WAIT_NS (10 * NS_PER_MS)

// Room that the peer's window leaves.
static uint32_t window_room(const struct tcp_conn *c)
{
    uint32_t edge = c->snd_una + c->snd_wnd;

    return seq_lt(c->snd_nxt, edge) ? edge - c->snd_nxt : 0;
}

// RFC 9293, 3.8.6.2.1, and Nagle (3.7.4): may a segment that is not full go now?
static bool short_may_go(const struct tcp_conn *c, uint32_t len, uint32_t unsent)
{
    if (len >= c->snd_wnd_max / 2 && len < unsent) // (3): half of the largest window
        return true;
    if (len < unsent) // the window, or cwnd, cuts it: wait for more
        return false;
    if (c->fin_queued || c->urgent_out)
        return true;
    if (c->cork || c->more)
        return false;
    // (2), as Minshall has it (RFC 9293, 3.7.4 and A.3): only another short segment under way holds
    // it
    return c->nodelay || seq_le(c->snd_short, c->snd_una);
}

bool output_span_is_free(struct out *o)
{
    if (span_may_push(o->ctx, o->c))
        return true;
    timer_set(o->ctx, o->c, TCP_TIMER_PACE, o->now_ns + SPAN_WAIT_NS);
    return false;
}

int output_new_segment(struct out *o, uint32_t len, uint32_t flags, uint32_t *sent)
{
    struct tcp_conn *c = o->c;
    bool all = len == o->unsent, fin = all && c->fin_queued && !(flags & SPAN_PROBE);
    bool push;
    uint32_t start = c->snd_nxt;
    struct segment seg;
    int err;

    // a super-frame is pushed, so that a receiver which gathers segments (GRO) ends there
    push = len && (all || len > c->mss);
    emit_fill(o, &seg, start, SEG_ACK | (push ? SEG_PSH : 0) | (fin ? SEG_FIN : 0));
    if (len)
        emit_payload(o, &seg, start, len);
    if (flags & SPAN_PROBE) // it has to go whole
        seg.gso_size = 0;
    if (c->ecn_ok && len) { // RFC 3168, 6.1.2; 6.1.5: never on what is sent again
        seg.ecn = IP_ECN_ECT0;
        if (c->cwr_pending)
            seg.flags |= SEG_CWR;
    }
    if (!output_span_is_free(o))
        return 0;
    err = emit_put(o, &seg);
    if (err)
        return err;
    span_push(o->ctx, c, o->now_ns, start, start + len + fin, flags);
    c->snd_nxt = start + len + fin;
    o->unsent -= len;
    if (len % nonzero(c->mss))
        c->snd_short = c->snd_nxt;
    if (c->cwr_pending)
        c->cwr_pending = 0;
    if (fin)
        c->fin_sent = 1;
    *sent = len + fin;
    recovery_sent(c, *sent, false, 0);
    return 0;
}

// Data goes again after a pause: the window no longer says anything about the path (RFC 5681, 4.1).
static void restart_after_idle(struct out *o)
{
    struct tcp_conn *c = o->c;
    uint64_t idle_ms = (uint32_t)(o->now_ns / NS_PER_MS) - c->last_tx_ms;
    uint32_t initial;

    if (!idle_ms || idle_ms * NS_PER_MS < rtt_rto_ns(o->ctx, c))
        return;
    initial = cc_initial_window(o->ctx, c);
    if (cc_of(c)->resume)
        cc_of(c)->resume(c, o->now_ns, idle_ms * NS_PER_MS);
    if (!cc_of(c)->model && c->cwnd > initial)
        c->cwnd = initial;
}

// The first byte leaves with nothing else in flight: clocks start.
static void start_flight(struct out *o)
{
    struct tcp_conn *c = o->c;

    c->stall_ms = o->now_ns / NS_PER_MS;
    c->delivered_ns = c->rate_first_ns = o->now_ns;
}

// Bytes a second; 0: as fast as windows allow.
static uint64_t pacing_rate(const struct tcp_conn *c)
{
    if (!c->pacing_max)
        return c->pacing_rate;
    return c->pacing_rate ? u64_min(c->pacing_rate, c->pacing_max) : c->pacing_max;
}

// Bytes that pacing lets go at once: a millisecond's worth, two segments at least.
static uint32_t pacing_quantum(const struct tcp_conn *c)
{
    uint64_t rate = pacing_rate(c);

    if (!rate)
        return UINT32_MAX;
    return u64_max(u64_min(rate / 1000, 65536), 2u * c->mss);
}

static bool paced_out(const struct out *o)
{
    return timer_is_set(o->c, TCP_TIMER_PACE) && o->now_ns < o->c->timer_ns[TCP_TIMER_PACE];
}

static void pace(struct out *o, uint32_t sent)
{
    uint64_t rate = pacing_rate(o->c);

    if (rate && sent)
        timer_set(o->ctx, o->c, TCP_TIMER_PACE, o->now_ns + sent * NS_PER_S / rate);
}

// How much the next segment carries: 0 where it has to wait.
static uint32_t next_len(struct out *o, uint32_t quantum)
{
    struct tcp_conn *c = o->c;
    uint32_t unsent = o->unsent, pipe = conn_pipe(c), len;
    uint32_t room = c->cwnd > pipe ? c->cwnd - pipe : 0;

    if (!unsent)
        return 0;
    len = u64_min(u64_min(unsent, window_room(c)), u64_min(quantum, c->super_max));
    if (len > room) {
        c->wnd_limited = 1;
        len = room;
        if (len < c->mss && len < unsent && pipe) // cwnd counts in segments
            return 0;
    }
    if (len >= c->mss) { // a short tail rides along only where it might go alone
        uint32_t tail = len % nonzero(c->mss);

        return len == unsent && short_may_go(c, tail, tail) ? len : len - tail;
    }
    return len && (c->force || short_may_go(c, len, unsent)) ? len : 0;
}

static int send_new(struct out *o)
{
    struct tcp_conn *c = o->c;
    uint32_t quantum = pacing_quantum(c), total = 0, len, sent;
    int err = 0;

    if (!c->fin_sent && c->snd_nxt == c->snd_una)
        restart_after_idle(o);
    while (quantum && !o->hold && (len = next_len(o, quantum)) != 0) {
        if (c->snd_nxt == c->snd_una)
            start_flight(o);
        sent = 0;
        err = output_new_segment(o, len, 0, &sent);
        if (err || !sent)
            break;
        total += sent;
        quantum -= u64_min(quantum, sent);
    }
    if (c->force)
        c->force = 0;
    pace(o, total);
    if (!err && c->fin_queued && !c->fin_sent && !o->unsent && quantum) {
        if (c->snd_nxt == c->snd_una)
            start_flight(o);
        err = output_new_segment(o, 0, 0, &sent);
        total += !err;
    }
    if (total && c->loss_timer != TCP_LOSS_REORDER)
        timer_rearm_loss(o->ctx, c, o->now_ns);
    return err;
}

// Nothing kept back for want of cwnd: the rate that is seen is the program's (RFC 9438, 5.8 and the
// delivery-rate draft, 3.4).
static void note_limits(struct out *o)
{
    struct tcp_conn *c = o->c;
    uint32_t pipe = conn_pipe(c);

    c->blocked = o->unsent > 0 || (c->fin_queued && !c->fin_sent);
    if (c->lost > c->retrans) // what is to be sent again waits for cwnd
        c->wnd_limited = 1;
    if (c->blocked || c->lost > c->retrans)
        return;
    if (pipe < c->cwnd)
        c->app_limited = (c->delivered + pipe) | !(c->delivered + pipe);
    if (c->cwnd < c->ssthresh ? 2 * (uint64_t)pipe <= c->cwnd : pipe + c->mss < c->cwnd)
        c->wnd_limited = 0;
    else
        c->wnd_limited = 1;
}

static int output_synchronized(struct out *o)
{
    struct tcp_conn *c = o->c;
    int err = 0;

    if (c->probe_now) { // below the window: it must be answered (RFC 9293, 3.8.4 and 3.8.6.1)
        err = emit_ack(o, c->snd_una - 1);
        if (err)
            return err;
        c->probe_now = 0;
    }
    if (!conn_can_send(c)) {
        c->blocked = 0;
    } else if (paced_out(o)) {
        c->blocked = 1;
    } else {
        if (c->lost > c->retrans)
            err = output_retransmissions(o);
        if (!err && c->tlp_now)
            err = output_probe(o);
        if (!err && mtu_search_is_open(c))
            err = mtu_probe(o);
        if (!err)
            err = send_new(o);
        note_limits(o);
    }
    if (!err && c->ack_now)
        err = emit_ack(o, c->snd_nxt);
    if (!err && c->loss_timer == TCP_LOSS_NONE)
        timer_rearm_loss(o->ctx, c, o->now_ns);
    return err;
}

// "<SEQ=SND.NXT><CTL=RST>", and the connection is gone (RFC 9293, 3.10.5).
static int output_reset(struct out *o)
{
    struct tcp_conn *c = o->c;
    struct segment seg;
    int err;

    emit_fill(o, &seg, c->snd_nxt, SEG_RST | SEG_ACK);
    err = emit_put(o, &seg);
    if (err)
        return err;
    tcp_count(o->ctx, rsts_out);
    c->rst_now = 0;
    if (c->orphan && c->state == TCP_CLOSED)
        conn_free(o->ctx, c);
    return 0;
}

int tcp_conn_output(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns, struct tcp_sink *sink)
{
    struct out o = {.ctx = ctx, .c = c, .now_ns = now_ns, .sink = sink};
    int err = 0;

    if (c->has_rings && !ctx->host->ring(ctx->self, c, TCP_TX, &o.tx)) {
        o.has_tx = true;
        if (!c->fin_sent)
            o.unsent = ring_ready(&o.tx, c->tx_pos + (c->snd_nxt - c->tx_seq));
    }
    if (c->rst_now)
        err = output_reset(&o);
    else if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
        err = output_syn(&o);
    else if (c->state >= TCP_ESTABLISHED)
        err = output_synchronized(&o);
    if (err)
        conn_ready(ctx, c);
    return err;
}
