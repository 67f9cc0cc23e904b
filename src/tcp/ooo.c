// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/ooo.h"

#include "base/util.h"

// Swallows the ranges behind i that i now reaches.
static void swallow(struct tcp_ctx *ctx, struct tcp_conn *c, struct tcp_span *s, uint32_t *known)
{
    while (s->next != TCP_NONE && seq_le(span_at(ctx, s->next)->start, s->end)) {
        uint32_t gone = s->next;
        struct tcp_span *g = span_at(ctx, gone);

        *known += span_len(g);
        s->end = seq_max(s->end, g->end);
        s->next = g->next;
        span_free(ctx, gone);
        c->ooo_count--;
    }
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
    *link = i;
    c->ooo_count++;
    swallow(ctx, c, s, &known);
    *fresh = span_len(s) - known;
    c->sack_recent = s->start;
    return true;
}

bool ooo_insert(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t start, uint32_t end,
                uint32_t *fresh)
{
    uint32_t i = c->ooo_first, prev = TCP_NONE, known;
    struct tcp_span *s;

    while (i != TCP_NONE && seq_lt(span_at(ctx, i)->end, start)) {
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
    c->sack_recent = s->start;
    return true;
}

uint32_t ooo_advance(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t rcv_nxt)
{
    while (c->ooo_first != TCP_NONE && seq_le(span_at(ctx, c->ooo_first)->start, rcv_nxt)) {
        uint32_t i = c->ooo_first;

        rcv_nxt = seq_max(rcv_nxt, span_at(ctx, i)->end);
        c->ooo_first = span_at(ctx, i)->next;
        span_free(ctx, i);
        c->ooo_count--;
    }
    return rcv_nxt;
}

static const struct tcp_span *range_with(const struct tcp_ctx *ctx, const struct tcp_conn *c,
                                         uint32_t start)
{
    for (uint32_t i = c->ooo_first; i != TCP_NONE; i = span_at(ctx, i)->next)
        if (span_at(ctx, i)->start == start)
            return span_at(ctx, i);
    return NULL;
}

static void add_block(struct segment *seg, uint32_t start, uint32_t end, int max)
{
    if (seg->sack_count >= max)
        return;
    for (int k = 0; k < seg->sack_count; k++)
        if (seg->sack[k].start == start && seg->sack[k].end == end)
            return;
    seg->sack[seg->sack_count++] = (struct seg_range){start, end};
}

void ooo_fill_sack(const struct tcp_ctx *ctx, const struct tcp_conn *c, struct segment *seg)
{
    int max = seg->opts & SEG_OPT_TS ? 3 : 4;
    const struct tcp_span *recent;

    if (c->ooo_first == TCP_NONE && c->dsack.start == c->dsack.end)
        return;
    seg->sack_count = 0;
    if (c->dsack.start != c->dsack.end)
        seg->sack[seg->sack_count++] = c->dsack; // RFC 2883, 4: the duplicate comes first
    recent = range_with(ctx, c, c->sack_recent);
    if (recent)
        add_block(seg, recent->start, recent->end, max);
    for (uint32_t i = c->ooo_first; i != TCP_NONE && seg->sack_count < max;
         i = span_at(ctx, i)->next)
        add_block(seg, span_at(ctx, i)->start, span_at(ctx, i)->end, max);
    if (seg->sack_count)
        seg->opts |= SEG_OPT_SACK;
}
