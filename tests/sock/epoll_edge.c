// SPDX-License-Identifier: BSD-2-Clause
// epoll(7) with EPOLLET, EPOLLONESHOT and EPOLLEXCLUSIVE.
#include "common/epoll.h"

#include <poll.h>

static void one_event_an_arrival(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    for (int i = 0; i < 3; i++) {
        peer_do(c, op_write, 10);
        REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
        REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    }
    conn_read(c, 30);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void data_before_add(struct conn *c)
{
    int ep = ep_new();
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void mod_arms_again(struct conn *c)
{
    int ep = ep_new();
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    for (int i = 0; i < 3; i++) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLIN);
        REQUIRE_EQ(ep_wait(ep, c->fd, 10), 0);
        ep_mod(ep, c->fd, EPOLLIN | EPOLLET);
    }
}

static void writable_at_add_only(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLOUT | EPOLLET);
    REQUIRE_EQ(ep_wait(ep, c->fd, 1000), EPOLLOUT);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void writable_after_full(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLOUT | EPOLLET);
    REQUIRE_EQ(ep_wait(ep, c->fd, 1000), EPOLLOUT);
    int64_t filled = (int64_t)conn_fill_up(c);
    while (ep_wait(ep, c->fd, 20) != 0)
        filled += (int64_t)conn_fill_up(c);
    peer_start_later(c, 50, op_read, filled);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLOUT);
    peer_finish(c);
}

// New data reports everything that is so, not just what is new.
static void arrival_tells_writable_too(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLOUT | EPOLLET);
    REQUIRE_EQ(ep_wait(ep, c->fd, 1000), EPOLLOUT);
    peer_do(c, op_write, 1);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN | EPOLLOUT);
}

static void wakes_for_data(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    for (int i = 0; i < 5; i++) {
        peer_start_later(c, 20, op_write, 10);
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        conn_read(c, 10);
        peer_finish(c);
    }
}

static void end_is_an_edge(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    peer_start_later(c, 40, op_shutdown, SHUT_WR);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN | EPOLLRDHUP);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_finish(c);
}

static void end_after_undrained_data_is_an_edge(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
    peer_start_later(c, 40, op_close, 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN | EPOLLRDHUP);
    conn_read(c, 10);
    conn_read_eof(c);
    peer_finish(c);
}

static void reset_is_an_edge(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    peer_start_later(c, 40, op_reset, 0);
    REQUIRE(ep_wait(ep, c->fd, 5000) & EPOLLERR);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_finish(c);
}

// What event loops do: read until EAGAIN on each edge. No arrival may be lost between the two.
static void drain_loop_loses_nothing(struct conn *c)
{
    static char buf[8 * KIB];
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    peer_start(c, op_write, 6 * MIB);
    uint64_t end = c->rx + 6 * MIB;
    while (c->rx < end) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        ssize_t n;
        while ((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
            conn_check(c, buf, (size_t)n);
        REQUIRE(n < 0 && errno == EAGAIN);
    }
    peer_finish(c);
}

static void fill_loop_loses_nothing(struct conn *c)
{
    static char buf[8 * KIB];
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLOUT | EPOLLET);
    peer_start(c, op_read, 6 * MIB);
    uint64_t end = c->tx + 6 * MIB;
    while (c->tx < end) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLOUT);
        ssize_t n = 0;
        while (c->tx < end) {
            size_t len = end - c->tx < sizeof(buf) ? end - c->tx : sizeof(buf);
            conn_next(c, buf, len);
            if ((n = send(c->fd, buf, len, MSG_DONTWAIT)) < 0)
                break;
            c->tx += (size_t)n;
        }
        REQUIRE(n > 0 || errno == EAGAIN);
    }
    peer_finish(c);
}

// Ping-pong where each answer must make a new edge.
static void ping_pong_by_edges(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLET);
    peer_start(c, op_echo, 64 * 1000);
    for (int i = 0; i < 1000; i++) {
        conn_write(c, 64);
        uint64_t end = c->rx + 64;
        while (c->rx < end) {
            char buf[64];
            REQUIRE(ep_wait(ep, c->fd, 5000) & EPOLLIN);
            ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
            conn_check(c, buf, n > 0 ? (size_t)n : 0);
        }
    }
    peer_finish(c);
}

