// SPDX-License-Identifier: BSD-2-Clause
// syscall(2): programs that call the kernel by number mean the same as those that call by name.
#include "shim/shim.h"

#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

struct args {
    long a, b, c, d, e, f;
};

// One number of the table, by the row that serves it.
#define CALL(nr, ...)                                                                              \
    case nr:                                                                                       \
        *r = (long)(__VA_ARGS__);                                                                  \
        return true

static bool stream_call(long nr, const struct args *x, long *r)
{
    switch (nr) {
        CALL(SYS_read, read((int)x->a, (void *)x->b, (size_t)x->c));
        CALL(SYS_write, write((int)x->a, (void *)x->b, (size_t)x->c));
        CALL(SYS_readv, readv((int)x->a, (void *)x->b, (int)x->c));
        CALL(SYS_writev, writev((int)x->a, (void *)x->b, (int)x->c));
        CALL(SYS_recvfrom, recvfrom((int)x->a, (void *)x->b, (size_t)x->c, (int)x->d, (void *)x->e,
                                    (void *)x->f));
        CALL(SYS_sendto, sendto((int)x->a, (void *)x->b, (size_t)x->c, (int)x->d, (void *)x->e,
                                (socklen_t)x->f));
        CALL(SYS_recvmsg, recvmsg((int)x->a, (void *)x->b, (int)x->c));
        CALL(SYS_sendmsg, sendmsg((int)x->a, (void *)x->b, (int)x->c));
        CALL(SYS_recvmmsg,
             recvmmsg((int)x->a, (void *)x->b, (unsigned)x->c, (int)x->d, (void *)x->e));
        CALL(SYS_sendmmsg, sendmmsg((int)x->a, (void *)x->b, (unsigned)x->c, (int)x->d));
        CALL(SYS_sendfile, sendfile((int)x->a, (int)x->b, (off_t *)x->c, (size_t)x->d));
        CALL(SYS_splice, splice((int)x->a, (void *)x->b, (int)x->c, (void *)x->d, (size_t)x->e,
                                (unsigned)x->f));
    default:
        return false;
    }
}

static bool number_call(long nr, const struct args *x, long *r)
{
    switch (nr) {
        CALL(SYS_socket, socket((int)x->a, (int)x->b, (int)x->c));
        CALL(SYS_accept, accept((int)x->a, (void *)x->b, (void *)x->c));
        CALL(SYS_accept4, accept4((int)x->a, (void *)x->b, (void *)x->c, (int)x->d));
        CALL(SYS_connect, connect((int)x->a, (void *)x->b, (socklen_t)x->c));
        CALL(SYS_listen, listen((int)x->a, (int)x->b));
        CALL(SYS_shutdown, shutdown((int)x->a, (int)x->b));
        CALL(SYS_getsockname, getsockname((int)x->a, (void *)x->b, (void *)x->c));
        CALL(SYS_getpeername, getpeername((int)x->a, (void *)x->b, (void *)x->c));
        CALL(SYS_close, close((int)x->a));
        CALL(SYS_close_range, close_range((unsigned)x->a, (unsigned)x->b, (int)x->c));
        CALL(SYS_dup, dup((int)x->a));
        CALL(SYS_dup3, dup3((int)x->a, (int)x->b, (int)x->c));
        CALL(SYS_fcntl, fcntl((int)x->a, (int)x->b, (void *)x->c));
        CALL(SYS_ioctl, ioctl((int)x->a, (unsigned long)x->b, (void *)x->c));
        CALL(SYS_getsockopt,
             getsockopt((int)x->a, (int)x->b, (int)x->c, (void *)x->d, (void *)x->e));
        CALL(SYS_setsockopt,
             setsockopt((int)x->a, (int)x->b, (int)x->c, (void *)x->d, (socklen_t)x->e));
        CALL(SYS_epoll_create1, epoll_create1((int)x->a));
        CALL(SYS_epoll_ctl, epoll_ctl((int)x->a, (int)x->b, (int)x->c, (void *)x->d));
        CALL(SYS_epoll_pwait,
             epoll_pwait((int)x->a, (void *)x->b, (int)x->c, (int)x->d, (void *)x->e));
        CALL(SYS_epoll_pwait2,
             epoll_pwait2((int)x->a, (void *)x->b, (int)x->c, (void *)x->d, (void *)x->e));
        CALL(SYS_ppoll, ppoll((void *)x->a, (nfds_t)x->b, (void *)x->c, (void *)x->d));
        CALL(SYS_execve, execve((void *)x->a, (void *)x->b, (void *)x->c));
        CALL(SYS_execveat,
             execveat((int)x->a, (void *)x->b, (void *)x->c, (void *)x->d, (int)x->e));
        CALL(SYS_pidfd_getfd, pidfd_getfd((int)x->a, (int)x->b, (unsigned)x->c));
        CALL(SYS_prlimit64,
             prlimit((pid_t)x->a, (__rlimit_resource_t)x->b, (void *)x->c, (void *)x->d));
        CALL(SYS_prctl, prctl((int)x->a, x->b, x->c, x->d, x->e));
    default:
        return false;
    }
}

// The older numbers, which not every machine has.
static bool older_call(long nr, const struct args *x, long *r)
{
    switch (nr) {
#ifdef SYS_poll
        CALL(SYS_poll, poll((void *)x->a, (nfds_t)x->b, (int)x->c));
        CALL(SYS_select, select((int)x->a, (void *)x->b, (void *)x->c, (void *)x->d, (void *)x->e));
        CALL(SYS_dup2, dup2((int)x->a, (int)x->b));
        CALL(SYS_epoll_create, epoll_create((int)x->a));
        CALL(SYS_epoll_wait, epoll_wait((int)x->a, (void *)x->b, (int)x->c, (int)x->d));
        CALL(SYS_fork, _Fork());
#endif
    default:
        return false;
    }
}

// Does the call make a process with memory of its own?
static bool forks(long nr, const struct args *x)
{
    if (nr == SYS_clone)
        return !(x->a & CLONE_VM);
    return nr == SYS_clone3 && !(((const struct clone_args *)x->a)->flags & CLONE_VM);
}

SHUNT_EXPORT long syscall(long nr, ...)
{
    struct args x;
    va_list ap;
    long r;
    bool fork_too;

    va_start(ap, nr);
    x.a = va_arg(ap, long);
    x.b = va_arg(ap, long);
    x.c = va_arg(ap, long);
    x.d = va_arg(ap, long);
    x.e = va_arg(ap, long);
    x.f = va_arg(ap, long);
    va_end(ap);
    if (stream_call(nr, &x, &r) || number_call(nr, &x, &r) || older_call(nr, &x, &r))
        return r;
    if (nr == SYS_seccomp && x.a <= SECCOMP_SET_MODE_FILTER)
        shim_before_seccomp(x.a == SECCOMP_SET_MODE_FILTER, (const void *)x.c);
    fork_too = forks(nr, &x) && !shim_vforked();
    if (fork_too)
        sock_before_fork();
    r = LIBC(syscall)(nr, x.a, x.b, x.c, x.d, x.e, x.f);
    if (fork_too)
        sock_after_fork(r == 0);
    return r;
}
