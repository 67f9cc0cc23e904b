// SPDX-License-Identifier: BSD-2-Clause
// Bytes out: into the ring, or into the twin.
#include "base/iov.h"
#include "base/sys.h"
#include "chan/pump.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/real.h"
#include "shunt/info.h"

#include <fcntl.h>

// A ring byte is published this soon at the latest, so that the consumer copies while we do.
#define PIECE_BYTES (size_t)(32 << 10)
// On a mirrored channel each piece is a message, with an acknowledgement and a completion of its
// own.
#define FAR_PIECE_BYTES (2 * PIECE_BYTES)
#define REST_IOVS       64

// What a ring does as well as the kernel does.
#define RING_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM)

static void count_bytes(struct conn *c, int lane, size_t n)
{
    _Atomic uint64_t *sum = c->end ? &c->end->rec.bytes_tx[lane] : &c->early_tx;

    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

// ---- the ring ----

// Copies what fits and can be read. Bytes, 0 for a full ring, -EPROTO, -EFAULT.
static ssize_t put(struct conn *c, struct iov_pos *p)
{
    const size_t piece = c->far ? FAR_PIECE_BYTES : PIECE_BYTES;
    struct chan_tx *tx = &c->end->tx;
    size_t done = 0;

    while (p->left) {
        size_t n = MIN(p->left, piece), found;
        int64_t room = conn_may_put(c) ? conn_room(c, n) : 0;

        if (room <= 0)
            return room < 0 ? room : (ssize_t)done;
        n = MIN(n, (size_t)room);
        found = iov_reach(p, n, REACH_READ);
        if (unlikely(!found))
            return done ? (ssize_t)done : -EFAULT;
        iov_gather(p, chan_tx_at(&c->chan, tx), found);
        chan_commit(&c->chan, tx, found);
        done += found;
    }
    return (ssize_t)done;
}

// -ECANCELED: the direction is on the carrier now.
static ssize_t ring_put(struct conn *c, int fd, struct iov_pos *p)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    ssize_t n = -ECANCELED;

    sock_lock(&e->tx_lock, alone);
    if (likely(conn_tx_ring(c))) {
        n = put(c, p);
        if (n > 0)
            count_bytes(c, conn_lane(c), (size_t)n);
    }
    sock_unlock(&e->tx_lock, alone);
    if (n > 0)
        pump_push(&c->chan, true);
    if (unlikely(n == -EPROTO)) {
        conn_break(c, fd);
        n = -ECONNRESET;
    }
    return n;
}

// ---- the twin ----

// Who counts a thread that is in the kernel's send; NULL: nobody else is there to care.
static _Atomic uint32_t *raw_counter(struct conn *c)
{
    if (!c->end)
        return __libc_single_threaded ? NULL : &c->early;
    return c->stage != CONN_RAW && !end_alone(c->end) ? &c->end->tx_raw : NULL;
}

// Is there nothing left to send, so that only the carrier's error is wanted? Who shuts a direction
// holds the lock until the carrier has been shut: a byte that it took before that would overtake
// the ring's.
static bool is_over(struct conn *c)
{
    if (!end_has(c->end, END_TX_SHUT | END_DEAD))
        return false;
    sock_lock(&c->end->tx_lock, false);
    sock_unlock(&c->end->tx_lock, false);
    return true;
}

// Enters the kernel's send, so that nobody moves the direction meanwhile. False: it is moving, or
// has moved, perhaps by a channel that this process does not know yet.
static bool raw_enter(struct conn *c, _Atomic uint32_t *counter)
{
    if (!counter)
        return true;
    atomic_fetch_add(counter, 1);
    if (counter == &c->early ? atomic_load(&c->stage) <= CONN_RAW
                             : !(atomic_load(&c->end->flags) & END_MOVING) &&
                                   (!(atomic_load(&c->end->tx.epoch) & 1) || is_over(c)))
        return true;
    atomic_fetch_sub(counter, 1);
    return false;
}

