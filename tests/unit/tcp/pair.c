// SPDX-License-Identifier: BSD-2-Clause
#include "pair.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct ip_addr pair_addr[2] = {
    {.b = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}},
    {.b = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}},
};

static int host_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct pair_side *s = self;
    struct pair_end *e = &s->ends[c->user];

    if (!e->tx)
        return -ENOBUFS;
    if (dir == TCP_TX)
        *view = (struct ring){e->tx, PAIR_RING - 1, &e->tx_head, &e->tx_tail};
    else
        *view = (struct ring){e->rx, PAIR_RING - 1, &e->rx_head, &e->rx_tail};
    return 0;
}

static uint32_t new_end(struct pair_side *s)
{
    struct pair_end *e = &s->ends[s->ends_used];

    assert(s->ends_used < PAIR_CONNS);
    e->tx = malloc(PAIR_RING);
    e->rx = malloc(PAIR_RING);
    return s->ends_used++;
}

static int host_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    struct pair_side *s = self;

    if (s->refuse_accept)
        return -ENOBUFS;
    c->user = new_end(s);
    return 0;
}

static void host_event(void *self, struct tcp_conn *c, uint32_t events)
{
    struct pair_side *s = self;
    struct pair_end *e = &s->ends[c->user];

    e->events |= events;
    if (events & TCP_EV_CLOSED)
        e->error = c->error;
}

static void host_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    *path = ((struct pair_side *)self)->pair->path;
}

static const struct tcp_host host = {
    .ring = host_ring,
    .accept = host_accept,
    .event = host_event,
    .path = host_path,
};

static void copy_payload(struct pair_packet *k, const struct segment *seg)
{
    uint32_t at = 0;

    k->seg = *seg;
    k->bytes = malloc(seg->len + 1);
    for (int i = 0; i < 2; i++) {
        if (seg->data.piece_len[i])
            memcpy(k->bytes + at, seg->data.piece[i], seg->data.piece_len[i]);
        at += seg->data.piece_len[i];
    }
    assert(at == seg->len);
    k->seg.data = (struct seg_data){{k->bytes}, {seg->len}};
}

// The link keeps its packets sorted by time of arrival, in order of sending where equal.
static int link_put(struct tcp_sink *sink, const struct segment *seg)
{
    struct pair_side *s = (struct pair_side *)(void *)sink;
    struct pair *p = s->pair;
    uint64_t delay_ns = p->delay_ns;
    struct pair_packet k;
    uint32_t i;

    if (s->full)
        return -EAGAIN;
    s->last = *seg;
    s->sent++;
    copy_payload(&k, seg);
    if (p->link && !p->link(p, s->index, &k.seg, &delay_ns)) {
        free(k.bytes);
        return 0;
    }
    assert(p->queued < PAIR_QUEUE);
    k.at_ns = p->now_ns + delay_ns;
    k.to = !s->index;
    for (i = p->queued; i > 0 && p->queue[i - 1].at_ns > k.at_ns; i--)
        p->queue[i] = p->queue[i - 1];
    p->queue[i] = k;
    p->queued++;
    return 0;
}

struct pair *pair_new_path(const struct tcp_config *cfg, struct tcp_path path)
{
    struct pair *p = calloc(1, sizeof *p);
    struct tcp_config defaults;

    tcp_config_init(&defaults);
    cfg = cfg ? cfg : &defaults;
    p->now_ns = NS_PER_S;
    p->delay_ns = 10 * NS_PER_MS;
    p->path = path;
    p->queue = calloc(PAIR_QUEUE, sizeof *p->queue);
    for (int i = 0; i < 2; i++) {
        struct pair_side *s = &p->side[i];

        s->sink.put = link_put;
        s->pair = p;
        s->index = i;
        s->mem = aligned_alloc(64, tcp_arena_size(cfg));
        if (tcp_format(s->mem, cfg, p->now_ns) ||
            tcp_attach(&s->ctx, s->mem, tcp_arena_size(cfg), &host, s))
            abort();
    }
    return p;
}

struct pair *pair_new(const struct tcp_config *cfg)
{
    return pair_new_path(cfg, (struct tcp_path){.mtu = 1500});
}

