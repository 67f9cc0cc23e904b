// SPDX-License-Identifier: BSD-2-Clause
// Urgent data (tcp(7), RFC 9293 3.8.5): a ring cannot carry it, so the connection goes back to TCP.
// Streams here are text, since an urgent byte is outside the numbered stream.
#include "common/epoll.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/select.h>

static int64_t send_oob(struct conn *self, int64_t byte)
{
    char value = (char)byte;
    REQUIRE_EQ(send(self->fd, &value, 1, MSG_OOB), 1);
    return 0;
}

static void byte_arrives(struct conn *c)
{
    char byte;
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_OOB), EINVAL);
    peer_do(c, send_oob, 'u');
    REQUIRE_EQ(sock_poll(c->fd, POLLPRI, 2000), POLLPRI);
    REQUIRE_EQ(recv(c->fd, &byte, 1, MSG_OOB), 1);
    REQUIRE_EQ(byte, 'u');
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_OOB), EINVAL);
}

static void stream_around_it(struct conn *c)
{
    char byte;
    peer_do(c, op_write, 1000);
    peer_do(c, send_oob, '!');
    peer_do(c, op_write, 1000);
    conn_read(c, 1000);
    REQUIRE_EQ(recv(c->fd, &byte, 1, MSG_OOB), 1);
    REQUIRE_EQ(byte, '!');
    conn_read(c, 1000);
    peer_do(c, op_write, 5000);
    conn_read(c, 5000);
    conn_write(c, 5000);
    REQUIRE_EQ(peer_do(c, op_read, 5000), 5000);
}

static int64_t take_oob(struct conn *self, int64_t unused)
{
    char byte = 0;
    REQUIRE_EQ(sock_poll(self->fd, POLLPRI, 2000), POLLPRI);
    REQUIRE_EQ(recv(self->fd, &byte, 1, MSG_OOB), 1);
    return byte;
}

static void our_byte_goes_out(struct conn *c)
{
    conn_write(c, 100);
    REQUIRE_EQ(send(c->fd, "z", 1, MSG_OOB), 1);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
    REQUIRE_EQ(peer_do(c, take_oob, 0), 'z');
    conn_write(c, 100);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
}

// With SO_OOBINLINE the byte is in the stream, and SIOCATMARK tells where.
static void inline_and_the_mark(struct conn *c)
{
    char byte;
    int on = 1, at = -1;
    REQUIRE_EQ(setsockopt(c->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
    peer_do(c, op_write, 10);
    peer_do(c, send_oob, 'm');
    conn_await(c, 11);
    char buf[50];
    REQUIRE_EQ(recv(c->fd, buf, sizeof(buf), 0), 10); // stops at the mark
    conn_check(c, buf, 10);
    REQUIRE_EQ(ioctl(c->fd, SIOCATMARK, &at), 0);
    REQUIRE_EQ(at, 1);
    REQUIRE_EQ(recv(c->fd, &byte, 1, 0), 1);
    REQUIRE_EQ(byte, 'm');
    peer_do(c, op_write, 10);
    conn_read(c, 10);
    REQUIRE_EQ(sockatmark(c->fd), 0);
}

static void select_and_epoll_see_it(struct conn *c)
{
    fd_set exc;
    struct timeval tv = {.tv_sec = 5};
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLPRI);
    REQUIRE_EQ(ep_wait(ep, c->fd, 10), 0);
    peer_start_later(c, 50, send_oob, 'e');
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLPRI);
    FD_ZERO(&exc);
    FD_SET(c->fd, &exc);
    REQUIRE_EQ(select(c->fd + 1, NULL, NULL, &exc, &tv), 1);
    peer_finish(c);
}

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    caught++;
}

static void sigurg_comes(struct conn *c)
{
    signal(SIGURG, catch_signal);
    REQUIRE_EQ(fcntl(c->fd, F_SETOWN, getpid()), 0);
    peer_do(c, send_oob, 's');
    for (int i = 0; i < 200 && caught == 0; i++)
        sleep_ms(10);
    REQUIRE_EQ(caught, 1);
}

static const struct sock_case cases[] = {
    CASE(byte_arrives),        CASE(stream_around_it),        CASE(our_byte_goes_out),
    CASE(inline_and_the_mark), CASE(select_and_epoll_see_it), CASE(sigurg_comes),
};
SOCK_TOPIC(oob);
