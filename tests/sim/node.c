// SPDX-License-Identifier: BSD-2-Clause
#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/packet.h"

#define PACKET_MAX 2048
#define PUMP_MAX   10000

static void fail(struct node *n, const char *what)
{
    if (!n->wrong)
        n->wrong = what;
}

// Ends --------------------------------------------------------------------------------------------

static struct ring view_of(const struct node *n, struct end *e, enum tcp_dir dir)
{
    return (struct ring){e->ring[dir], n->ring_bytes[dir] - 1, &e->head[dir], &e->tail[dir]};
}

static struct end *new_end(struct node *n, const struct end_plan *plan)
{
    struct end *e = n->ends;

    while (e < n->ends + NODE_ENDS && e->used)
        e++;
    if (e == n->ends + NODE_ENDS)
        return NULL;
    *e = (struct end){.used = true, .plan = *plan};
    for (int dir = 0; dir < 2; dir++) {
        e->ring[dir] = malloc(n->ring_bytes[dir]);
        if (!e->ring[dir])
            abort();
    }
    n->results[e - n->ends] = (struct end_result){0};
    return e;
}

static void free_end(struct node *n, struct end *e)
{
    struct end_result *r = &n->results[e - n->ends];

    r->ended = true;
    r->written = e->head[TCP_TX];
    r->read = e->tail[TCP_RX];
    r->first_read_ns = e->first_read_ns;
    r->last_read_ns = e->last_read_ns;
    r->fin_seen = e->fin_seen;
    r->error = e->error;
    free(e->ring[0]);
    free(e->ring[1]);
    e->used = false;
}

// Both ends of a connection know its bytes by its ports.
static void set_keys(struct end *e, const struct tcp_tuple *t)
{
    e->key = (uint64_t)t->local_port << 32 | t->remote_port;
    e->peer_key = (uint64_t)t->remote_port << 32 | t->local_port;
}

// The engine's host -------------------------------------------------------------------------------

static struct end *end_of(struct node *n, const struct tcp_conn *c)
{
    return c->user ? &n->ends[c->user - 1] : NULL;
}

static int host_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct node *n = self;
    struct end *e = end_of(n, c);

    if (!e)
        return -ENOBUFS;
    *view = view_of(n, e, dir);
    return 0;
}

static int host_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    struct node *n = self;
    struct end *e = new_end(n, &n->accept_plan);

    if (!e)
        return -ENOBUFS;
    e->conn = c;
    e->connected = true;
    set_keys(e, &c->tuple);
    c->user = (uint64_t)(e - n->ends) + 1;
    return 0;
}

static void host_event(void *self, struct tcp_conn *c, uint32_t events)
{
    struct node *n = self;
    struct end *e = end_of(n, c);

    if (!e)
        return; // the listener
    if (!e->used)
        fail(n, "an event after the release");
    e->connected |= !!(events & TCP_EV_CONNECTED);
    e->fin_seen |= !!(events & TCP_EV_FIN);
    if (events & TCP_EV_CLOSED) {
        e->closed = true;
        e->error = c->error;
    }
    if (events & TCP_EV_RELEASED)
        free_end(n, e);
}

static void host_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    *path = ((struct node *)self)->path;
}

static void send_packet(struct node *n, const struct segment *s)
{
    uint8_t bytes[PACKET_MAX];
    struct packet_ip ip = {.ttl = 64, .dont_fragment = true};
    size_t len = packet_emit(s, &ip, bytes, CSUM_FULL);

    if (len > n->path.mtu)
        fail(n, "a packet larger than the path");
    link_send(n->out, n->now_ns, bytes, len);
}

// The part of d from `from` on, len bytes.
static struct seg_data slice(const struct seg_data *d, uint32_t from, uint32_t len)
{
    struct seg_data out = {{NULL, NULL}, {0, 0}};
    uint32_t first = d->piece_len[0];

    if (from >= first) {
        out.piece[0] = d->piece[1] + (from - first);
        out.piece_len[0] = len;
        return out;
    }
    out.piece[0] = d->piece[0] + from;
    out.piece_len[0] = MIN(len, first - from);
    if (out.piece_len[0] < len) {
        out.piece[1] = d->piece[1];
        out.piece_len[1] = len - out.piece_len[0];
    }
    return out;
}

