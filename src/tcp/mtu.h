// SPDX-License-Identifier: BSD-2-Clause
// The path's MTU: what routers say (RFC 1191, RFC 8201, checked as RFC 5927 wants), and what probes
// find out where they say nothing (RFC 4821).
#ifndef SHUNT_TCP_MTU_H
#define SHUNT_TCP_MTU_H

#include "tcp/emit.h"

// The path is known: sets pmtu, super_max and a first mss.
void mtu_set_path(struct tcp_conn *c, const struct tcp_path *path);

// Computes mss anew, after the peer's MSS, the path MTU or the options have changed (RFC
// 9293, 3.7.1).
void mtu_update_mss(struct tcp_conn *c);

// What our SYN announces: the interface's MTU without fixed headers.
uint16_t mtu_announced_mss(const struct tcp_conn *c);

// The handshake is through: the search has its bounds.
void mtu_start_search(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

#define MTU_SEARCH_STOP 8 // bytes between known good and known bad: fine enough

// May there be a larger MTU to be found?
static inline bool mtu_search_is_open(const struct tcp_conn *c)
{
    return c->mtu_high >= c->pmtu + MTU_SEARCH_STOP;
}

// Sends a probe larger than mss where one is due and data allows. Returns 0 or -EAGAIN.
int mtu_probe(struct out *o);

// The probe arrived, or was lost (which is no sign of congestion).
void mtu_probe_acked(struct tcp_conn *c);
void mtu_probe_lost(struct tcp_conn *c, uint64_t now_ns);

// Segments time out again and again: perhaps large ones vanish (a black hole).
void mtu_on_timeout(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// ICMP: packet too big. Returns false where the message is not to be believed.
bool mtu_too_big(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns, uint16_t mtu);

#endif
