// SPDX-License-Identifier: BSD-2-Clause
// poll and select over rings, twins and other fds, one process.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rig.h"
#include "sock/ready.h"
#include "sock/sock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static void begin(struct rig_pair *p)
{
    rig_open(p, 0);
    rig_switch(p);
}

static int poll_ms(struct pollfd *fds, nfds_t n, long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    return sock_ppoll(fds, n, ms < 0 ? NULL : &t, NULL);
}

// What poll says of one fd.
static int revents(int fd, short events)
{
    struct pollfd f = {fd, events, -1};
    int n = poll_ms(&f, 1, 0);

    assert_int_equal(n, f.revents != 0);
    return f.revents;
}

static void test_what_holds(void **state)
{
    const short all = READY_IN | READY_OUT | POLLPRI;
    struct rig_pair p;
    size_t n;

    begin(&p);
    assert_int_equal(revents(p.a.fd, all), READY_OUT);
    assert_int_equal(revents(p.a.fd, POLLOUT), POLLOUT);
    assert_int_equal(revents(p.a.fd, POLLIN), 0);
    rig_write(&p.b, 1);
    assert_int_equal(revents(p.a.fd, all), READY_IN | READY_OUT);
    assert_int_equal(revents(p.a.fd, POLLRDNORM), POLLRDNORM);
    assert_int_equal(revents(p.a.fd, 0), 0);
    n = rig_fill(&p.a);
    assert_int_equal(revents(p.a.fd, all), READY_IN);
    rig_read(&p.b, n);
    assert_int_equal(revents(p.a.fd, all), READY_IN | READY_OUT);
    rig_close(&p);
}

