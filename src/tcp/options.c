// SPDX-License-Identifier: BSD-2-Clause
// What a program may set, as a table of ranges, and what it may ask.
#include <errno.h>

#include "base/util.h"
#include "tcp/cc.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"
#include "tcp/timers.h"

static const struct {
    uint64_t min, max;
} range[] = {
    [TCP_SET_NODELAY] = {0, 1},
    [TCP_SET_CORK] = {0, 1},
    [TCP_SET_QUICKACK] = {0, 1},
    [TCP_SET_KEEPALIVE] = {0, 1},
    [TCP_SET_KEEP_IDLE_MS] = {1, UINT32_MAX},
    [TCP_SET_KEEP_INTERVAL_MS] = {1, UINT32_MAX},
    [TCP_SET_KEEP_COUNT] = {1, 127},
    [TCP_SET_USER_TIMEOUT_MS] = {0, INT32_MAX},
    [TCP_SET_SYN_RETRIES] = {1, 127},
    [TCP_SET_MSS] = {88, 65495},
    [TCP_SET_CC] = {0, CC_COUNT - 1},
    [TCP_SET_TOS] = {0, 255},
    [TCP_SET_RCV_LIMIT] = {2048, 1 << 30},
    [TCP_SET_MAX_PACING] = {0, UINT64_MAX},
    [TCP_SET_FASTOPEN] = {0, 1},
    [TCP_SET_DEFER_ACCEPT] = {0, INT32_MAX},
    [TCP_SET_LINGER2] = {0, TCP_LINGER2_NONE},
};

#define LINGER2_MAX_S 120

// How long n SYN-ACKs wait for their answers, in seconds: the time-out doubles from one to the
// next.
static uint64_t seconds_of(const struct tcp_config *cfg, uint32_t n)
{
    uint64_t wait_ns = cfg->rto_initial_ns, sum_ns = 0;

    for (; n; n--) {
        sum_ns += wait_ns;
        wait_ns = u64_min(wait_ns * 2, cfg->rto_max_ns);
    }
    return sum_ns / NS_PER_S;
}

// The other way round: how many it takes to wait that long.
static uint8_t tries_in(const struct tcp_config *cfg, uint64_t seconds)
{
    uint8_t n = 0;

    while (n < UINT8_MAX && seconds_of(cfg, n) < seconds)
        n++;
    return n;
}

static void set_keepalive(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c, bool on)
{
    c->keepalive = on;
    if (on)
        timer_start_keepalive(ctx, c, now_ns);
    else if (c->state < TCP_TIME_WAIT && !c->orphan)
        timer_clear(c, TCP_TIMER_LIFE);
}

static int set_cc(struct tcp_conn *c, uint64_t now_ns, uint32_t index)
{
    if (conn_synchronized(c))
        return cc_select(c, index, now_ns);
    c->cc = index;
    return 0;
}

// Options that let something go which was held back.
static void set_holding(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_option opt, bool on)
{
    if (opt == TCP_SET_NODELAY)
        c->nodelay = on;
    else if (opt == TCP_SET_CORK)
        c->cork = on;
    else
        c->quickack = on, c->quick_acks = 0;
    if (opt == TCP_SET_CORK && !on)
        c->force = 1; // what the cork held goes now, Nagle or not (tcp(7))
    if (opt == TCP_SET_QUICKACK && on && c->rcv_nxt != c->rcv_acked && c->state >= TCP_ESTABLISHED)
        c->ack_now = 1;
    if (c->state >= TCP_ESTABLISHED)
        conn_ready(ctx, c);
}

static int set_mss(struct tcp_conn *c, uint32_t mss)
{
    if (c->state > TCP_LISTEN)
        return -EISCONN;
    c->mss_user = mss;
    if (c->pmtu)
        mtu_update_mss(c);
    return 0;
}