static void edges_before_the_switch_go_on(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    conn_warm(c);
    while (ep_wait(ep, c->fd, 20) != 0)
        ;
    peer_start_later(c, 40, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_finish(c);
    conn_read(c, 5);
}

static void oneshot_fires_once(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_do(c, op_reset, 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void oneshot_arms_again(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    peer_do(c, op_write, 10);
    for (int i = 0; i < 3; i++) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
        ep_mod(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    }
    conn_read(c, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_start_later(c, 30, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    peer_finish(c);
}

static void oneshot_for_the_other_direction(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
    ep_mod(ep, c->fd, EPOLLOUT | EPOLLONESHOT);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLOUT);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

// What was told of before the switch is not told of again after it, unless it is armed anew.
static void oneshot_told_before_the_switch(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    peer_do(c, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 10);
    conn_warm(c);
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    ep_mod(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 10);
}

static void oneshot_armed_through_the_switch(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    conn_warm(c);
    while (ep_wait(ep, c->fd, 20) != 0)
        ep_mod(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    ep_mod(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    peer_start_later(c, 30, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_finish(c);
    conn_read(c, 10);
}

struct pool {
    struct conn *c;
    int ep;
    uint64_t end;
    int inside; // threads between event and re-arming: never more than one
};

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    struct epoll_event ev;
    char buf[3000];
    while (__atomic_load_n(&p->c->rx, __ATOMIC_ACQUIRE) < p->end) {
        if (epoll_wait(p->ep, &ev, 1, 50) != 1)
            continue;
        REQUIRE_EQ(__atomic_add_fetch(&p->inside, 1, __ATOMIC_ACQ_REL), 1);
        ssize_t n = recv(p->c->fd, buf, sizeof(buf), MSG_DONTWAIT);
        conn_check(p->c, buf, n > 0 ? (size_t)n : 0);
        __atomic_sub_fetch(&p->inside, 1, __ATOMIC_ACQ_REL);
        ep_mod(p->ep, p->c->fd, EPOLLIN | EPOLLET | EPOLLONESHOT);
    }
    return NULL;
}

// A thread pool on one set: one-shot entries belong to one thread at a time.
static void oneshot_thread_pool(struct conn *c)
{
    struct pool p = {.c = c, .ep = ep_new(), .end = c->rx + 2 * MIB};
    pthread_t threads[4];
    ep_add(p.ep, c->fd, EPOLLIN | EPOLLET | EPOLLONESHOT);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, pool_thread, &p), 0);
    REQUIRE_EQ(peer_do(c, op_write, 2 * MIB), 2 * MIB);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
}

static void oneshot_thread_pool_through_the_switch(struct conn *c)
{
    oneshot_thread_pool(c);
}

static void exclusive_wakes_somebody(struct conn *c)
{
    struct epoll_event ev;
    int a = ep_new(), b = ep_new();
    ep_add(a, c->fd, EPOLLIN | EPOLLEXCLUSIVE);
    ep_add(b, c->fd, EPOLLIN | EPOLLEXCLUSIVE);
    peer_do(c, op_write, 5);
    conn_await(c, 5);
    REQUIRE(epoll_wait(a, &ev, 1, 1000) + epoll_wait(b, &ev, 1, 0) >= 1);
    conn_read(c, 5);
    REQUIRE_EQ(epoll_wait(a, &ev, 1, 20), 0);
    REQUIRE_EQ(epoll_wait(b, &ev, 1, 20), 0);
}

static void exclusive_errors(struct conn *c)
{
    int ep = ep_new();
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT),
                  EINVAL);
    ep_add(ep, c->fd, EPOLLIN | EPOLLEXCLUSIVE);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN), EINVAL);
}

static const struct sock_case cases[] = {
    CASE(one_event_an_arrival),
    CASE(data_before_add),
    CASE(mod_arms_again),
    CASE(writable_at_add_only),
    CASE(writable_after_full),
    CASE(arrival_tells_writable_too),
    CASE(wakes_for_data),
    CASE(end_is_an_edge),
    CASE(end_after_undrained_data_is_an_edge),
    CASE(reset_is_an_edge),
    CASE(drain_loop_loses_nothing),
    CASE(fill_loop_loses_nothing),
    CASE(ping_pong_by_edges),
    CASE(edges_before_the_switch_go_on, .flags = SOCK_COLD),
    CASE(oneshot_fires_once),
    CASE(oneshot_arms_again),
    CASE(oneshot_for_the_other_direction),
    CASE(oneshot_told_before_the_switch, .flags = SOCK_COLD),
    CASE(oneshot_armed_through_the_switch, .flags = SOCK_COLD),
    CASE(oneshot_thread_pool),
    CASE(oneshot_thread_pool_through_the_switch, .flags = SOCK_COLD),
    CASE(exclusive_wakes_somebody),
    CASE(exclusive_errors),
};
SOCK_TOPIC(epoll_edge);
