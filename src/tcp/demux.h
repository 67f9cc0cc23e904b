// SPDX-License-Identifier: BSD-2-Clause
// From a segment's tuple to its connection. Keyed by SipHash, so that no peer can fill one chain.
#ifndef SHUNT_TCP_DEMUX_H
#define SHUNT_TCP_DEMUX_H

#include "tcp/arena.h"

void demux_add(struct tcp_ctx *ctx, struct tcp_conn *c);
void demux_remove(struct tcp_ctx *ctx, struct tcp_conn *c);

// The connection of exactly this tuple, or NULL.
struct tcp_conn *demux_find(const struct tcp_ctx *ctx, const struct tcp_tuple *t);

// The listener for that local address and port: one bound to the address before one bound to any.
struct tcp_conn *demux_listener(const struct tcp_ctx *ctx, const struct ip_addr *local,
                                uint16_t local_port);

// An ephemeral port for t (its local_port is ignored) by RFC 6056's double-hash algorithm, so that
// nothing can be learnt of one peer's ports from another's. Returns 0 and *port, or -EADDRINUSE.
int demux_pick_port(struct tcp_ctx *ctx, const struct tcp_tuple *t, uint16_t *port);

static inline bool tuple_equal(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
    return a->local_port == b->local_port && a->remote_port == b->remote_port &&
           ip_addr_equal(&a->remote, &b->remote) && ip_addr_equal(&a->local, &b->local);
}

#endif