int tcp_set(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c, enum tcp_option opt,
            uint64_t value)
{
    if (opt >= ARRAY_LEN(range))
        return -ENOPROTOOPT;
    if (value < range[opt].min || value > range[opt].max)
        return -EINVAL;
    switch (opt) {
    case TCP_SET_NODELAY:
    case TCP_SET_CORK:
    case TCP_SET_QUICKACK:
        set_holding(ctx, c, opt, value);
        return 0;
    case TCP_SET_KEEPALIVE:
        set_keepalive(ctx, now_ns, c, value);
        return 0;
    case TCP_SET_KEEP_IDLE_MS:
        c->keep_idle_ms = value;
        timer_start_keepalive(ctx, c, now_ns);
        return 0;
    case TCP_SET_KEEP_INTERVAL_MS:
        c->keep_interval_ms = value;
        return 0;
    case TCP_SET_KEEP_COUNT:
        c->keep_count = value;
        return 0;
    case TCP_SET_USER_TIMEOUT_MS:
        c->user_timeout_ms = value;
        return 0;
    case TCP_SET_SYN_RETRIES:
        c->syn_retries = value;
        return 0;
    case TCP_SET_MSS:
        return set_mss(c, value);
    case TCP_SET_CC:
        return set_cc(c, now_ns, value);
    case TCP_SET_TOS:
        c->tos = value;
        return 0;
    case TCP_SET_RCV_LIMIT:
        c->rcv_limit = value;
        c->tune_off = 1;
        return 0;
    case TCP_SET_MAX_PACING:
        c->pacing_max = value < UINT32_MAX ? value : 0; // 4.3 GB/s: as good as none
        return 0;
    case TCP_SET_FASTOPEN:
        c->tfo = value;
        return 0;
    case TCP_SET_DEFER_ACCEPT:
        if (c->state == TCP_LISTEN)
            c->listen.defer = tries_in(&ctx->cfg, value);
        return 0;
    case TCP_SET_LINGER2:
        c->linger2_s = value == TCP_LINGER2_NONE ? value : u64_min(value, LINGER2_MAX_S);
        return 0;
    }
    return -ENOPROTOOPT;
}

static uint64_t get_mss(const struct tcp_conn *c)
{
    if (c->state > TCP_LISTEN)
        return c->mss;
    return c->mss_user ? c->mss_user : 536;
}

// Bits and numbers as they were set.
static uint64_t get_stored(const struct tcp_conn *c, enum tcp_option opt)
{
    switch (opt) {
    case TCP_SET_NODELAY:
        return c->nodelay;
    case TCP_SET_CORK:
        return c->cork;
    case TCP_SET_KEEPALIVE:
        return c->keepalive;
    case TCP_SET_KEEP_IDLE_MS:
        return c->keep_idle_ms;
    case TCP_SET_KEEP_INTERVAL_MS:
        return c->keep_interval_ms;
    case TCP_SET_KEEP_COUNT:
        return c->keep_count;
    case TCP_SET_USER_TIMEOUT_MS:
        return c->user_timeout_ms;
    case TCP_SET_SYN_RETRIES:
        return c->syn_retries;
    case TCP_SET_CC:
        return c->cc;
    case TCP_SET_TOS:
        return c->tos;
    case TCP_SET_RCV_LIMIT:
        return c->rcv_limit;
    case TCP_SET_MAX_PACING:
        return c->pacing_max;
    default: // TCP_SET_FASTOPEN
        return c->tfo;
    }
}

int tcp_get(const struct tcp_ctx *ctx, const struct tcp_conn *c, enum tcp_option opt,
            uint64_t *value)
{
    const struct tcp_config *cfg = &ctx->cfg;

    if (opt >= ARRAY_LEN(range))
        return -ENOPROTOOPT;
    switch (opt) {
    case TCP_SET_QUICKACK:
        *value = c->quickack || c->quick_acks;
        break;
    case TCP_SET_MSS:
        *value = get_mss(c);
        break;
    case TCP_SET_DEFER_ACCEPT:
        *value = c->state == TCP_LISTEN ? seconds_of(cfg, c->listen.defer) : 0;
        break;
    case TCP_SET_LINGER2:
        *value = c->linger2_s ? c->linger2_s : cfg->fin_timeout_ns / NS_PER_S;
        break;
    default:
        *value = get_stored(c, opt);
    }
    return 0;
}
