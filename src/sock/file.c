// SPDX-License-Identifier: BSD-2-Clause
// From files and pipes into the stream, and from the stream into pipes.
//
// On the ring a call moves what can be moved without waiting for the pipe while a lock is held: the
// pipe is asked first, and what it can give or take at once bounds the copy.
#include "base/clock.h"
#include "base/sys.h"
#include "sock/sock.h"
#include "shunt/info.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define PIECE_BYTES (size_t)4096 // a pipe that is writable takes this much without waiting

// ---- pipes ----

static bool is_nonblock(int fd, unsigned int flags)
{
    return (flags & SPLICE_F_NONBLOCK) || (sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK);
}

// 0: events hold (or an error, which the next call meets); -EAGAIN; -EINTR.
static int pipe_wait(int pipe, short events, bool nonblock)
{
    struct pollfd p = {pipe, events, 0};
    const struct timespec now = {0};
    int n = real.ppoll(&p, 1, nonblock ? &now : NULL, NULL);

    if (n < 0)
        return -errno;
    return n ? 0 : -EAGAIN;
}

static size_t pipe_has(int pipe)
{
    int n = 0;

    return sys_ioctl(pipe, FIONREAD, &n) ? 0 : (size_t)n;
}

// ---- the carrier ----

// Around a send of the kernel's that tx.c does not make: nobody moves the direction meanwhile.
// False: it moves now, or bytes must go again first.
static bool carrier_enter(struct conn *c, int fd)
{
    if (!c->end && !__libc_single_threaded)
        conn_decide(c, fd); // an end keeps count
    if (!c->end)
        return true;
    atomic_fetch_add(&c->end->tx_raw, 1);
    if (!end_has(c->end, END_MOVING) && !conn_tx_ring(c) && c->end->again_from == c->end->again_to)
        return true;
    atomic_fetch_sub(&c->end->tx_raw, 1);
    return false;
}

static void carrier_leave(struct conn *c, ssize_t n)
{
    if (c->end)
        atomic_fetch_sub(&c->end->tx_raw, 1);
    if (n > 0)
        atomic_fetch_add_explicit(c->end ? &c->end->rec.bytes_tx[SHUNT_LANE_KERNEL] : &c->early_tx,
                                  (uint64_t)n, memory_order_relaxed);
}

// Lets what is under way go on, when the carrier could not be entered.
static void settle(struct conn *c, int fd)
{
    sock_enter();
    conn_advance(c, fd);
    sock_leave();
    sys_call(SYS_sched_yield, 0);
}

// ---- sendfile ----

static bool is_file(int fd)
{
    struct stat st;

    return !fstat(fd, &st) && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static void advance(struct conn *c, int fd)
{
    sock_enter();
    conn_advance(c, fd);
    sock_leave();
}

ssize_t sock_sendfile(struct conn *c, int fd, int in_fd, off_t *off, size_t n)
{
    ssize_t r;

    for (;;) {
        advance(c, fd);
        if (conn_tx_ring(c) && !is_file(in_fd))
            conn_tx_back(c, fd, false, "sendfile() from what is no file");
        r = conn_tx_ring(c) ? conn_send_from(c, fd, in_fd, off, n, 0) : -EOPNOTSUPP;
        if (r != -EOPNOTSUPP)
            return r;
        if (carrier_enter(c, fd))
            break;
        settle(c, fd);
    }
    r = sys_call(SYS_sendfile, fd, in_fd, off, n);
    carrier_leave(c, r);
    return r;
}

// ---- splice ----

// What the pipe has now goes into the stream.
static ssize_t splice_out_once(struct conn *c, int fd, int pipe, size_t n, unsigned int flags,
                               bool first)
{
    size_t has = pipe_has(pipe);
    ssize_t r;

    for (;;) {
        r = has ? conn_send_from(c, fd, pipe, NULL, MIN(n, has), first ? 0 : MSG_DONTWAIT)
                : -EOPNOTSUPP;
        if (r != -EOPNOTSUPP)
            return r;
        if (carrier_enter(c, fd))
            break;
        settle(c, fd);
    }
    r = sys_call(SYS_splice, pipe, NULL, fd, NULL, n, flags);
    carrier_leave(c, r);
    return r;
}

ssize_t sock_splice_out(struct conn *c, int fd, int pipe, size_t n, unsigned int flags)
{
    bool nonblock = is_nonblock(pipe, flags);
    size_t done = 0;
    ssize_t r = 0;

    while (done < n) {
        r = pipe_wait(pipe, POLLIN, nonblock || done);
        if (!r)
            r = splice_out_once(c, fd, pipe, n - done, flags, !done);
        if (r <= 0)
            break;
        done += (size_t)r;
    }
    return done ? (ssize_t)done : r;
}

// Not on the ring now: through a buffer, so that nobody waits in the kernel for bytes that may come
// by the ring.
static ssize_t splice_in_copied(struct conn *c, int fd, int pipe, size_t n, int flags)
{
    char buf[PIECE_BYTES];
    struct iovec iov = {buf, MIN(n, sizeof buf)};
    ssize_t r = conn_recv(c, fd, &iov, 1, flags);

    return r > 0 ? sys_write(pipe, buf, (size_t)r) : r;
}

ssize_t sock_splice_in(struct conn *c, int fd, int pipe, size_t n, unsigned int flags)
{
    bool nonblock = is_nonblock(pipe, flags);
    size_t done = 0;
    ssize_t r = 0;

    while (done < n) {
        int wait = done ? MSG_DONTWAIT : 0;

        r = pipe_wait(pipe, POLLOUT, nonblock || done);
        if (!r)
            r = conn_recv_to(c, fd, pipe, MIN(n - done, PIECE_BYTES), wait);
        if (r == -EOPNOTSUPP)
            r = splice_in_copied(c, fd, pipe, n - done, wait);
        if (r <= 0)
            break;
        done += (size_t)r;
    }
    return done ? (ssize_t)done : r;
}
