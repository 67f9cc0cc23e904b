// SPDX-License-Identifier: BSD-2-Clause
// What a program may set, as a table of types and ranges.
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
    [TCP_SET_DEFER_ACCEPT] = {0, 1},
};

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
    if (c->state != TCP_LISTEN && c->state >= TCP_ESTABLISHED)
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
        c->pacing_rate = value;
        return 0;
    case TCP_SET_FASTOPEN:
        c->tfo = value;
        return 0;
    case TCP_SET_DEFER_ACCEPT:
        c->defer = value;
        return 0;
    }
    return -ENOPROTOOPT;
}
