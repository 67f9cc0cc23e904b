// SPDX-License-Identifier: BSD-2-Clause
// Whole connections between two engines: every byte arrives once, in order, and both sides end.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "pair.h"
#include "tcp/cc.h"

#define CHUNK 30000

static uint8_t byte_at(uint64_t pos)
{
    return (uint8_t)(pos * 31 + (pos >> 8) * 7 + (pos >> 16));
}

static uint64_t feed(struct pair *p, int side, struct tcp_conn *c, uint64_t pos, uint64_t total)
{
    uint8_t buf[CHUNK];
    uint32_t n = total - pos < CHUNK ? total - pos : CHUNK;

    for (uint32_t i = 0; i < n; i++)
        buf[i] = byte_at(pos + i);
    return pos + pair_write(p, side, c, buf, n);
}

static uint64_t drain(struct pair *p, int side, struct tcp_conn *c, uint64_t pos)
{
    uint8_t buf[CHUNK];
    uint32_t n = pair_read(p, side, c, buf, CHUNK);

    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(buf[i], byte_at(pos + i));
    return pos + n;
}

// Sends total bytes from side 0 to side 1; returns the virtual time that it took.
static uint64_t transfer(struct pair *p, struct tcp_conn *c[2], uint64_t total)
{
    uint64_t fed = 0, got = 0, start_ns = p->now_ns;

    while (got < total) {
        fed = feed(p, 0, c[0], fed, total);
        assert_true(pair_step(p, p->now_ns + 600 * NS_PER_S));
        got = drain(p, 1, c[1], got);
        assert_true(p->now_ns - start_ns < 3600 * NS_PER_S);
    }
    return p->now_ns - start_ns;
}

// Both close; nothing may be left in either engine.
static void finish(struct pair *p, struct tcp_conn *c[2], struct tcp_conn *l)
{
    struct pair_end *e[2] = {pair_end_of(p, 0, c[0]), pair_end_of(p, 1, c[1])};

    tcp_close(&p->side[0].ctx, p->now_ns, c[0]);
    pair_run(p, NS_PER_S);
    assert_true(e[1]->events & TCP_EV_FIN);
    tcp_close(&p->side[1].ctx, p->now_ns, c[1]);
    tcp_close(&p->side[1].ctx, p->now_ns, l);
    pair_run(p, 300 * NS_PER_S);
    for (int i = 0; i < 2; i++) {
        assert_true(e[i]->events & TCP_EV_RELEASED);
        assert_int_equal(tcp_counters(&p->side[i].ctx)->conns, 0);
        assert_int_equal(tcp_counters(&p->side[i].ctx)->spans, 0);
        assert_true(tcp_deadline(&p->side[i].ctx) == CLOCK_NEVER);
    }
}

static void test_transfer_clean_link(void **state)
{
    struct pair *p = pair_new(NULL);
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    transfer(p, c, 20 << 20);
    assert_int_equal(tcp_counters(&p->side[0].ctx)->segs_retrans, 0);
    finish(p, c, l);
    pair_free(p);
}

static void test_transfer_super_frames(void **state)
{
    struct pair *p = pair_new_path(NULL, (struct tcp_path){.mtu = 1500, .super_max = 65535});
    struct tcp_conn *l = pair_listen(p), *c[2];

    pair_connect(p, l, c);
    transfer(p, c, 20 << 20);
    assert_in_range(p->side[0].sent, 300, 2000); // 14,000 by segments of 1,448
    finish(p, c, l);
    pair_free(p);
}

static bool deaf(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    return from;
}

// One connection has all that the pool holds: others wait, without turning in circles, and go on
// when there is something to be had.
static void test_transfer_without_spans_waits(void **state)
{
    struct tcp_config cfg;
    struct tcp_conn *l, *c[2], *other;
    struct pair *p;

    tcp_config_init(&cfg);
    cfg.max_spans = 1;
    p = pair_new(&cfg);
    l = pair_listen(p);
    pair_connect(p, l, c);
    p->link = deaf;
    assert_int_equal(pair_write(p, 0, c[0], "held", 4), 4);
    pair_flush(p);
    other = pair_open(p, 0);
    assert_int_equal(tcp_output(&p->side[0].ctx, p->now_ns, &p->side[0].sink), 0);
    assert_int_equal(other->state, TCP_SYN_SENT);
    p->link = NULL;
    pair_run(p, 2 * NS_PER_S);
    assert_int_equal(other->state, TCP_ESTABLISHED);
    assert_int_equal(pair_write(p, 0, other, "more", 4), 4);
    pair_run(p, NS_PER_S);
    assert_int_equal(other->snd_una, other->snd_nxt);
    pair_free(p);
}

static bool lossy(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    *delay_ns += random() % 1000;
    return random() % 100 >= 3;
}

static bool reordering(struct pair *p, int from, struct segment *seg, uint64_t *delay_ns)
{
    *delay_ns += random() % 4 ? 0 : random() % (3 * NS_PER_MS);
    return true;
}

static void run_lossy(int cc, bool (*link)(struct pair *, int, struct segment *, uint64_t *),
                      const struct tcp_config *base, uint64_t total)
{
    struct tcp_config cfg = *base;
    struct tcp_conn *l, *c[2];
    struct pair *p;

    srandom(cc + 1);
    cfg.cc = cc;
    p = pair_new(&cfg);
    l = pair_listen(p);
    pair_connect(p, l, c);
    p->link = link;
    transfer(p, c, total);
    p->link = NULL;
    finish(p, c, l);
    pair_free(p);
}

static void test_transfer_three_percent_loss(void **state)
{
    struct tcp_config cfg;

    tcp_config_init(&cfg);
    for (int cc = 0; cc < CC_COUNT; cc++)
        run_lossy(cc, lossy, &cfg, 3 << 20);
}

static void test_transfer_loss_without_sack(void **state)
{
    struct tcp_config cfg;

    tcp_config_init(&cfg);
    cfg.sack = cfg.timestamps = cfg.window_scaling = false;
    for (int cc = 0; cc < CC_COUNT; cc++)
        run_lossy(cc, lossy, &cfg, 1 << 20);
}

static void test_transfer_reordering(void **state)
{
    struct tcp_config cfg;

    tcp_config_init(&cfg);
    for (int cc = 0; cc < CC_COUNT; cc++)
        run_lossy(cc, reordering, &cfg, 4 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_clean_link),
        cmocka_unit_test(test_transfer_super_frames),
        cmocka_unit_test(test_transfer_without_spans_waits),
        cmocka_unit_test(test_transfer_three_percent_loss),
        cmocka_unit_test(test_transfer_loss_without_sack),
        cmocka_unit_test(test_transfer_reordering),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
