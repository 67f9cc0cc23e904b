// SPDX-License-Identifier: BSD-2-Clause
// Epoll over rings, twins and other fds, one process.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rig.h"
#include "sock/epoll_set.h"
#include "sock/sock.h"

#include <pthread.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM        16
#define PATIENCE_MS 20000 // with what must come, however busy the machine is

// A set, and a connection on the ring whose end a is in it under the data 7.
struct bench {
    int ep;
    struct rig_pair p;
    struct epoll_event ev[ROOM];
};

static int ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};

    return sock_epoll_ctl(ep, op, fd, &ev);
}

static int wait_ms(struct bench *b, int max, long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    memset(b->ev, 0, sizeof b->ev);
    return sock_epoll_wait(b->ep, b->ev, max, ms < 0 ? NULL : &t, NULL);
}

static int new_set(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);

    sock_epoll_made(ep);
    return ep;
}

static void close_set(int ep)
{
    epoll_closing(ep);
    close(ep);
}

static void begin(struct bench *b, uint32_t events)
{
    *b = (struct bench){.ep = new_set()};
    rig_open(&b->p, 0);
    rig_switch(&b->p);
    assert_int_equal(ctl(b->ep, EPOLL_CTL_ADD, b->p.a.fd, events, 7), 0);
}

static void end(struct bench *b)
{
    rig_close(&b->p);
    close_set(b->ep);
}

// Exactly one event.
static void expect(struct bench *b, uint32_t events, uint64_t data)
{
    assert_int_equal(wait_ms(b, ROOM, 0), 1);
    assert_int_equal(b->ev[0].events, events);
    assert_int_equal(b->ev[0].data.u64, data);
}

static void expect_nothing(struct bench *b)
{
    assert_int_equal(wait_ms(b, ROOM, 0), 0);
}

static int hot(int ep)
{
    int n = 0;

    list_for_each (it, &epoll_set_of(ep)->hot)
        n++;
    return n;
}

// ---- what is reported ----

static void test_level_reports_until_read(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN);
    expect_nothing(&b);
    rig_write(&b.p.b, 10);
    expect(&b, EPOLLIN, 7);
    expect(&b, EPOLLIN, 7);
    rig_read(&b.p.a, 4);
    expect(&b, EPOLLIN, 7);
    rig_read(&b.p.a, 6);
    expect_nothing(&b);
    end(&b);
}

static void test_level_reports_room(void **state)
{
    struct bench b;
    size_t n;

    begin(&b, EPOLLIN | EPOLLOUT);
    expect(&b, EPOLLOUT, 7);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN | EPOLLOUT, 7);
    n = rig_fill(&b.p.a);
    expect(&b, EPOLLIN, 7);
    rig_read(&b.p.b, n);
    expect(&b, EPOLLIN | EPOLLOUT, 7);
    end(&b);
}

static void test_edge_reports_each_arrival_once(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLET);
    rig_write(&b.p.b, 10);
    expect(&b, EPOLLIN, 7);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    expect_nothing(&b);
    rig_read(&b.p.a, 11);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    end(&b);
}

static void test_edge_reports_room_after_a_full_ring(void **state)
{
    struct bench b;
    size_t n;

    begin(&b, EPOLLOUT | EPOLLET);
    expect(&b, EPOLLOUT, 7);
    expect_nothing(&b);
    rig_write(&b.p.a, 100);
    rig_read(&b.p.b, 100);
    expect_nothing(&b); // it never was full
    n = rig_fill(&b.p.a);
    expect_nothing(&b);
    rig_read(&b.p.b, n);
    expect(&b, EPOLLOUT, 7);
    expect_nothing(&b);
    n = rig_fill(&b.p.a);
    rig_read(&b.p.b, n); // full and empty between two waits
    expect(&b, EPOLLOUT, 7);
    end(&b);
}

static void test_edge_in_does_not_report_room(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLOUT | EPOLLET);
    expect(&b, EPOLLOUT, 7);
    rig_write(&b.p.a, 100);
    rig_read(&b.p.b, 100);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN | EPOLLOUT, 7);
    expect_nothing(&b);
    end(&b);
}

