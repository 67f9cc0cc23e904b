// SPDX-License-Identifier: BSD-2-Clause
// Connections on Shunt's own TCP: what the engine answers in the twin's place.
//
// Options live in the shadow, the kernel's socket that was to be connected: the kernel checks and
// keeps them all, and those that matter on the wire are told to the engine.
#include "base/clock.h"
#include "base/reach.h"
#include "base/sys.h"
#include "cm/wire.h"
#include "sock/carrier.h"
#include "sock/fdtab.h"
#include "sock/move.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "sock/wire.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

// ---- state ----

static bool is_opening(const struct conn *c)
{
    return !conn_tx_ring(c) && !end_has(c->end, END_RELAYED);
}

// shuntd, which holds the other end of the lifeline, is gone.
static bool is_cut(int fd)
{
    struct pollfd p = {fd, 0, 0};
    struct timespec now = {0};

    return sys_call(SYS_ppoll, &p, 1, &now, 0, 8) > 0 && (p.revents & POLLHUP);
}

// The error that ended it, which is told once: 0 or -errno.
static int pending(const struct conn *c)
{
    if (end_has(c->end, END_TOLD))
        return 0;
    if (end_has(c->end, END_CUT))
        return -ECONNRESET;
    return cm_wire_status(&c->chan) & CM_WIRE_CLOSED ? cm_wire_error(&c->chan) : 0;
}

static int take_pending(struct conn *c)
{
    int err = pending(c);

    if (err)
        end_set(c->end, END_TOLD);
    return err;
}

// As the kernel sees the lifeline.
static short relay_poll(struct conn *c, int fd, short ask)
{
    struct pollfd p = {fd, ask, 0};
    struct timespec now = {0};
    short mask = sys_call(SYS_ppoll, &p, 1, &now, 0, 8) > 0 ? p.revents : 0;

    return mask & POLLHUP && pending(c) ? mask | POLLERR : mask;
}

static short wire_poll(struct conn *c, int fd, short ask)
{
    uint32_t status = cm_wire_status(&c->chan);
    short mask = 0;

    if (unlikely(end_has(c->end, END_RELAYED)))
        return relay_poll(c, fd, ask);

    if (!(status & CM_WIRE_CLOSED) && is_cut(fd)) {
        end_set(c->end, END_CUT);
        status |= CM_WIRE_CLOSED;
    }
    if (status & (CM_WIRE_FIN | CM_WIRE_CLOSED) || end_has(c->end, END_RX_SHUT))
        mask |= POLLRDHUP | (ask & POLLIN);
    if (status & CM_WIRE_CLOSED)
        mask |= POLLHUP | (ask & POLLOUT) | (pending(c) ? POLLERR : 0);
    if (status & CM_WIRE_CONNECTED)
        mask |= ask & POLLOUT;
    return mask;
}

static ssize_t wire_at_end(struct conn *c, int fd)
{
    return take_pending(c);
}

