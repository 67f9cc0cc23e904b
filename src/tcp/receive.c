// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/receive.h"

#include <errno.h>

#include "base/util.h"
#include "tcp/emit.h"
#include "tcp/mtu.h"
#include "tcp/ooo.h"
#include "tcp/timers.h"

#define QUICK_ACKS 4 // after a hole: the sender wants every ACK

static uint32_t us_of(uint64_t now_ns)
{
    return now_ns / NS_PER_US;
}

static void write_ring(const struct ring *rx, uint64_t pos, const struct in *in)
{
    const struct seg_data *d = &in->seg->data;
    uint32_t skip = in->skip, left = in->len;

    for (int k = 0; k < 2 && left; k++) {
        uint32_t off = u64_min(skip, d->piece_len[k]), n = u64_min(d->piece_len[k] - off, left);

        if (n)
            ring_write(rx, pos, d->piece[k] + off, n);
        pos += n;
        left -= n;
        skip -= off;
    }
}

// Of segments that were merged on their way: what one of them carried.
static uint32_t largest_piece(const struct in *in, uint32_t len)
{
    return u64_min(len, in->seg->gso_size ? in->seg->gso_size : mtu_announced_mss(in->c));
}

// Acknowledges now, soon, or with the next data. RFC 9293, 3.8.6.3: "an ACK should be generated for
// at least every second full-sized segment, and within 0.5 s".
static void schedule_ack(struct in *in, uint32_t len)
{
    struct tcp_conn *c = in->c;
    uint32_t waiting = c->rcv_nxt - c->rcv_acked;

    if (len > c->mss_rcv)
        c->mss_rcv = u64_max(c->mss_rcv, largest_piece(in, len));
    if (c->quick_acks || waiting >= 2u * c->mss_rcv || c->quickack) {
        conn_ack_now(in->ctx, c);
        return;
    }
    if (!timer_is_set(c, TCP_TIMER_DELACK))
        timer_set(in->ctx, c, TCP_TIMER_DELACK, in->now_ns + in->ctx->cfg.delack_ns);
}

// Dynamic right-sizing: offers twice what the program took in the last round trip.
static void tune(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t rtt_us = u64_min(c->srtt_ns, c->min_rtt_ns) / NS_PER_US, now_us = us_of(in->now_ns);
    uint64_t want;
    struct ring rx;

    if (c->tune_off || !c->has_rings || now_us - c->tune_us < u64_max(rtt_us, 1))
        return;
    want = 2 * (uint64_t)(c->rcv_nxt - c->tune_seq) + 16u * c->mss_rcv;
    c->tune_us = now_us;
    c->tune_seq = c->rcv_nxt;
    if (want <= c->rcv_limit || in->ctx->host->ring(in->ctx->self, c, TCP_RX, &rx))
        return;
    c->rcv_limit = u64_min(u64_min(want, ring_size(&rx)), in->ctx->cfg.rcv_max);
}

// The ring's free space at rx_pos, and the view.
static bool rx_ring(const struct in *in, struct ring *rx, uint32_t need)
{
    const struct tcp_conn *c = in->c;

    return c->has_rings && !in->ctx->host->ring(in->ctx->self, c, TCP_RX, rx) &&
           ring_space(rx, c->rx_pos) >= need;
}

bool receive_in_order(struct in *in)
{
    struct tcp_conn *c = in->c;
    struct ring rx;

    if (!rx_ring(in, &rx, in->len))
        return false;
    write_ring(&rx, c->rx_pos, in);
    c->rcv_nxt += in->len;
    c->rx_pos += in->len;
    ring_publish_head(&rx, c->rx_pos);
    in->ctx->events |= TCP_EV_RX;
    schedule_ack(in, in->len);
    tune(in);
    return true;
}

// The hole closes: what lies behind it in the ring is readable now. A FIN takes a number, but no
// byte.
static void close_hole(struct in *in, const struct ring *rx)
{
    struct tcp_conn *c = in->c;
    uint32_t next = ooo_advance(in->ctx, c, c->rcv_nxt);
    bool fin = c->fin_ahead && c->ooo_first == TCP_NONE;

    c->rx_pos += next - c->rcv_nxt - fin;
    c->rcv_nxt = next - fin;
    if (fin)
        in->flags |= SEG_FIN;
    ring_publish_head(rx, c->rx_pos);
}

// With fin_ahead the last number beyond the holes is the peer's FIN: no text follows it.
static bool beyond_fin(const struct in *in)
{
    const struct tcp_conn *c = in->c;

    return c->fin_ahead && seq_lt(ooo_end(in->ctx, c) - 1, in->seq + in->len);
}