static void test_oneshot_waits_for_mod(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLONESHOT);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect_nothing(&b);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_MOD, b.p.a.fd, EPOLLIN | EPOLLONESHOT, 8), 0);
    expect(&b, EPOLLIN, 8);
    expect_nothing(&b);
    end(&b);
}

static void test_mod_by_edge_reports_what_holds(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLET);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_MOD, b.p.a.fd, EPOLLIN | EPOLLET, 9), 0);
    expect(&b, EPOLLIN, 9);
    expect_nothing(&b);
    end(&b);
}

static void test_norm_bits(void **state)
{
    struct bench b;

    begin(&b, EPOLLRDNORM | EPOLLWRNORM);
    expect(&b, EPOLLWRNORM, 7);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLRDNORM | EPOLLWRNORM, 7);
    end(&b);
}

static void test_peer_closes_with_bytes_unread(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLRDHUP);
    rig_write(&b.p.b, 3);
    rig_close_end(&b.p.b);
    expect(&b, EPOLLIN | EPOLLRDHUP, 7);
    rig_read(&b.p.a, 3);
    expect(&b, EPOLLIN | EPOLLRDHUP, 7);
    end(&b);
}

static void test_peer_closes_by_edge(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLRDHUP | EPOLLET);
    expect_nothing(&b);
    rig_close_end(&b.p.b);
    expect(&b, EPOLLIN | EPOLLRDHUP, 7);
    expect_nothing(&b);
    end(&b);
}

// ---- epoll_ctl ----

static void test_ctl_errors(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, b.p.a.fd, EPOLLIN, 1), -EEXIST);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_MOD, b.p.b.fd, EPOLLIN, 1), -ENOENT);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_DEL, b.p.b.fd, 0, 1), -ENOENT);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_MOD, b.p.a.fd, EPOLLIN | EPOLLEXCLUSIVE, 1), -EINVAL);
    assert_int_equal(ctl(b.ep, 77, b.p.a.fd, EPOLLIN, 1), -EINVAL);
    assert_int_equal(sock_epoll_ctl(b.ep, EPOLL_CTL_ADD, b.p.b.fd, NULL), -EFAULT);
    assert_int_equal(wait_ms(&b, 0, 0), -EINVAL);
    assert_int_equal(wait_ms(&b, -1, 0), -EINVAL);
    end(&b);
}

static void test_del_ends_reports(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN);
    rig_write(&b.p.b, 1);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_DEL, b.p.a.fd, 0, 0), 0);
    expect_nothing(&b);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, b.p.a.fd, EPOLLIN, 5), 0);
    expect(&b, EPOLLIN, 5);
    end(&b);
}

static void test_exclusive(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN | EPOLLEXCLUSIVE);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_MOD, b.p.a.fd, EPOLLIN, 1), -EINVAL);
    end(&b);
}

static void test_close_ends_reports_and_frees_the_number(void **state)
{
    struct bench b;
    struct rig_pair q;

    begin(&b, EPOLLIN);
    rig_write(&b.p.b, 1);
    rig_close_end(&b.p.a);
    expect_nothing(&b);
    rig_open(&q, 0);
    rig_switch(&q);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, q.a.fd, EPOLLIN, 3), 0);
    rig_write(&q.b, 1);
    expect(&b, EPOLLIN, 3);
    rig_close(&q);
    end(&b);
}

static void test_one_connection_under_two_numbers(void **state)
{
    struct bench b;
    int fd;

    begin(&b, EPOLLIN);
    fd = dup(b.p.a.fd);
    conn_duped(b.p.a.fd, fd);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 8), 0);
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, 0), 2);
    assert_int_equal(b.ev[0].data.u64 + b.ev[1].data.u64, 15);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_DEL, b.p.a.fd, 0, 0), 0); // the bell goes to the other
    rig_read(&b.p.a, 1);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 8);
    conn_close(fd);
    end(&b);
}

// epoll(7), Q6: closing one of several numbers does not end the reports.
static void test_closed_number_with_a_copy_goes_on(void **state)
{
    struct bench b;
    int fd;

    begin(&b, EPOLLIN);
    fd = dup(b.p.a.fd);
    conn_duped(b.p.a.fd, fd);
    conn_close(b.p.a.fd);
    b.p.a.fd = fd;
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
    assert_int_equal(b.ev[0].data.u64, 7);
    rig_read(&b.p.a, 1);
    expect_nothing(&b);
    end(&b);
}

