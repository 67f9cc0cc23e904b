// SPDX-License-Identifier: BSD-2-Clause
// Spans: stretches of sequence space with something in common. A connection keeps two lists of
// them, taken from a pool of the engine: what it has in flight (the scoreboard), and what it has
// received out of order. Both are bounded a connection, so a peer cannot make them grow at will.
#ifndef SHUNT_TCP_SPAN_H
#define SHUNT_TCP_SPAN_H

#include "tcp/arena.h"

#define SPANS_IN_FLIGHT_MAX 1024
#define SPANS_OOO_MAX       128
#define SPANS_WALK_MAX      (2 * SPANS_IN_FLIGHT_MAX) // where a walk gives up: a circle of spans

#define SPAN_SACKED  0x01 // the peer has reported it
#define SPAN_LOST    0x02 // taken for lost; stays set when it is sent again
#define SPAN_RETRANS 0x04 // sent again, and that copy may still be under way
#define SPAN_EVER    0x08 // was sent more than once: no round-trip sample (Karn)
#define SPAN_LIMITED 0x10 // sent while the program had no more: the rate is a lower bound
#define SPAN_PROBE   0x20 // a path MTU probe

// In flight, the spans of a connection lie end to end from snd_una to snd_nxt.
struct tcp_span {
    uint32_t start, end; // sequence numbers
    uint32_t next, prev;
    uint64_t sent_ns;                // last transmission
    uint64_t delivered_ns, first_ns; // delivery rate: the sender's state at that time
    uint32_t delivered;
    uint32_t flags;
};

static inline struct tcp_span *span_at(const struct tcp_ctx *ctx, uint32_t i)
{
    return &ctx->spans[index_within(i, ctx->cfg.max_spans)];
}

#define for_each_span(ctx, i, first)                                                               \
    for (uint32_t i = (first), left_ = SPANS_WALK_MAX; i != TCP_NONE && left_--;                   \
         i = span_at(ctx, i)->next)

static inline uint32_t span_len(const struct tcp_span *s)
{
    return s->end - s->start;
}

// How long ago it was sent; 0 for a clock that went back, which would make the worst round trip.
static inline uint64_t span_age_ns(const struct tcp_span *s, uint64_t now_ns)
{
    return now_ns > s->sent_ns ? now_ns - s->sent_ns : 0;
}

// A span from the pool, or TCP_NONE.
static inline uint32_t span_alloc(struct tcp_ctx *ctx)
{
    uint32_t i = ctx->arena->span_free;

    if (i == TCP_NONE)
        return TCP_NONE;
    ctx->arena->span_free = span_at(ctx, i)->next;
    ctx->arena->counters.spans++;
    return i;
}

static inline void span_free(struct tcp_ctx *ctx, uint32_t i)
{
    span_at(ctx, i)->next = ctx->arena->span_free;
    ctx->arena->span_free = i;
    ctx->arena->counters.spans--;
}

// True where span_push() has a span to use, or one to join.
bool span_may_push(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// Notes [start, end), which follows what is in flight, as sent now; only after span_may_push().
// Joins the last span where both were sent at the same time, or where there is no other to be had.
// SPAN_PROBE in flags keeps it by itself.
void span_push(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns, uint32_t start,
               uint32_t end, uint32_t flags);

// Cuts span i of what is in flight at seq, strictly inside it; i keeps the left part. Returns the
// index of the right part, or TCP_NONE where bounds forbid.
uint32_t span_split(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t i, uint32_t seq);

// Joins span i with its successor where both are SACKed, for bounded lists under long losses.
void span_join_sacked(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t i);

// Takes the first span of what is in flight out of the list.
static inline void span_pop(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t i = c->span_first;

    c->span_first = span_at(ctx, i)->next;
    if (c->span_first == TCP_NONE)
        c->span_last = TCP_NONE;
    else
        span_at(ctx, c->span_first)->prev = TCP_NONE;
    if (c->span_hint == i)
        c->span_hint = c->span_first;
    c->span_count--;
    span_free(ctx, i);
}

// Gives everything back: what is in flight, and the out-of-order list.
void span_clear(struct tcp_ctx *ctx, struct tcp_conn *c);

// Marks a span lost, and takes the mark off again; the connection's counts follow. No-op where set.
void span_mark_lost(struct tcp_conn *c, struct tcp_span *s);
void span_unmark_lost(struct tcp_conn *c, struct tcp_span *s);

#endif
