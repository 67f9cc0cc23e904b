// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/span.h"

#include "base/util.h"
#include "tcp/arena.h"

static void stamp(const struct tcp_conn *c, struct tcp_span *s, uint64_t now_ns)
{
    s->sent_ns = now_ns;
    s->delivered = c->delivered;
    s->delivered_ns = c->delivered_ns;
    s->first_ns = c->rate_first_ns;
}

// The last span can take more where nothing tells its bytes from the new ones.
static bool can_extend(const struct tcp_span *last, uint64_t now_ns, uint32_t flags)
{
    return last->sent_ns == now_ns && last->flags == flags && !(flags & SPAN_PROBE);
}

static bool is_plain(const struct tcp_span *s)
{
    return !(s->flags & (SPAN_SACKED | SPAN_LOST | SPAN_EVER | SPAN_PROBE));
}

static bool has_fresh(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    return c->span_count < SPANS_IN_FLIGHT_MAX && ctx->arena->span_free != TCP_NONE;
}

bool span_may_push(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    return has_fresh(ctx, c) || (c->span_last != TCP_NONE && is_plain(span_at(ctx, c->span_last)));
}

// Puts s, which is span i, behind last, the last one there is or NULL.
static void append(struct tcp_conn *c, struct tcp_span *last, struct tcp_span *s, uint32_t i)
{
    s->next = TCP_NONE;
    s->prev = c->span_last;
    if (last)
        last->next = i;
    else
        c->span_first = c->span_hint = i;
    c->span_last = i;
    c->span_count++;
}

void span_push(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns, uint32_t start,
               uint32_t end, uint32_t flags)
{
    struct tcp_span *last = c->span_last == TCP_NONE ? NULL : span_at(ctx, c->span_last), *s;
    uint32_t i;

    // Joined to an older span, the bytes make its time move on: loss is found later, never wrongly.
    if (last && (can_extend(last, now_ns, flags) || !has_fresh(ctx, c))) {
        last->end = end;
        last->sent_ns = now_ns;
        return;
    }
    i = span_alloc(ctx);
    s = span_at(ctx, i);
    s->start = start;
    s->end = end;
    s->flags = flags;
    stamp(c, s, now_ns);
    append(c, last, s, i);
}

uint32_t span_split(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t i, uint32_t seq)
{
    struct tcp_span *s = span_at(ctx, i), *right;
    uint32_t r = c->span_count < SPANS_IN_FLIGHT_MAX ? span_alloc(ctx) : TCP_NONE;

    if (r == TCP_NONE)
        return TCP_NONE;
    right = span_at(ctx, r);
    *right = *s;
    right->start = seq;
    right->prev = i;
    s->end = seq;
    s->next = r;
    if (right->next == TCP_NONE)
        c->span_last = r;
    else
        span_at(ctx, right->next)->prev = r;
    c->span_count++;
    return r;
}

void span_join_sacked(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t i)
{
    struct tcp_span *s = span_at(ctx, i), *next;
    uint32_t n = s->next;

    if (n == TCP_NONE || !(s->flags & SPAN_SACKED) || !(span_at(ctx, n)->flags & SPAN_SACKED))
        return;
    next = span_at(ctx, n);
    s->end = next->end;
    s->flags |= next->flags & SPAN_EVER;
    s->next = next->next;
    if (next->next == TCP_NONE)
        c->span_last = i;
    else
        span_at(ctx, next->next)->prev = i;
    if (c->span_hint == n)
        c->span_hint = i;
    c->span_count--;
    span_free(ctx, n);
}

void span_clear(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t i, next;

    for (uint32_t left = SPANS_WALK_MAX; c->span_first != TCP_NONE && left; left--)
        span_pop(ctx, c);
    i = c->ooo_first;
    for (uint32_t left = SPANS_WALK_MAX; i != TCP_NONE && left; left--, i = next) {
        next = span_at(ctx, i)->next;
        span_free(ctx, i);
    }
    c->span_first = c->span_last = c->span_hint = c->ooo_first = TCP_NONE;
    c->span_count = 0;
    c->ooo_count = 0;
    c->sacked = c->lost = c->retrans = 0;
}

void span_mark_lost(struct tcp_conn *c, struct tcp_span *s)
{
    if (s->flags & SPAN_RETRANS) {
        s->flags &= ~SPAN_RETRANS;
        c->retrans -= span_len(s);
    }
    if (s->flags & (SPAN_LOST | SPAN_SACKED))
        return;
    s->flags |= SPAN_LOST;
    c->lost += span_len(s);
}

void span_unmark_lost(struct tcp_conn *c, struct tcp_span *s)
{
    if (s->flags & SPAN_RETRANS)
        c->retrans -= span_len(s);
    if (s->flags & SPAN_LOST)
        c->lost -= span_len(s);
    s->flags &= ~(SPAN_LOST | SPAN_RETRANS);
}