// ---- the kernel's fds beside ours ----

static void test_pipe_and_ring_in_one_call(void **state)
{
    struct bench b;
    int fds[2];

    begin(&b, EPOLLIN);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, fds[0], EPOLLIN, 9), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, 0), 2);
    assert_int_equal(b.ev[0].data.u64 + b.ev[1].data.u64, 16);
    for (int i = 0, seen = 0; seen != 3; i++) {
        assert_true(i < 4); // with room for one the two take turns
        assert_int_equal(wait_ms(&b, 1, 0), 1);
        seen |= b.ev[0].data.u64 == 9 ? 1 : 2;
    }
    close(fds[0]);
    close(fds[1]);
    end(&b);
}

static void test_small_array_starves_nobody(void **state)
{
    struct bench b;
    struct rig_pair q[6];
    unsigned seen = 0;

    begin(&b, EPOLLIN);
    for (int i = 0; i < 6; i++) {
        rig_open(&q[i], 0);
        rig_switch(&q[i]);
        assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, q[i].a.fd, EPOLLIN, (uint64_t)i), 0);
        rig_write(&q[i].b, 1);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(wait_ms(&b, 2, 0), 2);
        seen |= 1u << b.ev[0].data.u64 | 1u << b.ev[1].data.u64;
    }
    assert_int_equal(seen, 0x3f);
    for (int i = 0; i < 6; i++)
        rig_close(&q[i]);
    end(&b);
}

static void test_idle_connections_are_parked(void **state)
{
    struct bench b;
    struct rig_pair q[20];

    begin(&b, EPOLLIN);
    for (int i = 0; i < 20; i++) {
        rig_open(&q[i], 0);
        rig_switch(&q[i]);
        assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, q[i].a.fd, EPOLLIN, 100), 0);
    }
    for (int i = 0; i < 300; i++) {
        rig_write(&b.p.b, 1);
        expect(&b, EPOLLIN, 7);
        rig_read(&b.p.a, 1);
    }
    assert_int_equal(hot(b.ep), 1);
    rig_write(&q[3].b, 1); // and comes back by its bell
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
    assert_int_equal(b.ev[0].data.u64, 100);
    for (int i = 0; i < 20; i++)
        rig_close(&q[i]);
    end(&b);
}

static void test_inner_set_is_readable(void **state)
{
    struct bench b, outer = {.ep = new_set()};

    begin(&b, EPOLLIN);
    assert_int_equal(ctl(outer.ep, EPOLL_CTL_ADD, b.ep, EPOLLIN, 1), 0);
    assert_int_equal(wait_ms(&outer, ROOM, 0), 0);
    rig_write(&b.p.b, 1);
    expect(&outer, EPOLLIN, 1);
    expect(&b, EPOLLIN, 7);
    expect(&outer, EPOLLIN, 1); // by level: the inner one still has something
    rig_read(&b.p.a, 1);
    assert_int_equal(wait_ms(&outer, ROOM, 0), 0); // and has not, though nobody asked the inner one
    expect_nothing(&b);
    close_set(outer.ep);
    end(&b);
}

// ---- becoming ready, and going back ----

static void test_set_follows_the_connection(void **state)
{
    struct bench b = {.ep = new_set()};

    rig_open(&b.p, 0);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, b.p.a.fd, EPOLLIN, 7), 0);
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
    rig_read(&b.p.a, 1);
    rig_switch(&b.p);
    expect_nothing(&b);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    rig_read(&b.p.a, 1);
    // b leaves the ring, then a
    conn_tx_back(b.p.b.c, b.p.b.fd, false, "test");
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
    assert_int_equal(b.ev[0].data.u64, 7);
    rig_read(&b.p.a, 1);
    expect_nothing(&b);
    end(&b);
}

// ---- sleeping ----

static void *write_later(void *arg)
{
    struct rig_end *e = arg;

    usleep(20000);
    rig_write(e, 1);
    return NULL;
}

