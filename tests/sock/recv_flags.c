// SPDX-License-Identifier: BSD-2-Clause
// The flags of recv(2): MSG_PEEK, MSG_WAITALL, MSG_TRUNC, MSG_DONTWAIT, MSG_ERRQUEUE; SO_RCVLOWAT.
#include "common/sock.h"

#include <poll.h>

static void peek_leaves_data(struct conn *c)
{
    char buf[20];
    peer_do(c, op_write, 20);
    conn_await(c, 20);
    for (int i = 0; i < 3; i++) {
        REQUIRE_EQ(recv(c->fd, buf, 20, MSG_PEEK), 20);
        conn_compare(c, buf, 20, 0);
    }
    conn_read(c, 20);
}

static void peek_sees_more_later(struct conn *c)
{
    char buf[20];
    peer_do(c, op_write, 5);
    conn_await(c, 5);
    REQUIRE_EQ(recv(c->fd, buf, 20, MSG_PEEK), 5);
    peer_do(c, op_write, 5);
    conn_await(c, 10);
    REQUIRE_EQ(recv(c->fd, buf, 20, MSG_PEEK), 10);
    conn_check(c, buf, 10);
    REQUIRE_EQ(recv(c->fd, buf, 10, 0), 10);
}

static void peek_blocks(struct conn *c)
{
    char buf[5];
    peer_start_later(c, 60, op_write, 5);
    REQUIRE(recv(c->fd, buf, 5, MSG_PEEK) > 0);
    conn_read(c, 5);
    peer_finish(c);
}

static void peek_dontwait_on_empty(struct conn *c)
{
    char byte;
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
}

static void peek_sees_eof(struct conn *c)
{
    char byte;
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(recv(c->fd, &byte, 1, MSG_PEEK), 0);
    REQUIRE_EQ(recv(c->fd, &byte, 1, MSG_PEEK), 0);
    conn_read_eof(c);
}

static int64_t write_in_parts(struct conn *self, int64_t parts)
{
    for (int64_t i = 0; i < parts; i++) {
        conn_write(self, 100);
        sleep_ms(15);
    }
    return 0;
}

static void waitall_waits(struct conn *c)
{
    char buf[1000];
    peer_start(c, write_in_parts, 10);
    REQUIRE_EQ(recv(c->fd, buf, 1000, MSG_WAITALL), 1000);
    conn_check(c, buf, 1000);
    peer_finish(c);
}

static void waitall_beyond_the_buffers(struct conn *c)
{
    static char buf[12 * MIB];
    peer_start(c, op_write, sizeof(buf));
    REQUIRE_EQ(recv(c->fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
    conn_check(c, buf, sizeof(buf));
    peer_finish(c);
}

static void waitall_ends_at_eof(struct conn *c)
{
    char buf[1000];
    peer_start(c, write_in_parts, 3);
    peer_start(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(recv(c->fd, buf, 1000, MSG_WAITALL), 300);
    conn_check(c, buf, 300);
    conn_read_eof(c);
}

static void waitall_ends_at_timeout(struct conn *c)
{
    char buf[100];
    sock_set_timeout(c->fd, SO_RCVTIMEO, 100);
    peer_do(c, op_write, 40);
    conn_await(c, 40); // where both stacks are driven by programs, that may take longer
    REQUIRE_EQ(recv(c->fd, buf, 100, MSG_WAITALL), 40);
    conn_check(c, buf, 40);
    REQUIRE_ERRNO(recv(c->fd, buf, 100, MSG_WAITALL), EAGAIN);
}

static void waitall_dontwait_takes_what_is_there(struct conn *c)
{
    char buf[100];
    peer_do(c, op_write, 40);
    conn_await(c, 40);
    REQUIRE_EQ(recv(c->fd, buf, 100, MSG_WAITALL | MSG_DONTWAIT), 40);
    conn_check(c, buf, 40);
}

static void waitall_peek(struct conn *c)
{
    char buf[300];
    peer_start(c, write_in_parts, 3);
    REQUIRE_EQ(recv(c->fd, buf, 300, MSG_WAITALL | MSG_PEEK), 300);
    conn_compare(c, buf, 300, 0);
    conn_read(c, 300);
}

// tcp(7): MSG_TRUNC drops the bytes instead of copying them.
static void trunc_discards(struct conn *c)
{
    char buf[30] = "untouched";
    peer_do(c, op_write, 50);
    conn_await(c, 50);
    REQUIRE_EQ(recv(c->fd, buf, 30, MSG_TRUNC), 30);
    REQUIRE(strcmp(buf, "untouched") == 0);
    c->rx += 30;
    conn_read(c, 20);
}

static void trunc_takes_no_buffer(struct conn *c)
{
    peer_do(c, op_write, 50);
    conn_await(c, 50);
    REQUIRE_EQ(recv(c->fd, NULL, 45, MSG_TRUNC), 45);
    c->rx += 45;
    conn_read(c, 5);
}

static void dontwait_on_empty(struct conn *c)
{
    char byte;
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    REQUIRE_EQ(recv(c->fd, &byte, 1, MSG_DONTWAIT), 1);
    conn_check(c, &byte, 1);
}

static void errqueue_is_empty(struct conn *c)
{
    char byte;
    peer_do(c, op_write, 1);
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_ERRQUEUE), EAGAIN);
    conn_read(c, 1);
}

static void set_lowat(int fd, int bytes)
{
    REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)), 0);
}

// socket(7): since Linux 2.6.28, poll and friends respect SO_RCVLOWAT.
static void lowat_holds_poll_back(struct conn *c)
{
    set_lowat(c->fd, 100);
    peer_do(c, op_write, 99);
    conn_await(c, 99);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 50), 0);
    peer_do(c, op_write, 1);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 2000), POLLIN);
    conn_read(c, 100);
}

static void lowat_holds_recv_back(struct conn *c)
{
    char buf[500];
    set_lowat(c->fd, 200);
    peer_start(c, write_in_parts, 2);
    REQUIRE_EQ(recv(c->fd, buf, sizeof(buf), 0), 200);
    conn_check(c, buf, 200);
    peer_finish(c);
}

static void lowat_yields_to_eof(struct conn *c)
{
    set_lowat(c->fd, 1000);
    peer_do(c, op_write, 10);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 2000), POLLIN);
    conn_read(c, 10);
    conn_read_eof(c);
}

static void lowat_reads_back(struct conn *c)
{
    int got = 0;
    socklen_t len = sizeof(got);
    set_lowat(c->fd, 77);
    REQUIRE_EQ(getsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &got, &len), 0);
    REQUIRE_EQ(got, 77);
}

static const struct sock_case cases[] = {
    CASE(peek_leaves_data),
    CASE(peek_sees_more_later),
    CASE(peek_blocks),
    CASE(peek_dontwait_on_empty),
    CASE(peek_sees_eof),
    CASE(waitall_waits),
    CASE(waitall_beyond_the_buffers),
    CASE(waitall_ends_at_eof),
    CASE(waitall_ends_at_timeout),
    CASE(waitall_dontwait_takes_what_is_there),
    CASE(waitall_peek),
    CASE(trunc_discards),
    CASE(trunc_takes_no_buffer),
    CASE(dontwait_on_empty),
    CASE(errqueue_is_empty),
    CASE(lowat_holds_poll_back),
    CASE(lowat_holds_recv_back),
    CASE(lowat_yields_to_eof),
    CASE(lowat_reads_back),
};
SOCK_TOPIC(recv_flags);
