// SPDX-License-Identifier: BSD-2-Clause
// What strangers cannot guess, fill or steer.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "peer.h"
#include "tcp/demux.h"
#include "tcp/isn.h"

static struct peer e;

static const struct tcp_tuple tuple = {
    {.b = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}},
    {.b = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}},
    0,
    80,
};

static void test_isn_differs_by_tuple_and_secret(void **state)
{
    struct tcp_config cfg;
    struct tcp_tuple other = tuple;
    struct pair *a = pair_new(NULL), *b;
    const struct tcp_ctx *ctx = &a->side[0].ctx;

    tcp_config_init(&cfg);
    cfg.secret[31] = 1;
    b = pair_new(&cfg);
    other.remote_port++;
    assert_true(isn_make(ctx, &tuple, 0) != isn_make(ctx, &other, 0));
    assert_true(isn_make(ctx, &tuple, 0) != isn_make(&b->side[0].ctx, &tuple, 0));
    // MUST-8: the clock moves it on, one step in 4 us
    assert_int_equal(isn_make(ctx, &tuple, 8000) - isn_make(ctx, &tuple, 0), 2);
    pair_free(a);
    pair_free(b);
}

static void test_open_to_group_is_refused(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_tuple t = tuple;
    struct tcp_conn *c;

    t.remote = ip_addr_v4(0x010000e0);
    assert_int_equal(tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, 0, &c), -EINVAL);
    t.remote = ip_addr_v4(0xffffffff);
    assert_int_equal(tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, 0, &c), -EINVAL);
    t.remote = ip_addr_v4(0);
    assert_int_equal(tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, 0, &c), -EINVAL);
    pair_free(p);
}

// RFC 6056: within the range, all different, and no counter that a peer could follow.
static void test_open_ports_are_spread(void **state)
{
    struct pair *p = pair_new(NULL);
    uint16_t port[50];
    int near = 0;

    for (int i = 0; i < 50; i++) {
        struct tcp_conn *c = pair_open(p, 0);

        port[i] = c->tuple.local_port;
        assert_in_range(port[i], 32768, 60999);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(port[i], port[k]);
        near += i && port[i] == port[i - 1] + 1;
    }
    assert_true(near < 40);
    pair_free(p);
}

static void test_open_ports_used_up(void **state)
{
    struct tcp_config cfg;
    struct tcp_tuple t = tuple;
    struct tcp_conn *c;
    struct pair *p;

    tcp_config_init(&cfg);
    cfg.port_last = cfg.port_first + 2;
    p = pair_new(&cfg);
    for (int i = 0; i < 3; i++)
        assert_non_null(pair_open(p, 0));
    assert_int_equal(tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, 0, &c), -EADDRINUSE);
    pair_free(p);
}

static struct segment syn_from(struct peer *peer, uint16_t port)
{
    struct segment s = peer_segment(peer, SEG_SYN, -1, 0, 0);

    s.src_port = port;
    return s;
}

// A flood fills the SYN queue; from then on cookies answer, and they carry everything.
static void test_listen_flood_is_answered_by_cookies(void **state)
{
    struct tcp_conn *c;

    peer_start_passive(&e, NULL, SEG_OPT_TS | SEG_OPT_SACK_OK | SEG_OPT_WSCALE, TCP_SYN_RECEIVED);
    for (uint16_t port = 10000; port < 10100; port++) {
        struct segment s = syn_from(&e, port);

        peer_put(&e, &s);
    }
    assert_int_equal(e.listener->listen.handshakes, 16);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->cookies_sent, 85);
    struct segment synack = e.out[e.n - 1];
    assert_int_equal(synack.flags, SEG_SYN | SEG_ACK);
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 77);
    s.src_port = synack.dst_port;
    s.ack = synack.seq + 1;
    s.ts_ecr = synack.ts_val;
    peer_put(&e, &s);
    c = tcp_accept(&e.p->side[0].ctx, e.listener);
    assert_non_null(c);
    assert_int_equal(c->state, TCP_ESTABLISHED);
    assert_true(c->sack_ok && c->ts_ok && c->wscale_ok);
    assert_int_equal(c->snd_wscale, 7);
    assert_int_equal(pair_end_of(e.p, 0, c)->rx_head, 77);
    peer_end(&e);
}