static void test_sleeper_is_woken_by_the_ring(void **state)
{
    struct bench b;
    pthread_t t;

    begin(&b, EPOLLIN);
    for (int i = 0; i < 3; i++) {
        pthread_create(&t, NULL, write_later, &b.p.b);
        assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
        assert_int_equal(b.ev[0].data.u64, 7);
        pthread_join(t, NULL);
        rig_read(&b.p.a, 1);
    }
    end(&b);
}

static void test_timeout(void **state)
{
    struct bench b;
    uint64_t start_ns;

    begin(&b, EPOLLIN);
    start_ns = clock_now_ns();
    assert_int_equal(wait_ms(&b, ROOM, 30), 0);
    assert_true(clock_now_ns() - start_ns >= 30 * NS_PER_MS);
    end(&b);
}

static void *switch_later(void *arg)
{
    struct rig_pair *p = arg;

    usleep(20000);
    rig_switch(p);
    usleep(20000);
    rig_write(&p->b, 1);
    return NULL;
}

static void test_sleeper_follows_a_switch(void **state)
{
    struct bench b = {.ep = new_set()};
    pthread_t t;

    rig_open(&b.p, 0);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, b.p.a.fd, EPOLLIN, 7), 0);
    pthread_create(&t, NULL, switch_later, &b.p);
    usleep(1000);
    for (int i = 0; i < 1000 && wait_ms(&b, ROOM, PATIENCE_MS) == 1 && !b.p.a.c->end->rx.tail; i++)
        usleep(100); // the bytes of rig_switch(), which the other thread reads
    pthread_join(t, NULL);
    expect(&b, EPOLLIN, 7);
    end(&b);
}

static _Atomic int got_two;

static void *take_one(void *arg)
{
    struct bench b = {.ep = *(int *)arg};

    if (wait_ms(&b, 1, PATIENCE_MS) == 1)
        got_two++;
    return NULL;
}

static void test_two_sleepers_each_get_their_event(void **state)
{
    struct bench b;
    struct rig_pair q;
    pthread_t t[2];

    begin(&b, EPOLLIN | EPOLLONESHOT);
    rig_open(&q, 0);
    rig_switch(&q);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, q.a.fd, EPOLLIN | EPOLLONESHOT, 8), 0);
    got_two = 0;
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, take_one, &b.ep);
    usleep(20000);
    rig_write(&b.p.b, 1);
    rig_write(&q.b, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(got_two, 2);
    expect_nothing(&b);
    rig_close(&q);
    end(&b);
}

// A thread that leaves with an event hands the rest over to one that sleeps.
static void test_who_leaves_hands_over(void **state)
{
    struct bench b;
    struct rig_pair q;
    pthread_t t;

    begin(&b, EPOLLIN | EPOLLONESHOT);
    rig_open(&q, 0);
    rig_switch(&q);
    got_two = 0;
    pthread_create(&t, NULL, take_one, &b.ep);
    usleep(20000);
    rig_write(&q.b, 1);
    assert_int_equal(ctl(b.ep, EPOLL_CTL_ADD, q.a.fd, EPOLLIN | EPOLLONESHOT, 8), 0);
    pthread_join(t, NULL);
    assert_int_equal(got_two, 1);
    rig_close(&q);
    end(&b);
}

static void test_cancelled_sleeper_is_counted_out(void **state)
{
    struct bench b;
    pthread_t t;
    void *result;

    begin(&b, EPOLLIN);
    pthread_create(&t, NULL, take_one, &b.ep);
    for (int i = 0; i < 5000 && epoll_set_of(b.ep)->sleepers != 1; i++)
        usleep(1000);
    assert_int_equal(epoll_set_of(b.ep)->sleepers, 1);
    pthread_cancel(t);
    pthread_join(t, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_int_equal(epoll_set_of(b.ep)->sleepers, 0);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    end(&b);
}

static void on_signal(int sig)
{
    sock_thread.restarts++;
}

static void test_handler_ends_the_wait(void **state)
{
    struct bench b;
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    struct itimerval soon = {.it_value.tv_usec = 20000};

    begin(&b, EPOLLIN);
    sigaction(SIGALRM, &act, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), -EINTR);
    sigaction(SIGALRM, &old, NULL);
    end(&b);
}

// ---- several processes ----

