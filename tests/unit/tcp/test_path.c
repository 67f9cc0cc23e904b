// SPDX-License-Identifier: BSD-2-Clause
// Path MTU, congestion control on a link with a rate, options, Fast Open between two engines.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "pair.h"
#include "tcp/arena.h"
#include "tcp/cc.h"

static uint8_t block[PAIR_RING];

static struct {
    uint32_t link_mtu;   // larger packets vanish
    uint64_t free_ns[2]; // a link of 100 Mbit/s: when each direction is idle again
    uint64_t queue_ns;   // longest wait in its queue
    uint32_t drops;
} net;

static bool narrow(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    uint32_t header = 40 + (seg->opts & SEG_OPT_TS ? 12 : 0);
    uint32_t piece = seg->gso_size && seg->len > seg->gso_size ? seg->gso_size : seg->len;

    return piece + header <= net.link_mtu;
}

static bool with_rate(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    uint64_t wait_ns;

    if (net.free_ns[from] < p->now_ns)
        net.free_ns[from] = p->now_ns;
    wait_ns = net.free_ns[from] - p->now_ns;
    if (wait_ns > net.queue_ns) {
        net.drops++;
        return false;
    }
    net.free_ns[from] += (seg->len + 60) * 80;
    *delay_ns += wait_ns + (seg->len + 60) * 80;
    return true;
}

// Sends for that long; returns bytes a second that arrived.
static uint64_t send_for(struct pair *p, struct tcp_conn *c[2], uint64_t ns)
{
    uint64_t until_ns = p->now_ns + ns, got = 0;

    pair_read(p, 1, c[1], block, sizeof block); // what lies there from before

    while (p->now_ns < until_ns) {
        pair_write(p, 0, c[0], block, sizeof block);
        pair_step(p, until_ns);
        got += pair_read(p, 1, c[1], block, sizeof block);
    }
    return got * NS_PER_S / ns;
}

// RFC 4821, 7.7: large segments vanish and nobody says so.
static void test_established_black_hole_is_left_by_itself(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    net.link_mtu = 1300;
    p->link = narrow;
    tcp_set(&p->side[1].ctx, p->now_ns, c[1], TCP_SET_RCV_LIMIT, 65536); // keeps the test short
    assert_true(send_for(p, c, 5 * NS_PER_S) > 1000000);
    assert_int_equal(c[0]->pmtu, 1064); // 1,024 bytes of payload, options taken off
    // 7.3: the search goes upwards, as far as the link goes
    pair_run(p, 61 * NS_PER_S);
    send_for(p, c, 10 * NS_PER_S);
    assert_in_range(c[0]->pmtu, 1300 - 8, 1300);
    assert_true(tcp_counters(&p->side[0].ctx)->mtu_probes >= 4);
    // 7.2: a lost probe is no congestion
    assert_int_equal(c[0]->ca_state, TCP_CA_OPEN);
    pair_free(p);
}

static void test_established_path_grows_again_after_ten_minutes(void **state)
{
    struct pair *p = pair_new_path(NULL, (struct tcp_path){.mtu = 9000});
    struct tcp_conn *l = pair_listen(p), *c[2];
    uint32_t cwnd;

    pair_connect(p, l, c);
    tcp_set(&p->side[1].ctx, p->now_ns, c[1], TCP_SET_RCV_LIMIT, 262144);
    send_for(p, c, NS_PER_S);
    cwnd = c[0]->cwnd;
    pair_write(p, 0, c[0], block, 100000);
    pair_flush(p);
    assert_true(tcp_icmp(&p->side[0].ctx, p->now_ns, &c[0]->tuple, c[0]->snd_una, TCP_ICMP_TOO_BIG,
                         -EMSGSIZE, 1500));
    assert_int_equal(c[0]->mss, 1448);
    send_for(p, c, NS_PER_S);
    assert_true(c[0]->cwnd >= cwnd);
    pair_run(p, 601 * NS_PER_S);
    send_for(p, c, 3 * NS_PER_S);
    assert_true(c[0]->pmtu > 8900);
    pair_free(p);
}