static void test_listen_forged_cookie_is_reset(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    for (uint16_t port = 10000; port < 10030; port++) {
        struct segment s = syn_from(&e, port);

        peer_put(&e, &s);
    }
    struct segment synack = e.out[e.n - 1];
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 0);
    s.src_port = synack.dst_port;
    s.ack = synack.seq + 2;
    e.n = 0;
    peer_put(&e, &s);
    assert_int_equal(e.n, 1);
    assert_true(e.out[0].flags & SEG_RST);
    assert_null(tcp_accept(&e.p->side[0].ctx, e.listener));
    peer_end(&e);
}

static void test_listen_stale_cookie_is_reset(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    for (uint16_t port = 10000; port < 10030; port++) {
        struct segment s = syn_from(&e, port);

        peer_put(&e, &s);
    }
    struct segment synack = e.out[e.n - 1];
    e.n = 0;
    e.p->now_ns += 200 * NS_PER_S;
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 0);
    s.src_port = synack.dst_port;
    s.ack = synack.seq + 1;
    peer_put(&e, &s);
    assert_true(e.out[e.n - 1].flags & SEG_RST);
    peer_end(&e);
}

// With the pool full of TIME-WAITs the oldest makes room.
static void test_time_wait_gives_way_when_the_pool_is_full(void **state)
{
    struct tcp_config cfg;
    struct pair *p;
    struct tcp_conn *l, *c[2];

    tcp_config_init(&cfg);
    cfg.max_conns = 3;
    p = pair_new(&cfg);
    l = pair_listen(p);
    for (int i = 0; i < 10; i++) {
        pair_connect(p, l, c);
        tcp_close(&p->side[0].ctx, p->now_ns, c[0]);
        pair_run(p, NS_PER_S);
        tcp_close(&p->side[1].ctx, p->now_ns, c[1]);
        pair_run(p, NS_PER_S);
    }
    assert_int_equal(tcp_counters(&p->side[0].ctx)->time_wait_recycled, 7);
    pair_free(p);
}

static void test_demux_prefers_the_bound_listener(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_ctx *ctx = &p->side[0].ctx;
    struct tcp_conn *any, *bound, *v4;
    struct ip_addr all = {0}, all_v4 = ip_addr_v4(0), v6 = {.b = {0x20, 1, [15] = 1}};

    assert_int_equal(tcp_listen(ctx, 0, &all, 80, 1, 0, &any), 0);
    assert_int_equal(tcp_listen(ctx, 0, &all, 80, 1, 0, &bound), -EADDRINUSE);
    assert_int_equal(tcp_listen(ctx, 0, &pair_addr[0], 80, 1, 0, &bound), 0);
    assert_ptr_equal(demux_listener(ctx, &pair_addr[0], 80), bound);
    assert_ptr_equal(demux_listener(ctx, &pair_addr[1], 80), any);
    assert_int_equal(tcp_listen(ctx, 0, &all_v4, 80, 1, 0, &v4), 0);
    assert_ptr_equal(demux_listener(ctx, &pair_addr[1], 80), v4);
    assert_ptr_equal(demux_listener(ctx, &v6, 80), any);
    assert_null(demux_listener(ctx, &v6, 81));
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isn_differs_by_tuple_and_secret),
        cmocka_unit_test(test_open_to_group_is_refused),
        cmocka_unit_test(test_open_ports_are_spread),
        cmocka_unit_test(test_open_ports_used_up),
        cmocka_unit_test(test_listen_flood_is_answered_by_cookies),
        cmocka_unit_test(test_listen_forged_cookie_is_reset),
        cmocka_unit_test(test_listen_stale_cookie_is_reset),
        cmocka_unit_test(test_time_wait_gives_way_when_the_pool_is_full),
        cmocka_unit_test(test_demux_prefers_the_bound_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
