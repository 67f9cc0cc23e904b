// SPDX-License-Identifier: BSD-2-Clause
// The calls of the program where they are refused, and a queue that is full at the wrong moment.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "peer.h"
#include "tcp/arena.h"
#include "tcp/cc.h"

#define NO_RINGS 60 // a word for c->user that no end stands behind

static struct peer e;

static struct tcp_ctx *ctx(void)
{
    return &e.p->side[0].ctx;
}

static struct tcp_tuple to_port(uint16_t local, uint16_t remote)
{
    return (struct tcp_tuple){pair_addr[0], pair_addr[1], local, remote};
}

static void test_open_without_rings_leaves_nothing(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_tuple t = to_port(0, 80);
    struct tcp_conn *c;

    assert_int_equal(
        tcp_open(&p->side[0].ctx, p->now_ns, &t, &(struct tcp_path){.mtu = 1500}, NO_RINGS, &c),
        -ENOBUFS);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->conns, 0);
    assert_true(tcp_deadline(&p->side[0].ctx) == CLOCK_NEVER);
    pair_free(p);
}

static void test_connect_twice_is_refused(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    assert_int_equal(tcp_connect(ctx(), e.p->now_ns, e.c), -EISCONN);
    peer_end(&e);
}

static void test_open_tuple_in_use_is_refused(void **state)
{
    struct tcp_path path = {.mtu = 1500};
    struct tcp_conn *c;

    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    assert_int_equal(tcp_open(ctx(), e.p->now_ns, &e.c->tuple, &path, 0, &c), -EADDRINUSE);
    peer_end(&e);
}

static void test_listen_needs_a_port_and_a_place(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *c;
    struct pair *p;

    tcp_config_init(&cfg);
    cfg.max_conns = 1;
    p = pair_new(&cfg);
    assert_int_equal(tcp_listen(&p->side[1].ctx, 0, &pair_addr[1], 0, 1, 0, &c), -EINVAL);
    assert_int_equal(tcp_listen(&p->side[1].ctx, 0, &pair_addr[1], 80, 1, 0, &c), 0);
    assert_int_equal(tcp_listen(&p->side[1].ctx, 0, &pair_addr[1], 80, 1, 0, &c), -EADDRINUSE);
    assert_int_equal(tcp_listen(&p->side[1].ctx, 0, &pair_addr[1], 81, 1, 0, &c), -ENOBUFS);
    pair_free(p);
}

static void test_listen_shutdown_and_urgent_mean_nothing(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_ESTABLISHED);
    assert_int_equal(tcp_shutdown_tx(ctx(), e.p->now_ns, e.listener), -ENOTCONN);
    tcp_send_urgent(ctx(), e.p->now_ns, e.listener, 0);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

static void test_closed_segment_for_a_connection_that_ended_resets(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 10);
    tcp_abort(ctx(), e.p->now_ns, e.c);
    peer_take(&e);
    peer_put(&e, &s);
    assert_int_equal(e.n, 2);
    assert_int_equal(e.out[0].flags, SEG_RST | SEG_ACK); // of the abort
    assert_int_equal(e.out[1].flags, SEG_RST);
    peer_end(&e);
}

static void test_index_leads_back_to_the_connection(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    assert_ptr_equal(tcp_conn_at(ctx(), tcp_conn_index(ctx(), e.c)), e.c);
    assert_null(tcp_conn_at(ctx(), 1u << 20));
    peer_end(&e);
}

// New data, a probe of the tail, a retransmission, an ACK: each finds the queue full, says so, and
// goes once there is room.
static void full_then_free(uint32_t want_len, int32_t want_seq)
{
    e.p->side[0].full = true;
    assert_int_equal(tcp_output(ctx(), e.p->now_ns, &e.p->side[0].sink), -EAGAIN);
    e.p->side[0].full = false;
    peer_take(&e);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].len, want_len);
    assert_int_equal(peer_seq(&e, &e.out[0]), want_seq);
}