static ssize_t kernel_send(int fd, struct iov_pos *p, int flags)
{
    struct iovec rest[REST_IOVS];
    struct msghdr msg = {.msg_iov = rest, .msg_iovlen = 0};
    ssize_t n;

    if (p->cnt == 1 || p->left == 0) {
        const struct iovec *v = p->cnt ? p->iov : &(const struct iovec){NULL, 0};

        n = real.send(fd, (char *)v->iov_base + p->off, v->iov_len - p->off, flags);
    } else {
        msg.msg_iovlen = (size_t)iov_rest(p, rest, REST_IOVS);
        n = real.sendmsg(fd, &msg, flags);
    }
    return n < 0 ? -errno : n;
}

static ssize_t twin_send(struct conn *c, int fd, struct iov_pos *p, int flags)
{
    _Atomic uint32_t *counter = raw_counter(c);
    ssize_t n;

    if (!raw_enter(c, counter))
        return -ECANCELED;
    n = kernel_send(fd, p, flags);
    if (counter)
        atomic_fetch_sub(counter, 1);
    if (n > 0) {
        iov_skip(p, (size_t)n);
        count_bytes(c, SHUNT_LANE_KERNEL, (size_t)n);
    }
    return n;
}

// Bytes that the twin must carry again come before all others.
static int flush_again(struct conn *c, int fd, bool nonblock, struct conn_call *call)
{
    struct sock_end *e = c->end;
    bool alone;
    int err = 0;

    while (e && e->again_from != e->again_to) {
        sock_enter();
        alone = end_alone(e);
        sock_lock(&e->tx_lock, alone);
        err = conn_current(c) ? conn_send_again(c, fd) : -ECANCELED;
        sock_unlock(&e->tx_lock, alone);
        sock_leave();
        if (err != -EAGAIN || nonblock)
            break;
        err = conn_wait(c, fd, POLLOUT, call);
        if (err)
            break;
    }
    return err;
}

// ---- a send ----

static bool is_nonblock(const struct conn *c, int flags)
{
    return (flags & MSG_DONTWAIT) || (c->end ? end_has(c->end, END_NONBLOCK) : c->nonblock);
}

// Does what is due, then says which way the next byte goes. Inside.
static bool goes_by_ring(struct conn *c, int fd)
{
    if (likely(conn_tx_ring(c))) {
        if (!c->carrier->twin)
            wire_advance(c, fd);
        conn_look_if_due(c, fd);
        conn_serve(c, fd);
    } else {
        conn_advance(c, fd);
    }
    return conn_tx_ring(c) && !end_has(c->end, END_TX_SHUT | END_DEAD);
}

// One attempt, by whichever way bytes go now. Bytes; 0 or -EAGAIN: the ring is full; -errno.
static ssize_t attempt(struct conn *c, int fd, struct iov_pos *p, int flags, struct conn_call *call)
{
    ssize_t n;
    int err;

    sock_enter();
    n = goes_by_ring(c, fd) ? ring_put(c, fd, p) : -ECANCELED;
    sock_leave();
    if (n != -ECANCELED)
        return n;
    if (unlikely(!conn_has_stream(c)))
        return wire_no_send(c, fd, flags);
    err = flush_again(c, fd, is_nonblock(c, flags), call);
    return err ? err : twin_send(c, fd, p, flags);
}

// A sender that will not wait found no room: by edge, its epoll sets owe it a report when there is
// some (SOCK_NOSPACE in the kernel).
static void no_room(struct conn *c)
{
    if (list_empty(&c->watches))
        return;
    sock_enter();
    epoll_conn_stir(c, true);
    sock_leave();
}

