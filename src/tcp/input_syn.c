// SPDX-License-Identifier: BSD-2-Clause
// RFC 9293, 3.10.7.3: SYN-SENT STATE; and what every handshake agrees upon.
#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/cc.h"
#include "tcp/emit.h"
#include "tcp/fastopen.h"
#include "tcp/input.h"
#include "tcp/mtu.h"
#include "tcp/timers.h"

#define QUICK_ACKS 16 // at the start the sender's window grows with every ACK

void input_syn_options(struct tcp_ctx *ctx, struct tcp_conn *c, const struct segment *seg,
                       uint64_t now_ns)
{
    const struct tcp_config *cfg = &ctx->cfg;
    bool asked = (seg->flags & (SEG_ECE | SEG_CWR)) == (SEG_ECE | SEG_CWR);

    c->mss_peer = seg->opts & SEG_OPT_MSS && seg->mss ? seg->mss : 0;
    c->wscale_ok = cfg->window_scaling && seg->opts & SEG_OPT_WSCALE;
    c->snd_wscale = c->wscale_ok ? u64_min(seg->wscale, 14) : 0;
    c->rcv_wscale = c->wscale_ok ? tcp_rcv_wscale(cfg) : 0;
    c->sack_ok = cfg->sack && seg->opts & SEG_OPT_SACK_OK;
    c->ts_ok = cfg->timestamps && seg->opts & SEG_OPT_TS;
    if (c->ts_ok) {
        c->ts_recent = seg->ts_val;
        c->ts_recent_s = now_ns / NS_PER_S;
    }
    // RFC 3168, 6.1.1: the answer to a SYN with both flags has ECE alone
    if (seg->flags & SEG_ACK)
        c->ecn_ok = cfg->ecn == TCP_ECN_ON && !c->syn_lost && !c->retries &&
                    (seg->flags & (SEG_ECE | SEG_CWR)) == SEG_ECE;
    else
        c->ecn_ok = cfg->ecn != TCP_ECN_OFF && asked;
    mtu_update_mss(c);
}

void input_established(struct in *in)
{
    struct tcp_conn *c = in->c;

    tcp_conn_move(in->ctx, c, TCP_ESTABLISHED);
    c->syn_lost = c->retries > 0;
    c->retries = c->backoff = c->probes = 0;
    c->ca_state = TCP_CA_OPEN;
    // RFC 6928, 2: after a lost SYN, one segment
    c->cwnd = c->syn_lost ? c->mss : cc_initial_window(in->ctx, c);
    c->ssthresh = UINT32_MAX;
    cc_select(c, c->cc, in->now_ns);
    c->rack_fack = c->snd_una;
    c->mss_rcv = c->mss;
    c->snd_wnd = (uint32_t)in->seg->window
                 << (in->seg->flags & SEG_SYN || !c->wscale_ok ? 0 : c->snd_wscale);
    c->snd_wnd_max = u64_max(c->snd_wnd_max, c->snd_wnd);
    c->snd_wl1 = in->seg->seq;
    c->snd_wl2 = in->seg->ack;
    c->quick_acks = QUICK_ACKS;
    c->tune_us = in->now_ns / NS_PER_US;
    c->tune_seq = c->rcv_nxt;
    mtu_start_search(in->ctx, c, in->now_ns);
    timer_start_keepalive(in->ctx, c, in->now_ns);
    conn_ready(in->ctx, c);
    if (c->active)
        in->ctx->events |= TCP_EV_CONNECTED;
    if (c->fin_queued)
        tcp_conn_move(in->ctx, c, TCP_FIN_WAIT_1);
}

// Fast Open: what of the SYN's data the SYN-ACK does not cover was not taken; it goes again now.
static void resend_syn_data(struct in *in)
{
    struct tcp_conn *c = in->c;

    if (!c->tfo_data || in->seg->ack == c->snd_nxt)
        return;
    c->tfo_data = 0;
    scoreboard_mark_all(in->ctx, c);
    recovery_simple_retransmit(in->ctx, c);
}

static void take_syn_ack(struct in *in)
{
    struct tcp_conn *c = in->c;

    fastopen_learn(in->ctx, c, in->seg);
    input_established(in);
    conn_ack_now(in->ctx, c);
    // the SYN is done with; the rest of the segment is as in ESTABLISHED
    in->seq++;
    in->flags &= ~(SEG_SYN | SEG_ECE | SEG_CWR);
    if (!input_ack(in))
        return;
    resend_syn_data(in);
    if (input_data(in))
        input_fin(in);
}

// "If the SYN bit is on and the ACK bit is off: a simultaneous open."
static void take_bare_syn(struct in *in)
{
    struct tcp_conn *c = in->c;

    tcp_conn_move(in->ctx, c, TCP_SYN_RECEIVED);
    c->snd_wnd = c->snd_wnd_max = in->seg->window;
    c->snd_wl1 = in->seg->seq;
    if (c->span_first != TCP_NONE)
        span_mark_lost(c, span_at(in->ctx, c->span_first));
    conn_ready(in->ctx, c);
}

bool input_syn_sent(struct in *in)
{
    struct tcp_conn *c = in->c;
    bool acked = in->flags & SEG_ACK;

    // first: "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set)"
    if (acked && (seq_le(in->seg->ack, c->snd_una) || seq_lt(c->snd_nxt, in->seg->ack))) {
        emit_reset_for(in->ctx, in->sink, in->seg);
        return false;
    }
    if (in->flags & SEG_RST) { // second: "if the ACK was acceptable: connection reset"
        tcp_count(in->ctx, resets);
        if (acked)
            conn_end(in->ctx, c, -ECONNREFUSED);
        return false;
    }
    if (!(in->flags & SEG_SYN)) // fifth: "if neither of the SYN or RST bits is set, drop"
        return false;
    c->rcv_nxt = c->rcv_acked = in->seq + 1; // fourth
    c->rcv_adv = c->rcv_nxt + u64_min(c->rcv_limit, UINT16_MAX);
    input_syn_options(in->ctx, c, in->seg, in->now_ns);
    if (acked)
        take_syn_ack(in);
    else
        take_bare_syn(in);
    return false;
}