// Cuts a super-frame as a network card would.
static void send_pieces(struct node *n, const struct segment *s)
{
    struct segment piece = *s;

    for (uint32_t at = 0; at < s->len; at += piece.len) {
        piece.len = MIN((uint32_t)s->gso_size, s->len - at);
        piece.seq = s->seq + at;
        piece.data = slice(&s->data, at, piece.len);
        piece.flags = s->flags;
        if (at + piece.len < s->len)
            piece.flags &= (uint8_t) ~(SEG_FIN | SEG_PSH);
        if (at)
            piece.flags &= (uint8_t)~SEG_CWR;
        send_packet(n, &piece);
    }
}

static int sink_put(struct tcp_sink *sink, const struct segment *s)
{
    struct node *n = list_entry(sink, struct node, sink);

    if (s->gso_size && s->len > s->gso_size)
        send_pieces(n, s);
    else if (s->len + PACKET_HEADER_MAX > PACKET_MAX)
        fail(n, "a segment larger than any path");
    else
        send_packet(n, s);
    return 0;
}

int node_init(struct node *n, const struct tcp_config *cfg, const struct tcp_path *path,
              const uint32_t ring_bytes[2], struct link *out, uint64_t now_ns)
{
    int err;

    *n = (struct node){.cfg = *cfg, .path = *path, .out = out, .now_ns = now_ns};
    memcpy(n->ring_bytes, ring_bytes, sizeof(n->ring_bytes));
    n->host = (struct tcp_host){
        .ring = host_ring, .accept = host_accept, .event = host_event, .path = host_path};
    n->sink.put = sink_put;
    n->mem = aligned_alloc(64, (tcp_arena_size(cfg) + 63) / 64 * 64);
    if (!n->mem)
        return -ENOMEM;
    err = tcp_format(n->mem, cfg, now_ns);
    return err ? err : tcp_attach(&n->ctx, n->mem, tcp_arena_size(cfg), &n->host, n);
}

void node_fini(struct node *n)
{
    for (int i = 0; i < NODE_ENDS; i++)
        if (n->ends[i].used)
            free_end(n, &n->ends[i]);
    free(n->mem);
}

static struct ip_addr address(const struct node *n, bool mine)
{
    // the two hosts are told apart by which of them listens
    return ip_addr_v4(
        htonl(n->listener ? (mine ? 0x0a000002 : 0x0a000001) : (mine ? 0x0a000001 : 0x0a000002)));
}

int node_listen(struct node *n, uint16_t port)
{
    struct ip_addr local = ip_addr_v4(htonl(0x0a000002));

    return tcp_listen(&n->ctx, n->now_ns, &local, port, NODE_ENDS, 0, &n->listener);
}

void node_close_listener(struct node *n)
{
    if (n->listener)
        tcp_close(&n->ctx, n->now_ns, n->listener);
    n->listener = NULL;
}

int node_connect(struct node *n, uint16_t port, const struct end_plan *plan)
{
    struct tcp_tuple t = {address(n, true), address(n, false), 0, port};
    struct end *e = new_end(n, plan);
    int err;

    if (!e)
        return -ENOBUFS;
    err = tcp_open(&n->ctx, n->now_ns, &t, &n->path, (uint64_t)(e - n->ends) + 1, &e->conn);
    if (err) {
        free_end(n, e);
        return err;
    }
    set_keys(e, &e->conn->tuple);
    tcp_output(&n->ctx, n->now_ns, &n->sink);
    return (int)(e - n->ends);
}

// Programs ----------------------------------------------------------------------------------------

static void write_some(struct node *n, struct end *e)
{
    struct ring r = view_of(n, e, TCP_TX);
    uint64_t at = e->head[TCP_TX], left = e->plan.send_bytes - at;
    uint32_t len = (uint32_t)MIN((uint64_t)e->plan.chunk_bytes, left);
    uint8_t bytes[4096];

    len = (uint32_t)MIN((uint64_t)len, ring_space(&r, at));
    while (len) {
        uint32_t part = MIN(len, (uint32_t)sizeof(bytes));

        for (uint32_t i = 0; i < part; i++)
            bytes[i] = stream_byte(e->key, at + i);
        ring_write(&r, at, bytes, part);
        at += part;
        len -= part;
    }
    if (at == e->head[TCP_TX])
        return;
    ring_publish_head(&r, at);
    if (e->plan.urgent && at > e->plan.send_bytes / 2) {
        e->plan.urgent = false;
        tcp_send_urgent(&n->ctx, n->now_ns, e->conn, 0);
    }
    tcp_tx_notify(&n->ctx, n->now_ns, e->conn);
}

