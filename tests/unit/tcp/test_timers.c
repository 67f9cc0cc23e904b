// SPDX-License-Identifier: BSD-2-Clause
// Timers on the wire, in virtual time. Onload let every one beyond 65,536 ms fire early (article
// 75126) and let connect() hang on its first poll (article 75100).
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "pair.h"

#define LOG 64

static struct {
    uint64_t at_ns[LOG];
    struct segment seg[LOG];
    int n;
    int from; // whose segments are noted, and lost
} wire;

static bool note_and_drop(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    if (from != wire.from)
        return true;
    assert_true(wire.n < LOG);
    wire.at_ns[wire.n] = p->now_ns;
    wire.seg[wire.n++] = *seg;
    return false;
}

static bool note_all(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    note_and_drop(p, from, seg, delay_ns);
    return true;
}

static void watch(struct pair *p, int from, bool drop)
{
    wire.n = 0;
    wire.from = from;
    p->link = drop ? note_and_drop : note_all;
}

// The gap before wire event i is want, a tick late at most, never early.
static void assert_gap(int i, uint64_t want_ns)
{
    uint64_t gap_ns = wire.at_ns[i] - wire.at_ns[i - 1];

    assert_true(gap_ns >= want_ns);
    assert_true(gap_ns - want_ns < (2u << WHEEL_TICK_SHIFT));
}

static void test_established_rto_doubles_up_to_120_s_then_times_out(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    struct pair_end *e;
    uint64_t rto_ns;

    pair_connect(p, l, c);
    pair_run(p, NS_PER_S);
    e = pair_end_of(p, 0, c[0]);
    watch(p, 0, true);
    pair_write(p, 0, c[0], "x", 1);
    pair_run(p, 3600 * NS_PER_S);
    // the segment, a tail-loss probe, and 15 retransmissions; a RST says good-bye
    assert_int_equal(wire.n, 1 + 1 + 15 + 1);
    rto_ns = 220 * NS_PER_MS; // SRTT 20 ms, and the floor of 200 ms for its variance
    for (int i = 2; i < 17; i++) {
        assert_gap(i, rto_ns);
        rto_ns = rto_ns * 2 < 120 * NS_PER_S ? rto_ns * 2 : 120 * NS_PER_S;
    }
    assert_true(wire.seg[17].flags & SEG_RST);
    assert_int_equal(e->error, -ETIMEDOUT);
    assert_int_equal(c[0]->state, TCP_CLOSED);
    pair_free(p);
}

static void test_syn_sent_backs_off_and_gives_up(void **state)
{
    struct pair *p = pair_new(NULL);
    uint64_t start_ns = p->now_ns;
    struct tcp_conn *c;

    watch(p, 0, true);
    c = pair_open(p, 0);
    pair_run(p, 600 * NS_PER_S);
    assert_int_equal(wire.n, 1 + 7);
    for (int i = 1; i < 8; i++)
        assert_gap(i, NS_PER_S << (i - 1));
    assert_int_equal(c->state, TCP_CLOSED);
    assert_int_equal(pair_end_of(p, 0, c)->error, -ETIMEDOUT);
    assert_true(wire.at_ns[0] == start_ns);
    tcp_close(&p->side[0].ctx, p->now_ns, c);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->conns, 0);
    pair_free(p);
}

static void test_syn_received_backs_off_and_gives_up(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p);

    watch(p, 1, true);
    pair_open(p, 0);
    pair_step(p, p->now_ns + NS_PER_S);
    p->link = NULL; // the opener falls silent: its own retransmissions are not the point here
    tcp_abort(&p->side[0].ctx, p->now_ns, tcp_conn_at(&p->side[0].ctx, 0));
    watch(p, 1, true);
    pair_run(p, 300 * NS_PER_S);
    assert_int_equal(wire.n, 5); // and the first, before
    for (int i = 1; i < 5; i++)
        assert_gap(i, NS_PER_S << i);
    assert_int_equal(l->listen.handshakes, 0);
    assert_int_equal(tcp_counters(&p->side[1].ctx)->conns, 1);
    pair_free(p);
}

static void test_established_keepalive_after_7200_s_then_every_75_s(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    tcp_set(&p->side[0].ctx, p->now_ns, c[0], TCP_SET_KEEPALIVE, 1);
    pair_run(p, NS_PER_S);
    pair_write(p, 1, c[1], "x", 1); // the idle time counts from here
    watch(p, 0, false);
    pair_run(p, NS_PER_S);
    assert_int_equal(wire.n, 1);
    watch(p, 0, true);
    wire.at_ns[0] = p->now_ns - NS_PER_S + p->delay_ns; // when the byte arrived
    wire.n = 1;
    pair_run(p, 9000 * NS_PER_S);
    assert_int_equal(wire.n, 1 + 9 + 1);
    assert_true(wire.at_ns[1] - wire.at_ns[0] >= 7200 * NS_PER_S - NS_PER_MS);
    assert_true(wire.at_ns[1] - wire.at_ns[0] <= 7200 * NS_PER_S + NS_PER_MS);
    for (int i = 1; i <= 9; i++) {
        assert_int_equal(wire.seg[i].seq, c[0]->snd_una - 1);
        assert_int_equal(wire.seg[i].len, 0);
        if (i > 1)
            assert_gap(i, 75 * NS_PER_S);
    }
    assert_true(wire.seg[10].flags & SEG_RST);
    assert_int_equal(pair_end_of(p, 0, c[0])->error, -ETIMEDOUT);
    pair_free(p);
}

