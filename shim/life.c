// SPDX-License-Identifier: BSD-2-Clause
// Numbers: how they come to be, are doubled, and go.
#include "shim/shim.h"

#include <linux/close_range.h>
#include <netinet/in.h>
#include <pthread.h>

void shim_hand_over(int fd, const char *reason)
{
    struct conn *c = shim_conn(fd);

    if (!c)
        return;
    sock_hand_over(c, fd, reason);
    conn_put(c);
}

// ---- beginnings ----

static bool is_tcp(int domain, int type, int protocol)
{
    return (domain == AF_INET || domain == AF_INET6) &&
           (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
           (protocol == 0 || protocol == IPPROTO_TCP);
}

SHUNT_EXPORT int socket(int domain, int type, int protocol)
{
    int fd = SHIM_NUMBER(LIBC(socket)(domain, type, protocol));

    if (fd >= 0 && is_tcp(domain, type, protocol) && !shim_vforked() && shim_init())
        conn_made(fd, type);
    return fd;
}

// The listener is tracked if it is TCP: what comes out of others is not.
static int accepted(int fd, int flags, int listener)
{
    struct conn *c = fd >= 0 ? shim_conn(listener) : NULL;

    if (c) {
        conn_accepted(fd, flags, c);
        conn_put(c);
    }
    return fd;
}

// A listener with ears has two places to accept from.
static bool has_ears(int fd)
{
    uintptr_t word = fdtab_word(fd);
    const struct conn *c = fdtab_object(word);

    return unlikely((word & 15) == FD_CONN && c->ears >= 0) && !shim_vforked();
}

static int accept_either(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct conn *c __attribute__((cleanup(shim_let_go))) = shim_conn(fd);
    int r;

    if (!__libc_single_threaded)
        pthread_testcancel();
    r = c ? sock_accept(c, fd, addr, len, flags) : -EBADF;
    return (int)shim_ret(r);
}

SHUNT_EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    if (has_ears(fd))
        return accept_either(fd, addr, len, 0);
    return accepted(SHIM_NUMBER(LIBC(accept)(fd, addr, len)), 0, fd);
}

SHUNT_EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    if (has_ears(fd))
        return accept_either(fd, addr, len, flags);
    return accepted(SHIM_NUMBER(LIBC(accept4)(fd, addr, len, flags)), flags, fd);
}

SHUNT_EXPORT int listen(int fd, int backlog)
{
    int r = LIBC(listen)(fd, backlog);
    struct conn *c = r == 0 ? shim_conn(fd) : NULL;

    if (c) {
        sock_listening(c, fd, backlog);
        conn_put(c);
    }
    return r;
}

SHUNT_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct conn *c = shim_conn(fd);
    int r;

    if (!c)
        return LIBC(connect)(fd, addr, len);
    r = sock_connect(c, fd, addr, len);
    conn_put(c);
    return (int)shim_ret(r);
}
SHIM_ALIAS(__connect, connect);

// Only where the connection is not the kernel's does it know another name than the kernel.
static int named(int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
    struct conn *c = shim_is_wired(fd) ? shim_conn(fd) : shim_stream(fd);
    int r;

    if (!c)
        return (peer ? LIBC(getpeername) : LIBC(getsockname))(fd, addr, len);
    r = sock_name(c, fd, peer, addr, len);
    conn_put(c);
    return (int)shim_ret(r);
}

SHUNT_EXPORT int getsockname(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
    return named(fd, false, addr, len);
}

SHUNT_EXPORT int getpeername(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
    return named(fd, true, addr, len);
}

SHUNT_EXPORT int shutdown(int fd, int how)
{
    struct conn *c = shim_stream(fd);
    int r;

    if (!c)
        return LIBC(shutdown)(fd, how);
    r = sock_shutdown(c, fd, how);
    conn_put(c);
    return (int)shim_ret(r);
}

SHUNT_EXPORT int pidfd_getfd(int pidfd, int target, unsigned int flags)
{
    int fd = SHIM_NUMBER(LIBC(pidfd_getfd)(pidfd, target, flags));

    if (fd >= 0 && !shim_vforked() && shim_init())
        conn_adopt(fd);
    return fd;
}

// ---- doubles ----

// After the kernel made newfd a double of oldfd.
static int doubled(int oldfd, int newfd)
{
    if (newfd >= 0 && (fdtab_word(oldfd) || fdtab_word(newfd)) && !shim_vforked())
        conn_duped(oldfd, newfd);
    return newfd;
}

SHUNT_EXPORT int dup(int oldfd)
{
    return doubled(oldfd, SHIM_NUMBER(LIBC(dup)(oldfd)));
}

