// SPDX-License-Identifier: BSD-2-Clause
// Two stacks talk to each other over a loop queue.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair.h"

static struct pair pair;

static int setup(void **state)
{
    pair_start(&pair, 64, NULL);
    return 0;
}

static int teardown(void **state)
{
    pair_stop(&pair);
    return 0;
}

struct at {
    int side;
    uint32_t sock, status;
};

static bool reached(struct pair *p, void *arg)
{
    const struct at *at = arg;

    return net_status(p->net[at->side], at->sock) & at->status;
}

static void expect(int side, uint32_t sock, uint32_t status)
{
    struct at at = {side, sock, status};

    if (!pair_run(&pair, 5000, reached, &at))
        fail_msg("side %d, socket %u: status %#x, not %#x", side, sock,
                 net_status(pair.net[side], sock), status);
}

static uint64_t soon(void)
{
    return clock_now_ns() + NS_PER_S;
}

static void transfer_both_ways(bool v6)
{
    uint32_t listener = NET_NONE, sock[2];
    struct ip_addr there = pair_addr(1, v6);
    struct net_info info;

    pair_connect(&pair, v6, 27000, &listener, sock);
    pair_transfer(&pair, sock, 0, 10 << 20);
    pair_transfer(&pair, sock, 1, 10 << 20);
    assert_int_equal(net_info(pair.net[0], sock[0], &info), 0);
    assert_int_equal(info.state, TCP_ESTABLISHED);
    assert_true(ip_addr_equal(&info.tuple.remote, &there));
    assert_int_equal(info.tuple.remote_port, 27000);
    assert_true(info.timestamps && info.sack && info.wscale);
}

static void test_transfer_ip4(void **state)
{
    transfer_both_ways(false);
    assert_true(net_counters(pair.net[0])->super_out > 0);
}

static void test_transfer_ip6(void **state)
{
    transfer_both_ways(true);
}

static void test_close_is_fin_after_the_bytes(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    char buf[8];

    pair_connect(&pair, false, 27000, &listener, sock);
    assert_int_equal(program_write(pair.net[0], sock[0], "abc", 3), 3);
    net_request(pair.net[0], clock_now_ns(), sock[0], NET_CLOSE);
    expect(1, sock[1], NET_FIN);
    assert_int_equal(program_read(pair.net[1], sock[1], buf, 8), 3);
    assert_memory_equal(buf, "abc", 3);
    net_request(pair.net[1], clock_now_ns(), sock[1], NET_CLOSE);
}

// The number stays whoever opened it, until that has heard; then it is free again.
static void test_ended_before_it_is_closed(void **state)
{
    uint32_t listener = NET_NONE, sock[2], other[2];
    struct net_info info;

    for (int i = 0; i < 200; i++) { // of 64 sockets
        bool hard = i % 2;

        pair_connect(&pair, false, 27000, &listener, sock);
        net_request(pair.net[0], clock_now_ns(), sock[0], hard ? NET_RESET : NET_END);
        expect(1, sock[1], hard ? NET_CLOSED : NET_FIN);
        assert_int_equal(net_info(pair.net[0], sock[0], &info), -EBADF);
        net_request(pair.net[1], clock_now_ns(), sock[1], NET_CLOSE);
        pair_connect(&pair, false, 27000, &listener, other);
        assert_int_not_equal(other[0], sock[0]);
        net_request(pair.net[0], clock_now_ns(), other[0], NET_ABORT);
        net_request(pair.net[1], clock_now_ns(), other[1], NET_CLOSE);
        net_request(pair.net[0], clock_now_ns(), sock[0], NET_CLOSE);
    }
}

static void test_urgent_byte_is_told(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    struct net_info info;

    pair_connect(&pair, false, 27000, &listener, sock);
    assert_int_equal(program_write(pair.net[0], sock[0], "abc", 3), 3);
    assert_int_equal(net_urgent(pair.net[0], soon(), sock[0], 1), 0);
    assert_int_equal(program_write(pair.net[0], sock[0], "!", 1), 1);
    expect(1, sock[1], NET_URGENT);
    assert_int_equal(net_info(pair.net[1], sock[1], &info), 0);
    assert_int_equal(info.urgent_pos, 4);
    assert_int_equal(net_urgent(pair.net[0], soon(), 63, 1), -EBADF);
}