static void test_established_fills_a_link_with_each_algorithm(void **state)
{
    for (int cc = 0; cc < CC_COUNT; cc++) {
        struct tcp_config cfg;
        struct tcp_conn *l, *c[2];
        struct pair *p;

        tcp_config_init(&cfg);
        cfg.cc = cc;
        p = pair_new(&cfg);
        l = pair_listen(p);
        pair_connect(p, l, c);
        net.queue_ns = 20 * NS_PER_MS;
        net.free_ns[0] = net.free_ns[1] = 0;
        p->link = with_rate;
        send_for(p, c, 2 * NS_PER_S);
        assert_true(send_for(p, c, 3 * NS_PER_S) > 12500000 * 9 / 10);
        assert_int_equal(tcp_counters(&p->side[0].ctx)->rtos, 0);
        pair_free(p);
    }
}

// RFC 9406: with a deep queue slow start ends before it overflows.
static void test_established_hystart_leaves_slow_start_by_delay(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    net.queue_ns = 200 * NS_PER_MS;
    net.free_ns[0] = net.free_ns[1] = 0;
    net.drops = 0;
    p->link = with_rate;
    send_for(p, c, NS_PER_S);
    assert_true(c[0]->hystart.done);
    assert_true(c[0]->ssthresh < UINT32_MAX);
    assert_int_equal(net.drops, 0);
    pair_free(p);
}

// BBR keeps the queue short, and looks for the true round trip every ten seconds.
static void test_established_bbr_keeps_the_queue_short(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *l, *c[2];
    struct pair *p;

    tcp_config_init(&cfg);
    cfg.cc = CC_BBR;
    p = pair_new(&cfg);
    l = pair_listen(p);
    pair_connect(p, l, c);
    net.queue_ns = 200 * NS_PER_MS;
    net.free_ns[0] = net.free_ns[1] = 0;
    p->link = with_rate;
    send_for(p, c, 13 * NS_PER_S);
    assert_true(c[0]->srtt_ns < 45 * NS_PER_MS); // 20 ms path; a full queue would make it 220
    assert_true(c[0]->min_rtt_ns < 22 * NS_PER_MS);
    assert_true(c[0]->bbr.full);
    pair_free(p);
}

static void test_established_pacing_spreads_a_window(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *l, *c[2];
    struct pair *p;

    tcp_config_init(&cfg);
    cfg.pacing = true;
    cfg.rcv_max = 262144;
    p = pair_new(&cfg);
    l = pair_listen(p);
    pair_connect(p, l, c);
    send_for(p, c, NS_PER_S);
    assert_true(c[0]->pacing_rate > 0);
    pair_free(p);
}

static void test_established_max_pacing_is_kept(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    tcp_set(&p->side[0].ctx, p->now_ns, c[0], TCP_SET_MAX_PACING, 1000000);
    assert_in_range(send_for(p, c, 5 * NS_PER_S), 900000, 1000000 + 2000);
    pair_free(p);
}

// Auto-tuning: a window of 64 KB would allow 3.2 MB/s over 20 ms.
static void test_established_receive_window_grows_with_the_path(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    send_for(p, c, NS_PER_S);
    assert_true(send_for(p, c, NS_PER_S / 4) > 20000000);
    assert_true(c[1]->rcv_limit > 500000);
    pair_free(p);
}

static void test_options_have_ranges(void **state)
{
    static const struct {
        enum tcp_option opt;
        uint64_t good, bad;
    } cases[] = {
        {TCP_SET_NODELAY, 1, 2},         {TCP_SET_QUICKACK, 1, 2},
        {TCP_SET_KEEPALIVE, 1, 2},       {TCP_SET_KEEPALIVE, 0, 2},
        {TCP_SET_KEEP_IDLE_MS, 1000, 0}, {TCP_SET_KEEP_INTERVAL_MS, 1000, 0},
        {TCP_SET_KEEP_COUNT, 127, 128},  {TCP_SET_USER_TIMEOUT_MS, 0, 1ull << 31},
        {TCP_SET_SYN_RETRIES, 127, 0},   {TCP_SET_CC, CC_NEWRENO, CC_COUNT},
        {TCP_SET_TOS, 255, 256},         {TCP_SET_RCV_LIMIT, 4096, 100},
        {TCP_SET_FASTOPEN, 1, 2},        {TCP_SET_DEFER_ACCEPT, 1, 1ull << 31},
        {TCP_SET_LINGER2, 30, 256},
    };
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tcp_set(&p->side[0].ctx, 0, c[0], cases[i].opt, cases[i].good), 0);
        assert_int_equal(tcp_set(&p->side[0].ctx, 0, c[0], cases[i].opt, cases[i].bad), -EINVAL);
    }
    assert_int_equal(tcp_set(&p->side[0].ctx, 0, c[0], 99, 0), -ENOPROTOOPT);
    assert_int_equal(tcp_set(&p->side[0].ctx, 0, c[0], TCP_SET_MSS, 1000), -EISCONN);
    assert_int_equal(tcp_cc_named("bbr"), CC_BBR);
    assert_int_equal(tcp_cc_named("vegas"), -ENOENT);
    pair_free(p);
}

