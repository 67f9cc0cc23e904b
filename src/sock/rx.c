// SPDX-License-Identifier: BSD-2-Clause
// Bytes in: from the ring, or from the twin.
#include "base/iov.h"
#include "base/sys.h"
#include "chan/pump.h"
#include "sock/carrier.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/require.h"
#include "shunt/info.h"

#include <sys/ioctl.h>

// The producer hears of room this often while a large read copies.
#define PIECE_BYTES (size_t)(32 << 10)
#define REST_IOVS   64

// What the ring and the loop below do themselves.
#define RING_FLAGS                                                                                 \
    (MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC |         \
     MSG_WAITFORONE)

// One read of the program.
struct job {
    struct conn *c;
    int fd, flags;
    struct iov_pos p;
    struct conn_call call;
};

static void count_bytes(struct conn *c, int lane, size_t n)
{
    _Atomic uint64_t *sum = c->end ? &c->end->rec.bytes_rx[lane] : &c->early_rx;

    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static bool is_nonblock(const struct job *j)
{
    return (j->flags & MSG_DONTWAIT) ||
           (j->c->end ? end_has(j->c->end, END_NONBLOCK) : j->c->nonblock);
}

// The smallest number of bytes that a blocking read returns with (sock_rcvlowat in tcp(7)).
static size_t target(const struct job *j)
{
    size_t low = j->c->end ? j->c->end->rcvlowat : 1;

    return (j->flags & MSG_WAITALL) ? j->p.left : MIN(low, j->p.left);
}

// ---- the ring ----

// Takes n bytes that are there: fewer where the program's memory ends, -EFAULT for none.
static ssize_t take(struct job *j, size_t n)
{
    struct chan *ch = &j->c->chan;
    struct chan_rx *rx = &j->c->end->rx;
    bool discard = j->flags & MSG_TRUNC; // tcp(7)
    size_t done = 0;

    while (done < n) {
        size_t piece = MIN(n - done, PIECE_BYTES);
        size_t found = discard ? piece : iov_reach(&j->p, piece, REACH_WRITE);

        if (unlikely(!found))
            return done ? (ssize_t)done : -EFAULT;
        if (discard)
            iov_skip(&j->p, found);
        else
            iov_scatter(&j->p, chan_rx_at(ch, rx), found);
        chan_consumed(ch, rx, found);
        done += found;
    }
    return (ssize_t)done;
}

static ssize_t peek(struct job *j, size_t n)
{
    struct iov_pos p = j->p;
    size_t found = j->flags & MSG_TRUNC ? n : iov_reach(&p, n, REACH_WRITE);

    if (!(j->flags & MSG_TRUNC))
        iov_scatter(&p, chan_rx_at(&j->c->chan, &j->c->end->rx), found);
    return found ? (ssize_t)found : -EFAULT;
}

// -EPROTO as chan_avail().
static int64_t avail_now(struct conn *c, uint64_t want)
{
    return end_has(c->end, END_HOLD) ? 0 : chan_avail(&c->chan, &c->end->rx, want);
}

// What an empty ring means. 0: end of the stream; -EAGAIN: nothing there; -ECANCELED: look again.
static ssize_t ring_empty(struct job *j)
{
    struct conn *c = j->c;

    chan_drained(&c->chan);
    pump_look(&c->chan);
    if (avail_now(c, 1) || conn_follow(c, j->fd))
        return -ECANCELED;
    conn_look_if_due(c, j->fd);
    if (!end_has(c->end, END_RDHUP | END_DEAD))
        return -EAGAIN;
    // what was published before the FIN is visible now
    if (avail_now(c, 1) || conn_follow(c, j->fd))
        return -ECANCELED;
    return c->carrier->at_end(c, j->fd);
}

// Bytes, or as ring_empty().
static ssize_t ring_get_locked(struct job *j)
{
    struct conn *c = j->c;
    int64_t avail;
    ssize_t n;

    if (!conn_rx_ring(c))
        return -ECANCELED;
    avail = avail_now(c, j->p.left);
    if (avail < 0)
        return avail;
    if (unlikely(!avail))
        return ring_empty(j);
    if (unlikely(!c->carrier->twin) && unlikely(wire_is_urgent(c)))
        return -ECANCELED;
    if (j->flags & MSG_PEEK)
        return peek(j, MIN((size_t)avail, j->p.left));
    n = take(j, MIN((size_t)avail, j->p.left));
    if (likely(n > 0))
        count_bytes(c, conn_lane(c), (size_t)n);
    return n;
}

static ssize_t ring_get(struct job *j)
{
    struct sock_end *e = j->c->end;
    bool alone = end_alone(e);
    ssize_t n;

    sock_lock(&e->rx_lock, alone);
    n = ring_get_locked(j);
    sock_unlock(&e->rx_lock, alone);
    if (n > 0 && !(j->flags & MSG_PEEK))
        pump_push(&j->c->chan, false);
    if (unlikely(n == -EPROTO)) {
        conn_break(j->c, j->fd);
        n = -ECONNRESET;
    }
    return n;
}

// ---- the twin ----

static struct msghdr rest_of(const struct job *j, struct iovec *rest)
{
    return (struct msghdr){.msg_iov = rest, .msg_iovlen = (size_t)iov_rest(&j->p, rest, REST_IOVS)};
}

static void got(struct job *j, ssize_t n)
{
    if (n <= 0 || (j->flags & MSG_PEEK))
        return;
    iov_skip(&j->p, (size_t)n);
    count_bytes(j->c, SHUNT_LANE_KERNEL, (size_t)n);
}

// The connection may be switched at any moment: takes what the twin has, without blocking.
static ssize_t twin_get(struct job *j)
{
    struct sock_end *e = j->c->end;
    bool alone = end_alone(e);
    struct iovec rest[REST_IOVS];
    struct msghdr msg = rest_of(j, rest);
    ssize_t n = -ECANCELED;

    sock_lock(&e->rx_lock, alone);
    if (!conn_rx_ring(j->c)) {
        n = sys_call(SYS_recvmsg, j->fd, &msg, (j->flags | MSG_DONTWAIT) & ~MSG_WAITALL);
        if ((n == 0 || n == -EAGAIN) && j->p.left && conn_follow(j->c, j->fd))
            n = -ECANCELED;
        if (n == 0 && j->p.left && unlikely(j->c->far) && !mirror_settled(j->c))
            n = -EAGAIN; // it may have gone on in the ring
        got(j, n);
    }
    sock_unlock(&e->rx_lock, alone);
    return n;
}

// The kernel's own recv, with its blocking, timeouts and signals; the thread may be cancelled here.
static ssize_t kernel_recv(struct job *j)
{
    _Atomic uint32_t *counter __attribute__((cleanup(conn_woke)));
    struct iovec rest[REST_IOVS];
    struct msghdr msg = rest_of(j, rest);
    ssize_t n;

    if (!conn_doze(j->c, &counter))
        return -ECANCELED;
    n = j->p.cnt == 1 ? real.recv(j->fd, rest[0].iov_base, rest[0].iov_len, j->flags)
                      : real.recvmsg(j->fd, &msg, j->flags);
    n = n < 0 ? -errno : n;
    got(j, n);
    if (unlikely(!j->c->carrier->twin) && n == 0 && j->p.left)
        n = j->c->carrier->at_end(j->c, j->fd); // a lifeline ends alike in any case
    return n;
}

// ---- a read ----

// One attempt, by whichever way bytes come now. *by_kernel: the kernel itself did all waiting.
static ssize_t attempt(struct job *j, bool *by_kernel)
{
    ssize_t n;

    if (unlikely(!j->c->carrier->twin))
        wire_mind_urgent(j->c, j->fd);
    sock_enter();
    if (likely(conn_rx_ring(j->c)))
        n = ring_get(j);
    else {
        conn_advance(j->c, j->fd);
        *by_kernel = !conn_ready(j->c);
        n = *by_kernel ? -ECANCELED : twin_get(j);
    }
    sock_leave();
    return *by_kernel ? kernel_recv(j) : n;
}

static ssize_t finish(const struct job *j, size_t total, ssize_t n)
{
    size_t done = total - j->p.left;

    return done ? (ssize_t)done : n;
}

ssize_t conn_recv(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags)
{
    struct job j = {.c = c, .fd = fd, .flags = flags, .call.interrupts = sock_thread.interrupts};
    bool by_kernel = false;
    size_t total, need;
    ssize_t n = iov_begin(&j.p, iov, iovcnt);
    int err;

    if (n || (!j.p.left && conn_rx_ring(c)))
        return n;
    if (unlikely(c->end && end_has(c->end, END_BROKEN)))
        return -ECONNRESET;
    if (unlikely(c->wants_lane) && !is_nonblock(&j))
        require_await(c, fd); // the kernel would sleep over its deadline
    total = j.p.left;
    need = target(&j);
    for (;;) {
        n = attempt(&j, &by_kernel);
        if (n == -ECANCELED) {
            by_kernel = false;
            continue;
        }
        if (n == 0 || (n < 0 && n != -EAGAIN) || by_kernel)
            break;
        if (n > 0 && ((flags & MSG_PEEK) ? (size_t)n : total - j.p.left) >= need)
            break;
        if (is_nonblock(&j) || (n > 0 && (flags & MSG_PEEK) && conn_rx_ends(c)))
            break; // nobody can look beyond the end of the ring
        j.call.timeout_ns = c->end->rcvtimeo_ns;
        j.call.need = (flags & MSG_PEEK) ? need : 1;
        err = conn_wait(c, fd, POLLIN, &j.call);
        if (err) {
            n = (flags & MSG_PEEK) && n > 0 ? n : err;
            break;
        }
    }
    return finish(&j, total, n);
}

// ---- to a pipe or a file ----

static ssize_t ring_get_to(struct conn *c, int out_fd, size_t n)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    int64_t avail;
    ssize_t put = -EOPNOTSUPP;

    sock_lock(&e->rx_lock, alone);
    if (conn_rx_ring(c) && !end_has(e, END_HOLD)) {
        avail = chan_avail(&c->chan, &e->rx, n);
        put = avail > 0 ? sys_write(out_fd, chan_rx_at(&c->chan, &e->rx), MIN(n, (size_t)avail))
                        : (avail ? -EPROTO : -ENOBUFS);
    }
    if (put > 0) {
        chan_consumed(&c->chan, &e->rx, (uint64_t)put);
        count_bytes(c, conn_lane(c), (size_t)put);
    }
    sock_unlock(&e->rx_lock, alone);
    if (put > 0)
        pump_push(&c->chan, false);
    return put;
}

