// SPDX-License-Identifier: BSD-2-Clause
// One epoll set and a few timers: everything that shuntd ever waits for.
#ifndef SHUNT_DAEMON_LOOP_H
#define SHUNT_DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

// An fd in the loop. Embedded in what it belongs to; the fd stays the owner's.
struct watch {
    int fd;
    // Level-triggered, with EPOLL* bits. Must not block. It may remove any watch, also its own, but
    // the memory of a watch must stay until the loop calls between().
    void (*ready)(struct watch *watch, uint32_t events);
};

// A timer, embedded in what it belongs to. CLOCK_NEVER: not set.
struct timer {
    struct list link;
    uint64_t due_ns;
    void (*fired)(struct timer *timer, uint64_t now_ns); // unset by then; may set it again
};

struct loop {
    int epoll_fd;
    bool stop;
    struct list timers;
    void (*between)(struct loop *loop); // after each round of events
};

// 0 or -errno.
int loop_init(struct loop *loop, void (*between)(struct loop *));
void loop_fini(struct loop *loop);

// events are EPOLL* bits; 0 still tells of hang-up. 0 or -errno.
int loop_add(struct loop *loop, struct watch *watch, uint32_t events);
int loop_change(struct loop *loop, struct watch *watch, uint32_t events);
void loop_remove(struct loop *loop, struct watch *watch);

void loop_add_timer(struct loop *loop, struct timer *timer); // not set yet
static inline void timer_set(struct timer *timer, uint64_t due_ns)
{
    timer->due_ns = due_ns;
}

// Runs until loop->stop. 0 or -errno.
int loop_run(struct loop *loop);

#endif
