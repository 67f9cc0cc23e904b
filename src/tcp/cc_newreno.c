// SPDX-License-Identifier: BSD-2-Clause
// NewReno (RFC 5681, RFC 6582) with HyStart++.
#include "base/util.h"
#include "tcp/cc.h"

static void newreno_init(struct tcp_conn *c, uint64_t now_ns)
{
    c->cubic = (struct cc_cubic){0};
    hystart_init(c);
}

// RFC 5681, 3.1: one segment for each window of data acknowledged. w_est counts what is
// acknowledged.
static void newreno_grow(struct tcp_conn *c, const struct tcp_ack *ack)
{
    uint32_t acked = ack->delivered;

    if (c->cwnd < c->ssthresh)
        acked = cc_slow_start(c, ack);
    if (!acked || c->cwnd < c->ssthresh)
        return;
    c->cubic.w_est += acked;
    if (c->cubic.w_est < c->cwnd)
        return;
    c->cubic.w_est -= c->cwnd;
    c->cwnd += c->mss;
}

// RFC 5681, equation 4: max (FlightSize / 2, 2*SMSS)
static uint32_t newreno_ssthresh(struct tcp_conn *c, uint64_t now_ns)
{
    uint32_t flight = u64_min(c->snd_nxt - c->snd_una, c->cwnd);

    c->cubic.w_est = 0;
    return u64_max(flight / 2, 2u * c->mss);
}

const struct tcp_cc cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .grow = newreno_grow,
    .ssthresh = newreno_ssthresh,
};
