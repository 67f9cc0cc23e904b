// SPDX-License-Identifier: BSD-2-Clause
// RFC 9293, 3.10.7: SEGMENT ARRIVES. The order of the steps is the RFC's.
#include "tcp/input.h"

#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/demux.h"
#include "tcp/emit.h"
#include "tcp/timers.h"

#define PAWS_IDLE_S (24 * 24 * 3600) // RFC 7323, 5.5: a timestamp older than 24 days proves nothing

// RFC 5961, 7, with the limit kept a connection: what one connection is sent tells nothing of
// another.
void input_challenge(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t now_ms = in->now_ns / NS_PER_MS,
             gap_ms = 1000 / u64_max(in->ctx->cfg.challenge_rate, 1);

    if (c->challenge_ms && now_ms - c->challenge_ms < gap_ms)
        return;
    c->challenge_ms = now_ms | !now_ms;
    tcp_count(in->ctx, challenge_acks);
    conn_ack_now(in->ctx, c);
}

// RFC 7323, 5.3, R1: "SEG.TSval < TS.Recent", and TS.Recent is valid: not acceptable.
static bool paws_rejects(const struct in *in)
{
    const struct tcp_conn *c = in->c;
    uint32_t now_s = in->now_ns / NS_PER_S;

    if (!c->ts_ok || !(in->seg->opts & SEG_OPT_TS) || in->flags & SEG_RST)
        return false;
    return seq_lt(in->seg->ts_val, c->ts_recent) && now_s - c->ts_recent_s < PAWS_IDLE_S;
}

// RFC 7323, 4.3: "If SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent: TS.Recent <- SEG.TSval."
static void update_ts_recent(const struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!c->ts_ok || !(in->seg->opts & SEG_OPT_TS) || seq_lt(c->rcv_acked, in->seg->seq) ||
        seq_lt(in->seg->ts_val, c->ts_recent))
        return;
    c->ts_recent = in->seg->ts_val;
    c->ts_recent_s = in->now_ns / NS_PER_S;
}