// A byte left in the lifeline asks shuntd for a reset, and its end hangs up with ours.
static void wire_abort(struct conn *c, int fd)
{
    if (end_has(c->end, END_RELAYED)) {
        end_set(c->end, END_HARD);
        wire_relay_ask(c, fd);
        sys_call(SYS_shutdown, fd, SHUT_RDWR);
        return;
    }
    sys_call(SYS_sendto, fd, "R", 1, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    sys_call(SYS_shutdown, fd, SHUT_RDWR);
}

void wire_advance(struct conn *c, int fd)
{
    uint32_t status;

    if (unlikely(end_has(c->end, END_RELAYED))) {
        epoll_conn_down(c); // another process of the family asked for it
        return;
    }
    epoll_conn_up(c);
    status = cm_wire_status(&c->chan);
    if ((status & CM_WIRE_FIN && !end_has(c->end, END_RDHUP)) ||
        (status & CM_WIRE_CLOSED && !end_has(c->end, END_DEAD)))
        conn_look(c, fd);
    if (!is_opening(c) || !(status & CM_WIRE_CONNECTED))
        return;
    atomic_store(&c->end->tx.epoch, 1);
    conn_counted(c);
}

static int wire_shutdown(struct conn *c, int fd, int how)
{
    uint32_t status = cm_wire_status(&c->chan);

    if (!(status & CM_WIRE_CONNECTED) || status & CM_WIRE_CLOSED)
        return -ENOTCONN;
    if (end_has(c->end, END_RELAYED))
        return (int)sys_call(SYS_shutdown, fd, how);
    if (how != SHUT_RD)
        cm_wire_shut_tx(&c->chan);
    if (how != SHUT_WR)
        cm_wire_shut_rx(&c->chan);
    return 0;
}

static void raise_sigpipe(int flags)
{
    if (!(flags & MSG_NOSIGNAL))
        sys_call(SYS_tgkill, sys_getpid(), sock_tid(), SIGPIPE);
}

ssize_t wire_no_send(struct conn *c, int fd, int flags)
{
    int err;

    if (is_opening(c) && !end_has(c->end, END_DEAD | END_TX_SHUT))
        return 0;
    err = take_pending(c);
    if (err)
        return err;
    raise_sigpipe(flags);
    return -EPIPE;
}

// ---- names ----

// n bytes of what, or as many as there is room for, as getsockopt(2) and getsockname(2) do; *len is
// what there is room for.
static int give(void *val, socklen_t *len, const void *what, size_t n)
{
    if (reach(len, sizeof *len, REACH_WRITE) != sizeof *len)
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    n = MIN(n, (size_t)*len);
    if (reach(val, n, REACH_WRITE) != n)
        return -EFAULT;
    memcpy(val, what, n);
    return (int)n;
}

static int wire_name(struct conn *c, int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
    const union cm_addr *name = peer ? &c->end->rec.remote : &c->end->rec.local;
    socklen_t n = c->family == AF_INET ? sizeof name->in : sizeof name->in6;
    uint32_t status = cm_wire_status(&c->chan);
    int given;

    if (peer && (!(status & CM_WIRE_CONNECTED) || status & CM_WIRE_CLOSED))
        return -ENOTCONN;
    given = give(addr, len, name, n);
    if (given >= 0)
        *len = n;
    return MIN(given, 0);
}

// ---- options ----

// One that was accepted has no shadow until somebody asks for an option.
int wire_shadow(struct conn *c)
{
    int fd;

    if (c->shadow >= 0)
        return c->shadow;
    fd = (int)sys_call(SYS_socket, c->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return fd;
    c->shadow = cm_fd_up(fd);
    fdtab_set(c->shadow, FD_OWN, NULL);
    return c->shadow;
}

static int give_option(void *val, socklen_t *len, const void *what, size_t n)
{
    int given = give(val, len, what, n);

    if (given >= 0)
        *len = (socklen_t)given;
    return MIN(given, 0);
}

static void fill_tcp_info(const struct cm_wire_info *i, struct tcp_info *out)
{
    uint32_t mss = MAX(i->mss, 1);

    *out = (struct tcp_info){
        .tcpi_state = i->state,
        .tcpi_options =
            (uint8_t)((i->timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (i->sack ? TCPI_OPT_SACK : 0) |
                      (i->wscale ? TCPI_OPT_WSCALE : 0)),
        .tcpi_snd_wscale = i->snd_wscale & 15,
        .tcpi_rcv_wscale = i->rcv_wscale & 15,
        .tcpi_snd_mss = i->mss,
        .tcpi_rcv_mss = i->mss_peer,
        .tcpi_advmss = i->mss,
        .tcpi_pmtu = i->pmtu,
        .tcpi_rtt = (uint32_t)(i->srtt_ns / NS_PER_US),
        .tcpi_rttvar = (uint32_t)(i->rttvar_ns / NS_PER_US),
        .tcpi_min_rtt = (uint32_t)(i->min_rtt_ns / NS_PER_US),
        .tcpi_snd_cwnd = i->cwnd_bytes / mss,
        .tcpi_snd_ssthresh = i->ssthresh_bytes / mss,
        .tcpi_rcv_space = i->rcv_bytes,
        .tcpi_unacked = (i->unacked_bytes + mss - 1) / mss,
        .tcpi_notsent_bytes = i->unsent_bytes,
        .tcpi_total_retrans = i->retransmits,
        .tcpi_pacing_rate = i->pacing_rate,
    };
}

static int give_tcp(struct conn *c, int name, void *val, socklen_t *len)
{
    struct cm_wire_info info;
    struct tcp_info tcp;

    cm_wire_info(&c->chan, c->family, &info);
    fill_tcp_info(&info, &tcp);
    tcp.tcpi_bytes_acked = atomic_load(&c->chan.tx->head);
    tcp.tcpi_bytes_received = c->end->rx.tail;
    tcp.tcpi_bytes_sent = c->end->tx.tail;
    if (name == TCP_INFO)
        return give_option(val, len, &tcp, sizeof tcp);
    return give_option(val, len, &(int){(int)info.mss}, sizeof(int));
}

static int wire_getsockopt(struct conn *c, int fd, int level, int name, void *val, socklen_t *len)
{
    if (level == SOL_SOCKET && name == SO_ERROR)
        return give_option(val, len, &(int){-take_pending(c)}, sizeof(int));
    if (level == SOL_SOCKET && name == SO_COOKIE)
        return sys_getsockopt(fd, level, name, val, len);
    if (level == IPPROTO_TCP && (name == TCP_INFO || name == TCP_MAXSEG))
        return give_tcp(c, name, val, len);
    return sys_getsockopt(wire_shadow(c), level, name, val, len);
}

// What the engine knows, too: its unit is the kernel's times scale.
static const struct mirrored {
    int level, name;
    enum cm_wire_option option;
    uint32_t scale;
} mirrored[] = {
    {IPPROTO_TCP, TCP_NODELAY, CM_WIRE_NODELAY, 1},
    {IPPROTO_TCP, TCP_CORK, CM_WIRE_CORK, 1},
    {IPPROTO_TCP, TCP_QUICKACK, CM_WIRE_QUICKACK, 1},
    {SOL_SOCKET, SO_KEEPALIVE, CM_WIRE_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, CM_WIRE_KEEP_IDLE_MS, 1000},
    {IPPROTO_TCP, TCP_KEEPINTVL, CM_WIRE_KEEP_INTERVAL_MS, 1000},
    {IPPROTO_TCP, TCP_KEEPCNT, CM_WIRE_KEEP_COUNT, 1},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, CM_WIRE_USER_TIMEOUT_MS, 1},
    {IPPROTO_TCP, TCP_SYNCNT, CM_WIRE_SYN_RETRIES, 1},
    {IPPROTO_IP, IP_TOS, CM_WIRE_TOS, 1},
    {IPPROTO_IPV6, IPV6_TCLASS, CM_WIRE_TOS, 1},
};

// Algorithms that only the kernel has leave the engine with its own.
static void tell_congestion(struct conn *c)
{
    char name[16] = "";
    socklen_t n = sizeof name - 1;
    int index;

    if (sys_getsockopt(c->shadow, IPPROTO_TCP, TCP_CONGESTION, name, &n))
        return;
    index = cm_wire_congestion(name);
    if (index >= 0)
        cm_wire_set(&c->chan, CM_WIRE_CC, (uint64_t)index);
}

void wire_tell(struct conn *c, int level, int name)
{
    for (size_t i = 0; i < ARRAY_LEN(mirrored); i++) {
        const struct mirrored *m = &mirrored[i];
        int value = 0;
        socklen_t n = sizeof value;

        if (m->level == level && m->name == name &&
            !sys_getsockopt(c->shadow, level, name, &value, &n) && value >= 0)
            cm_wire_set(&c->chan, m->option, (uint64_t)value * m->scale);
    }
    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        tell_congestion(c);
}

// Those of sock that are not what a new socket has.
void wire_options(int sock, struct cm_wire_options *out)
{
    out->n = 0;
    for (size_t i = 0; i < ARRAY_LEN(mirrored) && out->n < CM_WIRE_OPTIONS; i++) {
        const struct mirrored *m = &mirrored[i];
        int value = 0;
        socklen_t n = sizeof value;

        if (m->option == CM_WIRE_QUICKACK || sys_getsockopt(sock, m->level, m->name, &value, &n) ||
            value <= 0)
            continue;
        out->at[out->n].option = m->option;
        out->at[out->n++].value = (uint64_t)value * m->scale;
    }
}

void wire_note_linger(struct conn *c, int fd)
{
    struct linger linger = {0};
    socklen_t n = sizeof linger;

    if (!sys_getsockopt(c->shadow, SOL_SOCKET, SO_LINGER, &linger, &n) && linger.l_onoff &&
        !linger.l_linger)
        end_set(c->end, END_HARD);
    else
        end_clear(c->end, END_HARD);
    if (!end_has(c->end, END_RELAYED))
        return;
    sock_enter();
    wire_relay_ask(c, fd);
    sock_leave();
}

// What the kernel does itself for a lifeline that is relayed.
static bool is_lifelines(int level, int name)
{
    if (level != SOL_SOCKET)
        return false;
    return name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD || name == SO_RCVTIMEO_NEW ||
           name == SO_SNDTIMEO_NEW || name == SO_RCVLOWAT || name == SO_OOBINLINE;
}

static int wire_setsockopt(struct conn *c, int fd, int level, int name, const void *val,
                           socklen_t len)
{
    int err = sys_setsockopt(wire_shadow(c), level, name, val, len);

    if (err)
        return err;
    if (is_lifelines(level, name) && end_has(c->end, END_RELAYED))
        sys_setsockopt(fd, level, name, val, len);
    if (unlikely(self.off))
        return 0; // the engine cannot be told without other system calls
    if (level == SOL_SOCKET && name == SO_LINGER)
        wire_note_linger(c, fd);
    else if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_SNDBUFFORCE))
        wire_limit(c, c->shadow);
    else
        wire_tell(c, level, name);
    return 0;
}

