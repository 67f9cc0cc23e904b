// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/loop.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

int loop_init(struct loop *loop, void (*between)(struct loop *))
{
    *loop = (struct loop){.between = between};
    list_init(&loop->timers);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_fini(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

static int control(struct loop *loop, int op, struct watch *watch, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = watch};

    return epoll_ctl(loop->epoll_fd, op, watch->fd, &ev) ? -errno : 0;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
    control(loop, EPOLL_CTL_DEL, watch, 0);
}

void loop_add_timer(struct loop *loop, struct timer *timer)
{
    timer->due_ns = CLOCK_NEVER;
    list_add_tail(&loop->timers, &timer->link);
}

// Milliseconds until the next timer, rounded up; -1: none is set.
static int wait_ms(const struct loop *loop, uint64_t now)
{
    uint64_t due = CLOCK_NEVER;

    list_for_each (it, &loop->timers)
        due = MIN(due, list_entry(it, struct timer, link)->due_ns);
    if (due == CLOCK_NEVER)
        return -1;
    due = due > now ? (due - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    return (int)MIN(due, (uint64_t)INT_MAX);
}

static void fire(struct loop *loop, uint64_t now)
{
    list_for_each (it, &loop->timers) {
        struct timer *timer = list_entry(it, struct timer, link);

        if (timer->due_ns <= now) {
            timer->due_ns = CLOCK_NEVER;
            timer->fired(timer, now);
        }
    }
}

int loop_run(struct loop *loop)
{
    struct epoll_event ev[64];

    while (!loop->stop) {
        int n = epoll_wait(loop->epoll_fd, ev, ARRAY_LEN(ev), wait_ms(loop, clock_now_ns()));

        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct watch *watch = ev[i].data.ptr;

            if (watch->fd >= 0)
                watch->ready(watch, ev[i].events);
        }
        fire(loop, clock_now_ns());
        loop->between(loop);
    }
    return 0;
}