static void expire_now(void)
{
    e.p->now_ns = tcp_conn_deadline(e.c) + NS_PER_MS;
    tcp_expire(ctx(), e.p->now_ns);
}

static void test_established_full_queue_keeps_everything(void **state)
{
    peer_start(&e, NULL, SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    e.p->side[0].full = true;
    pair_write(e.p, 0, e.c, "0123456789", 10);
    full_then_free(10, 0); // new data
    expire_now();
    full_then_free(10, 0); // the tail-loss probe
    expire_now();
    full_then_free(10, 0); // after the time-out
    e.p->side[0].full = true;
    struct segment s = peer_segment(&e, SEG_ACK, 500, 0, 100);
    tcp_input(ctx(), e.p->now_ns, &s, &e.p->side[0].sink);
    full_then_free(0, 10); // an ACK for what is out of order
    assert_int_equal(tcp_shutdown_tx(ctx(), e.p->now_ns, e.c), 0);
    full_then_free(0, 10); // FIN
    assert_true(e.out[0].flags & SEG_FIN);
    peer_end(&e);
}

static void test_established_full_queue_keeps_the_window_probe(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 0);
    s.window = 0;
    peer_put(&e, &s);
    peer_write(&e, 100);
    assert_int_equal(e.n, 0);
    expire_now();
    full_then_free(0, -1);
    peer_end(&e);
}

static void test_time_wait_fin_beyond_the_fin_restarts(void **state)
{
    uint64_t before;

    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    tcp_shutdown_tx(ctx(), e.p->now_ns, e.c);
    peer_take(&e);
    peer_send(&e, SEG_ACK | SEG_FIN, 0, 1, 0);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    before = tcp_conn_deadline(e.c);
    peer_wait(&e, 10 * NS_PER_S);
    peer_send(&e, SEG_ACK | SEG_FIN, 1, 1, 0);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    assert_true(tcp_conn_deadline(e.c) >= before + 10 * NS_PER_S);
    peer_end(&e);
}

// The path of a connection that lives: smaller, then large again.
static void test_established_path_changes(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    tcp_path_changed(ctx(), e.p->now_ns, e.c, &(struct tcp_path){.mtu = 1300});
    assert_int_equal(e.c->mss, 1260);
    tcp_path_changed(ctx(), e.p->now_ns, e.c, &(struct tcp_path){.mtu = 1500, .super_max = 65535});
    assert_true(e.c->super_max > 60000);
    peer_end(&e);
}

// RFC 9406, 4.2: round trips that shrink again were no sign of a queue: slow start resumes.
static void test_hystart_resumes_slow_start(void **state)
{
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX};
    static const uint32_t rtt_ms[] = {50, 70, 40};
    struct tcp_ack ack = {0};

    hystart_init(&c);
    for (int round = 0; round < 3; round++) {
        c.snd_nxt += 20000;
        for (int i = 0; i < 20; i++) {
            c.snd_una += 1000;
            ack.rtt_min_ns = rtt_ms[round] * NS_PER_MS;
            hystart_ack(&c, &ack);
            if (round == 1 && i == 15)
                assert_true(c.hystart.css);
        }
    }
    assert_false(c.hystart.css);
    assert_false(c.hystart.done);
    assert_int_equal(c.ssthresh, UINT32_MAX);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_open_without_rings_leaves_nothing),
        T(test_connect_twice_is_refused),
        T(test_open_tuple_in_use_is_refused),
        T(test_listen_needs_a_port_and_a_place),
        T(test_listen_shutdown_and_urgent_mean_nothing),
        T(test_closed_segment_for_a_connection_that_ended_resets),
        T(test_index_leads_back_to_the_connection),
        T(test_established_full_queue_keeps_everything),
        T(test_established_full_queue_keeps_the_window_probe),
        T(test_time_wait_fin_beyond_the_fin_restarts),
        T(test_established_path_changes),
        T(test_hystart_resumes_slow_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