static int forked(struct bench *b, void (*child)(struct bench *))
{
    int status;
    pid_t pid;

    conn_before_fork();
    pid = fork();
    conn_after_fork(pid == 0);
    if (pid)
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    alarm(3 * PATIENCE_MS / 1000);
    child(b);
    _exit(0);
}

static void closes_all(struct bench *b)
{
    conn_close(b->p.a.fd);
    conn_close(b->p.b.fd);
    epoll_closing(b->ep);
    close(b->ep);
}

static void test_child_that_closes_disturbs_nobody(void **state)
{
    struct bench b;

    begin(&b, EPOLLIN);
    assert_int_equal(forked(&b, closes_all), 0);
    assert_true(conn_rx_ring(b.p.a.c));
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    rig_read(&b.p.a, 1);
    assert_int_equal(wait_ms(&b, ROOM, 1), 0);
    rig_write(&b.p.b, 1);
    expect(&b, EPOLLIN, 7);
    end(&b);
}

static void waits(struct bench *b)
{
    int n = wait_ms(b, ROOM, PATIENCE_MS);

    if (n != 1 || b->ev[0].data.u64 != 7)
        _exit(1);
}

static void *serve_b(void *arg)
{
    struct rig_end *b = arg;
    uint64_t until_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;

    while (conn_tx_ring(b->c) && clock_now_ns() < until_ns) {
        sock_enter();
        conn_serve(b->c, b->fd);
        sock_leave();
        usleep(1000);
    }
    return NULL;
}

// Both use the set: what is in it goes back to the kernel, and both hear of it.
static void test_common_set_goes_back(void **state)
{
    struct bench b;
    pthread_t t;

    begin(&b, EPOLLIN);
    rig_write(&b.p.b, 1);
    pthread_create(&t, NULL, serve_b, &b.p.b);
    assert_int_equal(forked(&b, waits), 0);
    pthread_join(t, NULL);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1); // by the ring: nobody has read it
    assert_int_equal(b.ev[0].data.u64, 7);
    rig_read(&b.p.a, 1);
    expect_nothing(&b);
    expect_nothing(&b);
    assert_int_equal(epoll_set_of(b.ep)->raised, 0);
    assert_false(conn_ready(b.p.a.c));
    rig_write(&b.p.b, 1);
    assert_int_equal(wait_ms(&b, ROOM, PATIENCE_MS), 1);
    rig_read(&b.p.a, 1);
    expect_nothing(&b);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_reports_until_read),
        cmocka_unit_test(test_level_reports_room),
        cmocka_unit_test(test_edge_reports_each_arrival_once),
        cmocka_unit_test(test_edge_reports_room_after_a_full_ring),
        cmocka_unit_test(test_edge_in_does_not_report_room),
        cmocka_unit_test(test_oneshot_waits_for_mod),
        cmocka_unit_test(test_mod_by_edge_reports_what_holds),
        cmocka_unit_test(test_norm_bits),
        cmocka_unit_test(test_peer_closes_with_bytes_unread),
        cmocka_unit_test(test_peer_closes_by_edge),
        cmocka_unit_test(test_ctl_errors),
        cmocka_unit_test(test_del_ends_reports),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_close_ends_reports_and_frees_the_number),
        cmocka_unit_test(test_one_connection_under_two_numbers),
        cmocka_unit_test(test_closed_number_with_a_copy_goes_on),
        cmocka_unit_test(test_pipe_and_ring_in_one_call),
        cmocka_unit_test(test_small_array_starves_nobody),
        cmocka_unit_test(test_idle_connections_are_parked),
        cmocka_unit_test(test_inner_set_is_readable),
        cmocka_unit_test(test_set_follows_the_connection),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_handler_ends_the_wait),
        cmocka_unit_test(test_child_that_closes_disturbs_nobody),
        cmocka_unit_test(test_sleeper_is_woken_by_the_ring),
        cmocka_unit_test(test_sleeper_follows_a_switch),
        cmocka_unit_test(test_two_sleepers_each_get_their_event),
        cmocka_unit_test(test_who_leaves_hands_over),
        cmocka_unit_test(test_cancelled_sleeper_is_counted_out),
        cmocka_unit_test(test_common_set_goes_back),
    };

    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
