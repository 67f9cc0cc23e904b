// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/machine.h"

#include "base/util.h"
#include "tcp/demux.h"
#include "tcp/span.h"
#include "tcp/timers.h"

#define TO(state) (1u << TCP_##state)

// RFC 9293, figure 5, with its text: "any state -> CLOSED" by RST, abort or time-out.
static const uint16_t legal[TCP_STATES] = {
    [TCP_CLOSED] = TO(LISTEN) | TO(SYN_SENT) | TO(SYN_RECEIVED),
    [TCP_LISTEN] = TO(CLOSED),
    [TCP_SYN_SENT] = TO(SYN_RECEIVED) | TO(ESTABLISHED) | TO(CLOSED),
    [TCP_SYN_RECEIVED] = TO(ESTABLISHED) | TO(CLOSED),
    [TCP_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
    [TCP_FIN_WAIT_1] = TO(FIN_WAIT_2) | TO(CLOSING) | TO(TIME_WAIT) | TO(CLOSED),
    [TCP_FIN_WAIT_2] = TO(TIME_WAIT) | TO(CLOSED),
    [TCP_CLOSE_WAIT] = TO(LAST_ACK) | TO(CLOSED),
    [TCP_CLOSING] = TO(TIME_WAIT) | TO(CLOSED),
    [TCP_LAST_ACK] = TO(CLOSED),
    [TCP_TIME_WAIT] = TO(CLOSED),
};

void tcp_conn_move(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_state to)
{
    enum tcp_state from = value_once(c->state);

    // our own code never makes an illegal move; from memory that others write any may come
    if (from >= TCP_STATES || !(legal[from] & 1u << to)) {
        ctx->illegal_moves++;
        from = TCP_CLOSED;
    }
    if (from == TCP_TIME_WAIT) {
        side_list_remove(ctx, &ctx->arena->time_wait, c);
        ctx->arena->counters.time_waits--;
    }
    c->state = to;
    if (to == TCP_TIME_WAIT) {
        side_list_append(ctx, &ctx->arena->time_wait, c);
        ctx->arena->counters.time_waits++;
    }
    ctx->arena->counters.moves[to]++;
    if (ctx->host->moved)
        ctx->host->moved(ctx->self, c, from, to);
}

static void pool_give(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    c->side.next = ctx->arena->conn_free;
    ctx->arena->conn_free = conn_index(ctx, c);
}

static uint32_t pool_take(struct tcp_ctx *ctx)
{
    struct tcp_arena *a = ctx->arena;
    uint32_t i = a->conn_free;

    if (i < ctx->cfg.max_conns)
        a->conn_free = conn_at(ctx, i)->side.next;
    else if ((i = a->conn_fresh) < ctx->cfg.max_conns)
        a->conn_fresh = i + 1;
    else
        i = TCP_NONE;
    return i;
}

// The oldest TIME-WAIT gives way: it has done most of its waiting (RFC 9293 demands 2 MSL, but
// refusing a live connection for a dead one would be the worse fault; it is counted).
static bool recycle_time_wait(struct tcp_ctx *ctx)
{
    uint32_t i = ctx->arena->time_wait.next;

    if (i == TCP_NONE || !conn_at(ctx, i)->orphan)
        return false;
    tcp_count(ctx, time_wait_recycled);
    conn_end(ctx, conn_at(ctx, i), 0);
    return true;
}

static void set_defaults(const struct tcp_config *cfg, struct tcp_conn *c)
{
    c->hash_next = c->listener = TCP_NONE;
    c->span_first = c->span_last = c->span_hint = c->ooo_first = TCP_NONE;
    c->side.next = c->side.prev = c->ready_next = TCP_NONE;
    for (int t = 0; t < TCP_TIMERS; t++)
        c->timer_ns[t] = CLOCK_NEVER;
    wheel_node_init(&c->wheel);
    c->cc = cfg->cc;
    c->min_rtt_ns = UINT32_MAX;
    c->rcv_limit = cfg->rcv_initial;
    c->keep_idle_ms = cfg->keep_idle_ms;
    c->keep_interval_ms = cfg->keep_interval_ms;
    c->keep_count = cfg->keep_count;
    c->syn_retries = cfg->syn_retries;
    c->tune_off = !cfg->autotune;
    c->rack_mult = 1;
    c->undo_bytes = UINT32_MAX;
    c->ssthresh = UINT32_MAX;
}

struct tcp_conn *conn_alloc(struct tcp_ctx *ctx)
{
    uint32_t i = pool_take(ctx);
    struct tcp_conn *c;

    if (i == TCP_NONE && recycle_time_wait(ctx))
        i = pool_take(ctx);
    if (i == TCP_NONE)
        return NULL;
    c = conn_at(ctx, i);
    *c = (struct tcp_conn){0};
    c->in_use = 1;
    set_defaults(&ctx->cfg, c);
    ctx->arena->counters.conns++;
    return c;
}

void conn_leave_listener(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    struct tcp_conn *l;

    if (!c->queued)
        return;
    l = conn_at(ctx, c->listener);
    if (c->has_rings) {
        side_list_remove(ctx, &l->listen.accept, c);
        l->listen.waiting--;
    } else {
        side_list_remove(ctx, &l->listen.syns, c);
        l->listen.handshakes--;
    }
    c->queued = 0;
}

void conn_free(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    if (c->state != TCP_CLOSED)
        tcp_conn_move(ctx, c, TCP_CLOSED);
    conn_leave_listener(ctx, c);
    demux_remove(ctx, c);
    span_clear(ctx, c);
    timer_clear_all(ctx, c);
    if (ctx->last == c)
        ctx->last = NULL;
    c->in_use = 0;
    if (!c->ready) // else the list leads to it still, and conn_next_ready() gives it back
        pool_give(ctx, c);
    ctx->arena->counters.conns--;
}

struct tcp_conn *conn_next_ready(struct tcp_ctx *ctx)
{
    struct tcp_link *list = &ctx->arena->ready;

    while (list->next != TCP_NONE) {
        struct tcp_conn *c = conn_at(ctx, list->next);

        list->next = c->ready_next;
        if (!c->ready) { // the list has become a circle
            list->next = TCP_NONE;
            break;
        }
        c->ready = 0;
        if (c->in_use)
            return c;
        pool_give(ctx, c);
    }
    return NULL;
}

int conn_attach_rings(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    struct ring tx, rx;
    int err = ctx->host->ring(ctx->self, c, TCP_TX, &tx);

    if (!err)
        err = ctx->host->ring(ctx->self, c, TCP_RX, &rx);
    if (err)
        return err;
    c->tx_pos = atomic_load_explicit(tx.tail, memory_order_acquire);
    c->rx_pos = atomic_load_explicit(rx.head, memory_order_acquire);
    c->has_rings = 1;
    return 0;
}

void conn_release_rings(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    if (!c->orphan || !c->has_rings)
        return;
    c->has_rings = 0;
    conn_tell(ctx, c, TCP_EV_RELEASED);
}

void conn_end(struct tcp_ctx *ctx, struct tcp_conn *c, int error)
{
    demux_remove(ctx, c);
    span_clear(ctx, c);
    timer_clear_all(ctx, c);
    c->error = error;
    c->ack_now = c->probe_now = c->tlp_now = 0;
    if (c->state != TCP_CLOSED)
        tcp_conn_move(ctx, c, TCP_CLOSED);
    if (!c->orphan) {
        conn_tell(ctx, c, ctx->events | TCP_EV_CLOSED);
        ctx->events = 0;
        return;
    }
    ctx->events = 0;
    conn_release_rings(ctx, c);
    if (c->rst_now)
        conn_ready(ctx, c);
    else
        conn_free(ctx, c);
}

bool conn_linger2(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint64_t ns = c->linger2_s ? c->linger2_s * NS_PER_S : ctx->cfg.fin_timeout_ns;

    if (c->linger2_s == TCP_LINGER2_NONE) {
        c->rst_now = 1;
        conn_end(ctx, c, 0);
        return false;
    }
    conn_release_rings(ctx, c);
    timer_set(ctx, c, TCP_TIMER_LIFE, now_ns + ns);
    return true;
}

void conn_time_wait(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->state != TCP_TIME_WAIT)
        tcp_conn_move(ctx, c, TCP_TIME_WAIT);
    timer_clear(c, TCP_TIMER_LOSS);
    timer_set(ctx, c, TCP_TIMER_LIFE, now_ns + ctx->cfg.time_wait_ns);
    conn_release_rings(ctx, c);
}
