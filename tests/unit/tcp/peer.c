// SPDX-License-Identifier: BSD-2-Clause
#include "peer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct peer *current; // the link's callback has no word of its own

static uint8_t bytes[70000];

static bool capture(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    assert(current->n < PEER_OUT);
    current->out[current->n++] = *seg;
    return false;
}

struct segment peer_segment(struct peer *e, uint8_t flags, int32_t seq, int32_t ack, uint32_t len)
{
    const struct tcp_tuple *t = &e->c->tuple;
    struct segment s = {
        .src = t->remote,
        .dst = t->local,
        .src_port = t->remote_port,
        .dst_port = t->local_port,
        .seq = PEER_IRS + 1 + seq,
        .ack = flags & SEG_ACK ? e->iss + 1 + ack : 0,
        .window = e->window,
        .flags = flags,
        .len = len,
        .data = {{bytes}, {len}},
    };

    if (e->opts & SEG_OPT_TS) {
        s.opts |= SEG_OPT_TS;
        s.ts_val = ++e->ts;
        s.ts_ecr = flags & SEG_ACK ? (uint32_t)(e->p->now_ns / NS_PER_MS) + e->c->ts_offset : 0;
    }
    if (flags & SEG_SYN) {
        s.opts |= e->opts;
        s.mss = e->mss;
        s.wscale = e->wscale;
    }
    return s;
}

void peer_put(struct peer *e, const struct segment *seg)
{
    current = e;
    tcp_input(&e->p->side[0].ctx, e->p->now_ns, seg, &e->p->side[0].sink);
}

void peer_send(struct peer *e, uint8_t flags, int32_t seq, int32_t ack, uint32_t len)
{
    struct segment s = peer_segment(e, flags, seq, ack, len);

    peer_put(e, &s);
}

int peer_take(struct peer *e)
{
    current = e;
    e->n = 0;
    tcp_output(&e->p->side[0].ctx, e->p->now_ns, &e->p->side[0].sink);
    return e->n;
}

void peer_wait(struct peer *e, uint64_t ns)
{
    current = e;
    pair_run(e->p, ns);
}

int32_t peer_seq(const struct peer *e, const struct segment *s)
{
    return s->seq - e->iss - 1;
}

int32_t peer_ack(const struct peer *e, const struct segment *s)
{
    return s->ack - PEER_IRS - 1;
}

static void create(struct peer *e, const struct tcp_config *cfg, uint8_t opts)
{
    *e = (struct peer){.opts = opts | SEG_OPT_MSS, .mss = 1460, .window = 65535, .wscale = 7};
    e->p = pair_new(cfg);
    e->p->link = capture;
    current = e;
}

// From ESTABLISHED on.
static void move_on(struct peer *e, enum tcp_state state)
{
    struct tcp_ctx *ctx = &e->p->side[0].ctx;
    uint64_t now_ns = e->p->now_ns;

    if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
        peer_send(e, SEG_FIN | SEG_ACK, 0, 0, 0);
    if (state >= TCP_FIN_WAIT_1 && state != TCP_CLOSE_WAIT)
        tcp_shutdown_tx(ctx, now_ns, e->c);
    peer_take(e);
    if (state == TCP_CLOSING || state == TCP_TIME_WAIT)
        peer_send(e, SEG_FIN | SEG_ACK, 0, 0, 0);
    if (state == TCP_FIN_WAIT_2)
        peer_send(e, SEG_ACK, 0, 1, 0);
    if (state == TCP_TIME_WAIT)
        peer_send(e, SEG_ACK, 1, 1, 0);
    peer_take(e);
    e->n = 0;
    assert(e->c->state == state);
}

void peer_start(struct peer *e, const struct tcp_config *cfg, uint8_t opts, enum tcp_state state)
{
    create(e, cfg, opts);
    e->c = pair_open(e->p, 5000);
    peer_take(e);
    assert(e->n == 1 && e->out[0].flags & SEG_SYN);
    e->iss = e->out[0].seq;
    if (state != TCP_SYN_SENT) {
        peer_send(e, SEG_SYN | SEG_ACK, -1, 0, 0);
        peer_take(e);
        move_on(e, state);
    }
    e->n = 0;
}

void peer_start_passive(struct peer *e, const struct tcp_config *cfg, uint8_t opts,
                        enum tcp_state state)
{
    struct tcp_tuple t = {pair_addr[0], pair_addr[1], 80, 6000};
    struct tcp_conn fake = {.tuple = t};
    struct tcp_ctx *ctx;

    create(e, cfg, opts);
    ctx = &e->p->side[0].ctx;
    e->p->side[0].ends_used++;
    if (tcp_listen(ctx, e->p->now_ns, &pair_addr[0], 80, 4, 0, &e->listener))
        abort();
    e->c = &fake;
    peer_send(e, SEG_SYN, -1, 0, 0);
    e->c = tcp_find(ctx, &t);
    peer_take(e);
    e->iss = e->out[0].seq;
    if (state != TCP_SYN_RECEIVED) {
        peer_send(e, SEG_ACK, 0, 0, 0);
        if (tcp_accept(ctx, e->listener) != e->c)
            abort();
        peer_take(e);
        move_on(e, state);
    }
    e->n = 0;
}

void peer_end(struct peer *e)
{
    pair_free(e->p);
}

struct pair_end *peer_rings(struct peer *e)
{
    return pair_end_of(e->p, 0, e->c);
}

void peer_write(struct peer *e, uint32_t len)
{
    pair_write(e->p, 0, e->c, bytes, len);
    peer_take(e);
}
