// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/ooo.h"

#include "base/util.h"

// Swallows the ranges behind i that i now reaches.
static void swallow(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_span *s, uint32_t *known)
{
    uint32_t left = SPANS_WALK_MAX;

    while (s->next != TCP_NONE && left-- && seq_le(span_at(ctx, s->next)->start, s->end)) {
        uint32_t gone = s->next;
        struct tcp_span *g = span_at(ctx, gone);

        *known += span_len(g);
        s->end = seq_max(s->end, g->end);
        s->next = g->next;
        span_free(ctx, gone);
        c->ooo_count--;
    }
}

// The order in which ranges last grew; sent_ns is of no other use in this list.
static void touch(struct tcp_ctx *ctx, struct tcp_span *s)
{
    s->sent_ns = ++ctx->arena->ooo_stamp;
}

// A new range between prev (TCP_NONE: at the front) and its successor.
static bool add_range(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t prev, uint32_t start,
                      uint32_t end, uint32_t *fresh)
{
    uint32_t *link = prev == TCP_NONE ? &c->ooo_first : &span_at(ctx, prev)->next, known = 0;
    uint32_t i = c->ooo_count < SPANS_OOO_MAX ? span_alloc(ctx) : TCP_NONE;
    struct tcp_span *s;

    if (i == TCP_NONE)
        return false;
    s = span_at(ctx, i);
    *s = (struct tcp_span){.start = start, .end = end, .next = *link, .prev = TCP_NONE};
    touch(ctx, s);
    *link = i;
    c->ooo_count++;
    swallow(ctx, c, s, &known);
    *fresh = span_len(s) - known;
    return true;
}

bool ooo_insert(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t start, uint32_t end,
                uint32_t *fresh)
{
    uint32_t i = c->ooo_first, prev = TCP_NONE, left = SPANS_WALK_MAX, known;
    struct tcp_span *s;

    while (i != TCP_NONE && left-- && seq_lt(span_at(ctx, i)->end, start)) {
        prev = i;
        i = span_at(ctx, i)->next;
    }
    if (i == TCP_NONE || seq_lt(end, span_at(ctx, i)->start))
        return add_range(ctx, c, prev, start, end, fresh);
    s = span_at(ctx, i);
    known = span_len(s);
    s->start = seq_min(s->start, start);
    s->end = seq_max(s->end, end);
    swallow(ctx, c, s, &known);
    *fresh = span_len(s) - known;
    touch(ctx, s);
    return true;
}

uint32_t ooo_end(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    uint32_t end = c->rcv_nxt;

    for_each_span(ctx, i, c->ooo_first) end = span_at(ctx, i)->end;
    return end;
}

uint32_t ooo_advance(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t rcv_nxt)
{
    uint32_t left = SPANS_WALK_MAX;

    while (c->ooo_first != TCP_NONE && left-- &&
           seq_le(span_at(ctx, c->ooo_first)->start, rcv_nxt)) {
        uint32_t i = c->ooo_first;

        rcv_nxt = seq_max(rcv_nxt, span_at(ctx, i)->end);
        c->ooo_first = span_at(ctx, i)->next;
        span_free(ctx, i);
        c->ooo_count--;
    }
    return rcv_nxt;
}

// The range that grew last before `before`, or NULL.
static const struct tcp_span *latest(const struct tcp_ctx *ctx, const struct tcp_conn *c,
                                     uint64_t before)
{
    const struct tcp_span *best = NULL;

    for_each_span(ctx, i, c->ooo_first)
    {
        const struct tcp_span *s = span_at(ctx, i);

        if (s->sent_ns < before && (!best || best->sent_ns < s->sent_ns))
            best = s;
    }
    return best;
}

// RFC 2018, 4: the block that grew last comes first, the others follow as they were reported
// before.
void ooo_fill_sack(const struct tcp_ctx *ctx, const struct tcp_conn *c, struct segment *seg)
{
    int max = seg->opts & SEG_OPT_TS ? 3 : 4;
    const struct tcp_span *s = latest(ctx, c, UINT64_MAX);

    seg->sack_count = 0;
    if (c->dsack.start != c->dsack.end)
        seg->sack[seg->sack_count++] = c->dsack; // RFC 2883, 4: the duplicate comes first
    for (; s && seg->sack_count < max; s = latest(ctx, c, s->sent_ns))
        seg->sack[seg->sack_count++] = (struct seg_range){s->start, s->end};
    if (seg->sack_count)
        seg->opts |= SEG_OPT_SACK;
}