// After a part was sent: 0 to go on, else what ends the call (positive: nothing but the part).
static int after_part(struct conn *c, int fd, const struct iov_pos *p, ssize_t n, int flags,
                      struct conn_call *call)
{
    if (is_nonblock(c, flags)) {
        no_room(c);
        return n ? 1 : -EAGAIN;
    }
    if (conn_tx_ring(c) || !conn_has_stream(c))
        return conn_wait(c, fd, POLLOUT, call);
    return p->cnt > REST_IOVS ? 0 : 1; // the kernel was interrupted, or took all that it was shown
}

ssize_t conn_send(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags)
{
    struct conn_call call = {.interrupts = sock_thread.interrupts};
    struct iov_pos p;
    size_t total;
    ssize_t n = iov_begin(&p, iov, iovcnt);

    if (n)
        return n;
    if (unlikely(flags & ~RING_FLAGS) && c->carrier->twin)
        conn_tx_back(c, fd, is_nonblock(c, flags), "sent with flags that a ring does not know");
    if (c->end)
        call.timeout_ns = c->end->sndtimeo_ns;
    total = p.left;
    if (unlikely(flags & MSG_OOB) && !conn_has_stream(c) && conn_tx_ring(c))
        cm_wire_urgent(&c->chan, (uint32_t)MIN(total, (size_t)UINT16_MAX));
    while ((n = attempt(c, fd, &p, flags, &call)) == -ECANCELED || (n >= 0 && p.left)) {
        if (n != -ECANCELED && (n = after_part(c, fd, &p, n, flags, &call)))
            break;
    }
    return p.left < total ? (ssize_t)(total - p.left) : MIN(n, 0);
}

// ---- from a file or a pipe ----

static ssize_t read_in(int in_fd, void *to, size_t n, off_t *off)
{
    return off ? sys_call(SYS_pread64, in_fd, to, n, *off) : sys_read(in_fd, to, n);
}

// Reads straight into the ring. Bytes; 0: end of file; -ENOBUFS: the ring is full.
static ssize_t ring_put_from(struct conn *c, int fd, int in_fd, off_t *off, size_t n)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    ssize_t got = -EOPNOTSUPP;
    int64_t room;

    sock_lock(&e->tx_lock, alone);
    if (conn_tx_ring(c)) {
        room = conn_may_put(c) ? conn_room(c, 1) : 0;
        got = room > 0 ? read_in(in_fd, chan_tx_at(&c->chan, &e->tx),
                                 MIN(MIN(n, (size_t)room), 2 * PIECE_BYTES), off)
                       : (room ? -ECONNRESET : -ENOBUFS);
    }
    if (got > 0) {
        chan_commit(&c->chan, &e->tx, (uint64_t)got);
        count_bytes(c, conn_lane(c), (size_t)got);
        if (off)
            *off += got;
    }
    sock_unlock(&e->tx_lock, alone);
    if (got > 0)
        pump_push(&c->chan, true);
    return got;
}

ssize_t conn_send_from(struct conn *c, int fd, int in_fd, off_t *off, size_t n, int flags)
{
    struct conn_call call = {.interrupts = sock_thread.interrupts};
    size_t done = 0;
    ssize_t got = 0;

    while (done < n) {
        sock_enter();
        pump_look(&c->chan);
        got = goes_by_ring(c, fd) ? ring_put_from(c, fd, in_fd, off, n - done) : -EOPNOTSUPP;
        sock_leave();
        if (got == -EOPNOTSUPP && !conn_has_stream(c)) {
            got = wire_no_send(c, fd, flags);
            got = got ? got : -ENOBUFS;
        }
        if (got > 0) {
            done += (size_t)got;
            continue;
        }
        if (got != -ENOBUFS)
            break;
        got = -EAGAIN;
        if (is_nonblock(c, flags)) {
            no_room(c);
            break;
        }
        call.timeout_ns = c->end->sndtimeo_ns;
        got = conn_wait(c, fd, POLLOUT, &call);
        if (got)
            break;
    }
    return done ? (ssize_t)done : got;
}
