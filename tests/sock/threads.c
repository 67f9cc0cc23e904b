// SPDX-License-Identifier: BSD-2-Clause
// Threads on one socket, and cancellation points (pthreads(7)).
#include "common/epoll.h"

#include <poll.h>
#include <sys/select.h>

struct job {
    struct conn *c;
    size_t bytes;
    unsigned char mark;
    size_t counts[256];
};

static void *reading(void *arg)
{
    struct job *job = arg;
    conn_read(job->c, job->bytes);
    return NULL;
}

// One thread reads while another writes: the two directions do not wait for each other.
static void reader_and_writer(struct conn *c)
{
    struct job job = {.c = c, .bytes = 8 * MIB};
    pthread_t thread;
    peer_start(c, op_write_echo, 8 * MIB);
    REQUIRE_EQ(pthread_create(&thread, NULL, reading, &job), 0);
    conn_write(c, 8 * MIB);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    peer_finish(c);
}

static void blocked_reader_does_not_block_writer(struct conn *c)
{
    struct job job = {.c = c, .bytes = 10};
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, reading, &job), 0);
    sleep_ms(50);
    conn_write(c, 1000);
    REQUIRE_EQ(peer_do(c, op_read, 1000), 1000);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
}

static void *writing(void *arg)
{
    struct job *job = arg;
    conn_write(job->c, job->bytes);
    return NULL;
}

static void blocked_writer_does_not_block_reader(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    struct job job = {.c = c, .bytes = 10};
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, writing, &job), 0);
    sleep_ms(50);
    peer_do(c, op_write, 1000);
    conn_read(c, 1000);
    peer_do(c, op_read, filled + 10);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
}

static void *marking(void *arg)
{
    struct job *job = arg;
    unsigned char buf[333];
    memset(buf, job->mark, sizeof(buf));
    for (size_t left = job->bytes; left > 0;) {
        ssize_t n = write(job->c->fd, buf, left < sizeof(buf) ? left : sizeof(buf));
        REQUIRE(n > 0);
        left -= (size_t)n;
    }
    return NULL;
}

static int64_t count_marks(struct conn *self, int64_t bytes)
{
    size_t counts[256] = {0};
    unsigned char buf[4096];
    for (int64_t left = bytes; left > 0;) {
        ssize_t n = read(self->fd, buf, left < 4096 ? (size_t)left : sizeof(buf));
        REQUIRE(n > 0);
        for (ssize_t i = 0; i < n; i++)
            counts[buf[i]]++;
        left -= n;
    }
    for (int i = 1; i <= 4; i++)
        REQUIRE_EQ(counts[i], bytes / 4);
    return 0;
}

static void several_writers(struct conn *c)
{
    struct job jobs[4];
    pthread_t threads[4];
    peer_start(c, count_marks, 4 * 500000);
    for (unsigned char i = 0; i < 4; i++) {
        jobs[i] = (struct job){.c = c, .bytes = 500000, .mark = (unsigned char)(i + 1)};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, marking, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    peer_finish(c);
}

static void *counting(void *arg)
{
    struct job *job = arg;
    unsigned char buf[700];
    ssize_t n;
    while ((n = read(job->c->fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            job->counts[buf[i]]++;
    }
    REQUIRE_EQ(n, 0);
    return NULL;
}

static int64_t write_marks(struct conn *self, int64_t bytes)
{
    for (unsigned char mark = 1; mark <= 4; mark++) {
        struct job job = {.c = self, .bytes = (size_t)bytes / 4, .mark = mark};
        marking(&job);
    }
    return op_shutdown(self, SHUT_WR);
}

// Every byte goes to exactly one of the readers, and the end to all of them.
static void several_readers(struct conn *c)
{
    static struct job jobs[4];
    pthread_t threads[4];
    peer_start(c, write_marks, 4 * 500000);
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.c = c};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, counting, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    for (int mark = 1; mark <= 4; mark++)
        REQUIRE_EQ(jobs[0].counts[mark] + jobs[1].counts[mark] + jobs[2].counts[mark] +
                       jobs[3].counts[mark],
                   500000);
    peer_finish(c);
}

// A read that is under way holds the connection: another thread's close only takes the number.
static void close_under_a_blocked_reader(struct conn *c)
{
    struct job job = {.c = c, .bytes = 10};
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, reading, &job), 0);
    sleep_ms(100);
    REQUIRE_EQ(close(c->fd), 0);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    c->fd = -1;
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void *read_to_eof(void *arg)
{
    conn_read_eof(arg);
    return NULL;
}

static void shutdown_wakes_all_readers(struct conn *c)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, read_to_eof, c), 0);
    sleep_ms(60);
    REQUIRE_EQ(shutdown(c->fd, SHUT_RDWR), 0);
    for (int i = 0; i < 3; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
}

static void *opening_and_closing(void *unused)
{
    for (int i = 0; i < 150; i++) {
        char buf[5];
        int client, server;
        sock_pair(&client, &server);
        REQUIRE_EQ(write(client, "12345", 5), 5);
        REQUIRE_EQ(recv(server, buf, 5, MSG_WAITALL), 5);
        REQUIRE_EQ(close(server), 0);
        REQUIRE_EQ(read(client, buf, 5), 0);
        REQUIRE_EQ(close(client), 0);
    }
    return NULL;
}

static void threads_open_and_close(struct conn *unused)
{
    pthread_t threads[6];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, opening_and_closing, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
}

// ---- calls that block -------------------------------------------------------------------------
enum blocked_in { IN_READ, IN_RECV, IN_WRITE, IN_POLL, IN_SELECT, IN_EPOLL, IN_ACCEPT };