static void read_some(struct node *n, struct end *e)
{
    struct ring r = view_of(n, e, TCP_RX);
    uint64_t at = e->tail[TCP_RX], ready = ring_ready(&r, at);

    if (!ready || n->now_ns < e->next_read_ns)
        return;
    if (e->plan.read_bytes)
        ready = MIN(ready, (uint64_t)e->plan.read_bytes);
    for (uint64_t end = at + ready; at < end; at++)
        if (r.base[at & r.mask] != stream_byte(e->peer_key, at)) {
            fail(n, "a byte that was not sent");
            return;
        }
    ring_publish_tail(&r, at);
    e->next_read_ns = n->now_ns + e->plan.read_every_ns;
    if (!e->first_read_ns)
        e->first_read_ns = n->now_ns;
    e->last_read_ns = n->now_ns;
    tcp_rx_notify(&n->ctx, n->now_ns, e->conn);
}

static void let_go(struct node *n, struct end *e, bool abort)
{
    struct tcp_conn *c = e->conn;

    e->conn = NULL;
    n->results[e - n->ends].aborted = abort;
    if (abort)
        tcp_abort(&n->ctx, n->now_ns, c);
    else
        tcp_close(&n->ctx, n->now_ns, c);
}

// A peer that is gone, and whose RST was lost, shows only by keep-alive.
static void begin(struct node *n, struct end *e)
{
    e->begun = true;
    tcp_set(&n->ctx, n->now_ns, e->conn, TCP_SET_KEEPALIVE, 1);
    tcp_set(&n->ctx, n->now_ns, e->conn, TCP_SET_KEEP_IDLE_MS, 60000);
    tcp_set(&n->ctx, n->now_ns, e->conn, TCP_SET_KEEP_INTERVAL_MS, 5000);
}

static void run_program(struct node *n, struct end *e)
{
    struct ring r = view_of(n, e, TCP_RX);

    if (!e->begun)
        begin(n, e);
    if (n->now_ns >= e->plan.abort_at_ns || n->now_ns >= e->plan.close_at_ns) {
        let_go(n, e, n->now_ns >= e->plan.abort_at_ns);
        return;
    }
    if (!e->closed && e->connected)
        write_some(n, e);
    read_some(n, e);
    if (!e->closed && e->connected && !e->fin_sent && e->head[TCP_TX] == e->plan.send_bytes) {
        e->fin_sent = true;
        tcp_shutdown_tx(&n->ctx, n->now_ns, e->conn);
    }
    if (ring_ready(&r, e->tail[TCP_RX]))
        return;
    if (e->closed || (e->fin_seen && e->fin_sent))
        let_go(n, e, false);
}

static void run_programs(struct node *n)
{
    while (n->listener && tcp_accept(&n->ctx, n->listener))
        ; // its end has been running since the handshake
    for (struct end *e = n->ends; e < n->ends + NODE_ENDS; e++)
        if (e->used && e->conn)
            run_program(n, e);
}

void node_work(struct node *n, uint64_t now_ns)
{
    n->now_ns = now_ns;
    for (int i = 0;; i++) {
        run_programs(n);
        tcp_output(&n->ctx, now_ns, &n->sink);
        if (tcp_deadline(&n->ctx) > now_ns)
            break;
        if (i == PUMP_MAX) {
            fail(n, "a deadline that stays in the past");
            break;
        }
        tcp_expire(&n->ctx, now_ns);
    }
    run_programs(n); // what output has changed: room in rings
    tcp_output(&n->ctx, now_ns, &n->sink);
}

void node_receive(struct node *n, uint64_t now_ns, const void *packet, size_t len)
{
    struct segment s;

    n->now_ns = now_ns;
    if (packet_parse(packet, len, CSUM_FULL, &s))
        n->refused++;
    else
        tcp_input(&n->ctx, now_ns, &s, &n->sink);
}

uint64_t node_next(const struct node *n)
{
    uint64_t next = tcp_deadline(&n->ctx);

    for (const struct end *e = n->ends; e < n->ends + NODE_ENDS; e++) {
        if (!e->used || !e->conn)
            continue;
        next = MIN(next, e->plan.abort_at_ns);
        next = MIN(next, e->plan.close_at_ns);
        if (e->head[TCP_RX] != e->tail[TCP_RX])
            next = MIN(next, e->next_read_ns);
        if (e->connected && !e->closed && e->head[TCP_TX] < e->plan.send_bytes &&
            e->head[TCP_TX] - e->tail[TCP_TX] < n->ring_bytes[TCP_TX])
            next = MIN(next, n->now_ns);
    }
    return next;
}

bool node_idle(const struct node *n)
{
    for (int i = 0; i < NODE_ENDS; i++)
        if (n->ends[i].used)
            return false;
    return true;
}
