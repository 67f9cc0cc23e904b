// SPDX-License-Identifier: BSD-2-Clause
#include "stack_in.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/icmp.h"
#include "wire/packet.h"
#include "wire/text.h"

#define PUMP_MAX       100000 // rounds in which an engine that always has more to say is called broken
#define SCRIBBLED_PUMP 16     // rounds for one that may well be

void stack_config_init(struct stack_config *cfg)
{
    *cfg = (struct stack_config){.path = {.mtu = 1500}, .ring_bytes = 4 << 20};
    tcp_config_init(&cfg->tcp);
    cfg->tcp.max_conns = 128;
    cfg->tcp.pacing = false;
    cfg->tcp.rcv_max = UINT32_MAX; // the ring's size
    cfg->start_ns = 1000 * NS_PER_S;
    ip_addr_parse("192.168.0.1", &cfg->local4);
    ip_addr_parse("fd3d:fa7b:d17d::1", &cfg->local6);
}

struct sock *sock_of_conn(struct stack *st, const struct tcp_conn *c)
{
    return c->user - 1 < STACK_SOCKS ? &st->socks[c->user - 1] : NULL;
}

static int host_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct stack *st = self;
    struct sock *s = sock_of_conn(st, c);

    if (!s || !s->ring[dir].base)
        return -ENOBUFS;
    *view = (struct ring){s->ring[dir].base, st->cfg.ring_bytes - 1, &s->ring[dir].head,
                          &s->ring[dir].tail};
    return 0;
}

static int host_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    struct stack *st = self;
    struct sock *from = sock_of_conn(st, listener), *s = from ? sock_new(st, from->domain) : NULL;

    if (!s)
        return -ENOBUFS;
    s->conn = c;
    s->tuple = c->tuple;
    s->connected = true;
    c->user = sock_user(st, s);
    return 0;
}

static void host_event(void *self, struct tcp_conn *c, uint32_t events)
{
    struct stack *st = self;
    struct sock *s = sock_of_conn(st, c);

    if (!s)
        return;
    if (events & TCP_EV_CONNECTED)
        s->connected = true;
    if (events & TCP_EV_FIN)
        s->fin = true;
    if (events & TCP_EV_CLOSED && c->error)
        s->error = c->error;
    if (events & TCP_EV_RELEASED)
        sock_free(s);
}

static void host_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    struct stack *st = self;

    *path = st->cfg.path;
}

static int sink_put(struct tcp_sink *sink, const struct segment *seg)
{
    struct stack *st = list_entry(sink, struct stack, sink);
    struct packet_ip ip = {.ttl = 64, .dont_fragment = true, .id = st->ip_id++};
    struct sent_packet *p = malloc(sizeof(*p) + PACKET_HEADER_MAX + seg->len);

    if (!p)
        return -EAGAIN;
    p->sent_ns = st->now_ns;
    p->len = packet_emit(seg, &ip, p->bytes, CSUM_FULL);
    list_add_tail(&st->sent, &p->node);
    return 0;
}

struct stack *stack_new(const struct stack_config *cfg)
{
    struct stack *st = calloc(1, sizeof(*st));
    size_t size = (tcp_arena_size(&cfg->tcp) + 63) / 64 * 64;

    if (!st)
        return NULL;
    st->cfg = *cfg;
    st->cfg.tcp.rcv_max = MIN(cfg->tcp.rcv_max, cfg->ring_bytes);
    st->cfg.tcp.rcv_initial = MIN(cfg->tcp.rcv_initial, cfg->ring_bytes);
    st->now_ns = cfg->start_ns;
    st->host = (struct tcp_host){
        .ring = host_ring, .accept = host_accept, .event = host_event, .path = host_path};
    st->sink.put = sink_put;
    list_init(&st->sent);
    st->mem = aligned_alloc(64, size);
    if (!st->mem || tcp_format(st->mem, &st->cfg.tcp, st->now_ns) ||
        tcp_attach(&st->ctx, st->mem, tcp_arena_size(&st->cfg.tcp), &st->host, st)) {
        stack_free(st);
        return NULL;
    }
    return st;
}

void stack_free(struct stack *st)
{
    for (int i = 0; i < STACK_SOCKS; i++)
        sock_free(&st->socks[i]);
    list_for_each_safe (it, &st->sent)
        free(list_entry(it, struct sent_packet, node));
    free(st->mem);
    free(st);
}

uint64_t stack_now(const struct stack *st)
{
    return st->now_ns;
}

uint64_t stack_deadline(const struct stack *st)
{
    return tcp_deadline(&st->ctx);
}

