// SPDX-License-Identifier: BSD-2-Clause
// Options and requests. The kernel keeps them all, on the twin; what matters to the ring is
// mirrored, and what a ring cannot do exactly brings the connection back first.
#include "base/clock.h"
#include "base/reach.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/info.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/require.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "shunt/info.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/time.h>

// ---- get ----

int sock_getsockopt(struct conn *c, int fd, int level, int name, void *val, socklen_t *len)
{
    int err;

    if (level == SOL_SHUNT)
        return name == SHUNT_INFO ? info_shunt(c, fd, val, len) : -ENOPROTOOPT;
    err = c->carrier->getsockopt(c, fd, level, name, val, len);
    if (!err && level == IPPROTO_TCP && name == TCP_INFO && c->chan.shared && c->carrier->twin)
        info_tcp(c, val, *len);
    if (!err && level == SOL_SOCKET && name == SO_ERROR && *len == sizeof(int) && *(int *)val)
        *(int *)val = -require_error(c, -*(int *)val);
    return err;
}

// ---- set ----

// What a ring cannot do exactly; with a flag as value only when it is switched on.
static bool is_twins(int level, int name)
{
    if (level == IPPROTO_TCP)
        return name == TCP_ULP || name == TCP_REPAIR || name == TCP_INQ || name == TCP_MD5SIG;
    if (level != SOL_SOCKET)
        return false;
    switch (name) {
    case SO_ATTACH_FILTER:
    case SO_ATTACH_BPF:
    case SO_ZEROCOPY:
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMPNS_OLD:
    case SO_TIMESTAMPING_OLD:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_NEW:
    case SO_TIMESTAMPING_NEW:
    case SO_TXTIME:
    case SO_PEEK_OFF:
    case SO_MAX_PACING_RATE:
        return true;
    default:
        return false;
    }
}

static bool is_readable(const void *p, size_t n)
{
    return reach(p, n, REACH_READ) == n;
}

static bool is_int(const void *val)
{
    return is_readable(val, sizeof(int));
}

static bool is_off(int name, const void *val, socklen_t len)
{
    return len == sizeof(int) && is_int(val) && *(const int *)val == 0 && name != SO_PEEK_OFF;
}

// What is in the ring may be read there but where the kernel must have the whole stream: a peer
// that is idle would keep it from the reader.
static void to_twin(struct conn *c, int fd, bool unread_too, const char *reason)
{
    if (unread_too || c->stage < CONN_FRESH)
        sock_hand_over(c, fd, reason);
    else if (c->stage != CONN_RAW)
        conn_go_back(c, fd, false, clock_now_ns() + NS_PER_S, reason);
}

static int64_t timeout_ns(int fd, int name)
{
    struct timeval tv = {0};
    socklen_t n = sizeof tv;

    if (sys_getsockopt(fd, SOL_SOCKET, name, &tv, &n))
        return 0;
    return tv.tv_sec * (int64_t)NS_PER_S + tv.tv_usec * (int64_t)NS_PER_US;
}

void opts_mirror(struct sock_end *e, int fd)
{
    int lowat = 1;
    socklen_t n = sizeof lowat;

    // as the kernel has rounded them
    e->rcvtimeo_ns = timeout_ns(fd, SO_RCVTIMEO);
    e->sndtimeo_ns = timeout_ns(fd, SO_SNDTIMEO);
    if (!sys_getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, &n))
        e->rcvlowat = (uint32_t)MAX(lowat, 1);
}

static bool is_mirrored(int level, int name)
{
    return level == SOL_SOCKET &&
           (name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD || name == SO_RCVTIMEO_NEW ||
            name == SO_SNDTIMEO_NEW || name == SO_RCVLOWAT);
}

static int set_shunt(struct conn *c, int fd, int name, const void *val, socklen_t len)
{
    if (name != SHUNT_LEAVE)
        return -ENOPROTOOPT;
    if (!is_int(val) || len != sizeof(int))
        return is_int(val) ? -EINVAL : -EFAULT;
    sock_enter();
    if (*(const int *)val) {
        conn_advance(c, fd);
        conn_lane_lost(c, fd, "the program asked to leave the lane");
    }
    sock_leave();
    return 0;
}

int sock_setsockopt(struct conn *c, int fd, int level, int name, const void *val, socklen_t len)
{
    int err;

    if (level == SOL_SHUNT)
        return set_shunt(c, fd, name, val, len);
    if (is_twins(level, name) && !is_off(name, val, len)) {
        if (!c->carrier->twin) { // there is no kernel's socket to do it
            err = c->carrier->setsockopt(c, fd, level, name, val, len);
            return err ? err : -EOPNOTSUPP;
        }
        if (c->stage <= CONN_LISTEN)
            c->kernel_only = true; // inherited by what is accepted
        wire_unlisten(c, fd);
        to_twin(c, fd, level == IPPROTO_TCP, "a socket option that only the kernel knows");
    }
    err = c->carrier->setsockopt(c, fd, level, name, val, len);
    c->dressed |= c->ears >= 0; // accepted ones have it, too
    c->sndbuf |= !err && level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_SNDBUFFORCE);
    if (!err && c->end && is_mirrored(level, name) && likely(!self.off))
        opts_mirror(c->end, c->carrier->twin ? fd : c->shadow);
    return err;
}

// ---- flags and requests ----

