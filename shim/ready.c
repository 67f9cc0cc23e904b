// SPDX-License-Identifier: BSD-2-Clause
// Waiting for many fds. Where none of them is a connection that a ring may serve, libc does it.
#include "shim/shim.h"

#define MS_PER_S 1000

static const struct timespec *of_ms(int ms, struct timespec *ts)
{
    if (ms < 0)
        return NULL;
    *ts = (struct timespec){ms / MS_PER_S, (long)(ms % MS_PER_S) * (long)SHIM_NS_PER_MS};
    return ts;
}

static bool is_set(int epfd)
{
    return fdtab_kind(epfd) == FD_EPOLL && !shim_vforked();
}

// ---- poll ----

static bool poll_ours(const struct pollfd *fds, nfds_t n)
{
    return fdtab_limit() > 0 && sock_poll_ours(fds, n) && !shim_vforked();
}

SHUNT_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec ts;

    if (!poll_ours(fds, n))
        return LIBC(poll)(fds, n, timeout_ms);
    return (int)shim_ret(sock_ppoll(fds, n, of_ms(timeout_ms, &ts), NULL));
}
SHIM_ALIAS(__poll, poll);

SHUNT_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size)
{
    if (size / sizeof *fds < n)
        return LIBC(__poll_chk)(fds, n, timeout_ms, size);
    return poll(fds, n, timeout_ms);
}

SHUNT_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                       const sigset_t *mask)
{
    if (!poll_ours(fds, n))
        return LIBC(ppoll)(fds, n, timeout, mask);
    return (int)shim_ret(sock_ppoll(fds, n, timeout, mask));
}

SHUNT_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                             const sigset_t *mask, size_t size)
{
    if (size / sizeof *fds < n)
        return LIBC(__ppoll_chk)(fds, n, timeout, mask, size);
    return ppoll(fds, n, timeout, mask);
}

// ---- select ----

static bool select_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
    return fdtab_limit() > 0 && sock_select_ours(n, r, w, e) && !shim_vforked();
}

// Linux tells how much of the timeout was left.
static void note_left(struct timeval *timeout, uint64_t end_ns)
{
    uint64_t now_ns = shim_now_ns(), left_ns = end_ns > now_ns ? end_ns - now_ns : 0;

    *timeout = (struct timeval){(time_t)(left_ns / SHIM_NS_PER_S),
                                (suseconds_t)(left_ns % SHIM_NS_PER_S / SHIM_NS_PER_US)};
}

SHUNT_EXPORT int select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
                        struct timeval *restrict timeout)
{
    struct timespec ts;
    uint64_t end_ns;
    int got;

    if (!select_ours(n, r, w, e))
        return LIBC(select)(n, r, w, e, timeout);
    if (!timeout)
        return (int)shim_ret(sock_pselect(n, r, w, e, NULL, NULL));
    if (!SHIM_WRITES(timeout))
        return (int)shim_ret(-EFAULT);
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
        return (int)shim_ret(-EINVAL);
    ts.tv_sec = timeout->tv_sec + timeout->tv_usec / (suseconds_t)(SHIM_NS_PER_S / SHIM_NS_PER_US);
    ts.tv_nsec =
        timeout->tv_usec % (suseconds_t)(SHIM_NS_PER_S / SHIM_NS_PER_US) * (long)SHIM_NS_PER_US;
    end_ns = shim_now_ns() + (uint64_t)ts.tv_sec * SHIM_NS_PER_S + (uint64_t)ts.tv_nsec;
    got = sock_pselect(n, r, w, e, &ts, NULL);
    note_left(timeout, end_ns);
    return (int)shim_ret(got);
}
SHIM_ALIAS(__select, select);

SHUNT_EXPORT int pselect(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
                         const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
    if (!select_ours(n, r, w, e))
        return LIBC(pselect)(n, r, w, e, timeout, mask);
    return (int)shim_ret(sock_pselect(n, r, w, e, timeout, mask));
}

// ---- epoll ----

static int made(int epfd)
{
    if (epfd >= 0 && !shim_vforked() && shim_init())
        sock_epoll_made(epfd);
    return epfd;
}

SHUNT_EXPORT int epoll_create(int size)
{
    return made(SHIM_NUMBER(LIBC(epoll_create)(size)));
}

SHUNT_EXPORT int epoll_create1(int flags)
{
    return made(SHIM_NUMBER(LIBC(epoll_create1)(flags)));
}

SHUNT_EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    if (!is_set(epfd) || (op != EPOLL_CTL_DEL && !SHIM_READS(ev)))
        return LIBC(epoll_ctl)(epfd, op, fd, ev);
    return (int)shim_ret(sock_epoll_ctl(epfd, op, fd, ev));
}

SHUNT_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    struct timespec ts;

    if (!is_set(epfd))
        return LIBC(epoll_wait)(epfd, events, max, timeout_ms);
    return (int)shim_ret(sock_epoll_wait(epfd, events, max, of_ms(timeout_ms, &ts), NULL));
}

SHUNT_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms,
                             const sigset_t *mask)
{
    struct timespec ts;

    if (!is_set(epfd))
        return LIBC(epoll_pwait)(epfd, events, max, timeout_ms, mask);
    return (int)shim_ret(sock_epoll_wait(epfd, events, max, of_ms(timeout_ms, &ts), mask));
}

SHUNT_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max,
                              const struct timespec *timeout, const sigset_t *mask)
{
    if (!is_set(epfd))
        return LIBC(epoll_pwait2)(epfd, events, max, timeout, mask);
    return (int)shim_ret(sock_epoll_wait(epfd, events, max, timeout, mask));
}
