// SPDX-License-Identifier: BSD-2-Clause
// A connection's timers. Each has a deadline of its own; the connection sits in the wheel once, at
// or before the earliest. Moving a deadline back (as every ACK does) touches no wheel: the wheel's
// firing finds nothing due and arms itself again.
#ifndef SHUNT_TCP_TIMERS_H
#define SHUNT_TCP_TIMERS_H

#include "tcp/arena.h"

// Sets one deadline; CLOCK_NEVER turns the timer off.
void timer_set(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_timer which, uint64_t deadline_ns);

static inline void timer_clear(struct tcp_conn *c, enum tcp_timer which)
{
    c->timer_ns[which] = CLOCK_NEVER;
}

static inline bool timer_is_set(const struct tcp_conn *c, enum tcp_timer which)
{
    return c->timer_ns[which] != CLOCK_NEVER;
}

// All off, and out of the wheel.
void timer_clear_all(struct tcp_ctx *ctx, struct tcp_conn *c);

// Arms the loss timer with the one that the connection's state calls for: RTO, TLP, persist, or
// none.
void timer_rearm_loss(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// Arms the retransmission timer itself, a whole RTO from now (RFC 6298, 5).
void timer_start_rto(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// (Re)starts the keep-alive timer where that is wanted.
void timer_start_keepalive(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// Runs what is due of one connection.
void timer_fire(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

#endif