// What an empty ring means: -EAGAIN to wait, 0 for the end, -EOPNOTSUPP once the twin is next.
static ssize_t empty(struct conn *c, int fd)
{
    struct iovec none = {&(char){0}, 1};
    struct job j = {.c = c, .fd = fd, .flags = MSG_PEEK | MSG_DONTWAIT};
    ssize_t n;

    iov_begin(&j.p, &none, 1);
    n = ring_get(&j);
    return n == -ECANCELED ? -EOPNOTSUPP : n;
}

ssize_t conn_recv_to(struct conn *c, int fd, int out_fd, size_t n, int flags)
{
    struct conn_call call = {.interrupts = sock_thread.interrupts};
    struct job j = {.c = c, .fd = fd, .flags = flags};
    ssize_t put;
    int err;

    for (;;) {
        sock_enter();
        if (!conn_rx_ring(c))
            conn_advance(c, fd);
        put = conn_rx_ring(c) ? ring_get_to(c, out_fd, n) : -EOPNOTSUPP;
        if (put == -ENOBUFS)
            put = empty(c, fd);
        sock_leave();
        if (put != -EAGAIN || is_nonblock(&j))
            return put;
        call.timeout_ns = c->end->rcvtimeo_ns;
        err = conn_wait(c, fd, POLLIN, &call);
        if (err)
            return err;
    }
}

