// SPDX-License-Identifier: BSD-2-Clause
// Peers that die, stop, or leave without a word.
#include "common/epoll.h"

#include <poll.h>
#include <stdlib.h>

static int64_t kill_self(struct conn *self, int64_t sig)
{
    signal((int)sig, SIG_DFL);
    raise((int)sig);
    return 0;
}

static int64_t exit_by_libc(struct conn *self, int64_t unused)
{
    _Exit(0);
}

static void reap(struct conn *c)
{
    REQUIRE_EQ(waitpid(c->peer_pid, NULL, 0), c->peer_pid);
    c->peer_pid = -1;
}

static void reader_sees_sigkill(struct conn *c)
{
    uint64_t before = now_ms();
    peer_start_later(c, 100, kill_self, SIGKILL);
    conn_read_eof(c);
    REQUIRE(now_ms() - before < 3000);
    reap(c);
}

static void reader_sees_exit(struct conn *c)
{
    peer_start_later(c, 60, op_exit, 0);
    conn_read_eof(c);
}

static void reader_sees_libc_exit(struct conn *c)
{
    peer_start_later(c, 60, exit_by_libc, 0);
    conn_read_eof(c);
}

static void reader_sees_abort(struct conn *c)
{
    peer_start_later(c, 60, kill_self, SIGTERM);
    conn_read_eof(c);
    reap(c);
}

static void poller_sees_sigkill(struct conn *c)
{
    peer_start_later(c, 60, kill_self, SIGKILL);
    REQUIRE_EQ(sock_poll(c->fd, POLLIN | POLLRDHUP, 5000), POLLIN | POLLRDHUP);
    conn_read_eof(c);
    reap(c);
}

static void epoll_sees_sigkill(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    peer_start_later(c, 60, kill_self, SIGKILL);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN | EPOLLRDHUP);
    conn_read_eof(c);
    reap(c);
}

// The peer dies with our bytes unread: the kernel resets, and the blocked writer learns it at once.
static void writer_sees_sigkill(struct conn *c)
{
    char byte = 0;
    uint64_t before = now_ms();
    conn_fill_up(c);
    peer_start_later(c, 100, kill_self, SIGKILL);
    REQUIRE_ERRNO(send(c->fd, &byte, 1, MSG_NOSIGNAL), ECONNRESET);
    REQUIRE(now_ms() - before < 4000);
    reap(c);
}

static void bulk_writer_sees_sigkill(struct conn *c)
{
    static char buf[64 * MIB];
    signal(SIGPIPE, SIG_IGN);
    peer_start(c, op_read, 1 * MIB);
    peer_start(c, kill_self, SIGKILL);
    conn_next(c, buf, 1 * MIB);
    ssize_t n;
    while ((n = write(c->fd, buf, sizeof(buf))) > 0)
        conn_next(c, buf, 1);
    REQUIRE(errno == ECONNRESET || errno == EPIPE);
    reap(c);
}

static int64_t write_and_die(struct conn *self, int64_t n)
{
    conn_write(self, (size_t)n);
    return kill_self(self, SIGKILL);
}

// What the peer had written before it died is all there, then comes the end.
static void last_words_are_heard(struct conn *c)
{
    peer_start(c, write_and_die, 100 * KIB);
    conn_read(c, 100 * KIB);
    conn_read_eof(c);
    reap(c);
}

static void last_words_are_heard_late(struct conn *c)
{
    peer_start(c, write_and_die, 10 * KIB);
    reap(c);
    conn_read(c, 10 * KIB);
    conn_read_eof(c);
}

static int64_t write_and_exit(struct conn *self, int64_t n)
{
    conn_write(self, (size_t)n);
    _exit(0);
}

static void exit_without_close_delivers(struct conn *c)
{
    peer_start(c, write_and_exit, 3 * MIB);
    conn_read(c, 3 * MIB);
    conn_read_eof(c);
}

static void stopped_peer_goes_on(struct conn *c)
{
    peer_start(c, op_echo, 6400);
    for (int i = 0; i < 100; i++) {
        if (i == 30)
            peer_kill(c, SIGSTOP);
        conn_write(c, 64);
        if (i == 30) {
            sleep_ms(100);
            peer_kill(c, SIGCONT);
        }
        conn_read(c, 64);
    }
    peer_finish(c);
}

static _Noreturn int64_t write_for_ever(struct conn *self, int64_t unused)
{
    for (;;)
        conn_write(self, 1000);
}

// Killed at any moment of a stream: what arrives is a whole beginning of it.
static void killed_at_any_moment(struct conn *unused)
{
    uint64_t seed = 7;
    char buf[8 * KIB];
    for (int i = 0; i < 25; i++) {
        struct conn c;
        ssize_t n;
        conn_open(&c, SOCK_PROC);
        if (i % 2)
            conn_warm(&c);
        peer_start(&c, write_for_ever, 0);
        uint64_t end = now_ms() + sock_random(&seed) % 20;
        while (now_ms() < end && (n = read(c.fd, buf, sizeof(buf))) > 0)
            conn_check(&c, buf, (size_t)n);
        peer_kill(&c, SIGKILL);
        while ((n = read(c.fd, buf, sizeof(buf))) > 0)
            conn_check(&c, buf, (size_t)n);
        REQUIRE(n == 0 || errno == ECONNRESET);
        conn_end(&c);
    }
}

static void the_other_connection_lives(struct conn *c)
{
    struct conn other;
    conn_open(&other, SOCK_PROC);
    conn_warm(&other);
    peer_kill(c, SIGKILL);
    conn_warm(&other);
    conn_end(&other);
}

static const struct sock_case cases[] = {
    CASE(reader_sees_sigkill, .flags = SOCK_NO_THREAD),
    CASE(reader_sees_exit, .flags = SOCK_NO_THREAD),
    CASE(reader_sees_libc_exit, .flags = SOCK_NO_THREAD),
    CASE(reader_sees_abort, .flags = SOCK_NO_THREAD),
    CASE(poller_sees_sigkill, .flags = SOCK_NO_THREAD),
    CASE(epoll_sees_sigkill, .flags = SOCK_NO_THREAD),
    CASE(writer_sees_sigkill, .flags = SOCK_NO_THREAD),
    CASE(bulk_writer_sees_sigkill, .flags = SOCK_NO_THREAD),
    CASE(last_words_are_heard, .flags = SOCK_NO_THREAD),
    CASE(last_words_are_heard_late, .flags = SOCK_NO_THREAD),
    CASE(exit_without_close_delivers, .flags = SOCK_NO_THREAD),
    CASE(stopped_peer_goes_on, .flags = SOCK_NO_THREAD),
    CASE(killed_at_any_moment, .flags = SOCK_BARE, .limit_s = 20),
    CASE(the_other_connection_lives, .flags = SOCK_NO_THREAD),
};
SOCK_TOPIC(death);
