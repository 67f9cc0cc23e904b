// SPDX-License-Identifier: BSD-2-Clause
// The life of a connection: taking it from the pool, moving it between states, ending it.
#ifndef SHUNT_TCP_MACHINE_H
#define SHUNT_TCP_MACHINE_H

#include "tcp/arena.h"

// A fresh connection in CLOSED, all defaults set, in no list and no table. Where the pool is
// exhausted the oldest TIME-WAIT makes room; NULL where there is none.
struct tcp_conn *conn_alloc(struct tcp_ctx *ctx);

// Back to the pool, with its spans and timers; out of the demux table and all lists.
void conn_free(struct tcp_ctx *ctx, struct tcp_conn *c);

// The only place where a state changes. The move has to be in RFC 9293's diagram (figure 5).
void tcp_conn_move(struct tcp_ctx *ctx, struct tcp_conn *c, enum tcp_state to);

// The connection is over, with an error (negative errno) or 0. It stays, in CLOSED, until its host
// lets go of it; an orphan goes at once (its events are told first), so c may be gone afterwards.
void conn_end(struct tcp_ctx *ctx, struct tcp_conn *c, int error);

// The host's rings belong to c from now on: takes their cursors. 0 or the host's error.
int conn_attach_rings(struct tcp_ctx *ctx, struct tcp_conn *c);

// The engine needs the rings no more: tells a host that has let go.
void conn_release_rings(struct tcp_ctx *ctx, struct tcp_conn *c);

// Takes a child out of its listener's queue; nothing where it is in none.
void conn_leave_listener(struct tcp_ctx *ctx, struct tcp_conn *c);

// In FIN-WAIT-2 with the host gone: the rings go back, and the peer has so much time for its FIN.
// False where it has none (TCP_LINGER2_NONE), and c is gone.
bool conn_linger2(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// Enters TIME-WAIT, or starts its time anew (RFC 9293, 3.10.7.4).
void conn_time_wait(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns);

// Puts c into the list of those that tcp_output() visits.
static inline void conn_ready(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    struct tcp_link *list = &ctx->arena->ready;
    uint32_t i = conn_index(ctx, c);

    if (c->ready)
        return;
    c->ready = 1;
    c->ready_next = TCP_NONE;
    if (list->next == TCP_NONE)
        list->next = i;
    else
        conn_at(ctx, list->prev)->ready_next = i;
    list->prev = i;
}

// Takes the first one out of that list; NULL where it is empty.
struct tcp_conn *conn_next_ready(struct tcp_ctx *ctx);

// An ACK came: is there anything that it lets go?
static inline void conn_ready_if_blocked(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    if (c->blocked || c->lost > c->retrans)
        conn_ready(ctx, c);
}

// Asks for an acknowledgement with the next output.
static inline void conn_ack_now(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    c->ack_now = 1;
    conn_ready(ctx, c);
}

// Tells the host at once.
static inline void conn_tell(struct tcp_ctx *ctx, struct tcp_conn *c, uint32_t events)
{
    ctx->host->event(ctx->self, c, events);
}

// True where both sides know each other's sequence numbers (RFC 9293: a synchronized state).
static inline bool conn_synchronized(const struct tcp_conn *c)
{
    return c->state >= TCP_ESTABLISHED;
}

// True where data, or our FIN, may still have to be sent.
static inline bool conn_can_send(const struct tcp_conn *c)
{
    return c->state >= TCP_ESTABLISHED && c->state != TCP_FIN_WAIT_2 && c->state != TCP_TIME_WAIT;
}

// True where the peer may still send data.
static inline bool conn_can_receive(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 || c->state == TCP_FIN_WAIT_2;
}

#endif
