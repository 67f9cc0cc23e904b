// SPDX-License-Identifier: BSD-2-Clause
// What ends the use of memory: base/reach.h must not remember those pages.
#include "shim/shim.h"

#include "base/space.h"

// Allocators call these while the loader still works, and may not be met by it a second time: then
// libc's functions are not looked for.
#define LIBC_OR_KERNEL(symbol, ...)                                                                \
    (likely(shim_libc.symbol) ? shim_libc.symbol(__VA_ARGS__)                                      \
                              : (__typeof__(shim_libc.symbol(__VA_ARGS__)))shim_ret(               \
                                    sys_call(SYS_##symbol, __VA_ARGS__)))

SHUNT_EXPORT int munmap(void *at, size_t n)
{
    int r = LIBC_OR_KERNEL(munmap, at, n);

    reach_forget(at, n);
    return r;
}

SHUNT_EXPORT int mprotect(void *at, size_t n, int prot)
{
    int r = LIBC_OR_KERNEL(mprotect, at, n, prot);

    reach_forget(at, n);
    return r;
}

SHUNT_EXPORT int mlockall(int flags)
{
    return (int)shim_ret(space_lock_all(flags));
}

SHUNT_EXPORT void *mremap(void *at, size_t n, size_t new_n, int flags, ...)
{
    void *to, *moved;
    va_list ap;

    va_start(ap, flags);
    to = flags & MREMAP_FIXED ? va_arg(ap, void *) : NULL;
    va_end(ap);
    moved = LIBC_OR_KERNEL(mremap, at, n, new_n, flags, to);
    reach_forget(at, n);
    if (to)
        reach_forget(to, new_n);
    return moved;
}
