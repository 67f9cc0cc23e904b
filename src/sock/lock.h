// SPDX-License-Identifier: BSD-2-Clause
// A lock between threads and forked processes that share memory. It knows its owner, so that one
// that died holding it is found out and followed: what it guards is always consistent, because
// cursors are moved after the bytes. Held for copying at most, never while asleep.
#ifndef SHUNT_SOCK_LOCK_H
#define SHUNT_SOCK_LOCK_H

#include "sock/thread.h"

struct sock_lock {
    _Atomic uint32_t owner; // tid; 0: free; top bit: somebody sleeps for it
};

void sock_lock_slow(struct sock_lock *l);
void sock_unlock_slow(struct sock_lock *l);

// alone: no other thread and no other process can touch l now (see sock_alone()).
static inline void sock_lock(struct sock_lock *l, bool alone)
{
    uint32_t free = 0;

    if (alone) {
        atomic_store_explicit(&l->owner, (uint32_t)sock_tid(), memory_order_relaxed);
        return;
    }
    if (unlikely(!atomic_compare_exchange_strong_explicit(
            &l->owner, &free, (uint32_t)sock_tid(), memory_order_acquire, memory_order_relaxed)))
        sock_lock_slow(l);
}

static inline void sock_unlock(struct sock_lock *l, bool alone)
{
    if (alone) {
        atomic_store_explicit(&l->owner, 0, memory_order_relaxed);
        return;
    }
    if (unlikely(atomic_exchange_explicit(&l->owner, 0, memory_order_release) & UINT32_C(1) << 31))
        sock_unlock_slow(l);
}

#endif