// ---- how much ----

static int queued(int fd, unsigned long request)
{
    int n = 0, err = sys_ioctl(fd, request, &n);

    return err ? err : n;
}

int conn_unread(struct conn *c, int fd)
{
    int n = queued(fd, FIONREAD);
    int64_t avail = 0;

    if (n < 0 || !c->chan.shared)
        return n;
    sock_enter();
    pump_look(&c->chan);
    sock_lock(&c->end->rx_lock, end_alone(c->end));
    if (conn_rx_ring(c))
        avail = chan_avail(&c->chan, &c->end->rx, UINT64_MAX);
    sock_unlock(&c->end->rx_lock, end_alone(c->end));
    sock_leave();
    return n + (int)MAX(avail, 0);
}

// A ring is the sender's buffer and the receiver's in one, half of each: what is in the second half
// has not arrived.
int conn_unsent(struct conn *c, int fd)
{
    int n = queued(fd, TIOCOUTQ);
    int64_t room = 0, used;
    bool ring;

    if (n < 0 || !c->chan.shared)
        return n;
    sock_enter();
    sock_lock(&c->end->tx_lock, end_alone(c->end));
    ring = conn_tx_ring(c);
    if (ring)
        room = chan_room(&c->chan, &c->end->tx, UINT64_MAX);
    sock_unlock(&c->end->tx_lock, end_alone(c->end));
    sock_leave();
    used = ring && room >= 0 ? c->chan.ring_bytes - room : 0;
    if (!c->carrier->twin)
        return (int)used; // the engine keeps what is not acknowledged
    return n + (int)MAX(used - c->chan.ring_bytes / 2, 0);
}
