// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/emit.h"

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/ooo.h"
#include "tcp/timers.h"

// Bytes that the receive buffer has room for now: the ring's space, within what auto-tuning offers.
static uint32_t receive_space(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    struct ring rx;
    uint64_t space, used, limit;

    if (!c->has_rings || ctx->host->ring(ctx->self, c, TCP_RX, &rx))
        return c->rcv_limit;
    space = ring_space(&rx, c->rx_pos);
    limit = u64_min(c->rcv_limit, ring_size(&rx));
    used = ring_size(&rx) - space;
    return used < limit ? limit - used : 0;
}

// RFC 9293, 3.8.6.2.2: the edge moves only by a worthwhile step: a segment, or half of the buffer.
uint32_t emit_window(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    uint32_t now = c->rcv_adv - c->rcv_nxt, space = receive_space(ctx, c);

    if (seq_lt(c->rcv_adv, c->rcv_nxt))
        now = 0;
    if (space < now + u64_min((uint32_t)u64_max(c->mss_rcv, c->mss), c->rcv_limit / 2))
        return now;
    return space;
}

static uint16_t window_field(const struct tcp_ctx *ctx, const struct tcp_conn *c, uint8_t flags)
{
    uint32_t window = emit_window(ctx, c);

    if (!(flags & SEG_SYN) && c->wscale_ok)
        window >>= c->rcv_wscale;
    return u64_min(window, UINT16_MAX);
}

static void fill_timestamps(const struct out *o, struct segment *seg)
{
    seg->opts |= SEG_OPT_TS;
    seg->ts_val = tcp_ts_now(o->c, o->now_ns);
    seg->ts_ecr = seg->flags & SEG_ACK ? o->c->ts_recent : 0;
}

void emit_fill(struct out *o, struct segment *seg, uint32_t seq, uint8_t flags)
{
    const struct tcp_conn *c = o->c;

    seg->src = c->tuple.local;
    seg->dst = c->tuple.remote;
    seg->src_port = c->tuple.local_port;
    seg->dst_port = c->tuple.remote_port;
    seg->seq = seq;
    seg->ack = flags & SEG_ACK ? c->rcv_nxt : 0;
    seg->flags = flags;
    seg->window = window_field(o->ctx, c, flags);
    seg->urgent = 0;
    seg->ecn = IP_ECN_NOT;
    seg->dscp = c->tos >> 2;
    seg->opts = 0;
    seg->len = 0;
    seg->gso_size = 0;
    seg->sack_count = seg->tfo_len = 0;
    seg->data = (struct seg_data){0};
    if (c->ts_ok)
        fill_timestamps(o, seg);
    if ((c->ooo_first != TCP_NONE || c->dsack.start != c->dsack.end) && c->sack_ok &&
        !(flags & SEG_SYN))
        ooo_fill_sack(o->ctx, c, seg);
    if (c->ece_pending && c->state >= TCP_ESTABLISHED)
        seg->flags |= SEG_ECE;
    if (c->urgent_out && seq_lt(seq, c->snd_up) && c->state >= TCP_ESTABLISHED) {
        seg->flags |= SEG_URG; // RFC 9293, 3.8.5, as RFC 6093 reads it
        seg->urgent = u64_min(c->snd_up - seq, UINT16_MAX);
    }
}

// The MSS leaves room for the options that every segment carries; SACK blocks ride along only where
// the payload leaves room for them, too (RFC 9293, MUST-16).
static void drop_sack_without_room(const struct tcp_conn *c, struct segment *seg, uint32_t len)
{
    if (seg->opts & SEG_OPT_SACK && len + 4 + 8u * seg->sack_count > c->mss) {
        seg->opts &= ~SEG_OPT_SACK;
        seg->sack_count = 0;
    }
}

void emit_payload(struct out *o, struct segment *seg, uint32_t seq, uint32_t len)
{
    struct tcp_conn *c = o->c;
    struct ring_span span = ring_span(&o->tx, c->tx_pos + (seq - c->tx_seq), len);

    drop_sack_without_room(c, seg, len);
    seg->len = len;
    seg->gso_size = len > c->mss ? c->mss : 0;
    seg->data = (struct seg_data){{span.data[0], span.data[1]}, {span.len[0], span.len[1]}};
}

static void acknowledged(struct out *o, const struct segment *seg)
{
    struct tcp_conn *c = o->c;
    uint32_t window = seg->window;

    if (!(seg->flags & SEG_SYN) && c->wscale_ok)
        window <<= c->rcv_wscale;
    c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + window);
    c->rcv_acked = c->rcv_nxt;
    if (c->ooo_first != TCP_NONE && !(seg->opts & SEG_OPT_SACK) && c->sack_ok && seg->len)
        return; // the blocks had no room: the ACK is still owed
    c->ack_now = 0;
    c->quick_acks -= c->quick_acks > 0;
    c->dsack.end = c->dsack.start;
    timer_clear(c, TCP_TIMER_DELACK);
}

int emit_put(struct out *o, const struct segment *seg)
{
    int err = o->sink->put(o->sink, seg);

    if (err)
        return err;
    o->ctx->arena->counters.segs_out++;
    o->ctx->arena->counters.bytes_out += seg->len;
    if (seg->flags & SEG_ACK)
        acknowledged(o, seg);
    o->c->last_tx_ms = o->now_ns / NS_PER_MS;
    return 0;
}

int emit_ack(struct out *o, uint32_t seq)
{
    struct segment seg;

    emit_fill(o, &seg, seq, SEG_ACK);
    return emit_put(o, &seg);
}

// "If the ACK bit is off, sequence number zero is used: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
// If the ACK bit is on: <SEQ=SEG.ACK><CTL=RST>."
void emit_reset_for(struct tcp_ctx *ctx, struct tcp_sink *sink, const struct segment *in)
{
    struct segment seg = {
        .src = in->dst,
        .dst = in->src,
        .src_port = in->dst_port,
        .dst_port = in->src_port,
    };

    if (in->flags & SEG_RST || ip_addr_is_group(&in->dst) || ip_addr_is_group(&in->src))
        return;
    if (in->flags & SEG_ACK) {
        seg.seq = in->ack;
        seg.flags = SEG_RST;
    } else {
        seg.ack = in->seq + segment_seq_len(in);
        seg.flags = SEG_RST | SEG_ACK;
    }
    if (!sink->put(sink, &seg)) {
        tcp_count(ctx, segs_out);
        tcp_count(ctx, rsts_out);
    }
}
