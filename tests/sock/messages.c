// SPDX-License-Identifier: BSD-2-Clause
// sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2).
#include "common/sock.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

static void recvmsg_scatters(struct conn *c)
{
    char buf[100], name[20], control[50];
    struct iovec iov[] = {{buf, 30}, {buf + 30, 0}, {buf + 30, 70}};
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = 3,
                         .msg_name = name,
                         .msg_namelen = sizeof(name),
                         .msg_control = control,
                         .msg_controllen = sizeof(control),
                         .msg_flags = -1};
    peer_do(c, op_write, 80);
    conn_await(c, 80);
    REQUIRE_EQ(recvmsg(c->fd, &msg, 0), 80);
    REQUIRE_EQ(msg.msg_namelen, 0);
    REQUIRE_EQ(msg.msg_controllen, 0);
    REQUIRE_EQ(msg.msg_flags & ~MSG_CMSG_CLOEXEC, 0);
    conn_check(c, buf, 80);
}

static void sendmsg_gathers(struct conn *c)
{
    char buf[100];
    struct iovec iov[] = {{buf, 50}, {buf + 50, 1}, {buf + 51, 49}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    conn_next(c, buf, 100);
    REQUIRE_EQ(sendmsg(c->fd, &msg, 0), 100);
    c->tx += 100;
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
}

static void empty_messages(struct conn *c)
{
    struct msghdr msg = {0};
    REQUIRE_EQ(sendmsg(c->fd, &msg, 0), 0);
    peer_do(c, op_write, 5);
    conn_await(c, 5);
    REQUIRE_EQ(recvmsg(c->fd, &msg, 0), 0);
    conn_read(c, 5);
}

static void recvmsg_flags(struct conn *c)
{
    char buf[100];
    struct iovec iov = {buf, 100};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    REQUIRE_ERRNO(recvmsg(c->fd, &msg, MSG_DONTWAIT), EAGAIN);
    peer_do(c, op_write, 40);
    conn_await(c, 40);
    REQUIRE_EQ(recvmsg(c->fd, &msg, MSG_PEEK), 40);
    conn_compare(c, buf, 40, 0);
    peer_start_later(c, 50, op_write, 60);
    REQUIRE_EQ(recvmsg(c->fd, &msg, MSG_WAITALL), 100);
    conn_check(c, buf, 100);
    peer_finish(c);
}

static void sendmsg_dontwait(struct conn *c)
{
    char buf[1000] = {0};
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE_ERRNO(sendmsg(c->fd, &msg, MSG_DONTWAIT), EAGAIN);
    peer_do(c, op_read, filled);
}

static void bad_messages(struct conn *c)
{
    struct msghdr msg = {.msg_iov = NULL, .msg_iovlen = 2000};
    REQUIRE_ERRNO(sendmsg(c->fd, &msg, 0), EMSGSIZE);
    REQUIRE_ERRNO(recvmsg(c->fd, &msg, 0), EMSGSIZE);
    msg.msg_iovlen = 1;
    REQUIRE_ERRNO(sendmsg(c->fd, &msg, 0), EFAULT);
}

static void sendmmsg_sends_all(struct conn *c)
{
    char buf[300];
    struct iovec iov[] = {{buf, 100}, {buf + 100, 50}, {buf + 150, 150}};
    struct mmsghdr msgs[3] = {0};
    for (int i = 0; i < 3; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    conn_next(c, buf, 300);
    REQUIRE_EQ(sendmmsg(c->fd, msgs, 3, 0), 3);
    REQUIRE(msgs[0].msg_len == 100 && msgs[1].msg_len == 50 && msgs[2].msg_len == 150);
    c->tx += 300;
    REQUIRE_EQ(peer_do(c, op_read, 300), 300);
}

static void recvmmsg_fills_one_after_the_other(struct conn *c)
{
    char buf[300];
    struct iovec iov[] = {{buf, 100}, {buf + 100, 100}, {buf + 200, 100}};
    struct mmsghdr msgs[3] = {0};
    for (int i = 0; i < 3; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    peer_do(c, op_write, 250);
    conn_await(c, 250);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 3, MSG_WAITFORONE, NULL), 3);
    REQUIRE(msgs[0].msg_len == 100 && msgs[1].msg_len == 100 && msgs[2].msg_len == 50);
    conn_check(c, buf, 250);
    REQUIRE_ERRNO(recvmmsg(c->fd, msgs, 3, MSG_DONTWAIT, NULL), EAGAIN);
}

static void recvmmsg_waits_for_one(struct conn *c)
{
    char buf[200];
    struct iovec iov[] = {{buf, 100}, {buf + 100, 100}};
    struct mmsghdr msgs[2] = {0};
    for (int i = 0; i < 2; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    peer_start_later(c, 50, op_write, 30);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 2, MSG_WAITFORONE, NULL), 1);
    REQUIRE_EQ(msgs[0].msg_len, 30);
    conn_check(c, buf, 30);
    peer_finish(c);
}

