// SPDX-License-Identifier: BSD-2-Clause
// What poll, select and epoll have in common: the bits of readiness, and how long a call may last.
#ifndef SHUNT_SOCK_READY_H
#define SHUNT_SOCK_READY_H

#include "base/clock.h"
#include "base/reach.h"
#include "sock/thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#define READY_IN  (POLLIN | POLLRDNORM)
#define READY_OUT (POLLOUT | POLLWRNORM)

// How often a wait that spins, and one that finds work all the time, asks the kernel for the rest.
#define READY_LOOK_SPINNING_NS (20 * NS_PER_US)
#define READY_LOOK_BUSY_NS     (30 * NS_PER_US)

// The kernel's TCP sets the NORM bits together with their plain ones (tcp_poll).
static inline uint32_t ready_expand(short mask)
{
    uint32_t m = (uint16_t)mask;

    return m | (m & POLLIN ? POLLRDNORM : 0) | (m & POLLOUT ? POLLWRNORM : 0);
}

// One call of poll, select or epoll_wait.
struct ready_call {
    const struct timespec *timeout; // NULL: none
    const sigset_t *mask;           // for the time of sleep; NULL: as it is
    uint64_t deadline_ns;           // CLOCK_NEVER: none; good from ready_start() on
    bool waited;                    // it has spun or slept: a signal that comes now is its own
    uint32_t handlers;              // signal handlers that had run in this thread when it began
};

static inline uint32_t ready_handlers(void)
{
    return sock_thread.interrupts + sock_thread.restarts;
}

// 0, or -EINVAL for a timeout that is none, -EFAULT for one that cannot be read.
static inline int ready_begin(struct ready_call *call, const struct timespec *timeout,
                              const sigset_t *mask)
{
    if (timeout && reach(timeout, sizeof *timeout, REACH_READ) < sizeof *timeout)
        return -EFAULT;
    if (timeout &&
        (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= (long)NS_PER_S))
        return -EINVAL;
    *call = (struct ready_call){.timeout = timeout, .mask = mask, .handlers = ready_handlers()};
    return 0;
}

static inline bool ready_no_wait(const struct ready_call *call)
{
    return call->timeout && !call->timeout->tv_sec && !call->timeout->tv_nsec;
}

// Nothing was there at once: from here on the clock runs.
static inline void ready_start(struct ready_call *call)
{
    const struct timespec *t = call->timeout;

    if (!t || t->tv_sec >= (time_t)(INT64_MAX / NS_PER_S / 2))
        call->deadline_ns = CLOCK_NEVER;
    else
        call->deadline_ns = clock_now_ns() + (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

// None of these calls is ever restarted after a handler, SA_RESTART or not (signal(7)).
static inline bool ready_interrupted(const struct ready_call *call)
{
    return ready_handlers() != call->handlers;
}

// What is left of the time, at most cap_ns; NULL: no end.
static inline struct timespec *ready_left(const struct ready_call *call, uint64_t cap_ns,
                                          struct timespec *ts)
{
    uint64_t left_ns = cap_ns, now_ns;

    if (call->deadline_ns != CLOCK_NEVER) {
        now_ns = clock_now_ns();
        left_ns = call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 0;
        left_ns = left_ns < cap_ns ? left_ns : cap_ns;
    }
    if (left_ns == CLOCK_NEVER)
        return NULL;
    *ts = (struct timespec){(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};
    return ts;
}

// Has the time of a call passed? Good from ready_start() on.
static inline bool ready_is_over(const struct ready_call *call)
{
    return call->deadline_ns != CLOCK_NEVER && clock_now_ns() >= call->deadline_ns;
}

// How long the call may spin under a rule that allows spin_us.
static inline uint32_t ready_spin_us(const struct ready_call *call, uint32_t spin_us)
{
    uint64_t now_ns, left_us;

    if (call->deadline_ns == CLOCK_NEVER)
        return spin_us;
    now_ns = clock_now_ns();
    left_us = call->deadline_ns > now_ns ? (call->deadline_ns - now_ns) / NS_PER_US : 0;
    return left_us < spin_us ? (uint32_t)left_us : spin_us;
}

#endif
