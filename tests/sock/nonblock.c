// SPDX-License-Identifier: BSD-2-Clause
// O_NONBLOCK, FIONBIO and SOCK_NONBLOCK.
#include "common/sock.h"

#include <poll.h>
#include <sys/ioctl.h>

static void read_says_eagain(struct conn *c)
{
    char byte;
    sock_set_nonblock(c->fd, true);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    REQUIRE_EQ(read(c->fd, &byte, 1), 1);
    conn_check(c, &byte, 1);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
}

static void read_says_eof(struct conn *c)
{
    sock_set_nonblock(c->fd, true);
    peer_do(c, op_close, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLIN);
    conn_read_eof(c);
    conn_read_eof(c);
}

static void fionbio_works(struct conn *c)
{
    char byte;
    int on = 1, off = 0;
    REQUIRE_EQ(ioctl(c->fd, FIONBIO, &on), 0);
    REQUIRE(fcntl(c->fd, F_GETFL) & O_NONBLOCK);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
    REQUIRE_EQ(ioctl(c->fd, FIONBIO, &off), 0);
    peer_start_later(c, 50, op_write, 1);
    conn_read(c, 1);
    peer_finish(c);
}

static void nonblock_is_the_sockets(struct conn *c)
{
    char byte;
    int copy = dup(c->fd);
    sock_set_nonblock(copy, true);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
    sock_set_nonblock(c->fd, false);
    REQUIRE(!(fcntl(copy, F_GETFL) & O_NONBLOCK));
    close(copy);
}

static void write_fills_and_drains(struct conn *c)
{
    char buf[100] = {0};
    sock_set_nonblock(c->fd, true);
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE(filled > 0);
    REQUIRE_ERRNO(write(c->fd, buf, sizeof(buf)), EAGAIN);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 0), 0);
    REQUIRE_EQ(peer_do(c, op_read, filled), filled);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 2000), POLLOUT);
    conn_write(c, 100);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
}

static void large_write_is_partial(struct conn *c)
{
    static char buf[32 * MIB];
    sock_set_nonblock(c->fd, true);
    conn_next(c, buf, sizeof(buf));
    ssize_t n = write(c->fd, buf, sizeof(buf));
    REQUIRE(n > 0 && n < (ssize_t)sizeof(buf));
    c->tx += (size_t)n;
    REQUIRE_EQ(peer_do(c, op_read, n), n);
}

static void poll_loop_moves_all(struct conn *c)
{
    sock_set_nonblock(c->fd, true);
    peer_start(c, op_write_echo, 4 * MIB);
    op_write_echo(c, 4 * MIB);
    REQUIRE_EQ(peer_finish(c), 4 * MIB);
}

static void one_side_each(struct conn *c)
{
    sock_set_nonblock(c->fd, true);
    for (int i = 0; i < 300; i++) {
        peer_start(c, op_echo, 50);
        conn_write(c, 50);
        for (size_t got = 0; got < 50;) {
            char buf[50];
            ssize_t n = read(c->fd, buf, sizeof(buf));
            REQUIRE(n > 0 || errno == EAGAIN);
            conn_check(c, buf, n > 0 ? (size_t)n : 0);
            got += n > 0 ? (size_t)n : 0;
        }
        peer_finish(c);
    }
}

static void accept_does_not_inherit(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    sock_set_nonblock(listener, true);
    REQUIRE_ERRNO(accept(listener, NULL, NULL), EAGAIN);
    int client = sock_connect(&addr);
    REQUIRE(sock_poll(listener, POLLIN, 2000) == POLLIN);
    int server = accept(listener, NULL, NULL);
    REQUIRE(!(fcntl(server, F_GETFL) & O_NONBLOCK));
    sock_warm(client, server);
}

static void accept4_flags(struct conn *unused)
{
    char byte;
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    int client = sock_connect(&addr);
    int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    REQUIRE(fcntl(server, F_GETFL) & O_NONBLOCK);
    REQUIRE(fcntl(server, F_GETFD) & FD_CLOEXEC);
    REQUIRE_ERRNO(read(server, &byte, 1), EAGAIN);
    REQUIRE_ERRNO(accept4(listener, NULL, NULL, 1), EINVAL);
    close(client);
}

static const struct sock_case cases[] = {
    CASE(read_says_eagain),
    CASE(read_says_eof),
    CASE(fionbio_works),
    CASE(nonblock_is_the_sockets),
    CASE(write_fills_and_drains),
    CASE(large_write_is_partial),
    CASE(poll_loop_moves_all),
    CASE(one_side_each),
    CASE(accept_does_not_inherit, .flags = SOCK_BARE),
    CASE(accept4_flags, .flags = SOCK_BARE),
};
SOCK_TOPIC(nonblock);
