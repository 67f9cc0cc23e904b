// SPDX-License-Identifier: BSD-2-Clause
// Our engine under measurement.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tcp_shunt.h"

#define BUFFERS 4
#define WRITE   65536
#define FRAMES  2048
#define FRAME   (66 * 1024)
#define NS_STEP 100 // virtual time between two looks at the link

static struct {
    void *mem[2];
    struct tcp_ctx ctx[2];
    struct bench_side side[2];
    struct bench_rings *rings; // two a connection: client's, server's
    uint32_t rings_used, rings_max;
    uint8_t *frame;
    uint32_t frame_len[FRAMES];
    uint32_t frame_to[FRAMES];
    uint32_t first, last, slot_bytes;
    uint64_t now_ns;
    uint32_t opened;
    enum csum_mode csum;
    struct tcp_path path;
    struct tcp_conn *listener;
    uint8_t in[WRITE], out[WRITE];
} s;

static int get_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct bench_rings *r = &s.rings[c->user];

    if (dir == TCP_TX)
        *view = (struct ring){r->tx, BENCH_RING - 1, &r->tx_head, &r->tx_tail};
    else
        *view = (struct ring){r->rx, BENCH_RING - 1, &r->rx_head, &r->rx_tail};
    return 0;
}

// Cursors of its own for each connection; the bytes lie in a few buffers that all share, because
// only one connection at a time has any.
static uint32_t new_rings(void)
{
    static uint8_t buffer[2 * BUFFERS][BENCH_RING];
    uint32_t i = s.rings_used++ % s.rings_max;

    s.rings[i] =
        (struct bench_rings){.tx = buffer[i % BUFFERS], .rx = buffer[BUFFERS + i % BUFFERS]};
    return i;
}

static int on_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    c->user = new_rings();
    return 0;
}

static void on_event(void *self, struct tcp_conn *c, uint32_t events)
{
}

static void get_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    *path = s.path;
}

static const struct tcp_host host = {
    .ring = get_ring, .accept = on_accept, .event = on_event, .path = get_path};

// The queue: a packet of bytes, as a device would take it.
static int put(struct tcp_sink *sink, const struct segment *seg)
{
    struct bench_side *from = (struct bench_side *)(void *)sink;
    struct packet_ip ip = {.ttl = 64, .dont_fragment = true};
    uint32_t i = s.last % FRAMES;

    if (s.last - s.first == FRAMES)
        return -EAGAIN;
    s.frame_len[i] = packet_emit(seg, &ip, s.frame + (size_t)i * s.slot_bytes, s.csum);
    s.frame_to[i] = !from->index;
    s.last++;
    return 0;
}

static void deliver(void)
{
    struct segment seg;

    while (s.first != s.last) {
        uint32_t i = s.first++ % FRAMES, to = s.frame_to[i];

        if (packet_parse(s.frame + (size_t)i * s.slot_bytes, s.frame_len[i], s.csum, &seg))
            abort();
        tcp_input(&s.ctx[to], s.now_ns, &seg, &s.side[to].sink);
    }
    s.first = s.last = 0; // the next frame goes where the caches are warm, as a pool's would
}

static void pump(void)
{
    do {
        s.now_ns += NS_STEP;
        tcp_output(&s.ctx[0], s.now_ns, &s.side[0].sink);
        tcp_output(&s.ctx[1], s.now_ns, &s.side[1].sink);
        deliver();
    } while (s.ctx[0].arena->ready.next != TCP_NONE || s.ctx[1].arena->ready.next != TCP_NONE ||
             s.first != s.last);
}

static void start_once(const struct tcp_config *cfg)
{
    s.now_ns = NS_PER_S;
    for (int i = 0; i < 2; i++) {
        s.mem[i] = aligned_alloc(64, tcp_arena_size(cfg));
        if (tcp_format(s.mem[i], cfg, s.now_ns) ||
            tcp_attach(&s.ctx[i], s.mem[i], tcp_arena_size(cfg), &host, NULL))
            abort();
        s.side[i] = (struct bench_side){{put}, i};
    }
    tcp_listen(&s.ctx[1], s.now_ns, &(struct ip_addr){{{0}}}, 80, 1024, 0, &s.listener);
}

void bench_shunt_start(uint32_t super_max, enum csum_mode csum, uint32_t conns)
{
    struct tcp_config cfg;

    tcp_config_init(&cfg);
    cfg.timestamps = false; // as lwIP
    cfg.max_conns = conns;
    cfg.max_spans = MAX(cfg.max_spans, 4 * conns);
    s.csum = csum;
    s.path = (struct tcp_path){.mtu = 1500, .super_max = super_max};
    s.slot_bytes = super_max ? FRAME : 2048;
    free(s.rings);
    s.rings_max = 2 * conns;
    s.rings = calloc(s.rings_max, sizeof *s.rings);
    s.rings_used = 0;
    if (!s.frame) {
        s.frame = malloc((size_t)FRAMES * FRAME);
        memset(s.frame, 0, (size_t)FRAMES * 2048);
    }
    for (int i = 0; i < 2; i++)
        free(s.mem[i]);
    s.first = s.last = s.opened = 0;
    start_once(&cfg);
}

