// SPDX-License-Identifier: BSD-2-Clause
#include "sock/lock.h"

#include "base/clock.h"
#include "base/sys.h"

#include <linux/futex.h>
#include <time.h>

#define SLEEPERS      (UINT32_C(1) << 31)
#define SPINS         200
#define LOOK_AGAIN_NS (2 * NS_PER_MS) // how soon a dead owner is found

static bool try(struct sock_lock *l, uint32_t mine)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&l->owner, &free, mine, memory_order_acquire,
                                                   memory_order_relaxed);
}

static bool spin(struct sock_lock *l)
{
    for (int i = 0; i < SPINS; i++) {
        if (!atomic_load_explicit(&l->owner, memory_order_relaxed) && try(l, (uint32_t)sock_tid()))
            return true;
        clock_pause();
    }
    return false;
}

// Whoever has our own id is this process as it was before exec(2).
static bool is_gone(uint32_t tid)
{
    return tid == (uint32_t)sock_tid() || (tid && sys_call(SYS_tkill, tid, 0) == -ESRCH);
}

// Takes the lock from an owner that is no more. The state behind it is consistent at any time.
static bool inherit(struct sock_lock *l, uint32_t owner, uint32_t mine)
{
    if (!is_gone(owner & ~SLEEPERS))
        return false;
    return atomic_compare_exchange_strong(&l->owner, &owner, mine);
}

void sock_lock_slow(struct sock_lock *l)
{
    const struct timespec wait = {0, LOOK_AGAIN_NS};
    uint32_t mine = (uint32_t)sock_tid() | SLEEPERS, owner;

    if (spin(l))
        return;
    while (!try(l, mine)) {
        owner = atomic_load(&l->owner);
        if (!owner)
            continue;
        if (!(owner & SLEEPERS) &&
            !atomic_compare_exchange_strong(&l->owner, &owner, owner | SLEEPERS))
            continue;
        if (sys_call(SYS_futex, &l->owner, FUTEX_WAIT, owner | SLEEPERS, &wait) == -ETIMEDOUT &&
            inherit(l, owner | SLEEPERS, mine))
            return;
    }
}

void sock_unlock_slow(struct sock_lock *l)
{
    sys_call(SYS_futex, &l->owner, FUTEX_WAKE, 1);
}