void pair_free(struct pair *p)
{
    for (uint32_t i = 0; i < p->queued; i++)
        free(p->queue[i].bytes);
    for (int s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < p->side[s].ends_used; i++) {
            free(p->side[s].ends[i].tx);
            free(p->side[s].ends[i].rx);
        }
        free(p->side[s].mem);
    }
    free(p->queue);
    free(p);
}

void pair_flush(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        tcp_output(&p->side[i].ctx, p->now_ns, &p->side[i].sink);
}

static void deliver_first(struct pair *p)
{
    struct pair_packet k = p->queue[0];

    p->queued--;
    memmove(p->queue, p->queue + 1, p->queued * sizeof *p->queue);
    tcp_input(&p->side[k.to].ctx, p->now_ns, &k.seg, &p->side[k.to].sink);
    free(k.bytes);
}

bool pair_step(struct pair *p, uint64_t until_ns)
{
    uint64_t next_ns = p->queued ? p->queue[0].at_ns : CLOCK_NEVER;

    pair_flush(p);
    next_ns = p->queued ? p->queue[0].at_ns : CLOCK_NEVER;
    for (int i = 0; i < 2; i++) {
        uint64_t d = tcp_deadline(&p->side[i].ctx);

        next_ns = d < next_ns ? d : next_ns;
    }
    if (next_ns > until_ns) {
        p->now_ns = until_ns;
        return false;
    }
    p->now_ns = next_ns > p->now_ns ? next_ns : p->now_ns;
    for (int i = 0; i < 2; i++)
        tcp_expire(&p->side[i].ctx, p->now_ns);
    while (p->queued && p->queue[0].at_ns <= p->now_ns)
        deliver_first(p);
    pair_flush(p);
    return true;
}

void pair_run(struct pair *p, uint64_t for_ns)
{
    uint64_t until_ns = p->now_ns + for_ns;

    while (pair_step(p, until_ns))
        continue;
}

struct tcp_conn *pair_listen(struct pair *p)
{
    struct pair_side *s = &p->side[1];
    struct ip_addr any = {0};
    struct tcp_conn *c;

    s->ends_used++; // the listener has no rings
    if (tcp_listen(&s->ctx, p->now_ns, &any, 80, 8, s->ends_used - 1, &c))
        abort();
    return c;
}

struct tcp_conn *pair_open(struct pair *p, uint16_t local_port)
{
    struct tcp_tuple t = {pair_addr[0], pair_addr[1], local_port, 80};
    struct tcp_conn *c;

    if (tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, new_end(&p->side[0]), &c))
        return NULL;
    return c;
}

void pair_connect(struct pair *p, struct tcp_conn *listener, struct tcp_conn *c[2])
{
    c[0] = pair_open(p, 0);
    for (int i = 0; i < 100 && !(c[1] = tcp_accept(&p->side[1].ctx, listener)); i++)
        pair_step(p, p->now_ns + NS_PER_S);
    if (!c[1] || c[0]->state != TCP_ESTABLISHED || c[1]->state != TCP_ESTABLISHED)
        abort();
}

uint32_t pair_new_end(struct pair *p, int side)
{
    return new_end(&p->side[side]);
}

struct pair_end *pair_end_of(struct pair *p, int side, const struct tcp_conn *c)
{
    return &p->side[side].ends[c->user];
}

uint32_t pair_write(struct pair *p, int side, struct tcp_conn *c, const void *data, uint32_t len)
{
    struct pair_end *e = pair_end_of(p, side, c);
    uint32_t room = PAIR_RING - (e->tx_head - e->tx_tail);
    struct ring r = {e->tx, PAIR_RING - 1, &e->tx_head, &e->tx_tail};

    len = len < room ? len : room;
    ring_write(&r, e->tx_head, data, len);
    ring_publish_head(&r, e->tx_head + len);
    tcp_tx_notify(&p->side[side].ctx, p->now_ns, c);
    return len;
}

uint32_t pair_read(struct pair *p, int side, struct tcp_conn *c, void *data, uint32_t len)
{
    struct pair_end *e = pair_end_of(p, side, c);
    uint32_t ready = e->rx_head - e->rx_tail;
    struct ring r = {e->rx, PAIR_RING - 1, &e->rx_head, &e->rx_tail};

    len = len < ready ? len : ready;
    ring_read(&r, e->rx_tail, data, len);
    ring_publish_tail(&r, e->rx_tail + len);
    tcp_rx_notify(&p->side[side].ctx, p->now_ns, c);
    return len;
}
