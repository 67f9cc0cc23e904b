// SPDX-License-Identifier: BSD-2-Clause
// RFC 9293, 3.10.7.2: LISTEN STATE; the SYN queue and the accept queue.
#include <errno.h>

#include "base/util.h"
#include "tcp/cookie.h"
#include "tcp/demux.h"
#include "tcp/emit.h"
#include "tcp/fastopen.h"
#include "tcp/input.h"
#include "tcp/isn.h"
#include "tcp/mtu.h"
#include "tcp/receive.h"

#define HANDSHAKES_MIN 16 // even for a listener with a tiny backlog

static void inherit(struct tcp_conn *c, const struct tcp_conn *l)
{
    c->nodelay = l->nodelay;
    c->cork = l->cork;
    c->quickack = l->quickack;
    c->keepalive = l->keepalive;
    c->keep_idle_ms = l->keep_idle_ms;
    c->keep_interval_ms = l->keep_interval_ms;
    c->keep_count = l->keep_count;
    c->user_timeout_ms = l->user_timeout_ms;
    c->mss_user = l->mss_user;
    c->tos = l->tos;
    c->cc = l->cc;
    c->tune_off = l->tune_off;
    c->rcv_limit = l->rcv_limit;
    c->linger2_s = l->linger2_s;
}

struct tcp_conn *input_make_child(struct in *in, uint32_t iss)
{
    const struct segment *seg = in->seg;
    struct tcp_conn *l = in->c, *c = conn_alloc(in->ctx);
    struct tcp_path path = {.mtu = 1500};

    if (!c)
        return NULL;
    c->tuple = (struct tcp_tuple){.local = seg->dst,
                                  .remote = seg->src,
                                  .local_port = seg->dst_port,
                                  .remote_port = seg->src_port};
    inherit(c, l);
    in->ctx->host->path(in->ctx->self, c, &path);
    mtu_set_path(c, &path);
    c->orphan = 1; // nobody's, until the handshake is through
    c->snd_una = c->snd_nxt = c->snd_up = c->snd_short = iss;
    c->tx_seq = iss + 1;
    c->ts_offset = isn_ts_offset(in->ctx, &c->tuple);
    c->rcv_nxt = c->rcv_acked = seg->seq + 1;
    c->rcv_adv = c->rcv_nxt;
    input_syn_options(in->ctx, c, seg, in->now_ns);
    c->snd_wnd = c->snd_wnd_max = seg->window;
    c->snd_wl1 = seg->seq;
    c->listener = conn_index(in->ctx, l);
    c->queued = 1;
    side_list_append(in->ctx, &l->listen.syns, c);
    l->listen.handshakes++;
    demux_add(in->ctx, c);
    tcp_conn_move(in->ctx, c, TCP_SYN_RECEIVED);
    return c;
}

bool input_offer_child(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    struct tcp_conn *l = conn_at(ctx, c->listener);

    if (l->listen.waiting >= l->listen.backlog || ctx->host->accept(ctx->self, l, c) ||
        conn_attach_rings(ctx, c)) {
        c->has_rings = 0;
        tcp_count(ctx, accept_overflows);
        return false;
    }
    c->has_rings = 0; // it still sits in the SYN queue
    conn_leave_listener(ctx, c);
    c->has_rings = c->queued = 1;
    c->orphan = 0;
    side_list_append(ctx, &l->listen.accept, c);
    l->listen.waiting++;
    conn_tell(ctx, l, TCP_EV_ACCEPT);
    return true;
}

// RFC 7413, 4.2.2: a good cookie lets the data in before the handshake is through.
static void take_syn_data(struct in *in, struct tcp_conn *c)
{
    struct in data = *in;

    if (!fastopen_cookie_ok(in->ctx, in->c, in->seg) || !in->seg->len)
        return;
    if (!input_offer_child(in->ctx, c))
        return;
    data.c = c;
    data.seq++;
    c->rcv_adv = c->rcv_nxt + c->rcv_limit;
    if (receive_in_order(&data)) {
        tcp_count(in->ctx, tfo_in);
        c->tfo_data = 1;
    }
    conn_tell(in->ctx, c, in->ctx->events);
    in->ctx->events = 0;
}

// Half-open connections leave a quarter of the pool to those who bring a cookie: else a flood of
// SYNs would keep it full, and nobody could come in.
static bool pool_has_room(const struct tcp_ctx *ctx)
{
    const struct tcp_counters *now = &ctx->arena->counters;
    uint32_t max = ctx->cfg.max_conns;

    // what is in TIME-WAIT gives way by itself
    return !ctx->cfg.syn_cookies || now->conns - now->time_waits < max - max / 4;
}

// "Third, check for a SYN."
static void take_syn(struct in *in)
{
    struct tcp_conn *l = in->c, *c;
    struct tcp_tuple t = {.local = in->seg->dst,
                          .remote = in->seg->src,
                          .local_port = in->seg->dst_port,
                          .remote_port = in->seg->src_port};

    if (l->listen.waiting >= l->listen.backlog) { // the program is behind: the peer tries again
        tcp_count(in->ctx, accept_overflows);
        return;
    }
    c = l->listen.handshakes < u64_max(l->listen.backlog, HANDSHAKES_MIN) && pool_has_room(in->ctx)
            ? input_make_child(in, isn_make(in->ctx, &t, in->now_ns))
            : NULL;
    if (!c) {
        if (in->ctx->cfg.syn_cookies)
            cookie_answer(in);
        return;
    }
    tcp_count(in->ctx, passive_opens);
    c->tfo_ask = l->tfo && in->ctx->cfg.tfo_server && in->seg->opts & SEG_OPT_TFO &&
                 !fastopen_cookie_ok(in->ctx, l, in->seg);
    take_syn_data(in, c);
    conn_ready(in->ctx, c);
}

bool input_listen(struct in *in)
{
    if (in->flags & SEG_RST) // "First, check for a RST: an incoming RST should be ignored."
        return false;
    if (in->flags & SEG_ACK) { // "Second, check for an ACK": it is bad, unless it brings a cookie
        if (!cookie_redeem(in))
            emit_reset_for(in->ctx, in->sink, in->seg);
        return false;
    }
    // a FIN with the SYN asks for nothing that TCP knows; port scanners send it
    if (in->flags & SEG_SYN && !(in->flags & SEG_FIN))
        take_syn(in);
    return false;
}
