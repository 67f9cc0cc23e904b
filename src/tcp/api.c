// SPDX-License-Identifier: BSD-2-Clause
// The calls of the program: OPEN, SEND, RECEIVE, CLOSE, ABORT (RFC 9293, 3.10.1 to 3.10.5).
#include "tcp/tcp.h"

#include <errno.h>

#include "base/util.h"
#include "tcp/demux.h"
#include "tcp/isn.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"
#include "tcp/receive.h"
#include "tcp/timers.h"

// RFC 9293, MUST-57: no connection to a group or to nobody.
static bool tuple_is_sane(const struct tcp_tuple *t)
{
    return t->remote_port && !ip_addr_is_any(&t->remote) && !ip_addr_is_any(&t->local) &&
           !ip_addr_is_group(&t->remote) && !ip_addr_is_group(&t->local) &&
           ip_addr_is_v4(&t->remote) == ip_addr_is_v4(&t->local);
}

// The tuple with a port of its own. A TIME-WAIT of the same tuple gives way: RFC 6191 covers it,
// because our sequence numbers and timestamps only grow.
static int settle_tuple(struct tcp_ctx *ctx, struct tcp_tuple *t)
{
    struct tcp_conn *old;

    if (!tuple_is_sane(t))
        return -EINVAL;
    if (!t->local_port)
        return demux_pick_port(ctx, t, &t->local_port);
    old = demux_find(ctx, t);
    if (!old)
        return 0;
    if (old->state != TCP_TIME_WAIT || !old->orphan || !old->ts_ok)
        return -EADDRINUSE;
    tcp_count(ctx, time_wait_reused);
    conn_end(ctx, old, 0);
    return 0;
}

int tcp_create(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t,
               const struct tcp_path *path, uint64_t user, struct tcp_conn **out)
{
    struct tcp_tuple tuple = *t;
    struct tcp_conn *c;
    int err = settle_tuple(ctx, &tuple);

    if (err)
        return err;
    c = conn_alloc(ctx);
    if (!c)
        return -ENOBUFS;
    c->tuple = tuple;
    c->user = user;
    c->active = 1;
    mtu_set_path(c, path);
    err = conn_attach_rings(ctx, c);
    if (err) {
        conn_free(ctx, c);
        return err;
    }
    demux_add(ctx, c);
    *out = c;
    return 0;
}

int tcp_connect(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &ctx->cfg;

    if (c->state != TCP_CLOSED || !c->in_table)
        return -EISCONN;
    c->snd_una = c->snd_nxt = c->snd_up = c->snd_short = isn_make(ctx, &c->tuple, now_ns);
    c->tx_seq = c->snd_una + 1;
    c->ts_offset = isn_ts_offset(ctx, &c->tuple);
    c->ts_ok = cfg->timestamps;
    c->sack_ok = cfg->sack;
    c->wscale_ok = cfg->window_scaling;
    c->rcv_wscale = c->wscale_ok ? tcp_rcv_wscale(cfg) : 0;
    c->cwnd = c->mss;
    c->last_rx_ms = c->last_tx_ms = c->stall_ms = now_ns / NS_PER_MS;
    tcp_conn_move(ctx, c, TCP_SYN_SENT);
    tcp_count(ctx, active_opens);
    // the SYN may find no room in the sink: the timer runs from here
    timer_start_rto(ctx, c, now_ns);
    conn_ready(ctx, c);
    return 0;
}

int tcp_open(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t,
             const struct tcp_path *path, uint64_t user, struct tcp_conn **out)
{
    int err = tcp_create(ctx, now_ns, t, path, user, out);

    return err ? err : tcp_connect(ctx, now_ns, *out);
}

int tcp_listen(struct tcp_ctx *ctx, uint64_t now_ns, const struct ip_addr *local,
               uint16_t local_port, uint32_t backlog, uint64_t user, struct tcp_conn **out)
{
    struct tcp_tuple t = {.local = *local, .local_port = local_port};
    struct tcp_conn *c;

    if (!local_port)
        return -EINVAL;
    if (demux_find(ctx, &t))
        return -EADDRINUSE;
    c = conn_alloc(ctx);
    if (!c)
        return -ENOBUFS;
    c->tuple = t;
    c->user = user;
    c->listen.backlog = u64_max(backlog, 1);
    c->listen.accept = c->listen.syns = (struct tcp_link){TCP_NONE, TCP_NONE};
    demux_add(ctx, c);
    tcp_conn_move(ctx, c, TCP_LISTEN);
    *out = c;
    return 0;
}