static void note_nonblock(struct conn *c, bool on)
{
    c->nonblock = on;
    if (c->end && on)
        end_set(c->end, END_NONBLOCK);
    else if (c->end)
        end_clear(c->end, END_NONBLOCK);
}

// Signals for I/O come from the twin only.
static const char by_signal[] = "asked for signals when it is ready";

int sock_setfl(struct conn *c, int fd, int flags)
{
    int err;

    if (flags & O_ASYNC)
        to_twin(c, fd, false, by_signal);
    err = sys_fcntl(fd, F_SETFL, c->ears >= 0 ? flags | O_NONBLOCK : flags);
    if (!err)
        note_nonblock(c, flags & O_NONBLOCK);
    return err;
}

int sock_ioctl(struct conn *c, int fd, unsigned long request, void *arg)
{
    int err;

    if (request == FIOASYNC && is_int(arg) && *(int *)arg)
        to_twin(c, fd, false, by_signal);
    if (request == FIONBIO && c->ears >= 0 && is_int(arg)) {
        note_nonblock(c, *(int *)arg);
        return 0;
    }
    err = c->carrier->ioctl(c, fd, request, arg);
    if (err)
        return err;
    if (request == FIONBIO)
        note_nonblock(c, *(int *)arg);
    else if (request == FIONREAD && c->chan.shared)
        *(int *)arg = conn_unread(c, fd);
    else if (request == SIOCOUTQ && c->chan.shared)
        *(int *)arg = conn_unsent(c, fd);
    return 0;
}

// ---- connect ----

void conn_begin_anew(struct conn *c)
{
    int type_flags = c->nonblock || (c->end && end_has(c->end, END_NONBLOCK)) ? SOCK_NONBLOCK : 0;
    struct list watches;
    struct conn *next;
    int first = -1;

    sock_enter();
    epoll_conn_part(c, &watches);
    sock_leave();
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        if (fdtab_kind(fd) != FD_CONN || fdtab_object(fdtab_word(fd)) != c)
            continue;
        conn_closing(fd);
        if (first < 0)
            conn_made(fd, type_flags);
        else
            conn_duped(first, fd);
        first = first < 0 ? fd : first;
    }
    next = conn_get(first);
    sock_enter();
    epoll_conn_join(next, &watches);
    sock_leave();
    if (next)
        conn_put(next);
}

// What it was connected to is over; bytes that are in the ring are lost, as the kernel's are.
static int disconnect(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len)
{
    int err;

    if (!c->carrier->twin)
        return wire_disconnect(c, fd);
    err = (int)sys_call(SYS_connect, fd, addr, len);

    if (!err && c->stage >= CONN_FRESH)
        conn_begin_anew(c);
    return err;
}

int sock_connect(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len)
{
    int err, refused;

    if (len >= sizeof addr->sa_family && is_readable(addr, len) && addr->sa_family == AF_UNSPEC)
        return disconnect(c, fd, addr, len);
    err = require_error(c, 0); // the second call of one that does not block
    if (err)
        return err;
    err = wire_connect(c, fd, addr, len);
    if (err != -EOPNOTSUPP)
        return err;
    err = real.connect(fd, addr, len) < 0 ? -errno : 0;
    // an interrupted one goes on by itself, as does one that does not block
    if (!err || err == -EINPROGRESS || err == -EINTR)
        conn_connected(c, fd);
    refused = require_connected(c, fd, !err);
    return refused ? refused : err;
}

int sock_name(struct conn *c, int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
    return c->carrier->name(c, fd, peer, addr, len);
}

void sock_listening(struct conn *c, int fd, int backlog)
{
    conn_listening(c);
    wire_listen(c, fd, backlog);
}

int sock_getfl(struct conn *c, int fd)
{
    int flags = (int)sys_fcntl(fd, F_GETFL, 0);

    if (flags >= 0 && c->ears >= 0 && !c->nonblock)
        flags &= ~O_NONBLOCK;
    return flags;
}

// ---- shutdown ----

// Writers are done when the lock is ours, and those that come go to the carrier, which is shut
// before we let go. The peer's kernel tells it of FIN once it has drained the ring. Bytes that the
// twin must carry again go first: FIN comes after them.
static int shut_tx(struct conn *c, int fd, int how)
{
    bool alone = end_alone(c->end);
    int err;

    sock_enter();
    sock_lock(&c->end->tx_lock, alone);
    end_set(c->end, END_TX_SHUT);
    conn_send_again(c, fd);
    if (unlikely(c->far))
        mirror_finish(c);
    err = c->carrier->shutdown(c, fd, how);
    sock_unlock(&c->end->tx_lock, alone);
    sock_leave();
    return err;
}

// Readers and writers of ours that sleep on the bell look again.
static void wake(struct conn *c)
{
    uint64_t one = 1;

    sys_write(c->chan.bell, &one, sizeof one);
}

int sock_shutdown(struct conn *c, int fd, int how)
{
    int err;

    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    if (c->end && how != SHUT_WR)
        end_set(c->end, END_RX_SHUT);
    err = c->end && how != SHUT_RD ? shut_tx(c, fd, how) : c->carrier->shutdown(c, fd, how);
    if (c->chan.shared) {
        if (!err && how != SHUT_RD && c->carrier->twin)
            chan_hint(&c->chan);
        wake(c);
    }
    return err;
}
