// SPDX-License-Identifier: BSD-2-Clause
// shutdown(2), and the end of a stream.
#include "common/sock.h"

#include <poll.h>

static void peer_sees_eof_and_still_writes(struct conn *c)
{
    conn_write(c, 1000);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 1000);
    REQUIRE_EQ(peer_do(c, op_write, 5000), 5000);
    conn_read(c, 5000);
    peer_do(c, op_close, 0);
    conn_read_eof(c);
}

static void write_after_shutdown(struct conn *c)
{
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 0) & POLLOUT, POLLOUT);
}

static void shutdown_twice(struct conn *c)
{
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_ERRNO(shutdown(c->fd, 99), EINVAL);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void all_data_comes_before_eof(struct conn *c)
{
    peer_start(c, op_drain, 0);
    conn_write(c, 3 * MIB);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(peer_finish(c), 3 * MIB);
}

static void all_data_comes_before_close(struct conn *c)
{
    size_t filled = conn_fill_up(c);
    peer_start_later(c, 50, op_drain, 0);
    conn_close(c);
    REQUIRE_EQ(peer_finish(c), filled);
}

static void eof_is_repeated(struct conn *c)
{
    peer_do(c, op_shutdown, SHUT_WR);
    for (int i = 0; i < 5; i++)
        conn_read_eof(c);
}

static void eof_wakes_reader(struct conn *c)
{
    peer_start_later(c, 60, op_shutdown, SHUT_WR);
    conn_read_eof(c);
    peer_finish(c);
}

static void close_wakes_reader(struct conn *c)
{
    peer_start_later(c, 60, op_close, 0);
    conn_read_eof(c);
    peer_finish(c);
}

static void shut_rd_reads_eof(struct conn *c)
{
    REQUIRE_EQ(shutdown(c->fd, SHUT_RD), 0);
    conn_read_eof(c);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
    conn_write(c, 10);
    REQUIRE_EQ(peer_do(c, op_read, 10), 10);
}

// Linux keeps what is there, and what still comes: SHUT_RD only ends the waiting.
static void shut_rd_keeps_data(struct conn *c)
{
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(shutdown(c->fd, SHUT_RD), 0);
    conn_read(c, 10);
    conn_read_eof(c);
    peer_do(c, op_write, 20);
    conn_await(c, 20);
    conn_read(c, 20);
    conn_read_eof(c);
}

static void *shut_rd_later(void *fd)
{
    sleep_ms(60);
    REQUIRE_EQ(shutdown(*(int *)fd, SHUT_RD), 0);
    return NULL;
}

static void shut_rd_wakes_reader(struct conn *c)
{
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, shut_rd_later, &c->fd), 0);
    conn_read_eof(c);
    pthread_join(thread, NULL);
}

static void *shut_wr_later(void *fd)
{
    sleep_ms(60);
    REQUIRE_EQ(shutdown(*(int *)fd, SHUT_WR), 0);
    return NULL;
}

static void shut_wr_wakes_writer(struct conn *c)
{
    pthread_t thread;
    char byte = 0;
    size_t filled = conn_fill_up(c);
    REQUIRE_EQ(pthread_create(&thread, NULL, shut_wr_later, &c->fd), 0);
    // a peer that probes a closed window may have made room for a byte
    for (conn_next(c, &byte, 1); send(c->fd, &byte, 1, MSG_NOSIGNAL) == 1; conn_next(c, &byte, 1)) {
        c->tx++;
        filled++;
    }
    REQUIRE_EQ(errno, EPIPE);
    pthread_join(thread, NULL);
    REQUIRE_EQ(peer_do(c, op_drain, 0), filled);
}

static void shut_rdwr(struct conn *c)
{
    REQUIRE_EQ(shutdown(c->fd, SHUT_RDWR), 0);
    conn_read_eof(c);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void shutdown_of_a_dead_connection(struct conn *c)
{
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, 0, 2000) & POLLERR);
    REQUIRE_ERRNO(shutdown(c->fd, SHUT_WR), ENOTCONN);
}

static void both_directions_one_after_the_other(struct conn *c)
{
    peer_do(c, op_write, 100);
    REQUIRE_EQ(peer_do(c, op_shutdown, SHUT_WR), 0);
    conn_read(c, 100);
    conn_read_eof(c);
    conn_write(c, 1 * KIB);
    REQUIRE_EQ(peer_do(c, op_read, 1 * KIB), 1 * KIB);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

// A short connection may end before anybody thought of switching it.
static void short_and_cold(struct conn *c)
{
    peer_start(c, op_drain, 0);
    conn_write(c, 300);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(peer_finish(c), 300);
    REQUIRE_EQ(peer_do(c, op_write, 300), 300);
    peer_do(c, op_close, 0);
    conn_read(c, 300);
    conn_read_eof(c);
}

static const struct sock_case cases[] = {
    CASE(peer_sees_eof_and_still_writes),
    CASE(write_after_shutdown),
    CASE(shutdown_twice),
    CASE(all_data_comes_before_eof),
    CASE(all_data_comes_before_close),
    CASE(eof_is_repeated),
    CASE(eof_wakes_reader),
    CASE(close_wakes_reader),
    CASE(shut_rd_reads_eof),
    CASE(shut_rd_keeps_data),
    CASE(shut_rd_wakes_reader),
    CASE(shut_wr_wakes_writer),
    CASE(shut_rdwr),
    CASE(shutdown_of_a_dead_connection),
    CASE(both_directions_one_after_the_other),
    CASE(short_and_cold, .flags = SOCK_COLD),
};
SOCK_TOPIC(halfclose);
