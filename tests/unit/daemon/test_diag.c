// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/diag.h"

static struct diag diag;
static int tcp[2];
static struct proof proof;

static union cm_addr addresses(int family, bool mapped)
{
    union cm_addr any = {.sa = {.sa_family = (sa_family_t)family}};

    if (family == AF_INET) {
        any.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (mapped) {
        any.in6.sin6_addr.s6_addr[10] = any.in6.sin6_addr.s6_addr[11] = 0xff;
        any.in6.sin6_addr.s6_addr[12] = 127;
        any.in6.sin6_addr.s6_addr[15] = 1;
    } else {
        any.in6.sin6_addr = in6addr_loopback;
    }
    return any;
}

static bool connect_pair(int family, bool mapped)
{
    union cm_addr addr = addresses(family, mapped);
    socklen_t len = sizeof addr;
    int listener = socket(family, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, &addr.sa, len))
        return false;
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &addr.sa, &len), 0);
    tcp[0] = socket(family, SOCK_STREAM, 0);
    assert_int_equal(connect(tcp[0], &addr.sa, len), 0);
    tcp[1] = accept(listener, NULL, NULL);
    close(listener);
    return true;
}

static struct proof prove(int sock)
{
    union cm_addr local, remote;
    socklen_t len = sizeof local, rlen = sizeof remote, clen = sizeof(uint64_t);
    struct proof p;
    uint64_t cookie;

    assert_int_equal(getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &clen), 0);
    assert_int_equal(getsockname(sock, &local.sa, &len), 0);
    assert_int_equal(getpeername(sock, &remote.sa, &rlen), 0);
    assert_null(proof_of_socket(sock, cookie, &p));
    assert_null(proof_add_flow(&p, &local, &remote));
    assert_null(proof_check(sock, &p));
    return p;
}

static int begin(void **state)
{
    diag_init(&diag);
    tcp[0] = tcp[1] = -1;
    return 0;
}

static int end(void **state)
{
    diag_fini(&diag);
    for (int i = 0; i < 2; i++)
        if (tcp[i] >= 0)
            close(tcp[i]);
    return 0;
}

static void close_one(int i)
{
    close(tcp[i]);
    tcp[i] = -1;
}

static void need_diag(void)
{
    if (!diag.works) {
        puts("# this kernel has no tcp_diag");
        skip();
    }
}

static void begin_with(int family, bool mapped)
{
    need_diag();
    if (!connect_pair(family, mapped)) {
        puts("# no such addresses here");
        skip();
    }
    proof = prove(tcp[0]);
    diag_learn(&diag, tcp[0], proof.flow.netns);
}

static void a_socket_is_followed_to_its_end(void **state)
{
    begin_with(AF_INET, false);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_ESTABLISHED);
    close_one(1);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_HELD); // CLOSE_WAIT
    close_one(0);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_GONE);
}

static void so_is_one_of_ipv6(void **state)
{
    begin_with(AF_INET6, false);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_ESTABLISHED);
    close_one(0);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_GONE);
}

static void mapped_addresses_are_those_of_ipv4(void **state)
{
    begin_with(AF_INET6, true);
    assert_int_equal(proof.flow.end[0].ip[10], 0xff);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_ESTABLISHED);
}

static void both_ends_prove_one_flow(void **state)
{
    struct proof other;

    begin_with(AF_INET, false);
    other = prove(tcp[1]);
    assert_memory_equal(&proof.flow, &other.flow, sizeof proof.flow);
    assert_int_not_equal(proof.side, other.side);
    assert_true(proof.cookie != other.cookie);
}

static void another_cookie_is_another_socket(void **state)
{
    begin_with(AF_INET, false);
    proof.cookie++;
    assert_int_equal(diag_ask(&diag, &proof), DIAG_GONE);
}

static void the_other_end_is_not_this_one(void **state)
{
    begin_with(AF_INET, false);
    proof.side = !proof.side;
    assert_int_equal(diag_ask(&diag, &proof), DIAG_GONE);
    assert_non_null(proof_check(tcp[0], &proof));
}

static void a_forgotten_namespace_cannot_be_asked(void **state)
{
    begin_with(AF_INET, false);
    diag_learn(&diag, tcp[0], proof.flow.netns);
    diag_forget(&diag, proof.flow.netns);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_ESTABLISHED);
    diag_forget(&diag, proof.flow.netns);
    assert_int_equal(diag_ask(&diag, &proof), DIAG_UNKNOWN);
}

// The lookup without a cookie comes to the listener once its connection is gone.
static void a_listener_is_not_taken_for_its_connection(void **state)
{
    const struct linger reset = {1, 0};
    union cm_addr addr = addresses(AF_INET, false);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof addr;

    need_diag();
    assert_int_equal(bind(listener, &addr.sa, len) | listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &addr.sa, &len), 0);
    tcp[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(tcp[0], &addr.sa, len), 0);
    tcp[1] = accept(listener, NULL, NULL);
    proof = prove(tcp[1]);
    assert_int_equal(diag_find(&diag, &proof.flow, proof.side), DIAG_HELD);
    assert_int_equal(setsockopt(tcp[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close_one(1);
    assert_int_equal(diag_find(&diag, &proof.flow, proof.side), DIAG_GONE);
    close(listener);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_socket_is_followed_to_its_end),
        TEST(so_is_one_of_ipv6),
        TEST(mapped_addresses_are_those_of_ipv4),
        TEST(both_ends_prove_one_flow),
        TEST(another_cookie_is_another_socket),
        TEST(the_other_end_is_not_this_one),
        TEST(a_listener_is_not_taken_for_its_connection),
        TEST(a_forgotten_namespace_cannot_be_asked),
    };

    return cmocka_run_group_tests_name("daemon/diag", tests, NULL, NULL);
}
