// SPDX-License-Identifier: BSD-2-Clause
// Bytes of one stream, by every name that libc has for reading and writing them.
#include "shim/shim.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

// ---- what the rows do with a connection that they hold ----

static ssize_t stream_recv(struct conn *c, int fd, const struct iovec *iov, int n, int flags)
{
    struct conn *held __attribute__((cleanup(shim_let_go))) = c;

    return shim_ret(conn_recv(held, fd, iov, n, flags));
}

static ssize_t stream_send(struct conn *c, int fd, const struct iovec *iov, int n, int flags)
{
    struct conn *held __attribute__((cleanup(shim_let_go))) = c;

    return shim_ret(conn_send(held, fd, iov, n, flags));
}

// The connection whose bytes are to be moved, as shim_stream(), in a function that is a
// cancellation point: a ring would do the work before it meets one.
static struct conn *stream_of(int fd)
{
    if (likely(!shim_may_ring(fd)))
        return NULL;
    if (!__libc_single_threaded)
        pthread_testcancel();
    return shim_conn(fd);
}

static bool iov_wrong(int n)
{
    return n < 0 || n > IOV_MAX;
}

// ---- read ----

SHUNT_EXPORT ssize_t read(int fd, void *buf, size_t n)
{
    struct conn *c = stream_of(fd);

    if (likely(!c))
        return LIBC(read)(fd, buf, n);
    return stream_recv(c, fd, &(struct iovec){buf, n}, 1, 0);
}
SHIM_ALIAS(__read, read);

SHUNT_EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
    return n > size ? LIBC(__read_chk)(fd, buf, n, size) : read(fd, buf, n);
}

SHUNT_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
    struct conn *c = iov_wrong(n) ? NULL : stream_of(fd);

    if (likely(!c))
        return LIBC(readv)(fd, iov, n);
    return stream_recv(c, fd, iov, n, 0);
}

SHUNT_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    struct conn *c = off != -1 || iov_wrong(n) || (flags & ~RWF_NOWAIT) ? NULL : stream_of(fd);

    if (likely(!c))
        return LIBC(preadv2)(fd, iov, n, off, flags);
    return stream_recv(c, fd, iov, n, flags ? MSG_DONTWAIT : 0);
}
SHIM_ALIAS(preadv64v2, preadv2);

// ---- write ----

SHUNT_EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
    struct conn *c = stream_of(fd);

    if (likely(!c))
        return LIBC(write)(fd, buf, n);
    return stream_send(c, fd, &(struct iovec){(void *)buf, n}, 1, 0);
}
SHIM_ALIAS(__write, write);

SHUNT_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
    struct conn *c = iov_wrong(n) ? NULL : stream_of(fd);

    if (likely(!c))
        return LIBC(writev)(fd, iov, n);
    return stream_send(c, fd, iov, n, 0);
}

SHUNT_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    struct conn *c = off != -1 || iov_wrong(n) || (flags & ~RWF_NOWAIT) ? NULL : stream_of(fd);

    if (likely(!c))
        return LIBC(pwritev2)(fd, iov, n, off, flags);
    return stream_send(c, fd, iov, n, flags ? MSG_DONTWAIT : 0);
}
SHIM_ALIAS(pwritev64v2, pwritev2);

// ---- recv ----

// The error queue and urgent data are the twin's.
static bool recv_is_kernels(int flags)
{
    return flags & (MSG_ERRQUEUE | MSG_OOB);
}

// The same where no kernel has them.
static ssize_t recv_apart(int fd, void *buf, size_t n, int flags)
{
    struct conn *c __attribute__((cleanup(shim_let_go))) = shim_conn(fd);

    return shim_ret(c ? sock_recv_apart(c, fd, buf, n, flags) : -EBADF);
}

SHUNT_EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct conn *c = recv_is_kernels(flags) ? NULL : stream_of(fd);

    if (unlikely(recv_is_kernels(flags) && shim_is_wired(fd)))
        return recv_apart(fd, buf, n, flags);
    if (likely(!c))
        return LIBC(recv)(fd, buf, n, flags);
    return stream_recv(c, fd, &(struct iovec){buf, n}, 1, flags);
}

SHUNT_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
    return n > size ? LIBC(__recv_chk)(fd, buf, n, size, flags) : recv(fd, buf, n, flags);
}

// TCP knows no sender's address: the kernel says that it has 0 bytes.
SHUNT_EXPORT ssize_t recvfrom(int fd, void *restrict buf, size_t n, int flags,
                              struct sockaddr *restrict addr, socklen_t *restrict len)
{
    struct conn *c = recv_is_kernels(flags) ? NULL : stream_of(fd);
    ssize_t r;