// What newfd meant is about to end. False: it cannot be used (errno is set).
static bool make_way(int oldfd, int newfd)
{
    if (likely(!fdtab_word(oldfd) && !fdtab_word(newfd) && !sock_is_own(newfd)) || oldfd == newfd ||
        shim_vforked())
        return true;
    if (LIBC(fcntl)(oldfd, F_GETFD) < 0)
        return true; // the kernel will say why not
    return shim_ret(sock_make_way(oldfd, newfd)) == 0;
}

SHUNT_EXPORT int dup2(int oldfd, int newfd)
{
    return make_way(oldfd, newfd) ? doubled(oldfd, LIBC(dup2)(oldfd, newfd)) : -1;
}
SHIM_ALIAS(__dup2, dup2);

SHUNT_EXPORT int dup3(int oldfd, int newfd, int flags)
{
    if (flags & ~O_CLOEXEC)
        return LIBC(dup3)(oldfd, newfd, flags);
    return make_way(oldfd, newfd) ? doubled(oldfd, LIBC(dup3)(oldfd, newfd, flags)) : -1;
}

static int fcntl_known(int fd, int cmd, void *arg)
{
    struct conn *c;
    int r;

    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return doubled(fd, SHIM_NUMBER(LIBC(fcntl)(fd, cmd, arg)));
    case F_SETFL:
        c = shim_conn(fd);
        if (!c)
            break;
        r = sock_setfl(c, fd, (int)(long)arg);
        conn_put(c);
        return (int)shim_ret(r);
    case F_SETOWN:
    case F_SETOWN_EX: // SIGURG comes from the kernel
        c = shim_conn(fd);
        if (c && !conn_has_twin(c))
            sock_hand_over(c, fd, "asked for signals");
        if (c)
            conn_put(c);
        break;
    case F_GETFL:
        c = has_ears(fd) ? shim_conn(fd) : NULL;
        if (!c)
            break;
        r = sock_getfl(c, fd);
        conn_put(c);
        return (int)shim_ret(r);
    default:
        break;
    }
    return LIBC(fcntl)(fd, cmd, arg);
}

SHUNT_EXPORT int fcntl(int fd, int cmd, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (likely(!fdtab_word(fd) && cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC))
        return LIBC(fcntl)(fd, cmd, arg);
    return fcntl_known(fd, cmd, arg);
}
SHIM_ALIAS(__fcntl, fcntl);
SHIM_ALIAS(fcntl64, fcntl);

// ---- numbers of other kinds ----

SHUNT_EXPORT int pipe(int ends[2])
{
    return SHIM_NUMBER(LIBC(pipe)(ends));
}

SHUNT_EXPORT int pipe2(int ends[2], int flags)
{
    return SHIM_NUMBER(LIBC(pipe2)(ends, flags));
}

SHUNT_EXPORT int socketpair(int domain, int type, int protocol, int ends[2])
{
    return SHIM_NUMBER(LIBC(socketpair)(domain, type, protocol, ends));
}

SHUNT_EXPORT int eventfd(unsigned int count, int flags)
{
    return SHIM_NUMBER(LIBC(eventfd)(count, flags));
}

SHUNT_EXPORT int timerfd_create(int clock, int flags)
{
    return SHIM_NUMBER(LIBC(timerfd_create)(clock, flags));
}

// ---- ends ----

SHUNT_EXPORT int close(int fd)
{
    if (likely(!fdtab_word(fd) && !sock_is_own(fd)) || shim_vforked())
        return LIBC(close)(fd);
    return (int)shim_ret(sock_is_own(fd) ? -EBADF : conn_close(fd));
}
SHIM_ALIAS(__close, close);

// Closes first to last but for our own numbers, which divide the range.
static int close_between(unsigned int first, unsigned int last, int flags)
{
    unsigned int limit = (unsigned int)sock_limit();
    int r = 0;

    for (unsigned int fd = first; fd < limit && fd <= last; fd++) {
        if (sock_is_own((int)fd)) {
            if (fd > first)
                r = LIBC(close_range)(first, fd - 1, flags);
            first = fd + 1;
        } else if (fdtab_word((int)fd)) {
            conn_closing((int)fd);
        }
        if (r < 0)
            return r;
    }
    return first <= last ? LIBC(close_range)(first, last, flags) : 0;
}

SHUNT_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
    if (first > last || (flags & ~CLOSE_RANGE_UNSHARE) || first >= (unsigned int)sock_limit() ||
        shim_vforked())
        return LIBC(close_range)(first, last, flags);
    return close_between(first, last, flags);
}

SHUNT_EXPORT void closefrom(int low)
{
    if (low >= sock_limit() || shim_vforked())
        LIBC(closefrom)(low);
    else if (close_between((unsigned int)MAX(low, 0), ~0U, 0) < 0)
        for (int fd = MAX(low, 0); fd < (int)sysconf(_SC_OPEN_MAX); fd++)
            close(fd);
}