// RFC 9293, table 6, with the two ends of the segment.
static bool in_window(const struct tcp_conn *c, uint32_t seq, uint32_t seq_len)
{
    uint32_t wnd = seq_lt(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0;
    uint32_t first = seq - c->rcv_nxt, last = seq + seq_len - 1 - c->rcv_nxt;

    if (!seq_len)
        return wnd ? first < wnd : !first;
    return wnd && (first < wnd || last < wnd);
}

// What was received already is cut off, and what lies beyond the window.
static void trim(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t old, room;

    if (seq_lt(in->seq, c->rcv_nxt)) {
        old = c->rcv_nxt - in->seq;
        if (in->flags & SEG_SYN) {
            in->flags &= ~SEG_SYN;
            old--;
            in->seq++;
        }
        old = u64_min(old, in->len);
        in->seq += old;
        in->skip += old;
        in->len -= old;
    }
    room = seq_lt(in->seq, c->rcv_adv) ? c->rcv_adv - in->seq : 0;
    if (in->len > room) {
        in->len = room;
        in->flags &= ~SEG_FIN;
    }
}

// RFC 2883, 4.1: data that was there before is reported. Kept for the next ACK.
static void note_duplicate(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t end = in->seq + in->len;

    if (!c->sack_ok || !in->len || !seq_lt(in->seq, c->rcv_nxt))
        return;
    c->dsack = (struct seg_range){in->seq, seq_min(end, c->rcv_nxt)};
    tcp_count(in->ctx, dsacks_out);
}

// A peer's SYN again, in SYN-RECEIVED: our SYN-ACK was lost, or it opened at the same time as we
// did. Returns true where the segment goes on.
static bool syn_received_again(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (in->flags & SEG_ACK) { // 3.5, figure 8: the SYN is old, the ACK is what counts
        in->flags &= ~SEG_SYN;
        in->seq++;
        return true;
    }
    if (c->span_first != TCP_NONE)
        span_mark_lost(c, span_at(in->ctx, c->span_first));
    conn_ready(in->ctx, c);
    return false;
}

// 3.10.7.4, first: check sequence number; with PAWS.
// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the
// RST bit is set)." MUST-58, SHLD-31
static bool input_sequence(struct in *in)
{
    struct tcp_conn *c = in->c;
    bool syn_again =
        c->state == TCP_SYN_RECEIVED && in->flags & SEG_SYN && in->seq + 1 == c->rcv_nxt;

    if (syn_again && !syn_received_again(in))
        return false;
    // RFC 7323, 3.2: "If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently
    // drop"
    if (c->ts_ok && !(in->seg->opts & SEG_OPT_TS) && !(in->flags & SEG_RST)) {
        tcp_count(in->ctx, drops_invalid);
        return false;
    }
    if (paws_rejects(in)) {
        tcp_count(in->ctx, paws_drops);
        note_duplicate(in);
        conn_ack_now(in->ctx, c);
        return false;
    }
    if (!in_window(c, in->seq, in_seq_len(in))) {
        if (in->flags & SEG_RST)
            return false;
        tcp_count(in->ctx, rcv_duplicates);
        note_duplicate(in);
        if (in->len || in->flags & (SEG_SYN | SEG_FIN))
            conn_ack_now(in->ctx, c);
        else
            input_challenge(in);
        if (c->state == TCP_TIME_WAIT && in->flags & SEG_FIN)
            conn_time_wait(in->ctx, c, in->now_ns);
        // a window of zero: "special allowance should be made to accept valid ACKs, URGs, and RSTs"
        return c->rcv_adv == c->rcv_nxt && in->flags & SEG_ACK && in->seq == c->rcv_nxt &&
               !(in->flags & SEG_SYN) && (in->len = 0, in->flags &= ~SEG_FIN, true);
    }
    if (in->len && seq_lt(in->seq, c->rcv_nxt))
        note_duplicate(in);
    trim(in);
    return true;
}

// Second: check the RST bit, by RFC 5961, 3.2: only the exact sequence number resets.
static bool input_rst(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!(in->flags & SEG_RST))
        return true;
    if (in->seq != c->rcv_nxt) {
        input_challenge(in);
        return false;
    }
    tcp_count(in->ctx, resets);
    // RFC 1337: a RST does not cut TIME-WAIT short
    if (c->state == TCP_TIME_WAIT)
        return false;
    conn_end(in->ctx, c,
             c->state == TCP_SYN_RECEIVED && c->active ? -ECONNREFUSED
             : c->state == TCP_CLOSE_WAIT              ? -EPIPE
                                                       : -ECONNRESET);
    return false;
}

// Fourth: check the SYN bit, by RFC 5961, 4.2: "send a challenge ACK", whatever its number.
static bool input_syn(struct in *in)
{
    if (!(in->flags & SEG_SYN))
        return true;
    input_challenge(in);
    return false;
}

// Sixth: check the URG bit. "RCV.UP <- max(RCV.UP, SEG.UP), and signal the user."
static void input_urgent(struct in *in)
{
    struct tcp_conn *c = in->c;
    uint32_t up = in->seg->seq + in->seg->urgent;

    if (!(in->flags & SEG_URG) || !conn_can_receive(c) || !in->seg->urgent)
        return;
    if (seq_le(up, c->rcv_nxt) || (c->urgent_in && seq_le(up, c->rcv_up)))
        return;
    c->rcv_up = up;
    c->urgent_in = 1;
    if (!c->orphan)                           // else there is nobody to tell
        conn_tell(in->ctx, c, TCP_EV_URGENT); // at once: before the byte can be read
}

// RFC 9293, MUST-13 and RFC 6191: a new SYN may reopen what is in TIME-WAIT, where its timestamp or
// its sequence number proves that it is no old duplicate.
static bool time_wait_may_reopen(const struct in *in)
{
    const struct tcp_conn *c = in->c;
    const struct segment *seg = in->seg;

    if (c->state != TCP_TIME_WAIT || (seg->flags & (SEG_SYN | SEG_ACK | SEG_RST)) != SEG_SYN)
        return false;
    if (c->ts_ok && seg->opts & SEG_OPT_TS && seg->ts_val != c->ts_recent)
        return seq_lt(c->ts_recent, seg->ts_val);
    return seq_lt(c->rcv_nxt, seg->seq);
}

