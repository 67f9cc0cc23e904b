// SPDX-License-Identifier: BSD-2-Clause
#include "base/space.h"

#include "base/sys.h"
#include "base/util.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

#define SMALL_PART 8 // so much of a limit that cannot be lifted may be ours

// mapped: by us. lifted: the limit is higher by this than the program has set it.
static _Atomic uint64_t mapped, lifted;

static bool is_finite(rlim_t limit)
{
    return limit != RLIM_INFINITY;
}

static int kernel_limit(const struct rlimit *set, struct rlimit *was)
{
    return (int)sys_call(SYS_prlimit64, 0, RLIMIT_AS, set, was);
}

static rlim_t plus(rlim_t limit, uint64_t bytes)
{
    return is_finite(limit) ? limit + bytes : limit;
}

static rlim_t minus(rlim_t limit, uint64_t bytes)
{
    return is_finite(limit) ? limit - MIN(limit, bytes) : limit;
}

// Only who may lift the hard limit does that; it stays, so that less needs to be lifted next time.
static bool lift(struct rlimit now, uint64_t bytes)
{
    now.rlim_cur = plus(now.rlim_cur, bytes);
    now.rlim_max = MAX(now.rlim_max, now.rlim_cur);
    if (kernel_limit(&now, NULL))
        return false;
    atomic_fetch_add(&lifted, bytes);
    return true;
}

static void lower(uint64_t bytes)
{
    struct rlimit now;

    bytes = MIN(bytes, atomic_load(&lifted));
    if (!bytes || kernel_limit(NULL, &now))
        return;
    now.rlim_cur = minus(now.rlim_cur, bytes);
    if (!kernel_limit(&now, NULL))
        atomic_fetch_sub(&lifted, bytes);
}

static uint64_t unlifted(void)
{
    uint64_t all = atomic_load(&mapped);

    return all - MIN(all, atomic_load(&lifted));
}

static void *map(size_t bytes, int prot, int flags, int fd, off_t off)
{
    void *at = mmap(NULL, bytes, prot, flags, fd, off);

    if (at == MAP_FAILED)
        return NULL;
    atomic_fetch_add(&mapped, bytes);
    space_hide(at, bytes);
    return at;
}

void space_hide(void *at, size_t bytes)
{
    madvise(at, bytes, MADV_DONTDUMP);
}

void *space_map(size_t bytes, int prot, int flags, int fd, off_t off)
{
    struct rlimit now;
    void *at;

    if (kernel_limit(NULL, &now) || !is_finite(now.rlim_cur))
        return map(bytes, prot, flags, fd, off);
    if (!lift(now, bytes))
        return unlifted() + bytes <= now.rlim_cur / SMALL_PART ? map(bytes, prot, flags, fd, off)
                                                               : NULL;
    at = map(bytes, prot, flags, fd, off);
    if (!at)
        lower(bytes);
    return at;
}

void space_unmap(void *at, size_t bytes)
{
    if (munmap(at, bytes))
        return;
    atomic_fetch_sub(&mapped, bytes);
    lower(bytes);
}

int space_get_limit(struct rlimit *limit)
{
    int err = kernel_limit(NULL, limit);

    if (err)
        return err;
    limit->rlim_cur = minus(limit->rlim_cur, atomic_load(&lifted));
    limit->rlim_max = MAX(minus(limit->rlim_max, atomic_load(&lifted)), limit->rlim_cur);
    return 0;
}

// What the kernel's hard limit does not allow is left out.
int space_set_limit(const struct rlimit *limit)
{
    uint64_t ours = atomic_load(&mapped);
    struct rlimit set = {plus(limit->rlim_cur, ours), plus(limit->rlim_max, ours)}, now;
    int err = limit->rlim_cur > limit->rlim_max ? -EINVAL : kernel_limit(&set, NULL);

    if (err == -EPERM && !kernel_limit(NULL, &now) && limit->rlim_max <= now.rlim_max) {
        set.rlim_max = now.rlim_max;
        set.rlim_cur = MIN(set.rlim_cur, now.rlim_max);
        err = kernel_limit(&set, NULL);
    }
    if (!err)
        atomic_store(&lifted, is_finite(limit->rlim_cur) ? set.rlim_cur - limit->rlim_cur : 0);
    return err;
}
