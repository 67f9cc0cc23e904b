// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/mtu.h"

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/machine.h"

#define MIN_MTU_V4       552  // as Linux: RFC 1191 knows no smaller plateau that still exists
#define MIN_MTU_V6       1280 // RFC 8200, 5
#define SEARCH_BASE_MSS  1024 // RFC 4821, 7.2
#define RAISE_INTERVAL_S 600  // RFC 1191, 6.3
#define MIN_MSS          48
#define BLACK_HOLE_RTOS  2

static uint32_t header_bytes(const struct tcp_conn *c)
{
    return ip_addr_is_v4(&c->tuple.remote) ? 40 : 60;
}

static uint32_t min_mtu(const struct tcp_conn *c)
{
    return ip_addr_is_v4(&c->tuple.remote) ? MIN_MTU_V4 : MIN_MTU_V6;
}

// RFC 9293, MUST-15: without an MSS option the peer takes 536 bytes, or 1,220 with IPv6.
static uint32_t default_mss(const struct tcp_conn *c)
{
    return ip_addr_is_v4(&c->tuple.remote) ? 536 : 1220;
}

void mtu_set_path(struct tcp_conn *c, const struct tcp_path *path)
{
    c->pmtu = c->mtu_high = u64_max(path->mtu, min_mtu(c));
    c->super_cap = u64_min(path->super_max, UINT16_MAX);
    mtu_update_mss(c);
}

// RFC 9293, MUST-16: Eff.snd.MSS = min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize.
void mtu_update_mss(struct tcp_conn *c)
{
    uint32_t mss = u64_min(c->mss_peer ? c->mss_peer : default_mss(c), c->pmtu - header_bytes(c));

    if (c->mss_user)
        mss = u64_min(mss, c->mss_user);
    // a peer that announces next to nothing gets Linux's least (TCP_MIN_SND_MSS)
    c->mss = mss > MIN_MSS + emit_option_bytes(c) ? mss - emit_option_bytes(c) : MIN_MSS;
    c->super_max = u64_max(c->super_cap - c->super_cap % nonzero(c->mss), c->mss);
}

uint16_t mtu_announced_mss(const struct tcp_conn *c)
{
    uint32_t mss = c->mtu_high - header_bytes(c);

    return c->mss_user ? u64_min(mss, c->mss_user) : mss;
}

void mtu_start_search(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint32_t peer_mtu = (c->mss_peer ? c->mss_peer : default_mss(c)) + header_bytes(c);

    c->mtu_high = u64_min(c->mtu_high, peer_mtu);
    c->mtu_low = u64_min(SEARCH_BASE_MSS + header_bytes(c), c->mtu_high);
    c->mtu_next_s = now_ns / NS_PER_S + RAISE_INTERVAL_S;
}

static uint32_t payload_of(const struct tcp_conn *c, uint32_t mtu)
{
    return mtu - header_bytes(c) - emit_option_bytes(c);
}

static bool probe_is_due(const struct out *o)
{
    const struct tcp_conn *c = o->c;

    if (!o->ctx->cfg.mtu_probing || c->mtu_probe || c->ca_state != TCP_CA_OPEN)
        return false;
    if (!mtu_search_is_open(c))
        return false;
    return (int16_t)((uint16_t)(o->now_ns / NS_PER_S) - c->mtu_next_s) >= 0;
}

// RFC 4821, 7.4: enough data behind the probe that its loss shows by SACK. Where the windows would
// let all of that go, but are in use now, new data is held until they are free: ACKs are on their
// way.
int mtu_probe(struct out *o)
{
    struct tcp_conn *c = o->c;
    uint32_t mtu, len, need, sent = 0, pipe = conn_pipe(c);
    int err;

    if (!probe_is_due(o))
        return 0;
    mtu = (c->pmtu + c->mtu_high + 1) / 2;
    len = payload_of(c, mtu);
    need = len + 4u * c->mss;
    if (len > o->unsent || o->unsent < need || c->cwnd < need || c->snd_wnd < need)
        return 0;
    if (pipe + need > c->cwnd || c->snd_nxt - c->snd_una + need > c->snd_wnd) {
        o->hold = pipe > 0;
        return 0;
    }
    err = output_new_segment(o, len, SPAN_PROBE, &sent);
    if (sent) {
        c->mtu_probe = mtu;
        tcp_count(o->ctx, mtu_probes);
    }
    return err;
}

void mtu_probe_acked(struct tcp_conn *c)
{
    if (!c->mtu_probe)
        return;
    c->pmtu = c->mtu_low = c->mtu_probe;
    c->mtu_probe = 0;
    mtu_update_mss(c);
}

void mtu_probe_lost(struct tcp_conn *c, uint64_t now_ns)
{
    if (!c->mtu_probe)
        return;
    c->mtu_high = c->mtu_probe - 1;
    c->mtu_probe = 0;
    c->mtu_next_s = now_ns / NS_PER_S + 1;
}

// RFC 4821, 7.7: "full-stop timeout": fall back to a size that passes everywhere, then search
// upwards.
void mtu_on_timeout(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (!ctx->cfg.mtu_probing || c->state < TCP_ESTABLISHED || c->retries < BLACK_HOLE_RTOS)
        return;
    if (c->pmtu > c->mtu_low && c->mtu_low)
        c->pmtu = c->mtu_low;
    else if (c->retries % 2 == 0)
        c->pmtu = u64_max(c->pmtu / 2, min_mtu(c));
    c->mtu_probe = 0;
    c->mtu_next_s = now_ns / NS_PER_S + 60;
    mtu_update_mss(c);
}

// RFC 5927, 7.1: the size must be smaller than what we send, and not absurd.
bool mtu_too_big(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns, uint16_t mtu)
{
    uint32_t floor = u64_max(mtu, min_mtu(c));

    if (floor >= c->pmtu)
        return false;
    tcp_count(ctx, mtu_reductions);
    c->pmtu = floor;
    c->mtu_low = u64_min(c->mtu_low, c->pmtu);
    c->mtu_probe = 0;
    c->mtu_next_s = now_ns / NS_PER_S + RAISE_INTERVAL_S;
    mtu_update_mss(c);
    // RFC 1191, 6.5: send again at once what was too big; it is no congestion, the window stays
    if (c->state >= TCP_ESTABLISHED) {
        scoreboard_mark_all(ctx, c);
        recovery_simple_retransmit(ctx, c);
    }
    return true;
}

void tcp_path_changed(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c,
                      const struct tcp_path *path)
{
    uint32_t mtu = u64_max(path->mtu, min_mtu(c));

    c->super_cap = u64_min(path->super_max, UINT16_MAX);
    c->mtu_high = c->mss_peer ? u64_min(mtu, c->mss_peer + header_bytes(c)) : mtu;
    if (mtu < c->pmtu) {
        mtu_too_big(ctx, c, now_ns, mtu);
        return;
    }
    if (mtu > c->pmtu) { // what routers or probes had found was of the old path
        c->pmtu = mtu;
        c->mtu_probe = 0;
    }
    mtu_update_mss(c);
}
