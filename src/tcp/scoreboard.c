// SPDX-License-Identifier: BSD-2-Clause
// The sender's picture of what is in flight (RFC 2018, 2883, 6675), as a list of spans.
#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/mtu.h"

// A span, or the part of it that s describes, has arrived.
static void deliver(struct tcp_conn *c, const struct tcp_span *s, struct tcp_ack *ack)
{
    uint64_t rtt_ns = span_age_ns(s, ack->now_ns);

    ack->delivered += span_len(s);
    c->delivered += span_len(s);
    if (s->flags & SPAN_EVER) {
        ack->retrans = true;
    } else {
        ack->original = true;
        ack->rtt_ns = u64_max(ack->rtt_ns, u64_max(rtt_ns, 1));
        ack->rtt_min_ns =
            ack->rtt_min_ns ? u64_min(ack->rtt_min_ns, u64_max(rtt_ns, 1)) : u64_max(rtt_ns, 1);
        if (seq_lt(s->end, c->rack_fack)) // RFC 8985, 6.2, step 3
            c->reordered = 1;
        if (s->flags & SPAN_PROBE)
            mtu_probe_acked(c);
    }
    c->rack_fack = seq_max(c->rack_fack, s->end);
    rate_note(c, s, ack);
    rack_note(c, s, ack);
}

static void drop_counts(struct tcp_conn *c, const struct tcp_span *s, uint32_t bytes)
{
    if (s->flags & SPAN_SACKED)
        c->sacked -= bytes;
    if (s->flags & SPAN_LOST)
        c->lost -= bytes;
    if (s->flags & SPAN_RETRANS)
        c->retrans -= bytes;
}

void scoreboard_ack(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack, uint32_t seq)
{
    uint32_t left = SPANS_WALK_MAX;

    while (c->span_first != TCP_NONE && left--) {
        struct tcp_span *s = span_at(ctx, c->span_first);
        struct tcp_span part = *s;

        if (!seq_lt(s->start, seq))
            break;
        part.end = seq_min(s->end, seq);
        drop_counts(c, s, span_len(&part));
        if (!(s->flags & SPAN_SACKED))
            deliver(c, &part, ack);
        s->start = part.end;
        if (s->start != s->end)
            break;
        span_pop(ctx, c);
    }
    if (c->delivered_ns != ack->now_ns && ack->delivered)
        c->delivered_ns = ack->now_ns;
}

// The span that holds seq, looked for from where the last one was found.
static uint32_t find(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t seq)
{
    uint32_t i = c->span_hint == TCP_NONE ? c->span_first : c->span_hint, left = SPANS_WALK_MAX;
    const struct tcp_span *s;

    if (i == TCP_NONE)
        return TCP_NONE;
    s = span_at(ctx, i);
    for (; seq_lt(seq, s->start) && s->prev != TCP_NONE && left; left--) {
        i = s->prev;
        s = span_at(ctx, i);
    }
    for (; seq_le(s->end, seq) && s->next != TCP_NONE && left; left--) {
        i = s->next;
        s = span_at(ctx, i);
    }
    c->span_hint = i;
    return i;
}

// Marks span i, which lies in a block as a whole; returns the index that now holds it.
static uint32_t mark_sacked(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t i,
                            struct tcp_ack *ack)
{
    struct tcp_span *s = span_at(ctx, i);
    uint32_t prev = s->prev;

    deliver(c, s, ack);
    span_unmark_lost(c, s);
    s->flags |= SPAN_SACKED;
    c->sacked += span_len(s);
    span_join_sacked(ctx, c, i);
    if (prev == TCP_NONE || !(span_at(ctx, prev)->flags & SPAN_SACKED))
        return i;
    span_join_sacked(ctx, c, prev);
    return prev;
}

// The block [start, end) has arrived at the peer.
static void sack_block(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack, uint32_t start,
                       uint32_t end)
{
    uint32_t i = find(ctx, c, start), left = SPANS_WALK_MAX;

    while (i != TCP_NONE && left-- && seq_lt(span_at(ctx, i)->start, end)) {
        struct tcp_span *s = span_at(ctx, i);

        if (!(s->flags & SPAN_SACKED)) {
            if (seq_lt(s->start, start)) { // the left part stays outside
                i = span_split(ctx, c, i, start);
                continue;
            }
            if (seq_lt(end, s->end) && span_split(ctx, c, i, end) == TCP_NONE)
                return;
            i = mark_sacked(ctx, c, i, ack);
            c->span_hint = i;
        }
        i = span_at(ctx, i)->next;
    }
}

// RFC 2883, 4: the first block reports a duplicate where it lies below the cumulative ACK, or
// inside the second block.
static bool first_is_dsack(const struct segment *seg)
{
    const struct seg_range *b = seg->sack;

    if (seq_lt(b[0].start, seg->ack))
        return true;
    return seg->sack_count > 1 && seq_le(b[1].start, b[0].start) && seq_le(b[0].end, b[1].end);
}

static void note_dsack(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    const struct seg_range *b = &ack->seg->sack[0];
    uint32_t len = b->end - b->start;

    if (!seq_lt(b->start, b->end) || seq_lt(c->snd_nxt, b->end) || len > c->snd_wnd_max)
        return;
    ack->dsack = true;
    tcp_count(ctx, dsacks_in);
    rack_note_dsack(c, ack);
    if (c->undo_bytes != UINT32_MAX && c->undo_bytes && seq_le(c->undo_point, b->start))
        c->undo_bytes -= u64_min(len, c->undo_bytes);
}

void scoreboard_sack(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_ack *ack)
{
    const struct segment *seg = ack->seg;
    int first = 0;

    if (!(seg->opts & SEG_OPT_SACK) || !c->sack_ok || !seg->sack_count)
        return;
    if (first_is_dsack(seg)) {
        note_dsack(ctx, c, ack);
        first = 1;
    }
    for (int i = first; i < seg->sack_count; i++) {
        const struct seg_range *b = &seg->sack[i];
        uint32_t start = seq_max(b->start, c->snd_una); // an old ACK's block may begin below

        // a block outside what is in flight is stale or forged
        if (seq_lt(b->start, b->end) && seq_lt(start, b->end) && seq_le(b->end, c->snd_nxt))
            sack_block(ctx, c, ack, start, b->end);
    }
    if (ack->delivered)
        c->delivered_ns = ack->now_ns;
}

void scoreboard_mark_first(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t bytes)
{
    uint32_t i = c->span_first;
    struct tcp_span *s;

    if (i == TCP_NONE)
        return;
    s = span_at(ctx, i);
    if (s->flags & SPAN_RETRANS)
        return;
    if (span_len(s) > bytes && span_split(ctx, c, i, s->start + bytes) == TCP_NONE)
        return;
    span_mark_lost(c, s);
}

void scoreboard_mark_all(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    bool reneged = c->span_first != TCP_NONE && span_at(ctx, c->span_first)->flags & SPAN_SACKED;

    for_each_span(ctx, i, c->span_first)
    {
        struct tcp_span *s = span_at(ctx, i);

        // RFC 2018, 8: after a time-out, what lies at the left edge cannot have been kept
        if (reneged && s->flags & SPAN_SACKED) {
            s->flags &= ~SPAN_SACKED;
            c->sacked -= span_len(s);
        }
        span_mark_lost(c, s);
    }
}

void scoreboard_unmark_all(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    for_each_span(ctx, i, c->span_first) span_unmark_lost(c, span_at(ctx, i));
}
