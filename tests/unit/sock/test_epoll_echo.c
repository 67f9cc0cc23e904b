// SPDX-License-Identifier: BSD-2-Clause
// Two threads, a set each, many connections: an echo server and its clients, by level and by edge,
// spinning and sleeping. A wakeup that gets lost ends in a wait that times out.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rig.h"
#include "base/clock.h"
#include "sock/epoll.h"
#include "sock/sock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONNS    12
#define RUN_NS   (400 * NS_PER_MS)
#define LIMIT_MS 20000

struct stream {
    struct rig_end *e;
    uint64_t put, got; // bytes
    uint64_t goal;     // how many to put
};

struct side {
    int ep;
    uint32_t mode; // EPOLLET or 0
    struct stream s[CONNS];
    uint64_t bytes, waits;
    bool lost;
    _Atomic bool moved; // all connections are on the ring
};

static struct rig_pair pairs[CONNS];
static _Atomic bool stop;

static int wait_some(struct side *d, struct epoll_event *ev, int max)
{
    struct timespec t = {LIMIT_MS / 1000, LIMIT_MS % 1000 * 1000000};
    int n = sock_epoll_wait(d->ep, ev, max, &t, NULL);

    d->waits++;
    d->lost |= n == 0;
    return n;
}

static void look(struct side *d)
{
    bool moved = true;

    for (int i = 0; i < CONNS && moved; i++)
        moved = conn_rx_ring(d->s[i].e->c);
    d->moved = moved;
}

// By level, room is asked for only while there is something to put.
static void ask(struct side *d, int i)
{
    struct stream *s = &d->s[i];
    uint32_t out = d->mode || s->put < s->goal ? EPOLLOUT : 0;
    struct epoll_event ev = {.events = EPOLLIN | out | d->mode, .data.u32 = (uint32_t)i};

    if (!d->mode)
        sock_epoll_ctl(d->ep, EPOLL_CTL_MOD, s->e->fd, &ev);
}

static void put(struct stream *s)
{
    static const char zeros[20000];
    struct iovec v = {(char *)zeros, 0};
    ssize_t n;

    while (s->put < s->goal) {
        v.iov_len = MIN(s->goal - s->put, sizeof zeros);
        n = conn_send(s->e->c, s->e->fd, &v, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            return;
        s->put += (uint64_t)n;
    }
}

static void get(struct side *d, struct stream *s)
{
    char buf[8192];
    struct iovec v = {buf, sizeof buf};
    ssize_t n;

    while ((n = conn_recv(s->e->c, s->e->fd, &v, 1, MSG_DONTWAIT)) > 0) {
        s->got += (uint64_t)n;
        d->bytes += (uint64_t)n;
        if (!d->mode)
            return;
    }
}

static void *serve(void *arg)
{
    struct side *d = arg;
    struct epoll_event ev[5];

    while (!stop && !d->lost) {
        int n = wait_some(d, ev, 5);

        for (int i = 0; i < n; i++) {
            struct stream *s = &d->s[ev[i].data.u32];

            get(d, s);
            s->goal = s->got;
            put(s);
            ask(d, (int)ev[i].data.u32);
        }
        look(d);
    }
    return NULL;
}

// When all has come back, a new message of any size.
static void next_message(struct stream *s, uint64_t *random)
{
    if (s->got != s->goal)
        return;
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    s->goal += 1 + (*random >> 33) % (*random >> 62 ? 300 : 200000);
}

// For a while, and until both sides have moved all.
static void turn(struct side *d, const struct side *other)
{
    struct epoll_event ev[5];
    uint64_t random = 1, now_ns = clock_now_ns(), until_ns = now_ns + RUN_NS;

    for (int i = 0; i < CONNS; i++) {
        next_message(&d->s[i], &random);
        put(&d->s[i]);
        ask(d, i);
    }
    for (; !d->lost && (now_ns < until_ns || !d->moved || !other->moved) &&
           now_ns < until_ns + LIMIT_MS * NS_PER_MS;
         now_ns = clock_now_ns()) {
        int n = wait_some(d, ev, 5);

        for (int i = 0; i < n; i++) {
            struct stream *s = &d->s[ev[i].data.u32];

            get(d, s);
            next_message(s, &random);
            put(s);
            ask(d, (int)ev[i].data.u32);
        }
        look(d);
    }
}

static void add(struct side *d, int i, struct rig_end *e)
{
    struct epoll_event ev = {.events = EPOLLIN | (d->mode ? EPOLLOUT | d->mode : 0),
                             .data.u32 = (uint32_t)i};

    d->s[i].e = e;
    assert_int_equal(sock_epoll_ctl(d->ep, EPOLL_CTL_ADD, e->fd, &ev), 0);
}

static void open_side(struct side *d, uint32_t mode)
{
    memset(d, 0, sizeof *d);
    d->mode = mode;
    d->ep = epoll_create1(EPOLL_CLOEXEC);
    sock_epoll_made(d->ep);
}

static void close_side(struct side *d)
{
    epoll_closing(d->ep);
    close(d->ep);
}

static void echo(uint32_t mode, uint32_t spin_us)
{
    static struct side client, server;
    pthread_t t;

    open_side(&client, mode);
    open_side(&server, mode);
    for (int i = 0; i < CONNS; i++) {
        rig_open(&pairs[i], spin_us);
        add(&client, i, &pairs[i].a);
        if (i % 2)
            rig_switch(&pairs[i]); // the others switch while in use
        add(&server, i, &pairs[i].b);
    }
    stop = false;
    pthread_create(&t, NULL, serve, &server);
    turn(&client, &server);
    stop = true;
    shutdown(pairs[0].a.fd, SHUT_RDWR); // wakes the server
    pthread_join(t, NULL);
    assert_false(client.lost);
    assert_false(server.lost);
    for (int i = 0; i < CONNS; i++) {
        assert_true(conn_rx_ring(pairs[i].a.c) && conn_rx_ring(pairs[i].b.c));
        rig_close(&pairs[i]);
    }
    close_side(&client);
    close_side(&server);
    print_message("%llu MB, %llu and %llu waits\n", (unsigned long long)client.bytes >> 20,
                  (unsigned long long)client.waits, (unsigned long long)server.waits);
}

static void test_level_sleeping(void **state)
{
    echo(0, 0);
}

static void test_level_spinning(void **state)
{
    echo(0, 50);
}

static void test_edge_sleeping(void **state)
{
    echo(EPOLLET, 0);
}

static void test_edge_spinning(void **state)
{
    echo(EPOLLET, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_sleeping),
        cmocka_unit_test(test_level_spinning),
        cmocka_unit_test(test_edge_sleeping),
        cmocka_unit_test(test_edge_spinning),
    };

    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