struct tcp_conn *tcp_accept(struct tcp_ctx *ctx, struct tcp_conn *listener)
{
    uint32_t i = listener->state == TCP_LISTEN ? listener->listen.accept.next : TCP_NONE;

    if (i == TCP_NONE)
        return NULL;
    conn_leave_listener(ctx, conn_at(ctx, i));
    return conn_at(ctx, i);
}

void tcp_tx_notify(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    c->more = 0;
    if (conn_can_send(c) && !c->fin_sent)
        conn_ready(ctx, c);
}

void tcp_tx_more(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    tcp_tx_notify(ctx, now_ns, c);
    c->more = 1;
}

uint32_t tcp_unsent(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    struct ring tx;

    if (!c->has_rings || c->fin_sent || ctx->host->ring(ctx->self, c, TCP_TX, &tx))
        return 0;
    return ring_ready(&tx, c->tx_pos + (c->snd_nxt - c->tx_seq));
}

void tcp_rx_notify(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    receive_window_opened(ctx, c);
}

static void queue_fin(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    c->fin_queued = 1;
    conn_ready(ctx, c);
}

int tcp_shutdown_tx(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    if (c->fin_queued)
        return 0;
    switch (c->state) {
    case TCP_SYN_SENT: // "Queue the request until the connection is established."
    case TCP_SYN_RECEIVED:
        break;
    case TCP_ESTABLISHED:
        tcp_conn_move(ctx, c, TCP_FIN_WAIT_1);
        break;
    case TCP_CLOSE_WAIT:
        tcp_conn_move(ctx, c, TCP_LAST_ACK);
        break;
    default:
        return -ENOTCONN;
    }
    queue_fin(ctx, c);
    return 0;
}

void tcp_shutdown_rx(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    c->rx_shut = 1;
}

static bool has_unread(struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    struct ring rx;

    if (!c->has_rings || ctx->host->ring(ctx->self, c, TCP_RX, &rx))
        return false;
    return ring_space(&rx, c->rx_pos) < ring_size(&rx);
}

// The host has let go of what is over already.
static void let_go(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    c->orphan = 1;
    conn_release_rings(ctx, c);
    if (!c->rst_now)
        conn_free(ctx, c);
}

static void abort_stream(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    switch (c->state) {
    case TCP_CLOSED:
        let_go(ctx, c);
        return;
    case TCP_SYN_RECEIVED:
    case TCP_ESTABLISHED:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
    case TCP_CLOSE_WAIT: // 3.10.5: "send a reset segment <SEQ=SND.NXT><CTL=RST>"
        c->rst_now = 1;
        break;
    default: // "Delete the TCB."
        break;
    }
    c->orphan = 1;
    conn_end(ctx, c, 0);
}

// RFC 9293, 3.10.4 for LISTEN: "Any outstanding RECEIVEs are returned with error; delete TCB": and
// those who came through it with nobody to take them.
static void close_listener(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t left = 2 * ctx->cfg.max_conns;
    struct tcp_conn *child;

    for (; c->listen.syns.next != TCP_NONE && left; left--)
        conn_free(ctx, conn_at(ctx, c->listen.syns.next));
    for (; left && (child = tcp_accept(ctx, c)) != NULL; left--)
        abort_stream(ctx, child);
    conn_free(ctx, c);
}

void tcp_abort(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    if (c->state == TCP_LISTEN)
        close_listener(ctx, c);
    else
        abort_stream(ctx, c);
}

void tcp_close(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c)
{
    if (c->state <= TCP_SYN_SENT || has_unread(ctx, c)) {
        tcp_abort(ctx, now_ns, c);
        return;
    }
    c->orphan = 1;
    timer_clear(c, TCP_TIMER_LIFE);
    if (c->state == TCP_FIN_WAIT_2) {
        conn_linger2(ctx, c, now_ns);
        return;
    }
    if (c->state == TCP_TIME_WAIT) {
        conn_time_wait(ctx, c, now_ns);
        return;
    }
    tcp_shutdown_tx(ctx, now_ns, c);
}

void tcp_send_urgent(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_conn *c, uint32_t ahead)
{
    struct ring tx;

    if (!c->has_rings || c->fin_queued || ctx->host->ring(ctx->self, c, TCP_TX, &tx))
        return;
    c->snd_up = c->tx_seq + (uint32_t)ring_ready(&tx, c->tx_pos) + ahead;
    c->urgent_out = 1;
    conn_ready(ctx, c);
}

int tcp_urgent_pos(const struct tcp_conn *c, uint64_t *pos)
{
    if (!c->urgent_in)
        return -ENOENT;
    *pos = c->rx_pos + (int32_t)(c->rcv_up - c->rcv_nxt + c->fin_received);
    return 0;
}
