// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/snapshot.h"

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/cc.h"

static uint64_t since_ns(uint64_t now_ns, uint32_t then_ms)
{
    return (uint32_t)((uint32_t)(now_ns / NS_PER_MS) - then_ms) * NS_PER_MS;
}

static void take_agreement(const struct tcp_conn *c, struct tcp_snapshot *out)
{
    out->ts_ok = c->ts_ok;
    out->sack_ok = c->sack_ok;
    out->wscale_ok = c->wscale_ok;
    out->ecn_ok = c->ecn_ok;
    out->snd_wscale = c->snd_wscale;
    out->rcv_wscale = c->rcv_wscale;
    out->syn_data = c->tfo_data && c->state >= TCP_ESTABLISHED;
    out->mss = c->mss;
    out->mss_received = c->mss_rcv;
    out->pmtu = c->pmtu;
}

static void take_times(const struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_conn *c,
                       struct tcp_snapshot *out)
{
    out->rto_ns = rtt_rto_ns(ctx, c);
    out->delack_ns = ctx->cfg.delack_ns;
    out->rtt_ns = c->srtt_ns;
    out->rttvar_ns = c->rttvar_ns;
    out->min_rtt_ns = c->min_rtt_ns == UINT32_MAX ? 0 : c->min_rtt_ns;
    out->idle_tx_ns = since_ns(now_ns, c->last_tx_ms);
    out->idle_rx_ns = since_ns(now_ns, c->last_rx_ms);
}

static void take_streams(const struct tcp_ctx *ctx, const struct tcp_conn *c,
                         struct tcp_snapshot *out)
{
    out->snd_wnd = c->snd_wnd;
    out->rcv_wnd = seq_lt(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0;
    out->rcv_limit = c->rcv_limit;
    out->unacked = c->snd_nxt - c->snd_una;
    out->sacked = c->sacked;
    out->lost = c->lost;
    out->retrans = c->retrans;
    out->unsent = tcp_unsent(ctx, c);
    out->segs_retrans = c->segs_retrans;
    out->bytes_acked = c->tx_pos;
    out->bytes_received = c->rx_pos;
    out->fin_received = c->fin_received;
    out->fin_acked = c->fin_sent && c->snd_una == c->snd_nxt;
}

static void take_congestion(const struct tcp_conn *c, struct tcp_snapshot *out)
{
    out->ca_state = c->ca_state;
    out->cwnd = c->cwnd;
    out->ssthresh = c->ssthresh;
    out->pacing_rate = c->pacing_rate;
    out->app_limited = c->app_limited != 0;
    out->bw =
        c->state >= TCP_ESTABLISHED && c->cc == CC_BBR ? u64_max(c->bbr.bw[0], c->bbr.bw[1]) : 0;
}

void tcp_snapshot(const struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_conn *c,
                  struct tcp_snapshot *out)
{
    *out = (struct tcp_snapshot){
        .state = c->state < TCP_STATES ? c->state : TCP_CLOSED,
        .cc = c->cc,
        .retries = c->retries,
        .probes = c->probes,
        .backoff = c->backoff,
        .error = c->error,
        .soft_error = -(int)c->soft_error,
    };
    if (c->state == TCP_LISTEN) {
        out->backlog = c->listen.backlog;
        out->waiting = c->listen.waiting;
        return;
    }
    take_agreement(c, out);
    take_times(ctx, now_ns, c, out);
    take_streams(ctx, c, out);
    take_congestion(c, out);
}
