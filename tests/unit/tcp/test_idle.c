// SPDX-License-Identifier: BSD-2-Clause
// A hundred thousand connections that have spoken once and then say nothing: no timer runs, nothing
// waits to be looked at, and years of looking at the engines send nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "tcp/tcp.h"

#define CONNS     100000
#define A_CLIENT  20000 // connections from each address: there are 28,000 ports
#define RING      256
#define LINK_SLOT 64

// Cursors of a connection's own. Whose bytes are where does not matter here.
struct idle_end {
    _Atomic uint64_t tx_head, tx_tail, rx_head, rx_tail;
};

struct idle_side {
    struct tcp_sink sink;
    int index;
    void *mem;
    struct tcp_ctx ctx;
    struct idle_end *ends; // c->user is the index
    uint32_t ends_used;
};

static struct {
    struct idle_side side[2]; // 0 opens, 1 listens
    struct {
        struct segment seg;
        int to;
    } link[LINK_SLOT];
    uint32_t first, last;
    uint64_t sent, now_ns;
    struct tcp_conn *listener;
} idle;

static uint8_t bytes[RING];

static int get_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct idle_end *e = &((struct idle_side *)self)->ends[c->user];

    if (dir == TCP_TX)
        *view = (struct ring){bytes, RING - 1, &e->tx_head, &e->tx_tail};
    else
        *view = (struct ring){bytes, RING - 1, &e->rx_head, &e->rx_tail};
    return 0;
}

static int on_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    c->user = ((struct idle_side *)self)->ends_used++;
    return 0;
}

static void on_event(void *self, struct tcp_conn *c, uint32_t events)
{
}

static void get_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    *path = (struct tcp_path){.mtu = 1500};
}

static int put(struct tcp_sink *sink, const struct segment *seg)
{
    struct idle_side *from = (struct idle_side *)(void *)sink;

    assert_true(idle.last - idle.first < LINK_SLOT);
    idle.link[idle.last % LINK_SLOT].seg = *seg; // its data stays where it is until delivered
    idle.link[idle.last++ % LINK_SLOT].to = !from->index;
    idle.sent++;
    return 0;
}

static void flush(void)
{
    for (int i = 0; i < 2; i++)
        tcp_output(&idle.side[i].ctx, idle.now_ns, &idle.side[i].sink);
}

static void pump(void)
{
    flush();
    while (idle.first != idle.last) {
        uint32_t i = idle.first % LINK_SLOT;
        struct idle_side *to = &idle.side[idle.link[i].to];
        struct segment seg = idle.link[i].seg;

        idle.first++;
        tcp_input(&to->ctx, idle.now_ns, &seg, &to->sink);
        flush();
    }
}

static int start(void **state)
{
    static const struct tcp_host host = {
        .ring = get_ring, .accept = on_accept, .event = on_event, .path = get_path};
    struct tcp_config cfg;

    tcp_config_init(&cfg);
    cfg.max_conns = CONNS + 1;
    idle.now_ns = NS_PER_S;
    for (int i = 0; i < 2; i++) {
        struct idle_side *s = &idle.side[i];

        s->sink.put = put;
        s->index = i;
        s->mem = aligned_alloc(64, tcp_arena_size(&cfg));
        s->ends = calloc(CONNS, sizeof *s->ends);
        assert_int_equal(tcp_format(s->mem, &cfg, idle.now_ns), 0);
        assert_int_equal(tcp_attach(&s->ctx, s->mem, tcp_arena_size(&cfg), &host, s), 0);
    }
    return tcp_listen(&idle.side[1].ctx, idle.now_ns, &(struct ip_addr){{{0}}}, 80, 1024, 0,
                      &idle.listener);
}

static int stop(void **state)
{
    for (int i = 0; i < 2; i++) {
        free(idle.side[i].mem);
        free(idle.side[i].ends);
    }
    return 0;
}

// Opens a connection and sends a byte on it, which stays unread.
static void live_a_little(uint32_t n)
{
    struct idle_side *s = &idle.side[0];
    struct tcp_tuple t = {ip_addr_v4(0x0100000a), ip_addr_v4(0x0200000a), 0, 80};
    struct tcp_path path = {.mtu = 1500};
    struct tcp_conn *c;

    t.remote.b[15] += n / A_CLIENT;
    assert_int_equal(tcp_open(&s->ctx, idle.now_ns, &t, &path, s->ends_used, &c), 0);
    s->ends_used++;
    pump();
    assert_non_null(tcp_accept(&idle.side[1].ctx, idle.listener));
    s->ends[c->user].tx_head++;
    tcp_tx_notify(&s->ctx, idle.now_ns, c);
    pump();
}

static void test_idle_connections_cost_nothing(void **state)
{
    uint64_t sent;

    for (uint32_t i = 0; i < CONNS; i++) {
        live_a_little(i);
        idle.now_ns += NS_PER_US;
    }
    for (int i = 0; i < 100; i++) { // the last acknowledgements, and whatever was armed
        idle.now_ns += 100 * NS_PER_MS;
        for (int side = 0; side < 2; side++)
            tcp_expire(&idle.side[side].ctx, idle.now_ns);
        pump();
    }
    assert_int_equal(idle.side[1].ends_used, CONNS);
    sent = idle.sent;
    for (int i = 0; i < 1000; i++) {
        for (int side = 0; side < 2; side++) {
            assert_int_equal(tcp_deadline(&idle.side[side].ctx), CLOCK_NEVER);
            tcp_expire(&idle.side[side].ctx, idle.now_ns);
        }
        flush();
        idle.now_ns += 86400 * NS_PER_S;
    }
    assert_int_equal(idle.sent, sent);
    assert_int_equal(tcp_counters(&idle.side[0].ctx)->segs_retrans, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idle_connections_cost_nothing)};

    return cmocka_run_group_tests(tests, start, stop);
}
