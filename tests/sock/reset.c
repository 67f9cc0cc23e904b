// SPDX-License-Identifier: BSD-2-Clause
// SO_LINGER, resets, SO_ERROR: connections that do not end well.
#include "common/sock.h"

#include <poll.h>

static int so_error(int fd)
{
    int err = -1;
    socklen_t len = sizeof(err);
    REQUIRE_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    return err;
}

static void reader_gets_econnreset_once(struct conn *c)
{
    char byte;
    peer_do(c, op_reset, 0);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
    REQUIRE_EQ(read(c->fd, &byte, 1), 0);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
}

static void so_error_takes_the_error(struct conn *c)
{
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLERR);
    REQUIRE_EQ(so_error(c->fd), ECONNRESET);
    REQUIRE_EQ(so_error(c->fd), 0);
    conn_read_eof(c);
}

static void writer_gets_econnreset_once(struct conn *c)
{
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLERR);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), ECONNRESET);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
}

static void reset_wakes_reader(struct conn *c)
{
    char byte;
    peer_start_later(c, 60, op_reset, 0);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
    peer_finish(c);
}

static void reset_wakes_writer(struct conn *c)
{
    char byte = 0;
    conn_fill_up(c);
    peer_start_later(c, 60, op_reset, 0);
    REQUIRE_ERRNO(send(c->fd, &byte, 1, MSG_NOSIGNAL), ECONNRESET);
    peer_finish(c);
}

// RFC 2525, 2.17: data unread at close means a reset, so that the writer learns of the loss.
static void close_with_unread_data_resets(struct conn *c)
{
    char byte;
    conn_write(c, 100);
    peer_do(c, op_read, 50);
    peer_do(c, op_close, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLERR);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static int64_t exit_with_unread(struct conn *self, int64_t unused)
{
    conn_await(self, 100);
    _exit(0);
}

static void exit_with_unread_data_resets(struct conn *c)
{
    char byte;
    conn_write(c, 100);
    peer_start(c, exit_with_unread, 0);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static void all_read_at_close_does_not_reset(struct conn *c)
{
    conn_write(c, 100);
    peer_do(c, op_read, 100);
    peer_do(c, op_close, 0);
    conn_read_eof(c);
    REQUIRE_EQ(so_error(c->fd), 0);
}

// What had come before the reset can still be read on Linux; the error follows it.
static void data_before_reset_is_kept(struct conn *c)
{
    char byte;
    peer_do(c, op_write, 100);
    conn_await(c, 100);
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLIN);
    conn_read(c, 100);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static void write_to_closed_peer(struct conn *c)
{
    peer_do(c, op_close, 0);
    conn_read_eof(c);
    // The first write may be taken; what it meets is a reset, and the next one says so.
    if (send(c->fd, "x", 1, MSG_NOSIGNAL) == 1) {
        REQUIRE(sock_poll(c->fd, 0, 2000) & (POLLERR | POLLHUP));
        REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    } else {
        REQUIRE_EQ(errno, EPIPE);
    }
}

static void linger_zero_loses_nothing_that_was_read(struct conn *c)
{
    char byte;
    peer_do(c, op_write, 500);
    conn_read(c, 500);
    peer_do(c, op_reset, 0);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static void linger_on(int fd, int seconds)
{
    struct linger linger = {.l_onoff = 1, .l_linger = seconds};
    REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

static void linger_delivers_all(struct conn *c)
{
    linger_on(c->fd, 5);
    peer_start(c, op_drain, 0);
    conn_write(c, 1 * MIB);
    conn_close(c);
    REQUIRE_EQ(peer_finish(c), 1 * MIB);
}

static void linger_reads_back(struct conn *c)
{
    struct linger got = {0};
    socklen_t len = sizeof(got);
    linger_on(c->fd, 7);
    REQUIRE_EQ(getsockopt(c->fd, SOL_SOCKET, SO_LINGER, &got, &len), 0);
    REQUIRE(got.l_onoff == 1 && got.l_linger == 7);
}

static void reset_of_a_copy_is_no_reset(struct conn *c)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    int copy = dup(c->fd);
    REQUIRE_EQ(setsockopt(copy, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(copy);
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(reader_gets_econnreset_once),
    CASE(so_error_takes_the_error),
    CASE(writer_gets_econnreset_once),
    CASE(reset_wakes_reader),
    CASE(reset_wakes_writer),
    CASE(close_with_unread_data_resets),
    CASE(exit_with_unread_data_resets, .flags = SOCK_NO_THREAD),
    CASE(all_read_at_close_does_not_reset),
    CASE(data_before_reset_is_kept),
    CASE(write_to_closed_peer),
    CASE(linger_zero_loses_nothing_that_was_read),
    CASE(linger_delivers_all),
    CASE(linger_reads_back),
    CASE(reset_of_a_copy_is_no_reset),
};
SOCK_TOPIC(reset);
