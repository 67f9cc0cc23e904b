// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cm/packet.h"

static int sock[2];
static struct packet got;

static int connect_pair(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock);
}

static int hang_up(void **state)
{
    close(sock[0]);
    close(sock[1]);
    return 0;
}

static void send_drop(uint64_t cookie, const int *fds, int n_fds)
{
    Ctl__Drop drop = CTL__DROP__INIT;
    Ctl__Envelope msg;

    drop.cookie = cookie;
    PACKET_INIT(&msg, DROP, drop, &drop);
    assert_int_equal(packet_send(sock[0], &msg, fds, n_fds), 0);
}

static void a_message_and_its_fds_arrive(void **state)
{
    int fds[2];
    char byte;

    assert_int_equal(pipe(fds), 0);
    send_drop(UINT64_MAX, fds, 2);
    close(fds[0]);
    assert_int_equal(packet_recv(sock[1], &got), 0);
    assert_int_equal(got.msg->body_case, CTL__ENVELOPE__BODY_DROP);
    assert_true(got.msg->drop->cookie == UINT64_MAX);
    assert_int_equal(got.n_fds, 2);
    assert_false(got.fds_lost);
    assert_int_equal(fcntl(got.fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(got.fds[0], &byte, 1), 1);
    packet_close_fds(&got);
    close(fds[1]);
}

static void taken_fds_stay_open(void **state)
{
    int fds[2], mine;

    assert_int_equal(pipe(fds), 0);
    send_drop(1, fds, 2);
    assert_int_equal(packet_recv(sock[1], &got), 0);
    mine = packet_take(&got, 1);
    assert_true(mine >= 0);
    assert_int_equal(packet_take(&got, 1), -1);
    assert_int_equal(packet_take(&got, 2), -1);
    packet_close_fds(&got);
    assert_int_equal(fcntl(mine, F_GETFD), FD_CLOEXEC);
    close(mine);
    close(fds[0]);
    close(fds[1]);
}

static void an_empty_socket_says_again(void **state)
{
    assert_int_equal(packet_recv(sock[1], &got), -EAGAIN);
}

static void a_hang_up_is_told(void **state)
{
    close(sock[0]);
    sock[0] = -1;
    assert_int_equal(packet_recv(sock[1], &got), -EPIPE);
}

static void a_full_socket_says_again(void **state)
{
    Ctl__Drop drop = CTL__DROP__INIT;
    Ctl__Envelope msg;
    int n = 0, err;

    PACKET_INIT(&msg, DROP, drop, &drop);
    while (!(err = packet_send(sock[0], &msg, NULL, 0)) && n < 100000)
        n++;
    assert_int_equal(err, -EAGAIN);
    while (n--)
        assert_int_equal(packet_recv(sock[1], &got), 0);
}

static void bad_bytes_are_no_message(void **state)
{
    static const uint8_t cut[] = {0x22, 0x02, 0x08}; // a Drop of two bytes, one of them there

    assert_int_equal(packet_send_bytes(sock[0], cut, sizeof cut, NULL, 0), 0);
    assert_int_equal(packet_recv(sock[1], &got), -EBADMSG);
}

static void too_long_packets_are_no_message(void **state)
{
    static uint8_t bytes[PACKET_MAX_BYTES + 1] = {0x22, 0x02, 0x08, 0x01};

    assert_int_equal(packet_send_bytes(sock[0], bytes, sizeof bytes, NULL, 0), 0);
    assert_int_equal(packet_recv(sock[1], &got), -EBADMSG);
}

// A field and a body of the future.
static void unknown_fields_are_passed_over(void **state)
{
    static const uint8_t bytes[] = {0x22, 0x05, 0x08, 0x07, 0xf8, 0x3f, 0x01, // Drop{7, field 1023}
                                    0xa2, 0x06, 0x01, 'x'};                   // field 100

    assert_int_equal(packet_send_bytes(sock[0], bytes, sizeof bytes, NULL, 0), 0);
    assert_int_equal(packet_recv(sock[1], &got), 0);
    assert_int_equal(got.msg->drop->cookie, 7);
}

// Two bytes a field, each of which costs a lot of arena: refused rather than overrun.
static void the_arena_ends_before_memory_does(void **state)
{
    for (size_t i = 0; i < PACKET_MAX_BYTES; i += 2) {
        got.bytes[i] = 0x78; // field 15, a varint
        got.bytes[i + 1] = 1;
    }
    assert_int_equal(packet_unpack(&got, PACKET_MAX_BYTES), -EBADMSG);
    assert_true(got.arena_used <= PACKET_ARENA_BYTES);
}

static void addresses_go_both_ways(void **state)
{
    union cm_addr in = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)}}, out;
    Ctl__Address said;

    in.in6.sin6_addr.s6_addr[15] = 1;
    in.in6.sin6_scope_id = 3;
    packet_address(&in, &said);
    packet_read_address(&said, &out);
    assert_memory_equal(&in.in6, &out.in6, sizeof in.in6);
    memset(&in, 0, sizeof in);
    in.in.sin_family = AF_INET;
    in.in.sin_port = htons(80);
    in.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    packet_address(&in, &said);
    packet_read_address(&said, &out);
    assert_memory_equal(&in.in, &out.in, sizeof in.in);
    said.ip.len = 5;
    packet_read_address(&said, &out);
    assert_int_equal(out.sa.sa_family, 0);
    packet_read_address(NULL, &out);
    assert_int_equal(out.sa.sa_family, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, connect_pair, hang_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_and_its_fds_arrive),      TEST(taken_fds_stay_open),
        TEST(an_empty_socket_says_again),        TEST(a_hang_up_is_told),
        TEST(a_full_socket_says_again),          TEST(bad_bytes_are_no_message),
        TEST(too_long_packets_are_no_message),   TEST(unknown_fields_are_passed_over),
        TEST(the_arena_ends_before_memory_does), TEST(addresses_go_both_ways),
    };

    return cmocka_run_group_tests_name("cm/packet", tests, NULL, NULL);
}
