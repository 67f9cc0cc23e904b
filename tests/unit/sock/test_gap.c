// SPDX-License-Identifier: BSD-2-Clause
// A signal between the last look and the sleep ends the call: it is sent just there, by what stands
// in the place of the system call that sleeps.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"
#include "base/clock.h"
#include "sock/real.h"
#include "sock/sock.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#define PATIENCE_S 5 // of a sleep that a signal did not end

static struct sock_real libc;
static int sleeps, signal_at, bell, handled;

static void on_signal(int sig)
{
    handled++;
}

// The sleeps before the one that matters end at once, and for nothing.
static void before_sleep(void)
{
    const uint64_t one = 1;

    if (++sleeps == signal_at)
        raise(SIGUSR1);
    else if (sleeps < signal_at)
        assert_int_equal(write(bell, &one, sizeof one), sizeof one);
}

static int gap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
    before_sleep();
    return libc.ppoll(fds, n, t, mask);
}

static int gap_epoll_pwait(int ep, struct epoll_event *ev, int max, int ms, const sigset_t *mask)
{
    before_sleep();
    return libc.epoll_pwait(ep, ev, max, ms, mask);
}

static void begin(struct rig_pair *p, int at)
{
    struct sigaction act = {.sa_handler = on_signal};

    rig_open(p, 0);
    rig_switch(p);
    assert_int_equal(sock_sigaction(SIGUSR1, &act, NULL), 0);
    libc = real;
    real.ppoll = gap_ppoll;
    real.epoll_pwait = gap_epoll_pwait;
    real.epoll_pwait2 = NULL;
    sleeps = handled = 0;
    signal_at = at;
    bell = p->a.c->chan.bell;
}

static void end(struct rig_pair *p, int result)
{
    real = libc;
    assert_int_equal(result, -EINTR);
    assert_int_equal(handled, 1);
    assert_int_equal(sleeps, signal_at);
    rig_close(p);
}

static void of_a_read(void **state)
{
    char byte;
    const struct iovec iov = {&byte, 1};
    struct rig_pair p;

    for (int at = 1; at <= 3; at++) {
        begin(&p, at);
        p.a.c->end->rcvtimeo_ns = PATIENCE_S * NS_PER_S;
        end(&p, (int)conn_recv(p.a.c, p.a.fd, &iov, 1, 0));
    }
}

static void of_a_write(void **state)
{
    char byte = 0;
    const struct iovec iov = {&byte, 1};
    struct rig_pair p;

    begin(&p, 2);
    rig_fill(&p.a);
    p.a.c->end->sndtimeo_ns = PATIENCE_S * NS_PER_S;
    end(&p, (int)conn_send(p.a.c, p.a.fd, &iov, 1, 0));
}

// A first sleep need not be guarded: the signal might as well have come before the call.
static void of_poll(void **state)
{
    const struct timespec patience = {PATIENCE_S, 0};
    struct rig_pair p;

    for (int at = 2; at <= 3; at++) {
        begin(&p, at);
        struct pollfd f = {p.a.fd, POLLIN, 0};

        end(&p, sock_ppoll(&f, 1, &patience, NULL));
    }
}

static void of_epoll(void **state)
{
    const struct timespec patience = {PATIENCE_S, 0};
    struct epoll_event ev = {.events = EPOLLIN};
    struct rig_pair p;
    int ep = epoll_create1(0);

    begin(&p, 2);
    sock_epoll_made(ep);
    assert_int_equal(sock_epoll_ctl(ep, EPOLL_CTL_ADD, p.a.fd, &ev), 0);
    end(&p, sock_epoll_wait(ep, &ev, 1, &patience, NULL));
    close(ep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_read),
        cmocka_unit_test(of_a_write),
        cmocka_unit_test(of_poll),
        cmocka_unit_test(of_epoll),
    };

    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
