// SPDX-License-Identifier: BSD-2-Clause
#include "chan/pump.h"

struct pumps pumps;

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
    return again;
}

void pumps_woken_all(const struct pump_sleep *s)
{
    for (uint32_t i = 0; i < PUMPS; i++)
        if (s->armed >> i & 1)
            pump_at(i)->woken(pump_at(i));
}