void bench_shunt_open(struct bench_pair *pair)
{
    struct tcp_tuple t = {ip_addr_v4(0x0100000a), ip_addr_v4(0x0200000a), 0, 80};

    t.remote.b[15] += s.opened++ / 20000; // each address has 28,000 ephemeral ports

    if (tcp_open(&s.ctx[0], s.now_ns, &t, &s.path, new_rings(), &pair->conn[0]))
        abort();
    tcp_set(&s.ctx[0], s.now_ns, pair->conn[0], TCP_SET_NODELAY, 1);
    pump();
    pair->conn[1] = tcp_accept(&s.ctx[1], s.listener);
    tcp_set(&s.ctx[1], s.now_ns, pair->conn[1], TCP_SET_NODELAY, 1);
}

static void close_pair(struct bench_pair *pair)
{
    tcp_close(&s.ctx[0], s.now_ns, pair->conn[0]);
    pump();
    tcp_close(&s.ctx[1], s.now_ns, pair->conn[1]);
    pump();
}

static uint32_t write_bytes(int end, struct tcp_conn *c, uint32_t len)
{
    struct bench_rings *r = &s.rings[c->user];
    struct ring view = {r->tx, BENCH_RING - 1, &r->tx_head, &r->tx_tail};

    len = MIN(len, BENCH_RING - (uint32_t)(r->tx_head - r->tx_tail));
    ring_write(&view, r->tx_head, s.out, len);
    ring_publish_head(&view, r->tx_head + len);
    tcp_tx_notify(&s.ctx[end], s.now_ns, c);
    return len;
}

static uint32_t read_bytes(int end, struct tcp_conn *c)
{
    struct bench_rings *r = &s.rings[c->user];
    struct ring view = {r->rx, BENCH_RING - 1, &r->rx_head, &r->rx_tail};
    uint32_t len = MIN(WRITE, (uint32_t)(r->rx_head - r->rx_tail));

    ring_read(&view, r->rx_tail, s.in, len);
    ring_publish_tail(&view, r->rx_tail + len);
    tcp_rx_notify(&s.ctx[end], s.now_ns, c);
    return len;
}

void bench_shunt_bulk(struct bench_pair *pair, uint64_t bytes)
{
    uint64_t sent = 0, got = 0;

    while (got < bytes) {
        if (sent < bytes && sent - got < WRITE)
            sent += write_bytes(0, pair->conn[0], MIN(WRITE, bytes - sent));
        pump();
        got += read_bytes(1, pair->conn[1]);
        s.now_ns += 1000;
        tcp_expire(&s.ctx[0], s.now_ns);
        tcp_expire(&s.ctx[1], s.now_ns);
    }
}

// Two functions that a profiler can be told to look at, and at nothing else.
__attribute__((noinline)) void bench_send_part(void)
{
    deliver();
    tcp_output(&s.ctx[0], s.now_ns, &s.side[0].sink);
}

__attribute__((noinline)) void bench_receive_part(void)
{
    deliver();
    tcp_output(&s.ctx[1], s.now_ns, &s.side[1].sink);
}

void bench_shunt_bulk_parts(struct bench_pair *pair, uint64_t bytes, struct bench_parts *parts)
{
    uint64_t sent = 0, got = 0, start;

    *parts = (struct bench_parts){0};
    while (got < bytes) {
        if (sent < bytes && sent - got < WRITE)
            sent += write_bytes(0, pair->conn[0], MIN(WRITE, bytes - sent));
        s.now_ns += 1000;
        start = bench_ticks();
        bench_send_part();
        parts->send += bench_ticks() - start;
        start = bench_ticks();
        bench_receive_part();
        parts->receive += bench_ticks() - start;
        got += read_bytes(1, pair->conn[1]);
        tcp_expire(&s.ctx[0], s.now_ns);
        tcp_expire(&s.ctx[1], s.now_ns);
    }
    pump();
}

void bench_shunt_ping(struct bench_pair *pair)
{
    for (int end = 0; end < 2; end++) {
        write_bytes(end, pair->conn[end], 64);
        pump();
        read_bytes(!end, pair->conn[!end]);
    }
}

static void bulk(uint64_t bytes)
{
    struct bench_pair pair;

    bench_shunt_open(&pair);
    bench_shunt_bulk(&pair, bytes);
    close_pair(&pair);
}

static void round_trips(uint32_t times)
{
    struct bench_pair pair;

    bench_shunt_open(&pair);
    for (uint32_t i = 0; i < times; i++)
        bench_shunt_ping(&pair);
    close_pair(&pair);
}

static void lives(uint32_t times)
{
    struct bench_pair pair;

    for (uint32_t i = 0; i < times; i++) {
        bench_shunt_open(&pair);
        bench_shunt_ping(&pair);
        close_pair(&pair);
    }
}

static void flush(void)
{
    for (int i = 0; i < 3; i++) {
        s.now_ns += 61 * NS_PER_S;
        tcp_expire(&s.ctx[0], s.now_ns);
        tcp_expire(&s.ctx[1], s.now_ns);
        pump();
    }
}

const struct tcp_engine bench_shunt = {"shunt", bulk, round_trips, lives, flush};

struct tcp_ctx *bench_shunt_ctx(int end)
{
    return &s.ctx[end];
}

uint64_t bench_shunt_now(void)
{
    return s.now_ns;
}