static void test_peer_closed(void **state)
{
    struct rig_pair p;

    begin(&p);
    rig_write(&p.b, 1);
    rig_close_end(&p.b);
    assert_int_equal(revents(p.a.fd, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
    assert_int_equal(revents(p.a.fd, POLLIN), POLLIN);
    rig_read(&p.a, 1);
    assert_int_equal(revents(p.a.fd, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
    rig_close(&p);
}

static void test_mixed_fds(void **state)
{
    struct rig_pair p, q;
    int fds[2];

    begin(&p);
    rig_open(&q, 0); // on TCP
    assert_int_equal(pipe(fds), 0);
    struct pollfd f[6] = {{fds[0], POLLIN, 9}, {-1, POLLIN, 9},     {p.a.fd, POLLIN, 9},
                          {9999, POLLIN, 9},   {q.a.fd, POLLIN, 9}, {p.a.fd, POLLOUT, 9}};
    assert_int_equal(poll_ms(f, 6, 0), 2);
    assert_int_equal(f[0].revents | f[1].revents | f[2].revents | f[4].revents, 0);
    assert_int_equal(f[3].revents, POLLNVAL);
    assert_int_equal(f[5].revents, POLLOUT);
    rig_write(&p.b, 1);
    rig_write(&q.b, 1);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(poll_ms(f, 6, 0), 5);
    assert_int_equal(f[0].revents & f[2].revents & f[4].revents, POLLIN);
    assert_int_equal(f[1].revents, 0);
    close(fds[0]);
    close(fds[1]);
    rig_close(&p);
    rig_close(&q);
}

static void test_many_fds(void **state)
{
    struct pollfd *f = calloc(2000, sizeof *f);
    struct rig_pair p;

    begin(&p);
    for (int i = 0; i < 1000; i++)
        f[i] = (struct pollfd){i % 2 ? p.a.fd : -1, POLLIN, 0};
    assert_int_equal(poll_ms(f, 1000, 0), 0);
    rig_write(&p.b, 1);
    assert_int_equal(poll_ms(f, 1000, 0), 500);
    assert_int_equal(f[998].revents, 0);
    assert_int_equal(f[999].revents, POLLIN);
    assert_int_equal(poll_ms(f, (nfds_t)INT32_MAX + 1, 0), -EINVAL);
    rig_close(&p);
    free(f);
}

static void *write_later(void *arg)
{
    usleep(20000);
    rig_write(arg, 1);
    return NULL;
}

static void test_sleeper_is_woken(void **state)
{
    struct rig_pair p, q;
    struct pollfd f[2];
    pthread_t t;

    begin(&p);
    begin(&q);
    for (int i = 0; i < 4; i++) {
        struct rig_pair *who = i % 2 ? &p : &q;

        f[0] = (struct pollfd){p.a.fd, POLLIN, 0};
        f[1] = (struct pollfd){q.a.fd, POLLIN, 0};
        pthread_create(&t, NULL, write_later, &who->b);
        assert_int_equal(poll_ms(f, 2, 20000), 1);
        assert_int_equal(f[!(i % 2)].revents, POLLIN);
        pthread_join(t, NULL);
        rig_read(&who->a, 1);
        assert_int_equal(p.a.c->end->rx_sleepers, 0);
    }
    rig_close(&p);
    rig_close(&q);
}

static _Atomic int taken;
static _Atomic bool stop;

// Takes single bytes as they come.
static void *reader(void *arg)
{
    struct rig_end *e = arg;
    struct pollfd f = {e->fd, POLLIN, 0};

    while (!stop && poll_ms(&f, 1, 20000) == 1) {
        rig_read(e, 1);
        taken++;
    }
    return NULL;
}

// Goes to sleep again and again, for room that does not come.
static void *writer(void *arg)
{
    struct rig_end *e = arg;
    struct pollfd f = {e->fd, POLLOUT, 0};

    while (!stop)
        poll_ms(&f, 1, 1);
    return NULL;
}

static void test_sleepers_do_not_take_each_others_rings(void **state)
{
    struct rig_pair p;
    pthread_t t[2];
    uint64_t until_ns;

    begin(&p);
    rig_fill(&p.a);
    taken = 0;
    stop = false;
    pthread_create(&t[0], NULL, reader, &p.a);
    pthread_create(&t[1], NULL, writer, &p.a);
    for (int i = 0; i < 3000; i++) {
        rig_write(&p.b, 1);
        until_ns = clock_now_ns() + 20 * NS_PER_S;
        while (taken == i && clock_now_ns() < until_ns)
            ;
        assert_int_equal(taken, i + 1);
    }
    stop = true;
    rig_write(&p.b, 1);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    rig_close(&p);
}

// A thread that is in the kernel's poll keeps the connection on TCP.
static void *poll_raw(void *arg)
{
    struct rig_pair *p = arg;
    struct pollfd f = {p->a.fd, POLLIN, 0};

    assert_int_equal(poll_ms(&f, 1, 20000), 1);
    return NULL;
}

// Until the thread that was started is asleep in there, however busy the machine is.
static void await_count(const _Atomic uint32_t *count, uint32_t n)
{
    for (int i = 0; i < 5000 && atomic_load(count) != n; i++)
        usleep(1000);
    assert_int_equal(atomic_load(count), n);
}

static void test_raw_poller_holds_up_the_switch(void **state)
{
    struct rig_pair p;
    pthread_t t;

    rig_open(&p, 0);
    end_set(p.a.c->end, END_FROZEN);
    pthread_create(&t, NULL, write_later, &p.b); // so that there are threads
    pthread_join(t, NULL);
    rig_read(&p.a, 1);
    pthread_create(&t, NULL, poll_raw, &p);
    await_count(&p.a.c->end->rx_raw, 1);
    end_clear(p.a.c->end, END_FROZEN);
    sock_enter();
    conn_advance(p.a.c, p.a.fd);
    sock_leave();
    assert_false(conn_ready(p.a.c));
    rig_write(&p.b, 1);
    pthread_join(t, NULL);
    assert_int_equal(p.a.c->end->rx_raw, 0);
    rig_close(&p);
}

static void test_cancelled_poller_lets_go(void **state)
{
    struct rig_pair p;
    uint32_t users;
    pthread_t t;

    begin(&p);
    users = p.a.c->users;
    pthread_create(&t, NULL, poll_raw, &p);
    await_count(&p.a.c->end->rx_sleepers, 1);
    pthread_cancel(t);
    pthread_join(t, NULL);
    assert_int_equal(p.a.c->end->rx_sleepers, 0);
    assert_int_equal(p.a.c->users, users);
    rig_close(&p);
}

static void on_signal(int sig)
{
    sock_thread.interrupts++;
}

static void test_time_and_signals(void **state)
{
    struct rig_pair p;
    struct pollfd f = {-1, POLLIN, 0};
    struct sigaction act = {.sa_handler = on_signal}, old;
    struct itimerval soon = {.it_value.tv_usec = 20000};
    struct timespec bad = {0, 1000000000};
    uint64_t start_ns = clock_now_ns();

    begin(&p);
    f.fd = p.a.fd;
    assert_int_equal(poll_ms(&f, 1, 30), 0);
    assert_true(clock_now_ns() - start_ns >= 30 * NS_PER_MS);
    assert_int_equal(sock_ppoll(&f, 1, &bad, NULL), -EINVAL);
    sigaction(SIGALRM, &act, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(poll_ms(&f, 1, 20000), -EINTR);
    sigaction(SIGALRM, &old, NULL);
    rig_close(&p);
}

// ---- select ----

static void test_select_sets(void **state)
{
    struct timespec now = {0};
    struct rig_pair p;
    fd_set r, w, e;
    int n;

    begin(&p);
    n = p.b.fd + 1;
    FD_ZERO(&r);
    FD_SET(p.a.fd, &r);
    w = e = r;
    assert_true(sock_select_ours(n, &r, &w, &e));
    assert_int_equal(sock_pselect(n, &r, &w, &e, &now, NULL), 1);
    assert_false(FD_ISSET(p.a.fd, &r));
    assert_true(FD_ISSET(p.a.fd, &w));
    assert_false(FD_ISSET(p.a.fd, &e));
    rig_write(&p.b, 1);
    FD_SET(p.a.fd, &r);
    FD_SET(p.b.fd, &r);
    assert_int_equal(sock_pselect(n, &r, &w, NULL, NULL, NULL), 2);
    assert_true(FD_ISSET(p.a.fd, &r));
    assert_false(FD_ISSET(p.b.fd, &r));
    assert_int_equal(sock_pselect(p.a.fd, &r, NULL, NULL, &now, NULL), 0); // n leaves it out
    assert_int_equal(sock_pselect(-1, &r, NULL, NULL, &now, NULL), -EINVAL);
    rig_close(&p);
}

static void test_select_errors_and_hang_ups(void **state)
{
    struct timespec soon = {0, 10000000};
    struct rig_pair p;
    fd_set r, e;

    begin(&p);
    FD_ZERO(&r);
    FD_SET(p.a.fd, &r);
    FD_SET(1000, &r);
    assert_int_equal(sock_pselect(1001, &r, NULL, NULL, &soon, NULL), -EBADF);
    rig_close_end(&p.b);
    conn_close(dup(p.a.fd));
    shutdown(p.a.fd, SHUT_WR);
    end_set(p.a.c->end, END_TX_SHUT);
    FD_ZERO(&e);
    FD_SET(p.a.fd, &e);
    assert_int_equal(sock_pselect(p.a.fd + 1, NULL, NULL, &e, &soon, NULL), 0); // POLLHUP is no PRI
    assert_false(FD_ISSET(p.a.fd, &e));
    FD_SET(p.a.fd, &e);
    assert_int_equal(sock_pselect(p.a.fd + 1, &e, NULL, NULL, &soon, NULL), 1);
    rig_close(&p);
}

static void test_select_above_1024(void **state)
{
    unsigned long bits[64] = {0};
    struct rlimit files;
    struct timespec now = {0};
    struct rig_pair p;
    int fd;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = MIN(files.rlim_max, (rlim_t)8192);
    setrlimit(RLIMIT_NOFILE, &files);
    begin(&p);
    fd = fcntl(p.a.fd, F_DUPFD, 3000);
    if (fd < 0)
        skip();
    conn_duped(p.a.fd, fd);
    bits[fd / 64] |= 1UL << fd % 64;
    rig_write(&p.b, 1);
    assert_int_equal(sock_pselect(fd + 1, (fd_set *)(void *)bits, NULL, NULL, &now, NULL), 1);
    assert_int_equal(bits[fd / 64], 1UL << fd % 64);
    conn_close(fd);
    rig_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_holds),
        cmocka_unit_test(test_peer_closed),
        cmocka_unit_test(test_mixed_fds),
        cmocka_unit_test(test_many_fds),
        cmocka_unit_test(test_sleeper_is_woken),
        cmocka_unit_test(test_sleepers_do_not_take_each_others_rings),
        cmocka_unit_test(test_raw_poller_holds_up_the_switch),
        cmocka_unit_test(test_cancelled_poller_lets_go),
        cmocka_unit_test(test_time_and_signals),
        cmocka_unit_test(test_select_sets),
        cmocka_unit_test(test_select_errors_and_hang_ups),
        cmocka_unit_test(test_select_above_1024),
    };

    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
