// SPDX-License-Identifier: BSD-2-Clause
#include "sock/fdtab.h"

_Atomic uintptr_t fdtab[FDTAB_SIZE];
static _Atomic int limit;

uintptr_t fdtab_set(int fd, enum fd_kind kind, void *object)
{
    int seen;

    if ((unsigned)fd >= FDTAB_SIZE)
        return 0;
    seen = atomic_load_explicit(&limit, memory_order_relaxed);
    while (kind != FD_NONE && seen <= fd && !atomic_compare_exchange_weak(&limit, &seen, fd + 1))
        ;
    return atomic_exchange(&fdtab[fd], (uintptr_t)object | kind);
}

int fdtab_limit(void)
{
    return atomic_load_explicit(&limit, memory_order_relaxed);
}