static void test_established_keepalive_answered_goes_on(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    tcp_set(&p->side[0].ctx, p->now_ns, c[0], TCP_SET_KEEPALIVE, 1);
    pair_run(p, 50000 * NS_PER_S);
    assert_int_equal(c[0]->state, TCP_ESTABLISHED);
    assert_in_range(tcp_counters(&p->side[0].ctx)->keepalives, 6, 7);
    pair_free(p);
}

static void test_time_wait_lasts_60_s(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint64_t since_ns;

    pair_connect(p, l, c);
    tcp_close(&p->side[0].ctx, p->now_ns, c[0]);
    pair_run(p, 100 * NS_PER_MS);
    tcp_close(&p->side[1].ctx, p->now_ns, c[1]);
    while (c[0]->state != TCP_TIME_WAIT)
        assert_true(pair_step(p, p->now_ns + NS_PER_S));
    since_ns = p->now_ns;
    pair_run(p, 60 * NS_PER_S - 1 + since_ns - p->now_ns);
    assert_int_equal(c[0]->state, TCP_TIME_WAIT);
    pair_run(p, 2u << WHEEL_TICK_SHIFT);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->conns, 0);
    pair_free(p);
}

static void test_fin_wait_2_orphan_ends_after_60_s(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    tcp_close(&p->side[0].ctx, p->now_ns, c[0]);
    pair_run(p, NS_PER_S);
    assert_int_equal(c[0]->state, TCP_FIN_WAIT_2);
    pair_run(p, 61 * NS_PER_S);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->conns, 0);
    pair_free(p);
}

// A closed window is probed with growing pauses for as long as the probes are answered (MUST-36).
static void test_established_zero_window_is_probed_for_ever(void **state)
{
    static uint8_t block[PAIR_RING];
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint32_t left = 2 * PAIR_RING, n = 0;

    pair_connect(p, l, c);
    while (left > PAIR_RING / 2 && n++ < 10000) { // nobody reads on side 1
        left -= pair_write(p, 0, c[0], block, left < PAIR_RING ? left : PAIR_RING);
        if (!pair_step(p, p->now_ns + NS_PER_S) || c[0]->snd_wnd == 0)
            break;
    }
    pair_run(p, 5 * NS_PER_S);
    assert_int_equal(c[0]->snd_wnd, 0);
    watch(p, 0, false);
    pair_run(p, 1500 * NS_PER_S);
    assert_in_range(wire.n, 8, 30);
    for (int i = 2; i < wire.n; i++)
        assert_true(wire.at_ns[i] - wire.at_ns[i - 1] <= 121 * NS_PER_S);
    assert_gap(wire.n - 1, 120 * NS_PER_S);
    p->link = NULL;
    pair_run(p, 3 * 3600 * NS_PER_S);
    assert_int_equal(c[0]->state, TCP_ESTABLISHED);
    pair_free(p);
}

// The window opens again, and the update is lost: the probe finds out.
static void test_established_lost_window_update_is_found_by_probe(void **state)
{
    static uint8_t block[PAIR_RING];
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint32_t before;

    pair_connect(p, l, c);
    for (int i = 0; i < 10000 && (!i || c[0]->snd_wnd); i++) {
        pair_write(p, 0, c[0], block, PAIR_RING);
        pair_step(p, p->now_ns + NS_PER_S);
    }
    pair_run(p, 2 * NS_PER_S);
    assert_int_equal(c[0]->snd_wnd, 0);
    watch(p, 1, true);
    before = pair_read(p, 1, c[1], block, PAIR_RING);
    assert_true(before > 0);
    pair_flush(p);
    assert_int_equal(wire.n, 1);
    p->link = NULL;
    pair_run(p, 200 * NS_PER_S);
    assert_true(pair_read(p, 1, c[1], block, PAIR_RING) >= before);
    pair_free(p);
}

static void test_established_user_timeout_ends_on_time(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint64_t start_ns;

    pair_connect(p, l, c);
    pair_run(p, NS_PER_S);
    tcp_set(&p->side[0].ctx, p->now_ns, c[0], TCP_SET_USER_TIMEOUT_MS, 100000);
    watch(p, 0, true);
    start_ns = p->now_ns;
    pair_write(p, 0, c[0], "x", 1);
    while (c[0]->state != TCP_CLOSED)
        assert_true(pair_step(p, p->now_ns + 1000 * NS_PER_S));
    assert_true(p->now_ns - start_ns >= 100 * NS_PER_S - NS_PER_MS);
    assert_true(p->now_ns - start_ns <= 100 * NS_PER_S + 2 * NS_PER_MS);
    assert_int_equal(pair_end_of(p, 0, c[0])->error, -ETIMEDOUT);
    pair_free(p);
}

