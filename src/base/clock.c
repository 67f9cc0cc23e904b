// SPDX-License-Identifier: BSD-2-Clause
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

uint64_t clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

// Ticks a microsecond, times 1024.
static uint64_t measure(void)
{
    uint64_t start_ns = clock_now_ns(), start = clock_ticks(), now_ns;

    do
        now_ns = clock_now_ns();
    while (now_ns - start_ns < 200 * NS_PER_US);
    return (clock_ticks() - start) * 1024 * 1000 / (now_ns - start_ns);
}

uint64_t clock_ticks_of_ns(uint64_t ns)
{
    static _Atomic uint64_t rate;
    uint64_t r = atomic_load_explicit(&rate, memory_order_relaxed);

    if (!r) {
        r = measure();
        atomic_store_explicit(&rate, r, memory_order_relaxed);
    }
    if (ns > UINT64_MAX / r)
        return ns / 1000 * (r / 1024);
    return ns * r / 1024 / 1000;
}
