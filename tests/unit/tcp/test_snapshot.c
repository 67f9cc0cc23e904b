// SPDX-License-Identifier: BSD-2-Clause
// What a host can ask about a connection.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>
#include <string.h>

#include "peer.h"
#include "tcp/snapshot.h"

static struct peer e;

static struct tcp_snapshot snapshot(const struct tcp_conn *c)
{
    struct tcp_snapshot s;

    tcp_snapshot(&e.p->side[0].ctx, e.p->now_ns, c, &s);
    return s;
}

static void test_listen_tells_its_queue(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_ESTABLISHED);
    struct tcp_snapshot s = snapshot(e.listener);
    assert_int_equal(s.state, TCP_LISTEN);
    assert_true(s.backlog > 0);
    assert_int_equal(s.waiting, 0);
    peer_end(&e);
}

static void test_established_tells_what_is_under_way(void **state)
{
    peer_start(&e, NULL, SEG_OPT_TS | SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    peer_write(&e, 3000);
    struct tcp_snapshot s = snapshot(e.c);
    assert_int_equal(s.state, TCP_ESTABLISHED);
    assert_true(s.ts_ok && s.sack_ok && !s.wscale_ok && !s.ecn_ok && !s.syn_data);
    assert_int_equal(s.unacked, 3000);
    assert_int_equal(s.unsent, 0);
    assert_int_equal(s.bytes_acked, 0);
    assert_string_equal(tcp_cc_name(s.cc), "cubic");
    peer_send(&e, SEG_ACK, 0, 1000, 500);
    s = snapshot(e.c);
    assert_int_equal(s.unacked, 2000);
    assert_int_equal(s.bytes_acked, 1000);
    assert_int_equal(s.bytes_received, 500);
    assert_int_equal(s.idle_rx_ns, 0);
    peer_end(&e);
}

static void test_established_soft_error_is_told_and_ends_nothing(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_write(&e, 100);
    assert_true(tcp_icmp(&e.p->side[0].ctx, e.p->now_ns, &e.c->tuple, e.c->snd_una, TCP_ICMP_SOFT,
                         -EHOSTUNREACH, 0));
    struct tcp_snapshot s = snapshot(e.c);
    assert_int_equal(s.soft_error, -EHOSTUNREACH);
    assert_int_equal(s.error, 0);
    assert_int_equal(s.state, TCP_ESTABLISHED);
    peer_end(&e);
}

// For SO_LINGER with a time: the host shuts down, and waits for this.
static void test_fin_wait_1_ack_of_fin_is_told(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_write(&e, 100);
    assert_int_equal(tcp_shutdown_tx(&e.p->side[0].ctx, e.p->now_ns, e.c), 0);
    peer_take(&e);
    peer_send(&e, SEG_ACK, 0, 100, 0);
    assert_false(peer_rings(&e)->events & TCP_EV_DRAINED);
    assert_false(snapshot(e.c).fin_acked);
    peer_send(&e, SEG_ACK, 0, 101, 0);
    assert_true(peer_rings(&e)->events & TCP_EV_DRAINED);
    assert_true(snapshot(e.c).fin_acked);
    assert_false(snapshot(e.c).fin_received);
    peer_end(&e);
}

static void test_closed_tells_why(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_RST, 0, 0, 0);
    struct tcp_snapshot s = snapshot(e.c);
    assert_int_equal(s.state, TCP_CLOSED);
    assert_int_equal(s.error, -ECONNRESET);
    peer_end(&e);
}

static void test_bbr_tells_its_bandwidth(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    tcp_set(&e.p->side[0].ctx, e.p->now_ns, e.c, TCP_SET_CC, (uint64_t)tcp_cc_named("bbr"));
    peer_write(&e, 10000);
    peer_wait(&e, 10 * NS_PER_MS);
    peer_send(&e, SEG_ACK, 0, 10000, 0);
    struct tcp_snapshot s = snapshot(e.c);
    assert_true(s.bw > 0 && s.pacing_rate > 0);
    peer_end(&e);
}

static void test_options_beyond_the_last_are_refused(void **state)
{
    uint64_t value;

    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    assert_int_equal(tcp_get(&e.p->side[0].ctx, e.c, TCP_SET_LINGER2, &value), 0);
    assert_int_equal(value, 60);
    assert_int_equal(tcp_get(&e.p->side[0].ctx, e.c, TCP_SET_LINGER2 + 100, &value), -ENOPROTOOPT);
    assert_null(tcp_cc_name(1000));
    peer_end(&e);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_listen_tells_its_queue),
        T(test_established_tells_what_is_under_way),
        T(test_established_soft_error_is_told_and_ends_nothing),
        T(test_fin_wait_1_ack_of_fin_is_told),
        T(test_closed_tells_why),
        T(test_bbr_tells_its_bandwidth),
        T(test_options_beyond_the_last_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
