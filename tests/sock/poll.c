// SPDX-License-Identifier: BSD-2-Clause
// poll(2) and ppoll(2).
#include "common/sock.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>

static void idle_is_only_writable(struct conn *c)
{
    REQUIRE_EQ(sock_poll(c->fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0), POLLOUT);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 0), 0);
    REQUIRE_EQ(sock_poll(c->fd, 0, 0), 0);
}

static void data_is_readable(struct conn *c)
{
    short all = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
    peer_do(c, op_write, 10);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 2000), POLLIN);
    REQUIRE_EQ(sock_poll(c->fd, all, 0), all);
    conn_read(c, 9);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 0), POLLIN);
    conn_read(c, 1);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 0), 0);
}

static void wakes_for_data(struct conn *c)
{
    uint64_t before = now_ms();
    peer_start_later(c, 100, op_write, 10);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 5000), POLLIN);
    REQUIRE(now_ms() - before >= 95 && now_ms() - before < 4000);
    conn_read(c, 10);
    peer_finish(c);
}

static void timeout_runs_out(struct conn *c)
{
    uint64_t before = now_ms();
    REQUIRE_EQ(sock_poll(c->fd, POLLIN, 120), 0);
    REQUIRE(now_ms() - before >= 119 && now_ms() - before < 2000);
}

static void full_is_not_writable(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 0), 0);
    peer_start_later(c, 50, op_read, filled);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 5000), POLLOUT);
    peer_finish(c);
}

static void full_is_still_readable(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    peer_do(c, op_write, 5);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN | POLLOUT, 2000), POLLIN);
    conn_read(c, 5);
    peer_do(c, op_read, filled);
}

static void peers_shutdown(struct conn *c)
{
    peer_do(c, op_shutdown, SHUT_WR);
    short want = POLLIN | POLLRDHUP;
    REQUIRE_EQ(sock_poll(c->fd, want, 2000) & want, want);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT | POLLIN, 0), POLLOUT | POLLIN);
    REQUIRE_EQ(sock_poll(c->fd, POLLRDHUP, 0), POLLRDHUP);
}

static void both_shut_down(struct conn *c)
{
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(sock_poll(c->fd, 0, 2000), POLLHUP);
    REQUIRE(sock_poll(c->fd, POLLIN, 0) == (POLLIN | POLLHUP));
}

static void reset_is_an_error(struct conn *c)
{
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, 0, 2000) & POLLERR);
    REQUIRE(sock_poll(c->fd, 0, 0) & POLLHUP);
}

static void closed_fd_is_pollnval(struct conn *c)
{
    int old = c->fd;
    conn_close(c);
    REQUIRE_EQ(sock_poll(old, POLLIN, 1000), POLLNVAL);
}

static void negative_fd_is_ignored(struct conn *c)
{
    struct pollfd p[] = {{.fd = -1, .events = POLLIN, .revents = 77}, {c->fd, POLLOUT, 0}};
    REQUIRE_EQ(poll(p, 2, 1000), 1);
    REQUIRE_EQ(p[0].revents, 0);
    REQUIRE_EQ(p[1].revents, POLLOUT);
}

static void same_fd_twice(struct conn *c)
{
    struct pollfd p[] = {{c->fd, POLLIN, 0}, {c->fd, POLLOUT, 0}, {c->fd, POLLIN, 0}};
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    REQUIRE_EQ(poll(p, 3, 1000), 3);
    REQUIRE(p[0].revents == POLLIN && p[1].revents == POLLOUT && p[2].revents == POLLIN);
}

static void no_fds_is_a_sleep(struct conn *unused)
{
    uint64_t before = now_ms();
    REQUIRE_EQ(poll(NULL, 0, 60), 0);
    REQUIRE(now_ms() - before >= 59);
}

// The other fds of a mixed set must be able to end the wait, one after the other.
static void mixed_set(struct conn *c)
{
    struct itimerspec soon = {.it_value.tv_nsec = 30 * 1000000};
    struct sockaddr_in addr;
    int pipes[2], unix_pair[2], timer = timerfd_create(CLOCK_MONOTONIC, 0);
    REQUIRE_EQ(pipe(pipes), 0);
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair), 0);
    int event = eventfd(0, 0), listener = sock_listen(&addr);
    struct pollfd p[] = {{c->fd, POLLIN, 0}, {pipes[0], POLLIN, 0},     {timer, POLLIN, 0},
                         {event, POLLIN, 0}, {unix_pair[0], POLLIN, 0}, {listener, POLLIN, 0}};
    REQUIRE_EQ(poll(p, 6, 20), 0);
    REQUIRE_EQ(timerfd_settime(timer, 0, &soon, NULL), 0);
    REQUIRE_EQ(poll(p, 6, 2000), 1);
    REQUIRE_EQ(p[2].revents, POLLIN);
    REQUIRE_EQ(write(pipes[1], "x", 1), 1);
    REQUIRE_EQ(eventfd_write(event, 1), 0);
    REQUIRE_EQ(write(unix_pair[1], "x", 1), 1);
    int client = sock_connect(&addr);
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    REQUIRE_EQ(poll(p + 5, 1, 2000), 1); // over a network the last ACK may be behind connect()
    REQUIRE_EQ(poll(p, 6, 2000), 6);
    conn_read(c, 1);
    REQUIRE_EQ(poll(p, 6, 2000), 5);
    REQUIRE_EQ(p[0].revents, 0);
    close(client);
}