// recvmmsg(2), BUGS: the timeout is looked at after each message, not while one is awaited.
static void recvmmsg_with_a_timeout(struct conn *c)
{
    char buf[200];
    struct iovec iov[] = {{buf, 100}, {buf + 100, 100}};
    struct mmsghdr msgs[2] = {0};
    struct timespec timeout = {0, 30 * 1000000};
    for (int i = 0; i < 2; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    peer_start_later(c, 100, op_write, 200);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 2, 0, &timeout), 1);
    peer_finish(c);
    conn_check(c, buf, msgs[0].msg_len);
    conn_read(c, 200 - msgs[0].msg_len);
    timeout = (struct timespec){5, 0};
    REQUIRE_EQ(peer_do(c, op_write, 200), 200);
    conn_await(c, 200);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 2, 0, &timeout), 2);
    conn_check(c, buf, 200);
    REQUIRE(timeout.tv_sec < 5 && timeout.tv_nsec > 0); // what was left
    timeout.tv_nsec = 1000000000;
    REQUIRE_ERRNO(recvmmsg(c->fd, msgs, 2, MSG_DONTWAIT, &timeout), EINVAL);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 2, 0, NULL), 2); // the end, and once more
    REQUIRE(msgs[0].msg_len == 0 && msgs[1].msg_len == 0);
}

static void recvmmsg_counts_before_an_error(struct conn *c)
{
    char buf[200];
    struct iovec iov[] = {{buf, 100}, {buf + 100, 100}};
    struct mmsghdr msgs[2] = {0};
    for (int i = 0; i < 2; i++)
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    peer_do(c, op_write, 100);
    conn_await(c, 100);
    REQUIRE_EQ(recvmmsg(c->fd, msgs, 2, MSG_DONTWAIT, NULL), 1);
    conn_check(c, buf, 100);
}

static void large_gather(struct conn *c)
{
    enum { PARTS = 64, EACH = 64 * KIB };
    static char buf[PARTS * EACH];
    struct iovec iov[PARTS];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = PARTS};
    for (int i = 0; i < PARTS; i++)
        iov[i] = (struct iovec){buf + i * EACH, EACH};
    conn_next(c, buf, sizeof(buf));
    peer_start(c, op_read, sizeof(buf));
    REQUIRE_EQ(sendmsg(c->fd, &msg, 0), sizeof(buf));
    c->tx += sizeof(buf);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(recvmsg_scatters),        CASE(sendmsg_gathers),
    CASE(empty_messages),          CASE(recvmsg_flags),
    CASE(sendmsg_dontwait),        CASE(bad_messages),
    CASE(sendmmsg_sends_all),      CASE(recvmmsg_fills_one_after_the_other),
    CASE(recvmmsg_waits_for_one),  CASE(recvmmsg_counts_before_an_error),
    CASE(recvmmsg_with_a_timeout), CASE(large_gather),
};
SOCK_TOPIC(messages);