static struct tcp_conn *open_fast(struct pair *p, const char *text)
{
    struct tcp_tuple t = {pair_addr[0], pair_addr[1], 0, 80};
    uint32_t user = pair_new_end(p, 0);
    struct tcp_conn *c;

    assert_int_equal(tcp_create(&p->side[0].ctx, p->now_ns, &t, &p->path, user, &c), 0);
    assert_int_equal(tcp_set(&p->side[0].ctx, p->now_ns, c, TCP_SET_FASTOPEN, 1), 0);
    pair_write(p, 0, c, text, strlen(text));
    assert_int_equal(tcp_connect(&p->side[0].ctx, p->now_ns, c), 0);
    return c;
}

// RFC 7413: the first connection brings the cookie, the second its data with the SYN.
static void test_listen_fast_open_takes_data_with_syn(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *l, *c, *child;
    struct pair *p;
    char got[16];

    tcp_config_init(&cfg);
    cfg.tfo_client = cfg.tfo_server = true;
    p = pair_new(&cfg);
    l = pair_listen(p);
    tcp_set(&p->side[1].ctx, p->now_ns, l, TCP_SET_FASTOPEN, 1);
    c = open_fast(p, "first");
    pair_run(p, NS_PER_S);
    assert_int_equal(c->state, TCP_ESTABLISHED);
    assert_non_null(tcp_accept(&p->side[1].ctx, l));

    c = open_fast(p, "second");
    pair_flush(p);
    pair_run(p, p->delay_ns); // one way only
    child = tcp_accept(&p->side[1].ctx, l);
    assert_non_null(child);
    assert_int_equal(child->state, TCP_SYN_RECEIVED);
    assert_int_equal(pair_read(p, 1, child, got, sizeof got), 6);
    assert_memory_equal(got, "second", 6);
    pair_write(p, 1, child, "answer", 6);
    pair_run(p, NS_PER_S);
    assert_int_equal(c->state, TCP_ESTABLISHED);
    assert_int_equal(child->state, TCP_ESTABLISHED);
    assert_int_equal(pair_read(p, 0, c, got, sizeof got), 6);
    assert_int_equal(tcp_counters(&p->side[1].ctx)->tfo_in, 1);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->segs_retrans, 0);
    pair_free(p);
}

static void test_format_refuses_senseless_configurations(void **state)
{
    static uint64_t mem[1 << 16];
    struct tcp_config cfg;
    struct tcp_ctx ctx;

    tcp_config_init(&cfg);
    cfg.max_conns = 0;
    assert_int_equal(tcp_format(mem, &cfg, 0), -EINVAL);
    tcp_config_init(&cfg);
    cfg.cc = 9;
    assert_int_equal(tcp_format(mem, &cfg, 0), -EINVAL);
    assert_int_equal(tcp_attach(&ctx, mem, sizeof(mem), NULL, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_established_black_hole_is_left_by_itself),
        cmocka_unit_test(test_established_path_grows_again_after_ten_minutes),
        cmocka_unit_test(test_established_fills_a_link_with_each_algorithm),
        cmocka_unit_test(test_established_hystart_leaves_slow_start_by_delay),
        cmocka_unit_test(test_established_bbr_keeps_the_queue_short),
        cmocka_unit_test(test_established_pacing_spreads_a_window),
        cmocka_unit_test(test_established_max_pacing_is_kept),
        cmocka_unit_test(test_established_receive_window_grows_with_the_path),
        cmocka_unit_test(test_options_have_ranges),
        cmocka_unit_test(test_listen_fast_open_takes_data_with_syn),
        cmocka_unit_test(test_format_refuses_senseless_configurations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
