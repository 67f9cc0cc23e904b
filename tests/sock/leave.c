// SPDX-License-Identifier: BSD-2-Clause
// Leaving the lane and finding another, at any moment, any number of times: the program must not
// see it. Without Shunt the same programs run, and leave nothing.
#include "common/epoll.h"

#include "shunt/info.h"

#include <poll.h>

static void leave(const struct conn *c)
{
    int on = 1;
    int ret = setsockopt(c->fd, SOL_SHUNT, SHUNT_LEAVE, &on, sizeof(on));
    REQUIRE_EQ(ret == 0, sock_mode != SOCK_PLAIN);
}

static int64_t op_leave(struct conn *self, int64_t unused)
{
    leave(self);
    return 0;
}

static void there_and_back(struct conn *c)
{
    for (int i = 0; i < 6; i++) {
        leave(c);
        conn_warm(c);
    }
}

static void the_peer_leaves(struct conn *c)
{
    for (int i = 0; i < 6; i++) {
        peer_do(c, op_leave, 0);
        conn_warm(c);
    }
}

static void both_leave(struct conn *c)
{
    for (int i = 0; i < 6; i++) {
        peer_start(c, op_leave, 0);
        leave(c);
        peer_finish(c);
        conn_warm(c);
    }
}

static void unread_bytes_come_along(struct conn *c)
{
    for (int i = 0; i < 4; i++) {
        conn_write(c, 50000);
        peer_do(c, op_write, 50000);
        conn_await(c, 1);
        leave(c);
        conn_read(c, 50000);
        peer_do(c, op_read, 50000);
        conn_warm(c);
    }
}

static void full_buffers_come_along(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    peer_do(c, op_leave, 0);
    peer_start(c, op_read, filled + 10);
    conn_write(c, 10);
    REQUIRE_EQ(peer_finish(c), filled + 10);
    conn_warm(c);
}

static void *reading(void *arg)
{
    conn_read(arg, 10);
    return NULL;
}

static void a_blocked_reader_follows(struct conn *c)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++) {
        REQUIRE_EQ(pthread_create(&thread, NULL, reading, c), 0);
        sleep_ms(20);
        if (i % 2)
            peer_do(c, op_leave, 0);
        else
            leave(c);
        sleep_ms(20);
        peer_do(c, op_write, 10);
        REQUIRE_EQ(pthread_join(thread, NULL), 0);
        conn_warm(c);
    }
}

static int64_t op_leave_and_write(struct conn *self, int64_t n)
{
    leave(self);
    sleep_ms(30);
    return op_write(self, n);
}

static void a_poller_follows(struct conn *c)
{
    for (int i = 0; i < 4; i++) {
        peer_start_later(c, 20, op_leave_and_write, 10);
        REQUIRE_EQ(sock_poll(c->fd, POLLIN, 5000), POLLIN);
        conn_read(c, 10);
        REQUIRE_EQ(sock_poll(c->fd, POLLIN, 0), 0);
        peer_finish(c);
        conn_warm(c);
    }
}

static void epoll_follows(struct conn *c, uint32_t how)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | how);
    for (int i = 0; i < 4; i++) {
        peer_start_later(c, 20, op_leave_and_write, 10);
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        conn_read(c, 10);
        peer_finish(c);
        conn_warm(c);
        while (ep_wait(ep, c->fd, 0))
            ; // of warming up
    }
    leave(c);
    peer_do(c, op_close, 0);
    REQUIRE(ep_wait(ep, c->fd, 5000) & EPOLLIN);
    conn_read_eof(c);
}

static void a_level_set_follows(struct conn *c)
{
    epoll_follows(c, 0);
}

static void an_edge_set_follows(struct conn *c)
{
    epoll_follows(c, EPOLLET);
}

static void the_end_comes_after_all_bytes(struct conn *c)
{
    peer_do(c, op_write, 30000);
    peer_do(c, op_leave, 0);
    peer_do(c, op_close, 0);
    conn_read(c, 30000);
    conn_read_eof(c);
}

static void a_reset_is_a_reset(struct conn *c)
{
    char byte;
    leave(c);
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, POLLIN, 2000) & POLLIN);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static void a_half_closed_stream_goes_on(struct conn *c)
{
    peer_do(c, op_shutdown, SHUT_WR);
    conn_read_eof(c);
    leave(c);
    for (int i = 0; i < 20; i++) {
        conn_write(c, 20000);
        REQUIRE_EQ(peer_do(c, op_read, 20000), 20000);
    }
}

static void in_child(struct conn *c, void (*work)(struct conn *))
{
    int status;
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        work(c);
        _exit(0);
    }
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

static void leave_and_talk(struct conn *c)
{
    leave(c);
    for (int i = 0; i < 100; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
        if (i == 50)
            sleep_ms(30);
    }
}

// The channel that ends is the whole family's, and so is the one that comes.
static void a_child_leaves(struct conn *c)
{
    for (int i = 0; i < 3; i++) {
        peer_start(c, op_echo, 6400);
        in_child(c, leave_and_talk);
        peer_finish(c);
        c->tx += 6400;
        c->rx += 6400;
        conn_warm(c);
    }
}

static void only_leave(struct conn *c)
{
    leave(c);
}

static void a_child_leaves_and_is_gone(struct conn *c)
{
    for (int i = 0; i < 3; i++) {
        in_child(c, only_leave);
        conn_warm(c);
    }
}

static _Atomic bool stop;

static void *leaving(void *arg)
{
    while (!stop) {
        leave(arg);
        sleep_ms(2);
    }
    return NULL;
}

static void *reading_much(void *arg)
{
    conn_read(arg, 16 * MIB);
    return NULL;
}

static int64_t op_echo_and_leave(struct conn *self, int64_t n)
{
    for (int i = 0; i < 16; i++) {
        op_echo(self, n / 16);
        leave(self);
    }
    return n;
}

static void any_time_under_load(struct conn *c)
{
    pthread_t reader, leaver;
    stop = false;
    peer_start(c, op_echo_and_leave, 16 * MIB);
    REQUIRE_EQ(pthread_create(&reader, NULL, reading_much, c), 0);
    REQUIRE_EQ(pthread_create(&leaver, NULL, leaving, c), 0);
    conn_write(c, 16 * MIB);
    REQUIRE_EQ(pthread_join(reader, NULL), 0);
    stop = true;
    REQUIRE_EQ(pthread_join(leaver, NULL), 0);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(there_and_back),
    CASE(the_peer_leaves),
    CASE(both_leave),
    CASE(unread_bytes_come_along),
    CASE(full_buffers_come_along),
    CASE(a_blocked_reader_follows),
    CASE(a_poller_follows),
    CASE(a_level_set_follows),
    CASE(an_edge_set_follows),
    CASE(the_end_comes_after_all_bytes),
    CASE(a_reset_is_a_reset),
    CASE(a_half_closed_stream_goes_on),
    CASE(a_child_leaves),
    CASE(a_child_leaves_and_is_gone),
    CASE(any_time_under_load, .limit_s = 20),
};
SOCK_TOPIC(leave);