void stack_pump(struct stack *st)
{
    tcp_output(&st->ctx, st->now_ns, &st->sink);
    for (int i = 0; tcp_deadline(&st->ctx) <= st->now_ns; i++) {
        if (st->cfg.scribbled && i == SCRIBBLED_PUMP)
            return;
        if (i == PUMP_MAX)
            abort(); // a deadline that stays in the past would stop time for ever
        tcp_expire(&st->ctx, st->now_ns);
        tcp_output(&st->ctx, st->now_ns, &st->sink);
    }
}

void stack_advance(struct stack *st, uint64_t until_ns)
{
    int left = st->cfg.scribbled ? SCRIBBLED_PUMP : INT_MAX;
    uint64_t deadline;

    stack_pump(st);
    while (left-- && (deadline = tcp_deadline(&st->ctx)) <= until_ns && deadline != CLOCK_NEVER) {
        st->now_ns = MAX(st->now_ns, deadline);
        stack_pump(st);
    }
    st->now_ns = MAX(st->now_ns, until_ns);
}

// How an ICMP error counts to a TCP, and the error that a socket shows (RFC 1122, section 4.2.3.9).
static enum tcp_icmp kind_of(enum icmp_error error, int *err)
{
    switch (error) {
    case ICMP_PACKET_TOO_BIG:
        *err = -EMSGSIZE;
        return TCP_ICMP_TOO_BIG;
    case ICMP_PORT_UNREACHABLE:
        *err = -ECONNREFUSED;
        return TCP_ICMP_HARD;
    case ICMP_PROHIBITED:
        *err = -EACCES;
        return TCP_ICMP_HARD;
    case ICMP_PARAMETER_PROBLEM:
        *err = -EPROTO;
        return TCP_ICMP_SOFT;
    default:
        *err = -EHOSTUNREACH;
        return TCP_ICMP_SOFT;
    }
}

static int inject_icmp(struct stack *st, const struct ip_header *ip, const void *data)
{
    struct icmp icmp;
    struct tcp_tuple t;
    enum tcp_icmp kind;
    int err = icmp_parse(ip, data, ip->payload_bytes, &icmp);

    if (err)
        return err;
    t = (struct tcp_tuple){icmp.src, icmp.dst, icmp.src_port, icmp.dst_port};
    kind = kind_of(icmp.error, &err);
    tcp_icmp(&st->ctx, st->now_ns, &t, icmp.seq, kind, err,
             (uint16_t)MIN(icmp.next_mtu_bytes, (uint32_t)UINT16_MAX));
    return 0;
}

int stack_inject(struct stack *st, const void *packet, size_t len)
{
    struct ip_header ip;
    struct segment seg;
    int n = ip_parse(packet, len, &ip), err;

    if (n < 0)
        return n;
    if (ip.proto == IP_PROTO_ICMP || ip.proto == IP_PROTO_ICMP6) {
        err = inject_icmp(st, &ip, (const uint8_t *)packet + n);
    } else {
        err = packet_parse(packet, len, CSUM_FULL, &seg);
        if (!err)
            tcp_input(&st->ctx, st->now_ns, &seg, &st->sink);
    }
    stack_pump(st);
    return err;
}

ptrdiff_t stack_take(struct stack *st, void *out, uint64_t *sent_ns)
{
    struct sent_packet *p;
    size_t len;

    if (list_empty(&st->sent))
        return -EAGAIN;
    p = list_entry(st->sent.next, struct sent_packet, node);
    list_del(&p->node);
    len = p->len;
    *sent_ns = p->sent_ns;
    memcpy(out, p->bytes, len);
    free(p);
    return (ptrdiff_t)len;
}

uint64_t stack_peek(const struct stack *st)
{
    if (list_empty(&st->sent))
        return CLOCK_NEVER;
    return list_entry(st->sent.next, struct sent_packet, node)->sent_ns;
}

const struct tcp_conn *stack_conn(struct stack *st, int fd)
{
    struct sock *s = sock_of(st, fd);

    return s ? s->conn : NULL;
}

uint64_t stack_activity(struct stack *st, int fd)
{
    const struct tcp_conn *c = stack_conn(st, fd);

    if (!c)
        return 0;
    if (c->state == TCP_LISTEN)
        return 1 + c->listen.waiting;
    return 1 + c->rx_pos + c->tx_pos * 3 + c->state * (UINT64_C(1) << 56) + c->rcv_up;
}

struct tcp_ctx *stack_engine(struct stack *st)
{
    return &st->ctx;
}