static void test_half_close_goes_on_the_other_way(void **state)
{
    uint32_t listener = NET_NONE, sock[2];

    pair_connect(&pair, false, 27000, &listener, sock);
    net_request(pair.net[0], clock_now_ns(), sock[0], NET_SHUT_TX);
    expect(1, sock[1], NET_FIN);
    pair_transfer(&pair, sock, 1, 1 << 20);
    net_request(pair.net[1], clock_now_ns(), sock[1], NET_SHUT_TX);
    expect(0, sock[0], NET_FIN);
    expect(1, sock[1], NET_CLOSED);
    assert_int_equal(net_error(pair.net[1], sock[1]), 0);
}

static void test_abort_resets_the_peer(void **state)
{
    uint32_t listener = NET_NONE, sock[2];

    pair_connect(&pair, false, 27000, &listener, sock);
    net_request(pair.net[0], clock_now_ns(), sock[0], NET_ABORT);
    expect(1, sock[1], NET_CLOSED);
    assert_int_equal(net_error(pair.net[1], sock[1]), -ECONNRESET);
}

static void test_nobody_listens(void **state)
{
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27001};
    uint32_t sock;

    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), 0);
    expect(0, sock, NET_CLOSED);
    assert_int_equal(net_error(pair.net[0], sock), -ECONNREFUSED);
}

static void test_addresses_that_cannot_be_reached(void **state)
{
    struct net_open o = {.remote = ip_addr_v4(htobe32(0x01020304)), .remote_port = 27001};
    struct net_path path;
    uint32_t sock;

    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), -ENETUNREACH);
    assert_int_equal(net_path(pair.net[0], &o.remote, &o.local, &path), -ENETUNREACH);
    o.remote = pair_addr(1, false);
    o.local = ip_addr_v4(htobe32(0x0a1b0007));
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), -EADDRNOTAVAIL);
    o.local = pair_addr(0, false);
    pair.image[0]->link[0].up = false;
    pair_publish(&pair, 0, true);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), -ENETDOWN);
}

static void test_sockets_run_out_and_come_back(void **state)
{
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27001};
    uint32_t sock[64], more;

    for (int i = 0; i < 64; i++)
        assert_int_equal(net_open(pair.net[0], soon(), &o, &sock[i]), 0);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &more), -ENOBUFS);
    net_request(pair.net[0], clock_now_ns(), sock[7], NET_ABORT);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &more), 0);
    assert_int_equal(more, sock[7]);
}

static void test_full_memory_takes_no_sockets(void **state)
{
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27001};
    uint32_t sock;

    net_set_full(pair.net[0], true);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), -ENOBUFS);
    net_set_full(pair.net[0], false);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), 0);
}

static void test_options(void **state)
{
    const struct net_option nodelay = {TCP_SET_NODELAY, 1}, bad = {TCP_SET_KEEP_COUNT, 0};
    struct net_open o = {.remote = pair_addr(1, false),
                         .remote_port = 27001,
                         .options = &nodelay,
                         .option_count = 1};
    struct net_info info;
    uint32_t sock;

    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), 0);
    assert_int_equal(net_info(pair.net[0], sock, &info), 0);
    assert_true(info.nodelay);
    assert_int_equal(net_set(pair.net[0], soon(), sock, TCP_SET_NODELAY, 0), 0);
    net_info(pair.net[0], sock, &info);
    assert_false(info.nodelay);
    assert_int_equal(net_set(pair.net[0], soon(), sock, TCP_SET_KEEP_COUNT, 0), -EINVAL);
    o.options = &bad;
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), -EINVAL);
}

