// SPDX-License-Identifier: BSD-2-Clause
// select(2) and pselect(2).
#include "common/sock.h"

#include <sys/resource.h>
#include <sys/select.h>

enum { IN = 1, OUT = 2, EXC = 4 };

// select on one fd for what; returns what is ready of it, 0 after ms.
static int select_one(int fd, int what, unsigned ms)
{
    fd_set in, out, exc;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&exc);
    if (what & IN)
        FD_SET(fd, &in);
    if (what & OUT)
        FD_SET(fd, &out);
    if (what & EXC)
        FD_SET(fd, &exc);
    int ret = select(fd + 1, &in, &out, &exc, &tv);
    REQUIRE(ret >= 0);
    int ready = (FD_ISSET(fd, &in) ? IN : 0) | (FD_ISSET(fd, &out) ? OUT : 0) |
                (FD_ISSET(fd, &exc) ? EXC : 0);
    REQUIRE_EQ(ret, __builtin_popcount((unsigned)ready));
    return ready;
}

static void idle_is_only_writable(struct conn *c)
{
    REQUIRE_EQ(select_one(c->fd, IN | OUT | EXC, 0), OUT);
    REQUIRE_EQ(select_one(c->fd, IN, 20), 0);
}

static void data_is_readable(struct conn *c)
{
    peer_start_later(c, 50, op_write, 10);
    REQUIRE_EQ(select_one(c->fd, IN, 5000), IN);
    REQUIRE_EQ(select_one(c->fd, IN | OUT, 0), IN | OUT);
    conn_read(c, 10);
    REQUIRE_EQ(select_one(c->fd, IN, 0), 0);
    peer_finish(c);
}

static void full_is_not_writable(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE_EQ(select_one(c->fd, OUT, 0), 0);
    peer_start_later(c, 50, op_read, filled);
    REQUIRE_EQ(select_one(c->fd, OUT, 5000), OUT);
    peer_finish(c);
}

static void eof_is_readable(struct conn *c)
{
    peer_start_later(c, 50, op_close, 0);
    REQUIRE_EQ(select_one(c->fd, IN, 5000), IN);
    conn_read_eof(c);
    peer_finish(c);
}

static void reset_is_readable_and_writable(struct conn *c)
{
    char byte;
    peer_do(c, op_reset, 0);
    REQUIRE_EQ(select_one(c->fd, IN, 2000), IN);
    REQUIRE_EQ(select_one(c->fd, IN | OUT, 0), IN | OUT);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), ECONNRESET);
}

static void closed_fd_is_ebadf(struct conn *c)
{
    fd_set in;
    struct timeval tv = {0};
    int old = c->fd;
    conn_close(c);
    FD_ZERO(&in);
    FD_SET(old, &in);
    REQUIRE_ERRNO(select(old + 1, &in, NULL, NULL, &tv), EBADF);
}

static void nfds_bounds_the_look(struct conn *c)
{
    fd_set in;
    struct timeval tv = {.tv_usec = 10000};
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    FD_ZERO(&in);
    FD_SET(c->fd, &in);
    REQUIRE_EQ(select(c->fd, &in, NULL, NULL, &tv), 0);
    REQUIRE_ERRNO(select(-1, &in, NULL, NULL, &tv), EINVAL);
}

// select(2), Linux: the timeout is left with the time that was not slept.
static void timeout_is_updated(struct conn *c)
{
    fd_set in;
    struct timeval tv = {.tv_sec = 5};
    FD_ZERO(&in);
    FD_SET(c->fd, &in);
    peer_start_later(c, 100, op_write, 1);
    REQUIRE_EQ(select(c->fd + 1, &in, NULL, NULL, &tv), 1);
    REQUIRE_EQ(tv.tv_sec, 4);
    REQUIRE(tv.tv_usec <= 950000);
    conn_read(c, 1);
    tv = (struct timeval){.tv_usec = 30000};
    REQUIRE_EQ(select(c->fd + 1, &in, NULL, NULL, &tv), 0);
    REQUIRE(tv.tv_sec == 0 && tv.tv_usec == 0);
    peer_finish(c);
}

static void no_fds_is_a_sleep(struct conn *unused)
{
    struct timeval tv = {.tv_usec = 60000};
    uint64_t before = now_ms();
    REQUIRE_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    REQUIRE(now_ms() - before >= 59);
}

static void mixed_with_a_pipe(struct conn *c)
{
    int pipes[2];
    fd_set in;
    struct timeval tv = {.tv_sec = 2};
    REQUIRE_EQ(pipe(pipes), 0);
    int top = (c->fd > pipes[0] ? c->fd : pipes[0]) + 1;
    REQUIRE_EQ(write(pipes[1], "x", 1), 1);
    for (int i = 0; i < 2; i++) {
        FD_ZERO(&in);
        FD_SET(c->fd, &in);
        FD_SET(pipes[0], &in);
        REQUIRE_EQ(select(top, &in, NULL, NULL, &tv), 1 + i);
        REQUIRE(FD_ISSET(pipes[0], &in));
        REQUIRE_EQ(!!FD_ISSET(c->fd, &in), i);
        peer_do(c, op_write, 1);
        conn_await(c, 1);
    }
}

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    caught++;
}

static void pselect_mask_is_atomic(struct conn *c)
{
    struct sigaction sa = {.sa_handler = catch_signal, .sa_flags = SA_RESTART};
    struct timespec time = {.tv_sec = 5};
    sigset_t block, none;
    fd_set in;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaction(SIGUSR1, &sa, NULL);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    FD_ZERO(&in);
    FD_SET(c->fd, &in);
    REQUIRE_ERRNO(pselect(c->fd + 1, &in, NULL, NULL, &time, &none), EINTR);
    REQUIRE_EQ(caught, 1);
    REQUIRE_EQ(time.tv_sec, 5);
}

// Programs that have more fds than FD_SETSIZE allocate larger sets, and the kernel takes them.
static void fd_above_1024(struct conn *c)
{
    unsigned long in[4096 / 64] = {0}, out[4096 / 64] = {0};
    struct rlimit limit = {8192, 8192};
    struct timeval tv = {5, 0};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        sock_skip("cannot raise RLIMIT_NOFILE to 8192");
    REQUIRE_EQ(dup2(c->fd, 4000), 4000);
    conn_close(c);
    c->fd = 4000;
    in[4000 / 64] = out[4000 / 64] = 1UL << 4000 % 64;
    REQUIRE_EQ(select(4001, (fd_set *)in, (fd_set *)out, NULL, &tv), 1);
    REQUIRE(in[4000 / 64] == 0 && out[4000 / 64] == 1UL << 4000 % 64);
    peer_start_later(c, 30, op_write, 10);
    in[4000 / 64] = 1UL << 4000 % 64;
    REQUIRE_EQ(select(4001, (fd_set *)in, NULL, NULL, &tv), 1);
    REQUIRE(in[4000 / 64] == 1UL << 4000 % 64);
    conn_read(c, 10);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(fd_above_1024),      CASE(idle_is_only_writable),
    CASE(data_is_readable),   CASE(full_is_not_writable),
    CASE(eof_is_readable),    CASE(reset_is_readable_and_writable),
    CASE(closed_fd_is_ebadf), CASE(nfds_bounds_the_look),
    CASE(timeout_is_updated), CASE(no_fds_is_a_sleep, .flags = SOCK_BARE),
    CASE(mixed_with_a_pipe),  CASE(pselect_mask_is_atomic),
};
SOCK_TOPIC(select);
