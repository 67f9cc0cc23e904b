// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/cc.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

const struct tcp_cc *const cc_table[CC_COUNT] = {
    [CC_CUBIC] = &cc_cubic,
    [CC_NEWRENO] = &cc_newreno,
    [CC_BBR] = &cc_bbr,
};

int tcp_cc_named(const char *name)
{
    for (int i = 0; i < CC_COUNT; i++)
        if (!strcmp(cc_table[i]->name, name))
            return i;
    return -ENOENT;
}

const char *tcp_cc_name(uint32_t index)
{
    return index < CC_COUNT ? cc_table[index]->name : NULL;
}

int cc_select(struct tcp_conn *c, uint32_t index, uint64_t now_ns)
{
    if (index >= CC_COUNT)
        return -EINVAL;
    c->cc = index;
    c->pacing_rate = 0;
    cc_table[index]->init(c, now_ns);
    return 0;
}

// RFC 6928, 2: min (10*MSS, max (2*MSS, 14600)), with the count configurable.
uint32_t cc_initial_window(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    uint32_t segments = ctx->cfg.initial_window;

    return u64_min(segments * c->mss, u64_max(2u * c->mss, segments * 1460));
}

uint32_t cc_slow_start(struct tcp_conn *c, const struct tcp_ack *ack)
{
    uint32_t acked = ack->delivered, limit = 8u * c->mss, grown; // RFC 9406, 4.2: L = 8, not paced

    hystart_ack(c, ack);
    if (c->cwnd >= c->ssthresh)
        return acked;
    grown = u64_min(acked, c->pacing_rate ? acked : u64_max(limit, acked / 2));
    if (c->hystart.css)
        grown /= 4; // CSS_GROWTH_DIVISOR
    if (c->cwnd + grown <= c->ssthresh) {
        c->cwnd += grown;
        return 0;
    }
    grown = c->ssthresh - c->cwnd;
    c->cwnd = c->ssthresh;
    return acked - u64_min(grown, acked);
}

void cc_pace_by_window(const struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint64_t srtt_ns = c->srtt_ns, rate;

    if (!ctx->cfg.pacing || cc_of(c)->model || !srtt_ns)
        return;
    rate = (uint64_t)c->cwnd * NS_PER_S / srtt_ns;
    c->pacing_rate = c->cwnd < c->ssthresh / 2 ? rate * 2 : rate * 6 / 5;
}
