// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/timers.h"

#include <errno.h>

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/fastopen.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"

#define CORK_NS (200 * NS_PER_MS) // tcp(7), TCP_CORK

void timer_set(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_timer which, uint64_t deadline_ns)
{
    c->timer_ns[which] = deadline_ns;
    if (deadline_ns == CLOCK_NEVER)
        return;
    if (!wheel_is_armed(&c->wheel) || deadline_ns < c->wheel.deadline_ns)
        wheel_arm(&ctx->arena->wheel, arena_wheel_nodes(ctx), conn_index(ctx, c), deadline_ns);
}

void timer_clear_all(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    for (int t = 0; t < TCP_TIMERS; t++)
        c->timer_ns[t] = CLOCK_NEVER;
    c->loss_timer = TCP_LOSS_NONE;
    wheel_cancel(&ctx->arena->wheel, arena_wheel_nodes(ctx), conn_index(ctx, c));
}

uint64_t tcp_conn_deadline(const struct tcp_conn *c)
{
    uint64_t first = CLOCK_NEVER;

    for (int t = 0; t < TCP_TIMERS; t++)
        first = u64_min(first, c->timer_ns[t]);
    return first;
}

static uint32_t ms_of(uint64_t now_ns)
{
    return now_ns / NS_PER_MS;
}

// A user timeout cuts the last wait short, so that it ends the connection on time.
static uint64_t clamp_to_user_timeout(const struct tcp_conn *c, uint64_t now_ns, uint64_t wait_ns)
{
    uint32_t gone_ms = ms_of(now_ns) - c->stall_ms;
    uint64_t left_ms = c->user_timeout_ms > gone_ms ? c->user_timeout_ms - gone_ms : 1;

    return c->user_timeout_ms ? u64_min(wait_ns, left_ms * NS_PER_MS) : wait_ns;
}

void timer_start_rto(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    c->loss_timer = TCP_LOSS_RTO;
    timer_set(ctx, c, TCP_TIMER_LOSS,
              now_ns + clamp_to_user_timeout(c, now_ns, rtt_rto_ns(ctx, c)));
}

// With nothing in flight data may wait for the peer's window (RFC 9293, 3.8.6.1) or for a cork.
static enum tcp_loss_timer idle_timer(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    bool closed = c->snd_wnd < c->mss, corked = c->cork || c->more;
    uint64_t waits;

    if ((!closed && !corked) || !conn_can_send(c) || c->fin_sent)
        return TCP_LOSS_NONE;
    waits = tcp_unsent(ctx, c);
    if (closed && c->snd_wnd < waits)
        return TCP_LOSS_PERSIST;
    return corked && waits ? TCP_LOSS_CORK : TCP_LOSS_NONE;
}

void timer_rearm_loss(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint64_t probe_ns;

    if (c->snd_nxt == c->snd_una) {
        c->loss_timer = idle_timer(ctx, c);
        if (c->loss_timer == TCP_LOSS_NONE)
            timer_clear(c, TCP_TIMER_LOSS);
        else if (c->loss_timer == TCP_LOSS_CORK)
            timer_set(ctx, c, TCP_TIMER_LOSS, now_ns + CORK_NS);
        else
            timer_set(ctx, c, TCP_TIMER_LOSS,
                      now_ns + clamp_to_user_timeout(c, now_ns, rtt_rto_ns(ctx, c)));
        return;
    }
    probe_ns = rack_probe_timeout(ctx, c);
    if (probe_ns == CLOCK_NEVER) {
        timer_start_rto(ctx, c, now_ns);
        return;
    }
    c->loss_timer = TCP_LOSS_TLP;
    timer_set(ctx, c, TCP_TIMER_LOSS, now_ns + probe_ns);
}

void timer_start_keepalive(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->keepalive && c->state >= TCP_ESTABLISHED && c->state < TCP_TIME_WAIT && !c->orphan)
        timer_set(ctx, c, TCP_TIMER_LIFE, now_ns + c->keep_idle_ms * NS_PER_MS);
}

// How often may this be sent again before the connection is given up?
static uint32_t retry_limit(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    const struct tcp_config *cfg = &ctx->cfg;

    if (c->state == TCP_SYN_SENT)
        return c->syn_retries;
    if (c->state == TCP_SYN_RECEIVED)
        return u64_max(cfg->synack_retries,
                       c->deferred ? conn_at(ctx, c->listener)->listen.defer : 0);
    return c->orphan ? cfg->orphan_retries : cfg->data_retries;
}

// RFC 9293, 3.8.3: R2 in retransmissions, or the user timeout in time.
static bool given_up(const struct tcp_ctx *ctx, const struct tcp_conn *c, uint64_t now_ns,
                     uint32_t tries)
{
    if (c->user_timeout_ms && c->state != TCP_SYN_RECEIVED)
        return ms_of(now_ns) - c->stall_ms >= c->user_timeout_ms;
    return tries >= retry_limit(ctx, c);
}

static void time_out(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    tcp_count(ctx, timeouts);
    c->rst_now = c->state >= TCP_ESTABLISHED && c->state < TCP_TIME_WAIT;
    if (c->rst_now)
        conn_ready(ctx, c);
    conn_end(ctx, c,
             c->soft_error && c->state < TCP_ESTABLISHED ? -(int)c->soft_error : -ETIMEDOUT);
}

