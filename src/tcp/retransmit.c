// SPDX-License-Identifier: BSD-2-Clause
// Sending again: SYNs, lost spans, tail-loss probes.
#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/emit.h"
#include "tcp/fastopen.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"
#include "tcp/timers.h"

static void fill_syn_options(struct out *o, struct segment *seg)
{
    const struct tcp_config *cfg = &o->ctx->cfg;
    struct tcp_conn *c = o->c;

    seg->opts |= SEG_OPT_MSS; // RFC 9293, MUST-14: in every SYN; MUST-67: without options taken off
    seg->mss = mtu_announced_mss(c);
    if (c->wscale_ok) {
        seg->opts |= SEG_OPT_WSCALE;
        seg->wscale = c->rcv_wscale;
    }
    if (c->sack_ok)
        seg->opts |= SEG_OPT_SACK_OK;
    if (c->state == TCP_SYN_RECEIVED) {
        if (c->ecn_ok)
            seg->flags |= SEG_ECE;
        fastopen_fill_synack(o->ctx, c, seg);
        return;
    }
    // RFC 3168, 6.1.1.1: a SYN that was lost is sent again without
    if (cfg->ecn == TCP_ECN_ON && !c->retries)
        seg->flags |= SEG_ECE | SEG_CWR;
}

// In SYN-SENT, SYN-RECEIVED: the SYN goes at first, and when its span is marked lost.
int output_syn(struct out *o)
{
    struct tcp_conn *c = o->c;
    bool first = c->span_first == TCP_NONE;
    struct segment seg;
    struct tcp_span *s;
    int err;

    if (!first && (span_at(o->ctx, c->span_first)->flags & (SPAN_LOST | SPAN_RETRANS)) != SPAN_LOST)
        return c->ack_now && c->state == TCP_SYN_RECEIVED ? emit_ack(o, c->snd_nxt) : 0;
    emit_fill(o, &seg, c->snd_una, c->state == TCP_SYN_SENT ? SEG_SYN : SEG_SYN | SEG_ACK);
    fill_syn_options(o, &seg);
    if (first && c->state == TCP_SYN_SENT)
        fastopen_fill_syn(o, &seg);
    if (first && !output_span_is_free(o))
        return 0;
    err = emit_put(o, &seg);
    if (err)
        return err;
    if (first) {
        span_push(o->ctx, c, o->now_ns, c->snd_una, c->snd_una + 1, 0);
        c->snd_nxt = c->snd_una + 1;
        c->stall_ms = o->now_ns / NS_PER_MS;
        fastopen_sent(o, &seg);
    } else {
        s = span_at(o->ctx, c->span_first);
        s->flags |= SPAN_RETRANS | SPAN_EVER;
        s->sent_ns = o->now_ns;
        c->retrans += span_len(s);
        tcp_count(o->ctx, segs_retrans);
        c->segs_retrans++;
    }
    timer_start_rto(o->ctx, c, o->now_ns);
    return 0;
}

// One segment out of span i, which starts at or before it.
static int send_again(struct out *o, uint32_t i, uint32_t len)
{
    struct tcp_conn *c = o->c;
    struct tcp_span *s = span_at(o->ctx, i);
    uint32_t seq = s->start, end = seq + len, data = len;
    struct segment seg;
    int err;

    emit_fill(o, &seg, seq, SEG_ACK);
    if (c->fin_sent && end == c->snd_nxt) {
        seg.flags |= SEG_FIN;
        data--;
    }
    if (data) {
        if (!o->has_tx || data > ring_ready(&o->tx, c->tx_pos + (seq - c->tx_seq)))
            return 0; // the ring's owner has broken it: there is nothing to send
        emit_payload(o, &seg, seq, data);
        if (seq + data == c->snd_nxt - c->fin_sent) // the last byte, as when it went first
            seg.flags |= SEG_PSH;
    }
    err = emit_put(o, &seg);
    if (err)
        return err;
    s->sent_ns = o->now_ns;
    s->delivered = c->delivered;
    s->delivered_ns = c->delivered_ns;
    s->first_ns = c->rate_first_ns;
    s->flags |= SPAN_EVER;
    recovery_sent(c, len, true, tcp_ts_now(c, o->now_ns));
    tcp_count(o->ctx, segs_retrans);
    c->segs_retrans++;
    return 0;
}

// Largest payload that may go again at once: whole segments within the window's room.
static uint32_t again_limit(const struct tcp_conn *c, uint32_t room)
{
    uint32_t len = u64_min(room, c->super_max);

    return u64_max(len - len % nonzero(c->mss), c->mss);
}

int output_retransmissions(struct out *o)
{
    struct tcp_conn *c = o->c;
    bool sent = false;

    if (c->frto == 2) { // RFC 5682, 3.1, 2b: new data goes first, to see what its ACK says
        bool probing = c->snd_nxt != c->recovery_point ||
                       (o->unsent && seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd));

        if (probing)
            return 0;
        c->frto = 0; // there is none that may go: recover as usual
    }
    for_each_span(o->ctx, i, c->span_first)
    {
        struct tcp_span *s = span_at(o->ctx, i);
        uint32_t pipe = conn_pipe(c), len;
        int err;

        if (c->lost <= c->retrans)
            break;
        if ((s->flags & (SPAN_LOST | SPAN_RETRANS)) != SPAN_LOST)
            continue;
        if (pipe && pipe + u64_min(span_len(s), c->mss) > c->cwnd)
            break;
        len = again_limit(c, c->cwnd > pipe ? c->cwnd - pipe : 0);
        if (len < span_len(s))
            span_split(o->ctx, c, i, s->start + len);
        err = send_again(o, i, u64_min(len, span_len(s)));
        if (err)
            return err;
        s->flags |= SPAN_RETRANS;
        c->retrans += span_len(s);
        sent = true;
    }
    if (sent && c->loss_timer != TCP_LOSS_REORDER)
        timer_start_rto(o->ctx, c, o->now_ns);
    return 0;
}

// RFC 8985, 7.3: "If an unsent segment exists, send it; else send the last segment again."
int output_probe(struct out *o)
{
    struct tcp_conn *c = o->c;
    uint32_t sent = 0, i = c->span_last;
    uint32_t room = c->snd_una + c->snd_wnd - c->snd_nxt;
    struct tcp_span *s;
    int err;

    c->tlp_retrans = 0;
    if (o->unsent && seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd)) {
        err = output_new_segment(o, u64_min(u64_min(o->unsent, c->mss), room), 0, &sent);
        if (err)
            return err;
    }
    if (!sent && i == TCP_NONE) {
        c->tlp_now = 0;
        return 0;
    }
    if (!sent) {
        s = span_at(o->ctx, i);
        if (span_len(s) > c->mss) {
            uint32_t right = span_split(o->ctx, c, i, s->end - c->mss);

            i = right == TCP_NONE ? i : right;
        }
        err = send_again(o, i, u64_min(span_len(span_at(o->ctx, i)), c->mss));
        if (err)
            return err;
        c->tlp_retrans = 1;
    }
    c->tlp_now = 0;
    c->tlp_out = 1;
    c->tlp_end = c->snd_nxt;
    tcp_count(o->ctx, tlps);
    timer_start_rto(o->ctx, c, o->now_ns);
    return 0;
}