static int64_t poke_pipe(struct conn *self, int64_t fd)
{
    return write((int)fd, "x", 1);
}

static void pipe_wakes_wait_for_idle_socket(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    struct pollfd p[] = {{c->fd, POLLIN, 0}, {pipes[0], POLLIN, 0}};
    peer_start_later(c, 60, poke_pipe, pipes[1]);
    REQUIRE_EQ(poll(p, 2, 5000), 1);
    REQUIRE_EQ(p[1].revents, POLLIN);
    peer_finish(c);
}

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    caught++;
}

// ppoll(2): the mask is swapped and the wait begun in one step, so a pending signal cannot be
// missed.
static void ppoll_mask_is_atomic(struct conn *c)
{
    struct sigaction sa = {.sa_handler = catch_signal};
    struct timespec long_time = {.tv_sec = 5}, short_time = {.tv_nsec = 50 * 1000000};
    struct pollfd p = {c->fd, POLLIN, 0};
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaction(SIGUSR1, &sa, NULL);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    REQUIRE_EQ(ppoll(&p, 1, &short_time, NULL), 0);
    REQUIRE_EQ(caught, 0);
    REQUIRE_ERRNO(ppoll(&p, 1, &long_time, &none), EINTR);
    REQUIRE_EQ(caught, 1);
}

static void ppoll_keeps_its_timeout(struct conn *c)
{
    struct timespec time = {.tv_nsec = 30 * 1000000};
    struct pollfd p = {c->fd, POLLIN, 0};
    REQUIRE_EQ(ppoll(&p, 1, &time, NULL), 0);
    REQUIRE_EQ(time.tv_nsec, 30 * 1000000);
    time.tv_nsec = -1;
    REQUIRE_ERRNO(ppoll(&p, 1, &time, NULL), EINVAL);
}

static void fd_above_1024(struct conn *c)
{
    struct rlimit limit = {8192, 8192};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        sock_skip("cannot raise RLIMIT_NOFILE to 8192");
    REQUIRE_EQ(dup2(c->fd, 5000), 5000);
    conn_close(c);
    c->fd = 5000;
    peer_start_later(c, 30, op_write, 10);
    REQUIRE_EQ(sock_poll(5000, POLLIN, 5000), POLLIN);
    conn_read(c, 10);
    conn_warm(c);
    peer_finish(c);
}

static void wide_set(struct conn *c)
{
    enum { COUNT = 900 };
    static struct pollfd p[COUNT + 1];
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    for (int i = 0; i < COUNT; i++)
        p[i] = (struct pollfd){dup(pipes[0]), POLLIN, 0};
    p[COUNT] = (struct pollfd){c->fd, POLLIN, 0};
    peer_start_later(c, 30, op_write, 10);
    REQUIRE_EQ(poll(p, COUNT + 1, 5000), 1);
    REQUIRE_EQ(p[COUNT].revents, POLLIN);
    conn_read(c, 10);
    peer_finish(c);
}

static void *poll_for_data(void *fd)
{
    REQUIRE_EQ(sock_poll(*(int *)fd, POLLIN, 5000), POLLIN);
    return NULL;
}

// Everybody who waits for one socket is woken, not just one.
static void many_threads_wait_for_one(struct conn *c)
{
    pthread_t threads[6];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, poll_for_data, &c->fd), 0);
    peer_start_later(c, 60, op_write, 1);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    peer_finish(c);
}

static void ping_pong_by_poll(struct conn *c)
{
    peer_start(c, op_echo, 64 * 1000);
    for (int i = 0; i < 1000; i++) {
        conn_write(c, 64);
        REQUIRE_EQ(sock_poll(c->fd, POLLIN, 5000), POLLIN);
        conn_read(c, 64);
    }
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(idle_is_only_writable),
    CASE(data_is_readable),
    CASE(wakes_for_data),
    CASE(timeout_runs_out),
    CASE(full_is_not_writable),
    CASE(full_is_still_readable),
    CASE(peers_shutdown),
    CASE(both_shut_down),
    CASE(reset_is_an_error),
    CASE(closed_fd_is_pollnval),
    CASE(negative_fd_is_ignored),
    CASE(same_fd_twice),
    CASE(no_fds_is_a_sleep, .flags = SOCK_BARE),
    CASE(mixed_set),
    CASE(pipe_wakes_wait_for_idle_socket, .flags = SOCK_NO_PROC),
    CASE(ppoll_mask_is_atomic),
    CASE(ppoll_keeps_its_timeout),
    CASE(fd_above_1024),
    CASE(wide_set),
    CASE(many_threads_wait_for_one),
    CASE(ping_pong_by_poll),
};
SOCK_TOPIC(poll);
