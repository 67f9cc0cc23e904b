// SPDX-License-Identifier: BSD-2-Clause
// RLIMIT_AS: what Shunt maps in a program's address space is not the program's.
#include "shim/shim.h"

#include "base/space.h"

static bool is_space(int resource)
{
    return resource == RLIMIT_AS && !shim_vforked();
}

static int got(struct rlimit *limit)
{
    return SHIM_WRITES(limit) ? (int)shim_ret(space_get_limit(limit)) : (int)shim_ret(-EFAULT);
}

static int set(const struct rlimit *limit)
{
    return SHIM_READS(limit) ? (int)shim_ret(space_set_limit(limit)) : (int)shim_ret(-EFAULT);
}

SHUNT_EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
    return is_space((int)resource) ? got(limit) : LIBC(getrlimit)(resource, limit);
}

SHUNT_EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return is_space((int)resource) ? set(limit) : LIBC(setrlimit)(resource, limit);
}

SHUNT_EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new,
                         struct rlimit *old)
{
    if (!is_space((int)resource) || (pid && pid != getpid()))
        return LIBC(prlimit)(pid, resource, new, old);
    if (old && got(old))
        return -1;
    return new ? set(new) : 0;
}

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "one function for both");

SHUNT_EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit)
{
    return getrlimit(resource, (struct rlimit *)limit);
}

SHUNT_EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
    return setrlimit(resource, (const struct rlimit *)limit);
}

SHUNT_EXPORT int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *new,
                           struct rlimit64 *old)
{
    return prlimit(pid, resource, (const struct rlimit *)new, (struct rlimit *)old);
}