// ---- requests ----

// Nothing ever comes to the error queue.
ssize_t sock_recv_apart(struct conn *c, int fd, void *buf, size_t n, int flags)
{
    if (flags & MSG_ERRQUEUE)
        return -EAGAIN;
    wire_mind_urgent(c, fd);
    if (!end_has(c->end, END_RELAYED))
        return -EINVAL;
    return sys_call(SYS_recvfrom, fd, buf, n, flags, 0, 0);
}

static int wire_ioctl(struct conn *c, int fd, unsigned long request, void *arg)
{
    struct cm_wire_info info = {0};

    if (request == SIOCATMARK)
        wire_mind_urgent(c, fd);
    if (request != SIOCOUTQNSD && (request != SIOCATMARK || end_has(c->end, END_RELAYED)))
        return sys_ioctl(fd, request, arg);
    if (!arg)
        return -EFAULT;
    cm_wire_info(&c->chan, c->family, &info);
    *(int *)arg = request == SIOCATMARK ? 0 : (int)info.unsent_bytes;
    return 0;
}

const struct carrier carrier_wire = {
    .twin = false,
    .poll = wire_poll,
    .at_end = wire_at_end,
    .abort = wire_abort,
    .shutdown = wire_shutdown,
    .name = wire_name,
    .getsockopt = wire_getsockopt,
    .setsockopt = wire_setsockopt,
    .ioctl = wire_ioctl,
};