// 3.10.7.4: OTHER STATE
static void ladder(struct in *in)
{
    if (!input_sequence(in)) // first
        return;
    if (!input_rst(in)) // second
        return;
    // third: check security: not in use (RFC 9293, A.1)
    if (!input_syn(in)) // fourth
        return;
    if (!input_ack(in)) // fifth
        return;
    update_ts_recent(in); // not before: a forger may hit the window, but hardly the ACK as well
    input_urgent(in);     // sixth
    if (!input_data(in))  // seventh
        return;
    input_fin(in); // eighth
}

static void tell(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t events = ctx->events;

    ctx->events = 0;
    if (events && !c->orphan)
        conn_tell(ctx, c, events);
}

void tcp_conn_input(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns,
                    const struct segment *seg, struct tcp_sink *sink)
{
    struct in in = {ctx, c, now_ns, seg, sink, seg->seq, seg->len, 0, seg->flags};

    ctx->events = 0;
    c->last_rx_ms = now_ns / NS_PER_MS;
    if (likely(c->state == TCP_ESTABLISHED) && likely(input_fast(&in))) {
        tell(ctx, c);
        return;
    }
    switch (c->state) {
    case TCP_CLOSED:
        emit_reset_for(ctx, sink, seg);
        break;
    case TCP_LISTEN:
        input_listen(&in);
        return;
    case TCP_SYN_SENT:
        input_syn_sent(&in);
        break;
    default:
        ladder(&in);
    }
    tell(ctx, c);
}

static bool is_last(const struct tcp_conn *c, const struct segment *seg)
{
    return c->tuple.remote_port == seg->src_port && c->tuple.local_port == seg->dst_port &&
           ip_addr_equal(&c->tuple.remote, &seg->src) && ip_addr_equal(&c->tuple.local, &seg->dst);
}

static struct tcp_conn *look_up(struct tcp_ctx *ctx, const struct segment *seg)
{
    struct tcp_tuple t = {.local = seg->dst,
                          .remote = seg->src,
                          .local_port = seg->dst_port,
                          .remote_port = seg->src_port};
    struct tcp_conn *c = ctx->last;

    if (c && is_last(c, seg))
        return c;
    c = demux_find(ctx, &t);
    ctx->last = c;
    return c ? c : demux_listener(ctx, &t.local, t.local_port);
}

void tcp_input(struct tcp_ctx *ctx, uint64_t now_ns, const struct segment *seg,
               struct tcp_sink *sink)
{
    struct tcp_conn *c;

    tcp_count(ctx, segs_in);
    ctx->arena->counters.bytes_in += seg->len;
    if (seg->flags & SEG_RST)
        tcp_count(ctx, rsts_in);
    // RFC 9293, MUST-57 and 3.9.2.3: neither end of a connection is a group
    if (ip_addr_is_group(&seg->src) || ip_addr_is_group(&seg->dst) || ip_addr_is_any(&seg->src)) {
        tcp_count(ctx, drops_invalid);
        return;
    }
    c = look_up(ctx, seg);
    if (!c) {
        emit_reset_for(ctx, sink, seg); // 3.10.7.1: CLOSED STATE
        return;
    }
    if (unlikely(c->state == TCP_TIME_WAIT)) {
        struct in in = {ctx, c, now_ns, seg, sink, seg->seq, seg->len, 0, seg->flags};
        struct tcp_conn *listener = demux_listener(ctx, &seg->dst, seg->dst_port);

        if (listener && time_wait_may_reopen(&in)) {
            tcp_count(ctx, time_wait_reused);
            conn_end(ctx, c, 0);
            c = listener;
        }
    }
    tcp_conn_input(ctx, c, now_ns, seg, sink);
}
