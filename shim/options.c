// SPDX-License-Identifier: BSD-2-Clause
// Options and requests on one fd.
#include "shim/shim.h"

SHUNT_EXPORT int getsockopt(int fd, int level, int name, void *restrict val,
                            socklen_t *restrict len)
{
    struct conn *c = shim_conn(fd);
    int r;

    if (likely(!c))
        return LIBC(getsockopt)(fd, level, name, val, len);
    r = sock_getsockopt(c, fd, level, name, val, len);
    conn_put(c);
    return (int)shim_ret(r);
}

SHUNT_EXPORT int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
    struct conn *c = shim_conn(fd);
    int r;

    if (likely(!c))
        return LIBC(setsockopt)(fd, level, name, val, len);
    r = sock_setsockopt(c, fd, level, name, val, len);
    conn_put(c);
    return (int)shim_ret(r);
}

SHUNT_EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct conn *c = shim_conn(fd);
    va_list ap;
    void *arg;
    int r;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (likely(!c))
        return LIBC(ioctl)(fd, request, arg);
    r = sock_ioctl(c, fd, request, arg);
    conn_put(c);
    return (int)shim_ret(r);
}