// A FIN beyond a hole counts where nothing that was received lies beyond it, and no other FIN
// before.
static bool fin_counts(const struct in *in)
{
    uint32_t end = in->seq + in->len, last = ooo_end(in->ctx, in->c);

    if (!(in->flags & SEG_FIN))
        return false;
    return in->c->fin_ahead ? end == last - 1 : seq_le(last, end);
}

// Data beyond a hole: into the ring, and into the list of ranges. The ACK goes at once: RFC
// 5681, 4.2.
static bool receive_out_of_order(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t off = in->seq - c->rcv_nxt, fin = fin_counts(in), fresh;
    struct ring rx;

    conn_ack_now(in->ctx, c);
    c->quick_acks = u64_max(c->quick_acks, QUICK_ACKS);
    if (!in->len && !fin)
        return false;
    if (!rx_ring(in, &rx, off + in->len) ||
        !ooo_insert(in->ctx, c, in->seq, in->seq + in->len + fin, &fresh)) {
        tcp_count(in->ctx, ooo_drops);
        return false;
    }
    tcp_count(in->ctx, ooo_segs);
    if (!fresh && c->sack_ok) { // RFC 2883, 4.2: a duplicate of what was out of order already
        c->dsack = (struct seg_range){in->seq, in->seq + in->len};
        tcp_count(in->ctx, dsacks_out);
    }
    if (fresh)
        write_ring(&rx, c->rx_pos + off, in);
    c->fin_ahead |= fin;
    return false;
}

// RFC 3168, 6.1.3: ECE from the CE mark until CWR.
static void note_ecn(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!c->ecn_ok)
        return;
    if (in->flags & SEG_CWR)
        c->ece_pending = 0;
    if (in->seg->ecn != IP_ECN_CE)
        return;
    tcp_count(in->ctx, ce_in);
    if (!c->ece_pending)
        conn_ack_now(in->ctx, c);
    c->ece_pending = 1;
}

// Closed in both directions: data would lie there for ever. A program that has only said that it
// reads no more finds the bytes all the same when it does read (Linux).
static bool nobody_reads(const struct tcp_conn *c)
{
    return c->orphan || (c->rx_shut && c->state != TCP_ESTABLISHED);
}

// "Seventh, process the segment text." Data for a program that is gone resets (RFC 9293, 3.6.1,
// SHLD-3; RFC 2525, 2.17).
bool input_data(struct in *in)
{
    struct tcp_conn *c = in->c;
    struct ring rx;

    note_ecn(in);
    if (!in->len && !(in->flags & SEG_FIN))
        return true;
    if (!conn_can_receive(c))
        return true;
    if (in->len && nobody_reads(c)) {
        c->rst_now = 1;
        conn_ready(in->ctx, c);
        conn_end(in->ctx, c, -ECONNRESET);
        return false;
    }
    if (beyond_fin(in)) {
        conn_ack_now(in->ctx, c);
        return false;
    }
    if (in->seq != c->rcv_nxt)
        return receive_out_of_order(in);
    if (!in->len)
        return true;
    if (!rx_ring(in, &rx, in->len)) {
        conn_ack_now(in->ctx, c);
        return false;
    }
    receive_in_order(in);
    if (c->ooo_first != TCP_NONE) {
        close_hole(in, &rx);
        conn_ack_now(in->ctx, c);
    }
    return true;
}

// "Eighth, check the FIN bit": everything before it has been received.
bool input_fin(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!(in->flags & SEG_FIN))
        return true;
    if (c->state == TCP_TIME_WAIT) { // "Remain in the TIME-WAIT state. Restart the 2 MSL time-out."
        conn_time_wait(in->ctx, c, in->now_ns);
        conn_ack_now(in->ctx, c);
        return true;
    }
    if (c->fin_received || !conn_can_receive(c))
        return true;
    c->rcv_nxt++;
    c->fin_received = 1;
    c->fin_ahead = 0;
    conn_ack_now(in->ctx, c);
    in->ctx->events |= TCP_EV_FIN;
    switch (c->state) {
    case TCP_ESTABLISHED:
        tcp_conn_move(in->ctx, c, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT_1:
        tcp_conn_move(in->ctx, c, TCP_CLOSING);
        break;
    default:
        conn_time_wait(in->ctx, c, in->now_ns);
    }
    return true;
}

void receive_window_opened(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t now = seq_lt(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0, next;

    if (!conn_can_receive(c) || now >= c->rcv_limit / 2)
        return;
    next = emit_window(ctx, c);
    if (next >= 2 * (uint64_t)now && next > now)
        conn_ack_now(ctx, c);
}
