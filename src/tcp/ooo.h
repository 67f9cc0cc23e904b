// SPDX-License-Identifier: BSD-2-Clause
// Data received out of order. The bytes are in the receive ring already, beyond its head; here are
// only the ranges, sorted, at most SPANS_OOO_MAX of them: what would make one more is dropped, and
// the peer sends it again. So no pattern of holes costs more than a walk over that many.
#ifndef SHUNT_TCP_OOO_H
#define SHUNT_TCP_OOO_H

#include "tcp/arena.h"
#include "tcp/span.h"

// Notes [start, end), beyond rcv_nxt. Returns false where it must be dropped. *fresh says how many
// of its sequence numbers were not there before.
bool ooo_insert(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t start, uint32_t end,
                uint32_t *fresh);

// Where the last range ends; rcv_nxt where there is none.
uint32_t ooo_end(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// rcv_nxt has moved: takes the ranges that it reached, and returns where it may move on to.
uint32_t ooo_advance(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t rcv_nxt);

// SACK and DSACK blocks for an outgoing segment: the latest change first (RFC 2018, 4).
void ooo_fill_sack(const struct tcp_ctx *ctx, const struct tcp_conn *c, struct segment *seg);

#endif
