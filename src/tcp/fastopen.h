// SPDX-License-Identifier: BSD-2-Clause
// TCP Fast Open (RFC 7413): data in the SYN, for peers that hold a cookie of the server.
#ifndef SHUNT_TCP_FASTOPEN_H
#define SHUNT_TCP_FASTOPEN_H

#include "tcp/emit.h"

// Client: is there a cookie of that server, and may a SYN with data go to it?
bool fastopen_has_cookie(struct tcp_ctx *ctx, uint64_t now_ns, const struct ip_addr *server);

// Client: adds the cookie and data to a first SYN, or asks for a cookie.
void fastopen_fill_syn(struct out *o, struct segment *seg);

// Client: the SYN has gone; its data is in flight.
void fastopen_sent(struct out *o, const struct segment *seg);

// Client: what the SYN-ACK says: a cookie to keep.
void fastopen_learn(struct tcp_ctx *ctx, struct tcp_conn *c, const struct segment *seg);

// Client: a SYN with data timed out: the path may drop such SYNs (4.1.3.1).
void fastopen_on_timeout(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// Server: does this SYN bring a good cookie, so that its data may be taken?
bool fastopen_cookie_ok(const struct tcp_ctx *ctx, const struct tcp_conn *listener,
                        const struct segment *seg);

// Server: adds a cookie to the SYN-ACK where the client asked for one.
void fastopen_fill_synack(const struct tcp_ctx *ctx, const struct tcp_conn *c, struct segment *seg);

#endif