struct victim {
    enum blocked_in where;
    int fd;
    bool cleaned;
};

static ssize_t block_in(const struct victim *v)
{
    char byte = 0;
    fd_set in;
    FD_ZERO(&in);
    FD_SET(v->fd, &in);
    switch (v->where) {
    case IN_READ:
        return read(v->fd, &byte, 1);
    case IN_RECV:
        return recv(v->fd, &byte, 1, MSG_WAITALL);
    case IN_WRITE:
        return write(v->fd, &byte, 1);
    case IN_POLL:
        return sock_poll(v->fd, POLLIN, -1);
    case IN_SELECT:
        return select(v->fd + 1, &in, NULL, NULL, NULL);
    case IN_EPOLL:
        return epoll_wait(v->fd, &(struct epoll_event){0}, 1, -1);
    case IN_ACCEPT:
        return accept(v->fd, NULL, NULL);
    }
    return -1;
}

// ---- who waits before there is anything to wait for --------------------------------------------
static void *waiting(void *arg)
{
    REQUIRE_EQ(block_in(arg), 1);
    return NULL;
}

// A thread sleeps on a connection that nobody has used yet; others have it moved meanwhile.
static void sleep_from_the_beginning(struct conn *c, enum blocked_in where, int fd)
{
    struct victim v = {.where = where, .fd = fd};
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, waiting, &v), 0);
    sleep_ms(30);
    for (int i = 0; i < 40; i++) {
        conn_write(c, 100);
        peer_do(c, op_read, 100);
        sleep_ms(1);
    }
    peer_do(c, op_write, 10);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    if (where == IN_READ)
        c->rx++;
    conn_read(c, where == IN_READ ? 9 : 10);
    conn_warm(c);
}

static void early_read(struct conn *c)
{
    sleep_from_the_beginning(c, IN_READ, c->fd);
}

static void early_poll(struct conn *c)
{
    sleep_from_the_beginning(c, IN_POLL, c->fd);
}

static void early_select(struct conn *c)
{
    sleep_from_the_beginning(c, IN_SELECT, c->fd);
}

static void early_epoll(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    sleep_from_the_beginning(c, IN_EPOLL, ep);
}

// ---- cancellation -----------------------------------------------------------------------------
static void clean(void *arg)
{
    ((struct victim *)arg)->cleaned = true;
}

static void *victim_main(void *arg)
{
    pthread_cleanup_push(clean, arg);
    sock_fail(__FILE__, __LINE__, "the call returned %zd", block_in(arg));
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel_in(enum blocked_in where, int fd)
{
    struct victim v = {.where = where, .fd = fd};
    pthread_t thread;
    void *ret;
    REQUIRE_EQ(pthread_create(&thread, NULL, victim_main, &v), 0);
    sleep_ms(60);
    REQUIRE_EQ(pthread_cancel(thread), 0);
    REQUIRE_EQ(pthread_join(thread, &ret), 0);
    REQUIRE(ret == PTHREAD_CANCELED && v.cleaned);
}

static void cancel_of_readers(struct conn *c)
{
    cancel_in(IN_READ, c->fd);
    conn_warm(c);
    cancel_in(IN_RECV, c->fd);
    conn_warm(c);
}

static void cancel_of_a_writer(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    cancel_in(IN_WRITE, c->fd);
    REQUIRE_EQ(peer_do(c, op_read, filled), filled);
    conn_warm(c);
}

static void cancel_of_waits(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    cancel_in(IN_POLL, c->fd);
    cancel_in(IN_SELECT, c->fd);
    cancel_in(IN_EPOLL, ep);
    conn_warm(c);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
}

static void cancel_of_accept(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    cancel_in(IN_ACCEPT, listener);
    int client = sock_connect(&addr);
    sock_warm(client, accept(listener, NULL, NULL));
}

static void *pending_victim(void *arg)
{
    struct victim *v = arg;
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_cancel(pthread_self());
    char byte;
    REQUIRE_EQ(read(v->fd, &byte, 1), 1);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    pthread_cleanup_push(clean, arg);
    // Data is there, but a pending cancel goes first.
    sock_fail(__FILE__, __LINE__, "read returned %zd", read(v->fd, &byte, 1));
    pthread_cleanup_pop(0);
    return NULL;
}

static void pending_cancel_acts_at_the_next_call(struct conn *c)
{
    struct victim v = {.fd = c->fd};
    pthread_t thread;
    void *ret;
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(pthread_create(&thread, NULL, pending_victim, &v), 0);
    REQUIRE_EQ(pthread_join(thread, &ret), 0);
    REQUIRE(ret == PTHREAD_CANCELED && v.cleaned);
    c->rx += 1;
    conn_read(c, 9);
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(reader_and_writer),
    CASE(blocked_reader_does_not_block_writer),
    CASE(blocked_writer_does_not_block_reader),
    CASE(several_writers),
    CASE(several_readers),
    CASE(close_under_a_blocked_reader),
    CASE(shutdown_wakes_all_readers),
    CASE(threads_open_and_close, .flags = SOCK_BARE, .limit_s = 20),
    CASE(early_read, .flags = SOCK_COLD),
    CASE(early_poll, .flags = SOCK_COLD),
    CASE(early_select, .flags = SOCK_COLD),
    CASE(early_epoll, .flags = SOCK_COLD),
    CASE(cancel_of_readers),
    CASE(cancel_of_a_writer),
    CASE(cancel_of_waits),
    CASE(cancel_of_accept, .flags = SOCK_BARE),
    CASE(pending_cancel_acts_at_the_next_call),
};
SOCK_TOPIC(threads);
