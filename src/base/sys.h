// SPDX-License-Identifier: BSD-2-Clause
// System calls by number. Inside a preloaded library the libc names may be the library's own, so
// the rooms that live there call the kernel through these. Each returns the kernel's value: >= 0,
// or -errno. They never touch errno and are no cancellation points.
#ifndef SHUNT_BASE_SYS_H
#define SHUNT_BASE_SYS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__) && defined(__LP64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
#error "write sys_call6 for this machine: syscall() cannot serve, the shim interposes it"
#endif
}

// Casts each argument to long and fills up with zeros.
#define sys_call(...) sys_call_fill(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define sys_call_fill(nr, a, b, c, d, e, f, ...)                                                   \
    sys_call6((long)(nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long sys_read(int fd, void *buf, size_t n)
{
    return sys_call(SYS_read, fd, buf, n);
}

static inline long sys_write(int fd, const void *buf, size_t n)
{
    return sys_call(SYS_write, fd, buf, n);
}

static inline int sys_close(int fd)
{
    return (int)sys_call(SYS_close, fd);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
    return (int)sys_call(SYS_fcntl, fd, cmd, arg);
}

static inline int sys_ioctl(int fd, unsigned long req, void *arg)
{
    return (int)sys_call(SYS_ioctl, fd, req, arg);
}

static inline int sys_getsockopt(int fd, int level, int name, void *val, void *len)
{
    return (int)sys_call(SYS_getsockopt, fd, level, name, val, len);
}

static inline int sys_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
    return (int)sys_call(SYS_setsockopt, fd, level, name, val, len);
}

static inline int sys_setsockopt_int(int fd, int level, int name, int val)
{
    return sys_setsockopt(fd, level, name, &val, sizeof val);
}

// SO_COOKIE: the number that a socket keeps for life, whoever holds it; 0 where fd is no socket.
static inline uint64_t sys_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t n = sizeof cookie;

    return sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) ? 0 : cookie;
}

static inline int sys_gettid(void)
{
    return (int)sys_call(SYS_gettid, 0);
}

static inline int sys_getpid(void)
{
    return (int)sys_call(SYS_getpid, 0);
}

#endif