static void test_established_delayed_ack_within_40_ms(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint64_t arrived_ns;

    pair_connect(p, l, c);
    pair_run(p, NS_PER_S);
    c[1]->quick_acks = 0;
    watch(p, 1, false);
    pair_write(p, 0, c[0], "x", 1);
    arrived_ns = p->now_ns + p->delay_ns;
    pair_run(p, NS_PER_S);
    assert_int_equal(wire.n, 1);
    assert_true(wire.at_ns[0] >= arrived_ns + 40 * NS_PER_MS);
    assert_true(wire.at_ns[0] <= arrived_ns + 41 * NS_PER_MS);
    pair_free(p);
}

// 100,000 idle connections cost nothing: no timer is armed for any of them.
static void test_established_idle_has_no_timer(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    pair_write(p, 0, c[0], "x", 1);
    pair_run(p, 5 * NS_PER_S);
    assert_true(tcp_deadline(&p->side[0].ctx) == CLOCK_NEVER);
    assert_true(tcp_deadline(&p->side[1].ctx) == CLOCK_NEVER);
    pair_free(p);
}

// A sample of "less than nothing" would be the longest of all, and the next RTO 120 s.
static void test_established_ack_by_an_old_clock_is_no_long_round_trip(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];
    struct segment ack = {.flags = SEG_ACK, .window = 65535, .opts = SEG_OPT_TS};

    pair_connect(p, l, c);
    pair_run(p, NS_PER_S);
    pair_write(p, 0, c[0], "x", 1);
    pair_flush(p);
    assert_true(c[0]->snd_nxt != c[0]->snd_una);
    ack.seq = c[0]->rcv_nxt;
    ack.ack = c[0]->snd_nxt;
    ack.ts_val = c[0]->ts_recent;
    tcp_conn_input(&p->side[0].ctx, c[0], p->now_ns - NS_PER_MS, &ack, &p->side[0].sink);
    assert_true(c[0]->snd_nxt == c[0]->snd_una);
    assert_true(c[0]->srtt_ns < NS_PER_S);
    pair_free(p);
}

// Article 75100: the answer comes before the caller has waited at all.
static void test_syn_sent_syn_ack_inside_first_poll(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *c;

    pair_listen(p);
    p->delay_ns = 0;
    c = pair_open(p, 0);
    pair_step(p, p->now_ns);
    pair_step(p, p->now_ns);
    assert_int_equal(c->state, TCP_ESTABLISHED);
    assert_true(pair_end_of(p, 0, c)->events & TCP_EV_CONNECTED);
    pair_free(p);
}

static void test_syn_sent_rst_inside_first_poll(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *c;

    p->delay_ns = 0;
    c = pair_open(p, 0);
    pair_step(p, p->now_ns);
    pair_step(p, p->now_ns);
    assert_int_equal(c->state, TCP_CLOSED);
    assert_int_equal(pair_end_of(p, 0, c)->error, -ECONNREFUSED);
    pair_free(p);
}

static void test_syn_sent_full_sink_still_meets_its_deadline(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *c;

    p->side[0].full = true;
    c = pair_open(p, 0);
    pair_run(p, 248 * NS_PER_S);
    assert_int_equal(c->state, TCP_CLOSED);
    assert_int_equal(pair_end_of(p, 0, c)->error, -ETIMEDOUT);
    pair_free(p);
}

static void test_open_pool_exhausted_fails_at_once(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *c;
    struct pair *p;
    struct tcp_tuple t = {pair_addr[0], pair_addr[1], 0, 80};

    tcp_config_init(&cfg);
    cfg.max_conns = 2;
    p = pair_new(&cfg);
    pair_open(p, 0);
    pair_open(p, 0);
    assert_int_equal(tcp_open(&p->side[0].ctx, p->now_ns, &t, &p->path, 0, &c), -ENOBUFS);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_established_rto_doubles_up_to_120_s_then_times_out),
        cmocka_unit_test(test_syn_sent_backs_off_and_gives_up),
        cmocka_unit_test(test_syn_received_backs_off_and_gives_up),
        cmocka_unit_test(test_established_keepalive_after_7200_s_then_every_75_s),
        cmocka_unit_test(test_established_keepalive_answered_goes_on),
        cmocka_unit_test(test_time_wait_lasts_60_s),
        cmocka_unit_test(test_fin_wait_2_orphan_ends_after_60_s),
        cmocka_unit_test(test_established_zero_window_is_probed_for_ever),
        cmocka_unit_test(test_established_lost_window_update_is_found_by_probe),
        cmocka_unit_test(test_established_user_timeout_ends_on_time),
        cmocka_unit_test(test_established_delayed_ack_within_40_ms),
        cmocka_unit_test(test_established_idle_has_no_timer),
        cmocka_unit_test(test_established_ack_by_an_old_clock_is_no_long_round_trip),
        cmocka_unit_test(test_syn_sent_syn_ack_inside_first_poll),
        cmocka_unit_test(test_syn_sent_rst_inside_first_poll),
        cmocka_unit_test(test_syn_sent_full_sink_still_meets_its_deadline),
        cmocka_unit_test(test_open_pool_exhausted_fails_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
