// SPDX-License-Identifier: BSD-2-Clause
#include "sock/spin.h"

#include "base/clock.h"
#include "base/sys.h"
#include "base/util.h"
#include "chan/pump.h"

#include <stdatomic.h>

// A gap between two turns that only a scheduler makes: the core served somebody else meanwhile.
#define PREEMPTED_US 200
// A thread that was woken on this core need not wait until the spinner's slice is over.
#define YIELD_EVERY_US 10
// Every so many refusals for bad memory one wait spins after all, to see whether times have
// changed.
#define RETRY_EVERY 64
// A sleep on a device costs so many times what arming it and being woken by it takes in this
// process, and the peer often sleeps as long again. A wait that is shorter is spun, however slow
// the machine, but not longer than a scheduler's slice.
#define SLEEP_TIMES   8
#define SLEEP_MOST_US 1000

static _Atomic uint32_t nobody;
static _Atomic(_Atomic uint32_t *) nobody_own = &nobody;

static struct {
    uint32_t cores;
    _Atomic uint32_t *spinners;
    _Atomic(_Atomic uint32_t *) *own;
} host = {1, &nobody, &nobody_own};

void spin_setup(uint32_t cores, _Atomic uint32_t *spinners, _Atomic(_Atomic uint32_t *) *own)
{
    host.own = own;
    host.cores = cores;
    host.spinners = spinners;
}

// Two sides that both sleep see each wait lengthened by two wake-ups; were one of them to spin, it
// would see one. So waits somewhat over the limit are no reason to give up, or they would stay so.
static bool pays(const struct spin_memory *m, uint64_t limit_ticks)
{
    static _Thread_local uint32_t refusals;

    if (atomic_load_explicit(&m->wait_ticks, memory_order_relaxed) <= limit_ticks + limit_ticks / 2)
        return true;
    return ++refusals % RETRY_EVERY == 0;
}

bool spin_begin(struct spin *s, struct spin_memory *m, uint32_t limit_us)
{
    uint64_t limit = clock_ticks_of_ns(limit_us * NS_PER_US);

    if (limit_us && pumps_any())
        limit = MAX(limit, MIN(SLEEP_TIMES * pumps_sleep_ticks(),
                               clock_ticks_of_ns(SLEEP_MOST_US * NS_PER_US)));
    s->start = s->last = s->yielded = clock_ticks();
    s->end = s->start + limit;
    s->on = false;
    atomic_store_explicit(&m->cap_ticks, 2 * limit, memory_order_relaxed);
    if (!limit_us || host.cores < 2 || !pays(m, limit))
        return false;
    // signed: what a death takes back may be too much for a moment
    if ((int32_t)atomic_fetch_add_explicit(host.spinners, 1, memory_order_relaxed) >=
        (int32_t)host.cores) {
        atomic_fetch_sub_explicit(host.spinners, 1, memory_order_relaxed);
        return false;
    }
    s->own = atomic_load_explicit(host.own, memory_order_relaxed);
    atomic_fetch_add_explicit(s->own, 1, memory_order_relaxed);
    return s->on = true;
}

bool spin_go_on(struct spin *s)
{
    uint64_t now = clock_ticks();
    bool taken = now - s->last > clock_ticks_of_ns(PREEMPTED_US * NS_PER_US);

    s->last = now;
    if (now - s->yielded >= clock_ticks_of_ns(YIELD_EVERY_US * NS_PER_US)) {
        s->yielded = now;
        sys_call(SYS_sched_yield, 0);
    }
    return now < s->end && !taken;
}

void spin_end(struct spin *s)
{
    if (s->on) {
        atomic_fetch_sub_explicit(s->own, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(host.spinners, 1, memory_order_relaxed);
    }
    s->on = false;
}

void spin_learn(struct spin_memory *m, uint64_t start_ticks)
{
    uint64_t took = clock_ticks() - start_ticks;
    uint64_t cap = atomic_load_explicit(&m->cap_ticks, memory_order_relaxed);
    uint64_t average = atomic_load_explicit(&m->wait_ticks, memory_order_relaxed);

    took = MIN(took, cap);
    average = average ? (average * 7 + took) / 8 : took;
    atomic_store_explicit(&m->wait_ticks, average, memory_order_relaxed);
}
