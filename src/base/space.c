// SPDX-License-Identifier: BSD-2-Clause
#include "base/space.h"

#include "base/sys.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPARSE_MAX 16
#define SMALL_PART 8 // so much of a limit that cannot be lifted may be ours

// mapped: by us. lifted: the limit is higher by this than the program has set it.
static _Atomic uint64_t mapped, lifted;
static _Atomic uintptr_t sparse[SPARSE_MAX];

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

static _Atomic uintptr_t *sparse_at(uintptr_t at)
{
    for (size_t i = 0; i < SPARSE_MAX; i++)
        if (atomic_load(&sparse[i]) == at)
            return &sparse[i];
    return NULL;
}

static bool note_sparse(void *at)
{
    for (size_t i = 0; i < SPARSE_MAX; i++) {
        uintptr_t none = 0;

        if (atomic_compare_exchange_strong(&sparse[i], &none, (uintptr_t)at))
            return true;
    }
    return false;
}

// Where all future memory is locked, what cannot be touched is not made; nor is what is unlocked
// when it can be.
void *space_map_sparse(size_t bytes, int fd)
{
    void *at = space_map(bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (!at)
        return NULL;
    munlock(at, bytes);
    if (!mprotect(at, bytes, PROT_READ | PROT_WRITE) && note_sparse(at))
        return at;
    space_unmap(at, bytes);
    return NULL;
}

void space_unmap(void *at, size_t bytes)
{
    _Atomic uintptr_t *noted = sparse_at((uintptr_t)at);

    if (noted)
        atomic_store(noted, 0);
    if (munmap(at, bytes))
        return;
    atomic_fetch_sub(&mapped, bytes);
    lower(bytes);
}

// ---- locking ----

// Calls see for each mapping of this process, "FROM-TO ..." of proc(5). 0, or the first error.
static int each_mapping(int (*see)(uintptr_t from, size_t bytes, int arg), int arg)
{
    char buf[4096];
    size_t have = 0;
    long n;
    int fd = (int)sys_call(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    int err = MIN(fd, 0);

    while (!err && (n = sys_read(fd, buf + have, sizeof buf - 1 - have)) > 0) {
        char *line = buf, *end;

        have += (size_t)n;
        buf[have] = '\0';
        while (!err && (end = strchr(line, '\n')) != NULL) {
            uintptr_t from = strtoul(line, &line, 16), to = strtoul(line + 1, &line, 16);

            err = see(from, to - from, arg);
            line = end + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
    }
    if (fd >= 0)
        sys_close(fd);
    return err;
}

// What cannot be locked, mlockall(2) leaves out; it fails for want of permission, or of room.
static int lock_mapping(uintptr_t from, size_t bytes, int how)
{
    int err;

    if (sparse_at(from))
        return 0;
    err = (int)sys_call(SYS_mlock2, from, bytes, how);
    return err == -EPERM || err == -EAGAIN ? err : 0;
}

static bool is_any_sparse(void)
{
    for (size_t i = 0; i < SPARSE_MAX; i++)
        if (atomic_load(&sparse[i]))
            return true;
    return false;
}

int space_lock_all(int flags)
{
    int err, future = flags & ~MCL_CURRENT;

    if (!(flags & MCL_CURRENT) || !is_any_sparse())
        return (int)sys_call(SYS_mlockall, flags);
    err = future & MCL_FUTURE ? (int)sys_call(SYS_mlockall, future) : 0;
    return err ? err : each_mapping(lock_mapping, flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0);
}

// ---- limits ----

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