    if (unlikely(recv_is_kernels(flags) && shim_is_wired(fd)))
        return recv_apart(fd, buf, n, flags);
    if (likely(!c))
        return LIBC(recvfrom)(fd, buf, n, flags, addr, len);
    r = stream_recv(c, fd, &(struct iovec){buf, n}, 1, flags);
    if (r >= 0 && addr && len)
        *len = 0;
    return r;
}

SHUNT_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
                                    struct sockaddr *addr, socklen_t *len)
{
    if (n > size)
        return LIBC(__recvfrom_chk)(fd, buf, n, size, flags, addr, len);
    return recvfrom(fd, buf, n, flags, addr, len);
}

// ---- send ----

SHUNT_EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    struct conn *c = stream_of(fd);

    if (likely(!c))
        return LIBC(send)(fd, buf, n, flags);
    return stream_send(c, fd, &(struct iovec){(void *)buf, n}, 1, flags);
}
SHIM_ALIAS(__send, send);

// TCP fast open (RFC 7413): the first send connects.
static ssize_t opened(ssize_t r, int fd, int flags)
{
    struct conn *c =
        (flags & MSG_FASTOPEN) && (r >= 0 || errno == EINPROGRESS) ? shim_conn(fd) : NULL;

    if (unlikely(c)) {
        conn_connected(c, fd);
        conn_put(c);
    }
    return r;
}

SHUNT_EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags,
                            const struct sockaddr *addr, socklen_t len)
{
    struct conn *c = stream_of(fd);

    if (likely(!c))
        return opened(LIBC(sendto)(fd, buf, n, flags, addr, len), fd, flags);
    return stream_send(c, fd, &(struct iovec){(void *)buf, n}, 1, flags);
}

// ---- recvmsg ----

// Sockets may have come with it.
static ssize_t received(ssize_t r, const struct msghdr *msg)
{
    if (r >= 0 && unlikely(msg->msg_controllen) && msg->msg_control && !shim_vforked() &&
        shim_init())
        sock_after_received(msg);
    return r;
}

static ssize_t stream_recvmsg(struct conn *c, int fd, struct msghdr *msg, int flags)
{
    ssize_t r = stream_recv(c, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);

    if (r < 0)
        return r;
    if (msg->msg_name)
        msg->msg_namelen = 0;
    msg->msg_controllen = 0;
    msg->msg_flags = flags & MSG_CMSG_CLOEXEC;
    return r;
}

SHUNT_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct conn *c = recv_is_kernels(flags) ? NULL : stream_of(fd);

    if (unlikely(recv_is_kernels(flags) && shim_is_wired(fd)))
        return msg->msg_iovlen
                   ? recv_apart(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len, flags)
                   : 0;
    if (likely(!c))
        return received(LIBC(recvmsg)(fd, msg, flags), msg);
    if (!SHIM_WRITES(msg) || msg->msg_iovlen > IOV_MAX) {
        conn_put(c);
        return shim_ret(SHIM_READS(msg) ? -EMSGSIZE : -EFAULT);
    }
    return stream_recvmsg(c, fd, msg, flags);
}

// Linux tells how much of the timeout was left. True: nothing was.
static bool is_over(struct timespec *timeout, uint64_t end_ns)
{
    uint64_t now_ns = shim_now_ns(), left_ns = end_ns > now_ns ? end_ns - now_ns : 0;

    *timeout =
        (struct timespec){(time_t)(left_ns / SHIM_NS_PER_S), (long)(left_ns % SHIM_NS_PER_S)};
    return !left_ns;
}

static bool is_timeout(const struct timespec *t)
{
    return SHIM_WRITES(t) && t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < (long)SHIM_NS_PER_S;
}

// As the kernel: the timeout is looked at after each message, and an error after the first one is
// left for the next call.
static int stream_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
                           struct timespec *timeout)
{
    uint64_t end_ns = timeout ? shim_now_ns() + (uint64_t)timeout->tv_sec * SHIM_NS_PER_S +
                                    (uint64_t)timeout->tv_nsec
                              : 0;
    unsigned int done = 0;

    while (done < n) {
        ssize_t r = SHIM_WRITES(&msgs[done])
                        ? recvmsg(fd, &msgs[done].msg_hdr, flags & ~MSG_WAITFORONE)
                        : shim_ret(-EFAULT);

        if (r < 0)
            return done ? (int)done : -1;
        msgs[done++].msg_len = (unsigned int)r;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (timeout && is_over(timeout, end_ns))
            break;
    }
    return (int)done;
}