// TCP_DEFER_ACCEPT: the peer has answered already; only the last SYN-ACK goes again, so that its
// answer lets the child show without data.
static bool waits_for_data(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    return c->deferred && c->state == TCP_SYN_RECEIVED &&
           c->retries < conn_at(ctx, c->listener)->listen.defer;
}

// RFC 6298, 5.4 to 5.7. Returns false where that was the end.
static bool on_rto(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->span_first == TCP_NONE && c->state >= TCP_ESTABLISHED)
        return true;
    if (given_up(ctx, c, now_ns, c->retries)) {
        time_out(ctx, c);
        return false;
    }
    tcp_count(ctx, rtos);
    c->retries++;
    c->backoff = u64_min(c->backoff + 1, 32);
    if (waits_for_data(ctx, c)) {
        timer_start_rto(ctx, c, now_ns);
        return true;
    }
    fastopen_on_timeout(ctx, c, now_ns);
    mtu_on_timeout(ctx, c, now_ns);
    recovery_on_rto(ctx, c, now_ns);
    timer_start_rto(ctx, c, now_ns);
    return true;
}

// RFC 9293, 3.8.6.1: probes back off like retransmissions, and go on for as long as they are
// answered (MUST-36); c->probes counts those that were not.
static bool on_persist(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (given_up(ctx, c, now_ns, c->probes) && c->probes) {
        time_out(ctx, c);
        return false;
    }
    tcp_count(ctx, zero_probes);
    c->probes = u64_min(c->probes + 1, 254);
    c->backoff = u64_min(c->backoff + 1, 32);
    if (c->snd_wnd)
        c->force = 1; // the override of silly-window avoidance: what fits goes
    else
        c->probe_now = 1;
    conn_ready(ctx, c);
    c->loss_timer = TCP_LOSS_PERSIST;
    timer_set(ctx, c, TCP_TIMER_LOSS,
              now_ns + clamp_to_user_timeout(c, now_ns, rtt_rto_ns(ctx, c)));
    return true;
}

static bool on_loss_timer(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    enum tcp_loss_timer kind = c->loss_timer;

    c->loss_timer = TCP_LOSS_NONE;
    switch (kind) {
    case TCP_LOSS_RTO:
        return on_rto(ctx, c, now_ns);
    case TCP_LOSS_PERSIST:
        return on_persist(ctx, c, now_ns);
    case TCP_LOSS_TLP:
        c->tlp_now = 1;
        conn_ready(ctx, c);
        timer_start_rto(ctx, c, now_ns);
        return true;
    case TCP_LOSS_REORDER:
        recovery_on_reorder_timer(ctx, c, now_ns);
        if (c->loss_timer == TCP_LOSS_NONE)
            timer_start_rto(ctx, c, now_ns);
        return true;
    case TCP_LOSS_CORK:
        c->force = 1;
        conn_ready(ctx, c);
        return true;
    case TCP_LOSS_NONE:
        return true;
    }
    return true;
}

// RFC 9293, 3.8.4.
static bool on_keepalive(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint64_t idle_ms = ms_of(now_ns) - c->last_rx_ms;
    bool busy = c->snd_nxt != c->snd_una || c->loss_timer == TCP_LOSS_PERSIST;

    if (!c->keepalive || busy || (!c->probes && idle_ms < c->keep_idle_ms)) {
        uint64_t left_ms = idle_ms < c->keep_idle_ms ? c->keep_idle_ms - idle_ms : c->keep_idle_ms;

        if (c->keepalive)
            timer_set(ctx, c, TCP_TIMER_LIFE, now_ns + left_ms * NS_PER_MS);
        return true;
    }
    if (c->user_timeout_ms ? idle_ms >= c->user_timeout_ms && c->probes
                           : c->probes >= c->keep_count) {
        time_out(ctx, c);
        return false;
    }
    tcp_count(ctx, keepalives);
    c->probes++;
    c->probe_now = 1;
    conn_ready(ctx, c);
    timer_set(ctx, c, TCP_TIMER_LIFE, now_ns + c->keep_interval_ms * NS_PER_MS);
    return true;
}

static bool on_life_timer(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    if (c->state == TCP_TIME_WAIT || (c->state == TCP_FIN_WAIT_2 && c->orphan)) {
        conn_end(ctx, c, 0);
        return false;
    }
    return on_keepalive(ctx, c, now_ns);
}

static bool fire_one(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_timer which, uint64_t now_ns)
{
    if (c->timer_ns[which] > now_ns)
        return true;
    timer_clear(c, which);
    switch (which) {
    case TCP_TIMER_LOSS:
        return on_loss_timer(ctx, c, now_ns);
    case TCP_TIMER_LIFE:
        return on_life_timer(ctx, c, now_ns);
    case TCP_TIMER_DELACK:
        conn_ack_now(ctx, c);
        return true;
    default: // pacing: the rest may go
        conn_ready(ctx, c);
        return true;
    }
}

void timer_fire(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint64_t next_ns;

    for (int t = 0; t < TCP_TIMERS; t++)
        if (!fire_one(ctx, c, t, now_ns))
            return;
    next_ns = tcp_conn_deadline(c);
    if (next_ns != CLOCK_NEVER)
        wheel_arm(&ctx->arena->wheel, arena_wheel_nodes(ctx), conn_index(ctx, c), next_ns);
}