static void test_listener_gone_refuses(void **state)
{
    uint32_t listener = NET_NONE, sock[2], other;
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27000};

    pair_connect(&pair, false, 27000, &listener, sock);
    assert_int_equal(net_accept(pair.net[1], soon(), listener, &other), -EAGAIN);
    net_request(pair.net[1], clock_now_ns(), listener, NET_CLOSE);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &other), 0);
    expect(0, other, NET_CLOSED);
    assert_int_equal(net_error(pair.net[0], other), -ECONNREFUSED);
    pair_transfer(&pair, sock, 0, 1000); // the accepted one lives on
}

static bool is_mtu(struct pair *p, void *arg)
{
    struct net_info info;

    net_info(p->net[0], *(uint32_t *)arg, &info);
    return info.pmtu == 1000;
}

static void test_mtu_changes_in_the_middle(void **state)
{
    uint32_t listener = NET_NONE, sock[2];

    pair_connect(&pair, false, 27000, &listener, sock);
    pair_transfer(&pair, sock, 0, 1 << 20);
    for (int side = 0; side < 2; side++) {
        pair.image[side]->link[0].mtu = 1000;
        pair_publish(&pair, side, true);
    }
    assert_true(pair_run(&pair, 1000, is_mtu, &sock[0]));
    pair_transfer(&pair, sock, 0, 1 << 20);
}

static bool is_held(struct pair *p, void *arg)
{
    return net_counters(p->net[0])->held > 0;
}

// What carries no data waits for its neighbour, and goes at once when it is known.
static void test_syn_waits_for_the_neighbour(void **state)
{
    struct net_open there = {.local = pair_addr(1, false), .local_port = 27000};
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27000};
    uint32_t known = pair.image[0]->neighs, listener, sock;
    struct net_tables *t = &pair.net[0]->arena->tables;
    uint64_t start_ns;

    pair.image[0]->neighs = 0;
    pair_publish(&pair, 0, false);
    assert_int_equal(net_listen(pair.net[1], soon(), &there, 4, &listener), 0);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), 0);
    assert_true(pair_run(&pair, 1000, is_held, NULL));
    assert_int_equal(t->want_head - t->want_tail, 1);
    assert_true(ip_addr_equal(&t->want[0].addr, &o.remote));
    pair.image[0]->neighs = known;
    pair_publish(&pair, 0, false);
    start_ns = clock_now_ns();
    expect(0, sock, NET_CONNECTED);
    assert_true(clock_now_ns() - start_ns < 500 * NS_PER_MS);
}

static void test_neighbour_that_does_not_answer(void **state)
{
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27000};
    uint32_t known = pair.image[0]->neighs, sock;

    pair.image[0]->neighs = 0;
    pair_publish(&pair, 0, false);
    assert_int_equal(net_open(pair.net[0], soon(), &o, &sock), 0);
    assert_true(pair_run(&pair, 1000, is_held, NULL));
    pair.image[0]->neighs = known;
    for (uint32_t i = 0; i < pair.image[0]->neighs; i++)
        pair.image[0]->neigh[i].state = NET_NEIGH_FAILED;
    pair_publish(&pair, 0, false);
    expect(0, sock, NET_CLOSED);
    assert_int_equal(net_error(pair.net[0], sock), -EHOSTUNREACH);
}

int main(void)
{
#define stack_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        stack_test(test_transfer_ip4),
        stack_test(test_transfer_ip6),
        stack_test(test_close_is_fin_after_the_bytes),
        stack_test(test_ended_before_it_is_closed),
        stack_test(test_urgent_byte_is_told),
        stack_test(test_half_close_goes_on_the_other_way),
        stack_test(test_abort_resets_the_peer),
        stack_test(test_nobody_listens),
        stack_test(test_addresses_that_cannot_be_reached),
        stack_test(test_sockets_run_out_and_come_back),
        stack_test(test_full_memory_takes_no_sockets),
        stack_test(test_options),
        stack_test(test_listener_gone_refuses),
        stack_test(test_mtu_changes_in_the_middle),
        stack_test(test_syn_waits_for_the_neighbour),
        stack_test(test_neighbour_that_does_not_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
