// SPDX-License-Identifier: BSD-2-Clause
#include "base/util.h"
#include "tcp/ack.h"

#define MIN_RTT_WINDOW_MS (300 * 1000) // how long a minimum stands

static void note_min(struct tcp_conn *c, uint64_t now_ns, uint64_t rtt_ns)
{
    uint32_t now_ms = now_ns / NS_PER_MS, rtt = u64_min(rtt_ns, UINT32_MAX - 1);

    if (rtt > c->min_rtt_ns && now_ms - c->min_rtt_at_ms < MIN_RTT_WINDOW_MS)
        return;
    c->min_rtt_ns = rtt;
    c->min_rtt_at_ms = now_ms;
}

void rtt_sample(struct tcp_conn *c, uint64_t now_ns, uint64_t rtt_ns, uint64_t rtt_min_ns)
{
    uint64_t diff;

    note_min(c, now_ns, rtt_min_ns);
    if (!c->srtt_ns) { // RFC 6298, 2.2: SRTT <- R, RTTVAR <- R/2
        c->srtt_ns = rtt_ns;
        c->rttvar_ns = u64_min(rtt_ns / 2, UINT32_MAX);
        return;
    }
    diff = rtt_ns > c->srtt_ns ? rtt_ns - c->srtt_ns : c->srtt_ns - rtt_ns;
    // 2.3: beta = 1/4, before SRTT
    c->rttvar_ns = u64_min(c->rttvar_ns - c->rttvar_ns / 4 + diff / 4, UINT32_MAX);
    c->srtt_ns += rtt_ns / 8 - c->srtt_ns / 8; // alpha = 1/8
    c->srtt_ns = u64_max(c->srtt_ns, 1);
}

// RFC 6298, 2.3: RTO <- SRTT + max(G, K*RTTVAR), with Linux's 200 ms in place of G.
uint64_t rtt_rto_ns(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    const struct tcp_config *cfg = &ctx->cfg;
    uint64_t rto = cfg->rto_initial_ns;

    if (c->syn_lost) // 5.7: "the RTO MUST be re-initialized to 3 seconds when data transmission
                     // begins"
        rto = u64_max(rto, 3 * NS_PER_S);
    if (c->srtt_ns)
        rto = c->srtt_ns + u64_max(cfg->rto_min_ns, 4 * (uint64_t)c->rttvar_ns);
    if (c->backoff >= 32 || rto > cfg->rto_max_ns >> c->backoff)
        return cfg->rto_max_ns;
    return rto << c->backoff;
}

uint64_t rtt_from_ts(const struct tcp_conn *c, uint64_t now_ns, uint32_t ts_ecr)
{
    uint32_t age_ms = tcp_ts_now(c, now_ns) - ts_ecr;

    if (!ts_ecr || age_ms > 10 * 60 * 1000)
        return 0;
    return u64_max(age_ms, 1) * NS_PER_MS;
}
