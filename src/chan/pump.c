// SPDX-License-Identifier: BSD-2-Clause
#include "chan/pump.h"

#include "base/clock.h"

struct pumps pumps;

static _Atomic uint64_t sleep_ticks; // moving average

int pumps_add(struct pump *p)
{
    uint32_t n = atomic_load(&pumps.n);

    do {
        if (n == PUMPS)
            return -ENOSPC;
    } while (!atomic_compare_exchange_weak(&pumps.n, &n, n + 1));
    atomic_store(&pumps.at[n], p);
    return 0;
}

static struct pump *pump_at(uint32_t i)
{
    return atomic_load_explicit(&pumps.at[i], memory_order_acquire);
}

void pumps_look_all(void)
{
    uint32_t n = atomic_load_explicit(&pumps.n, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (pump_at(i))
            pump_at(i)->look(pump_at(i));
}

bool pumps_arm_all(struct pump_sleep *s)
{
    uint32_t n = atomic_load_explicit(&pumps.n, memory_order_acquire);
    uint64_t start = clock_ticks();
    bool again = false;

    for (uint32_t i = 0; i < n && pump_at(i); i++) {
        uint64_t deadline_ns = UINT64_MAX;
        int fd = -1;

        again |= pump_at(i)->arm(pump_at(i), &fd, &deadline_ns);
        if (fd < 0)
            continue;
        s->armed |= 1u << i;
        s->fd[s->n_fds++] = fd;
        if (deadline_ns < s->deadline_ns)
            s->deadline_ns = deadline_ns;
    }
    s->arm_ticks = clock_ticks() - start;
    return again;
}

uint64_t pumps_sleep_ticks(void)
{
    return atomic_load_explicit(&sleep_ticks, memory_order_relaxed);
}

void pumps_woken_all(const struct pump_sleep *s)
{
    uint64_t start = clock_ticks(), average = pumps_sleep_ticks(), took;

    for (uint32_t i = 0; i < PUMPS; i++)
        if (s->armed >> i & 1)
            pump_at(i)->woken(pump_at(i));
    took = s->arm_ticks + (clock_ticks() - start);
    atomic_store_explicit(&sleep_ticks, average ? (average * 7 + took) / 8 : took,
                          memory_order_relaxed);
}