SHUNT_EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
                          struct timespec *timeout)
{
    int r;

    if (shim_is_stream(fd) && (!timeout || is_timeout(timeout)))
        return stream_recvmmsg(fd, msgs, n, flags, timeout);
    r = LIBC(recvmmsg)(fd, msgs, n, flags, timeout);
    for (int i = 0; i < r; i++)
        received(0, &msgs[i].msg_hdr);
    return r;
}

// ---- sendmsg ----

static ssize_t stream_sendmsg(struct conn *c, int fd, const struct msghdr *msg, int flags)
{
    ssize_t r;

    if (unlikely(msg->msg_controllen && msg->msg_control) && conn_has_twin(c)) {
        conn_tx_back(c, fd, flags & MSG_DONTWAIT, "sent with control messages");
        r = LIBC(sendmsg)(fd, msg, flags);
        conn_put(c);
        return r;
    }
    return stream_send(c, fd, msg->msg_iov, (int)msg->msg_iovlen, flags);
}

SHUNT_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct conn *c = stream_of(fd);

    if (unlikely(c)) {
        if (SHIM_READS(msg) && msg->msg_iovlen <= IOV_MAX)
            return stream_sendmsg(c, fd, msg, flags);
        conn_put(c);
        return shim_ret(SHIM_READS(msg) ? -EMSGSIZE : -EFAULT);
    }
    if (SHIM_READS(msg) && unlikely(msg->msg_controllen) && msg->msg_control && fdtab_limit() > 0 &&
        !shim_vforked())
        sock_before_pass(fd, msg);
    return opened(LIBC(sendmsg)(fd, msg, flags), fd, flags);
}

static size_t bytes_of(const struct msghdr *msg)
{
    size_t sum = 0;

    for (size_t i = 0; i < msg->msg_iovlen; i++)
        sum += msg->msg_iov[i].iov_len;
    return sum;
}

SHUNT_EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
    unsigned int done = 0;

    if (!shim_is_stream(fd)) {
        for (unsigned int i = 0; i < n && fdtab_limit() > 0 && !shim_vforked(); i++)
            if (SHIM_READS(&msgs[i]) && msgs[i].msg_hdr.msg_controllen &&
                msgs[i].msg_hdr.msg_control)
                sock_before_pass(fd, &msgs[i].msg_hdr);
        return LIBC(sendmmsg)(fd, msgs, n, flags);
    }
    while (done < n) {
        ssize_t r =
            SHIM_WRITES(&msgs[done]) ? sendmsg(fd, &msgs[done].msg_hdr, flags) : shim_ret(-EFAULT);

        if (r < 0)
            return done ? (int)done : -1;
        msgs[done].msg_len = (unsigned int)r;
        if ((size_t)r < bytes_of(&msgs[done++].msg_hdr))
            break;
    }
    return (int)done;
}

// ---- files and pipes ----

SHUNT_EXPORT ssize_t sendfile(int out_fd, int in_fd, off_t *off, size_t n)
{
    struct conn *c = shim_stream(out_fd);
    ssize_t r;

    if (unlikely(shim_is_wired(in_fd))) {
        if (c)
            conn_put(c);
        return shim_ret(-EINVAL); // sendfile(2): a socket cannot be read so
    }
    if (likely(!c))
        return LIBC(sendfile)(out_fd, in_fd, off, n);
    r = off && !SHIM_WRITES(off) ? -EFAULT : sock_sendfile(c, out_fd, in_fd, off, n);
    conn_put(c);
    return shim_ret(r);
}
SHIM_ALIAS(sendfile64, sendfile);

SHUNT_EXPORT ssize_t splice(int in_fd, off64_t *in_off, int out_fd, off64_t *out_off, size_t n,
                            unsigned int flags)
{
    struct conn *in = shim_stream(in_fd), *out = shim_stream(out_fd);
    ssize_t r = -EINVAL;

    if (likely(!in && !out))
        return LIBC(splice)(in_fd, in_off, out_fd, out_off, n, flags);
    if (in_off || out_off)
        r = -ESPIPE; // one side is a stream, the other a pipe
    else if (in && !out)
        r = sock_splice_in(in, in_fd, out_fd, n, flags);
    else if (out && !in)
        r = sock_splice_out(out, out_fd, in_fd, n, flags);
    if (in)
        conn_put(in);
    if (out)
        conn_put(out);
    return shim_ret(r);
}
