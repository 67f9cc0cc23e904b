// SPDX-License-Identifier: BSD-2-Clause
// One thread is in a call when another takes its socket, its number or its direction away. What
// happens in between is held there by a lock, or done by what stands in the place of a system call.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"
#include "base/clock.h"
#include "sock/carrier.h"
#include "sock/epoll_set.h"
#include "sock/sock.h"

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_START_MS 50 // for a thread that shall do a wrong thing, if it does

static struct rig_pair pair;

static int begin(void **state)
{
    rig_open(&pair, 0);
    rig_switch(&pair);
    return 0;
}

static int end(void **state)
{
    rig_close(&pair);
    return 0;
}

// ---- a direction ----

static ssize_t sent;

static void *sends(void *unused)
{
    char late[4] = "late";
    const struct iovec v = {late, sizeof late};

    sent = conn_send(pair.a.c, pair.a.fd, &v, 1, MSG_NOSIGNAL);
    return NULL;
}

static struct carrier slow_to_shut;
static pthread_t sender;

static int shut_slowly(struct conn *c, int fd, int how)
{
    assert_int_equal(pthread_create(&sender, NULL, sends, NULL), 0);
    usleep(HEAD_START_MS * 1000);
    return carrier_kernel.shutdown(c, fd, how);
}

// The twin is open still when the ring is shut already: it must not take the byte.
static void a_send_does_not_overtake_the_end(void **state)
{
    char byte;
    const struct iovec v = {&byte, 1};

    slow_to_shut = *pair.a.c->carrier;
    slow_to_shut.shutdown = shut_slowly;
    pair.a.c->carrier = &slow_to_shut;
    rig_write(&pair.a, 3);
    assert_int_equal(sock_shutdown(pair.a.c, pair.a.fd, SHUT_WR), 0);
    pthread_join(sender, NULL);
    pair.a.c->carrier = &carrier_kernel;
    assert_int_equal(sent, -EPIPE);
    rig_read(&pair.b, 3);
    assert_int_equal(conn_recv(pair.b.c, pair.b.fd, &v, 1, 0), 0);
}

// ---- a number ----

static int epfd;

static void *adds(void *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 7};

    assert_int_equal(sock_epoll_ctl(epfd, EPOLL_CTL_ADD, *(int *)fd, &ev), 0);
    return NULL;
}

static void new_set(void)
{
    epfd = epoll_create1(EPOLL_CLOEXEC);
    sock_epoll_made(epfd);
}

static void close_set(void)
{
    epoll_closing(epfd);
    close(epfd);
}

// As dup2(from, to) does it in the shim.
static void put_over(int from, int to)
{
    conn_closing(to);
    assert_int_equal(dup2(from, to), to);
    conn_duped(from, to);
}

// The thread has found the old connection when its number becomes another one's.
static void a_watch_is_of_what_the_number_means(void **state)
{
    struct rig_pair other;
    struct epoll_event ev;
    pthread_t adder;

    rig_open(&other, 0);
    rig_switch(&other);
    new_set();
    epoll_take(&epoll_lock);
    assert_int_equal(pthread_create(&adder, NULL, adds, &pair.a.fd), 0);
    while (atomic_load(&pair.a.c->users) < 2)
        sched_yield();
    put_over(other.a.fd, pair.a.fd);
    epoll_drop(&epoll_lock);
    pthread_join(adder, NULL);
    assert_true(list_empty(&pair.a.c->watches));
    rig_write(&other.b, 1);
    assert_int_equal(sock_epoll_wait(epfd, &ev, 1, &(struct timespec){5, 0}, NULL), 1);
    assert_int_equal(ev.data.u64, 7);
    close_set();
    rig_close(&other);
}

// ---- a channel ----

// Nobody but the wait itself would end this one: what it looks at is neither to be parked nor to be
// found by its number.
static void a_wait_ends_in_time_whatever_it_finds(void **state)
{
    const int fd = pair.a.fd;
    struct epoll_event ev;

    new_set();
    adds(&pair.a.fd);
    fdtab_set(fd, FD_NONE, NULL);
    end_clear(pair.a.c->end, END_READY);
    assert_int_equal(sock_epoll_wait(epfd, &ev, 1, &(struct timespec){0, 10 * NS_PER_MS}, NULL), 0);
    fdtab_set(fd, FD_CONN, pair.a.c);
    end_set(pair.a.c->end, END_READY);
    close_set();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_send_does_not_overtake_the_end, begin, end),
        cmocka_unit_test_setup_teardown(a_watch_is_of_what_the_number_means, begin, end),
        cmocka_unit_test_setup_teardown(a_wait_ends_in_time_whatever_it_finds, begin, end),
    };

    alarm(60);
    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
