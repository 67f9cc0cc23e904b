// SPDX-License-Identifier: BSD-2-Clause
// How connections come to be on Shunt's own TCP: connect, listen, accept, and from another process.
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/reach.h"
#include "base/sys.h"
#include "cm/wire.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/fdtab.h"
#include "sock/holders.h"
#include "sock/info.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "sock/wire.h"
#include "shunt/info.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ATTACH_NS (5 * NS_PER_S) // shuntd and keepers on a busy machine
#define STOP_NS   (200 * NS_PER_MS)

// ---- policy ----

// The address that the kernel would connect from: rules may ask for it. Sends nothing.
static void guess_local(int fd, const union cm_addr *remote, union cm_addr *local)
{
    socklen_t n = sizeof *local;
    int udp;

    if (!sys_call(SYS_getsockname, fd, local, &n) && local->in.sin_port)
        return;
    udp = (int)sys_call(SYS_socket, remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    n = sizeof *local;
    if (udp >= 0 && !sys_call(SYS_connect, udp, remote, sizeof *remote))
        sys_call(SYS_getsockname, udp, local, &n);
    if (udp >= 0)
        sys_close(udp);
    local->in.sin_port = 0;
}

static bool wants(struct conn *c, const union cm_addr *local, const union cm_addr *remote)
{
    const struct policy_facts facts = {.local = &local->sa, .remote = remote ? &remote->sa : NULL};

    conn_ask(c, local, remote);
    return cm_wants_wire(&c->rule, &facts, c->obstacle, sizeof c->obstacle);
}

// ---- the state of a connection ----

static void fill_record(struct conn *c, int fd)
{
    struct cm_record *rec = &c->end->rec;
    struct cm_wire_info info;

    if (!cm_wire_info(&c->chan, c->family, &info)) {
        rec->local = info.local;
        rec->remote = info.remote;
    }
    rec->pid = self.pid;
    rec->fd = fd;
    rec->role = c->role;
    snprintf(rec->rule, sizeof rec->rule, "%s", c->rule.rule_name);
    if (c->nonblock)
        end_set(c->end, END_NONBLOCK);
    atomic_store(&rec->used, 1);
}

// c->chan is joined: gives c the rest. opening: our direction begins with the handshake's end.
// Under self.lock. 0 or -ENOMEM.
static int begin(struct conn *c, int fd, bool opening)
{
    struct sock_end *e = end_new();

    if (!e)
        return -ENOMEM;
    chan_begin_on_ring(&e->tx, &e->rx);
    if (opening)
        e->tx.epoch = 0;
    end_set(e, END_READY | END_ATTACHED);
    c->end = e;
    c->carrier = &carrier_wire;
    c->ring_lane = SHUNT_LANE_TCP;
    c->made_ns = clock_now_ns();
    fill_record(c, fd);
    fdtab_set(c->chan.bell, FD_OWN, NULL);
    conn_counted(c);
    e->rec.lane_tx = c->ring_lane; // from the first byte on
    atomic_store(&c->stage, CONN_MAPPED);
    return 0;
}

// Another process that holds it may still use it; then shuntd sees its end.
static void before_hang_up(struct conn *c, int fd)
{
    if (!end_has(c->end, END_RELAYED | END_DEAD | END_CUT) && holders_only_self(c->end, fd))
        cm_wire_end(&c->chan, end_has(c->end, END_HARD));
    cm_wire_deaf(&c->chan);
}

// As the kernel, a call that another thread is in keeps the connection until it returns.
static void hold(struct conn *c, int fd)
{
    int held = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (held < 0)
        return;
    c->held = cm_fd_up(held);
    fdtab_set(c->held, FD_OWN, NULL);
}

static void let_go(struct conn *c)
{
    if (c->held < 0)
        return;
    before_hang_up(c, c->held);
    fdtab_set(c->held, FD_NONE, NULL);
    sys_close(c->held);
    c->held = -1;
}

void wire_closing(struct conn *c, int fd)
{
    if (likely(c->carrier->twin) || !c->chan.shared || atomic_load(&c->fds) != 1)
        return;
    if (atomic_load(&c->users) == 1)
        before_hang_up(c, fd);
    else if (c->held < 0)
        hold(c, fd);
}

void wire_exit(void)
{
    if (likely(!policy_names_lane(self.policy, POLICY_LANE_TCP)))
        return;
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        sock_enter();
        wire_closing(c, fd);
        sock_leave();
        conn_put(c);
    }
}

void wire_leave(struct conn *c)
{
    int bell = c->chan.bell;

    let_go(c);
    if (c->shadow >= 0) {
        fdtab_set(c->shadow, FD_NONE, NULL);
        sys_close(c->shadow);
        c->shadow = -1;
    }
    if (!c->chan.shared)
        return;
    fdtab_set(bell, FD_NONE, NULL);
    cm_wire_leave(&c->chan);
}

// ---- connecting ----

// Puts file in the place of what all numbers of c are, and takes file.
static void replace(struct conn *c, int file)
{
    uint32_t left = atomic_load(&c->fds);
    bool nonblock = c->nonblock;

    for (int fd = 0; left && fd < fdtab_limit(); fd++) {
        if (fdtab_kind(fd) != FD_CONN || fdtab_object(fdtab_word(fd)) != c)
            continue;
        left--;
        sys_call(SYS_dup3, file, fd, sys_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0);
        sys_fcntl(fd, F_SETFL, nonblock ? O_NONBLOCK : 0);
    }
    sys_close(file);
}

static int keep_shadow(struct conn *c, int fd)
{
    c->shadow = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (c->shadow < 0)
        return c->shadow;
    c->shadow = cm_fd_up(c->shadow);
    fdtab_set(c->shadow, FD_OWN, NULL);
    return 0;
}

// The engine gives up a connect() that blocks when the rule's deadline has passed, and the kernel
// goes on. No byte has gone before that is over, so that the user timeout is free to say so.
static void limit_handshake(struct conn *c, int fd, struct cm_wire_options *o)
{
    uint64_t *timeout_ms = NULL;

    for (uint32_t i = 0; i < o->n; i++)
        if (o->at[i].option == CM_WIRE_USER_TIMEOUT_MS)
            timeout_ms = &o->at[i].value;
    if (c->nonblock || (timeout_ms && *timeout_ms <= c->rule.deadline_ms))
        return;
    if (!timeout_ms && o->n < CM_WIRE_OPTIONS) {
        o->at[o->n].option = CM_WIRE_USER_TIMEOUT_MS;
        timeout_ms = &o->at[o->n++].value;
    }
    if (!timeout_ms)
        return;
    *timeout_ms = c->rule.deadline_ms;
    c->hasty = true;
}

// Under self.lock. 0: the handshake is under way.
static int open_locked(struct conn *c, int fd, const union cm_addr *remote, int *lifeline,
                       char why[CM_WIRE_WHY_BYTES])
{
    struct cm_wire_options options;
    int err = keep_shadow(c, fd);
    bool opened;

    if (err)
        return err;
    wire_options(fd, &options);
    limit_handshake(c, fd, &options);
    err = cm_wire_open(fd, remote, &options, clock_now_ns() + c->rule.deadline_ms * NS_PER_MS,
                       &c->chan, lifeline, why);
    if (!err)
        err = begin(c, fd, true);
    if (!err) {
        opts_mirror(c->end, fd);
        if (c->sndbuf)
            wire_limit(c, fd);
        return 0;
    }
    opened = c->chan.shared;
    wire_leave(c);
    if (opened)
        sys_close(*lifeline);
    return err;
}

static int open_wire(struct conn *c, int fd, const union cm_addr *remote)
{
    char why[CM_WIRE_WHY_BYTES] = "";
    int lifeline, err;

    sock_enter();
    sock_lock(&self.lock, false);
    err = open_locked(c, fd, remote, &lifeline, why);
    sock_unlock(&self.lock, false);
    if (!err) {
        epoll_conn_hide(c);
        replace(c, lifeline);
        epoll_conn_show(c);
        epoll_conn_up(c);
    } else {
        log_info("tcp: %s (%s); the kernel connects", why, err_text(err));
        snprintf(c->obstacle, sizeof c->obstacle, "tcp: %s", *why ? why : err_text(err));
    }
    sock_leave();
    return err;
}

// Waits for the end of the handshake. As connect(2).
static int await_open(struct conn *c, int fd)
{
    struct conn_call call = {.interrupts = sock_thread.interrupts,
                             .timeout_ns = c->end->sndtimeo_ns};
    int err = 0;

    if (end_has(c->end, END_NONBLOCK))
        return -EINPROGRESS;
    for (;;) {
        uint32_t status;

        sock_enter();
        wire_advance(c, fd);
        conn_look(c, fd);
        status = cm_wire_status(&c->chan);
        sock_leave();
        if (status & CM_WIRE_CLOSED || end_has(c->end, END_DEAD)) {
            err = (int)c->carrier->at_end(c, fd);
            return err ? err : -ECONNRESET;
        }
        if (status & CM_WIRE_CONNECTED)
            break;
        err = conn_wait(c, fd, POLLOUT, &call);
        if (err)
            return err == -EAGAIN ? -EINPROGRESS : err;
    }
    end_set(c->end, END_OPENED);
    return 0;
}

// What failed has been told: the socket is as new (connect(2) on Linux).
static int connect_anew(struct conn *old, int fd, const struct sockaddr *addr, socklen_t len,
                        const char *obstacle)
{
    int err = wire_disconnect(old, fd);
    struct conn *c = err ? NULL : conn_get(fd);

    if (!c)
        return err ? err : -EBADF;
    c->kernel_only = obstacle;
    if (obstacle)
        snprintf(c->obstacle, sizeof c->obstacle, "tcp: %s", obstacle);
    err = sock_connect(c, fd, addr, len);
    conn_put(c);
    return err;
}

// Waits for what limit_handshake() has limited, too: the engine's frames may not arrive where the
// kernel's do (NAT, IPsec), and so the kernel has the last word.
static int connect_by_either(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len)
{
    int err = await_open(c, fd);

    if (!c->hasty)
        return err;
    c->hasty = false;
    if (err == -ETIMEDOUT || err == -EHOSTUNREACH)
        return connect_anew(c, fd, addr, len, "the peer did not answer before the deadline");
    wire_tell(c, IPPROTO_TCP, TCP_USER_TIMEOUT);
    return err;
}

// connect() on what is one already.
static int connect_again(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len)
{
    uint32_t status = cm_wire_status(&c->chan);
    int err;

    if (status & CM_WIRE_CLOSED) {
        err = (int)c->carrier->at_end(c, fd);
        return err ? err : connect_anew(c, fd, addr, len, NULL);
    }
    if (!(status & CM_WIRE_CONNECTED))
        return end_has(c->end, END_NONBLOCK) ? -EALREADY : await_open(c, fd);
    if (end_has(c->end, END_OPENED))
        return -EISCONN;
    end_set(c->end, END_OPENED);
    return 0;
}

static bool is_address(const struct sockaddr *addr, socklen_t len)
{
    if (!addr || len < sizeof(struct sockaddr_in))
        return false;
    return addr->sa_family == AF_INET ||
           (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6));
}

static int family_of(int fd)
{
    int family = 0;
    socklen_t n = sizeof family;

    sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n);
    return family;
}

int wire_connect(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len)
{
    union cm_addr remote = {0}, local = {0};

    if (unlikely(reach(addr, len, REACH_READ) != len))
        return c->carrier->twin ? -EOPNOTSUPP : -EFAULT;
    if (unlikely(!c->carrier->twin))
        return connect_again(c, fd, addr, len);
    if (likely(!policy_names_lane(self.policy, POLICY_LANE_TCP)) || c->stage != CONN_NEW ||
        c->inherited || c->kernel_only || !is_address(addr, len))
        return -EOPNOTSUPP;
    c->family = (uint8_t)family_of(fd);
    if (c->family != addr->sa_family)
        return -EOPNOTSUPP; // the kernel says what is wrong
    memcpy(&remote, addr, MIN((size_t)len, sizeof remote));
    c->role = POLICY_CLIENT;
    guess_local(fd, &remote, &local);
    if (!wants(c, &local, &remote) || open_wire(c, fd, &remote))
        return -EOPNOTSUPP;
    return connect_by_either(c, fd, addr, len);
}

int wire_disconnect(struct conn *c, int fd)
{
    int kernels = c->shadow >= 0 ? (int)sys_fcntl(c->shadow, F_DUPFD_CLOEXEC, 0)
                                 : (int)sys_call(SYS_socket, c->family, SOCK_STREAM | SOCK_CLOEXEC,
                                                 IPPROTO_TCP);

    if (kernels < 0)
        return kernels;
    sock_enter();
    conn_abort(c, fd);
    epoll_conn_down(c);
    epoll_conn_hide(c);
    cm_wire_deaf(&c->chan);
    replace(c, kernels);
    epoll_conn_show(c);
    sock_leave();
    conn_begin_anew(c);
    return 0;
}

// ---- listening ----

void wire_listen(struct conn *c, int fd, int backlog)
{
    union cm_addr local = {0};
    struct cm_wire_options options;
    char why[CM_WIRE_WHY_BYTES] = "";
    socklen_t n = sizeof local;
    int err;

    if (likely(!policy_names_lane(self.policy, POLICY_LANE_TCP)) || c->ears >= 0 || c->kernel_only)
        return;
    c->role = POLICY_SERVER;
    c->family = (uint8_t)family_of(fd);
    if (sys_call(SYS_getsockname, fd, &local, &n) || !wants(c, &local, NULL))
        return;
    wire_options(fd, &options);
    sock_enter();
    sock_lock(&self.lock, false);
    err = cm_wire_listen(fd, (uint32_t)MAX(backlog, 1), &options,
                         clock_now_ns() + c->rule.deadline_ms * NS_PER_MS, &c->ears, why);
    if (!err) {
        fdtab_set(c->ears, FD_OWN, NULL);
        c->dressed = wire_is_dressed(fd);
        // who accepts must not be caught in the kernel's accept while the ears hear something
        sys_fcntl(fd, F_SETFL, sys_fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
    }
    sock_unlock(&self.lock, false);
    if (err)
        log_info("tcp: %s (%s); the kernel alone listens", why, err_text(err));
    else
        epoll_listener_up(c);
    sock_leave();
}

static void let_block(const struct conn *c, int fd)
{
    if (!c->nonblock)
        sys_fcntl(fd, F_SETFL, sys_fcntl(fd, F_GETFL, 0) & ~O_NONBLOCK);
}

void wire_unlisten(struct conn *c, int fd)
{
    if (likely(c->ears < 0))
        return;
    sock_enter();
    epoll_listener_down(c);
    sock_lock(&self.lock, false);
    fdtab_set(c->ears, FD_NONE, NULL);
    sys_close(c->ears);
    c->ears = -1;
    let_block(c, fd);
    sock_unlock(&self.lock, false);
    sock_leave();
}

void wire_deafen(const struct conn *c, int fd)
{
    if (likely(c->ears < 0))
        return;
    cm_wire_stop(c->ears, clock_now_ns() + STOP_NS);
    let_block(c, fd);
}

bool wire_was_deaf(struct conn *c, int fd)
{
    if (!cm_wire_is_deaf(c->ears))
        return false;
    wire_unlisten(c, fd);
    return true;
}

// ---- accepting ----

// The number of what the ears heard, or -EAGAIN, -EPIPE: they are deaf; -errno.
static int hear(struct conn *listener, int listener_fd, int flags)
{
    struct chan chan = {.bell = -1};
    struct conn *c;
    int fd, err;

    sock_lock(&self.lock, false);
    err = cm_wire_accept(listener->ears, &chan, &fd);
    sock_unlock(&self.lock, false);
    if (err)
        return err == -EMFILE || err == -EPIPE ? err : -EAGAIN;
    c = conn_wired(fd, flags, POLICY_SERVER);
    sock_lock(&self.lock, false);
    err = c ? 0 : -ENOMEM;
    if (c) {
        cm_wire_move(&chan, &c->chan);
        c->rule = listener->rule;
        c->family = listener->family;
        err = begin(c, fd, false);
        if (err)
            wire_leave(c);
        c->epoll_up = true; // no set has it yet
    } else {
        cm_wire_leave(&chan);
    }
    sock_unlock(&self.lock, false);
    if (err) {
        conn_close(fd);
        return err;
    }
    if (unlikely(listener->dressed))
        wire_dress(c, fd, listener_fd);
    if (unlikely(listener->sndbuf))
        wire_limit(c, listener_fd);
    if (!(flags & SOCK_CLOEXEC))
        sys_fcntl(fd, F_SETFD, 0);
    if (flags & SOCK_NONBLOCK)
        sys_fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int try_accept(struct conn *c, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct conn *child;
    int got;

    sock_enter();
    got = hear(c, fd, flags);
    sock_leave();
    if (got == -EPIPE)
        wire_unlisten(c, fd);
    if (got == -EAGAIN || got == -EPIPE) {
        got = (int)sys_call(SYS_accept4, fd, addr, len, flags);
        if (got >= 0)
            conn_accepted(got, flags, c);
        return got;
    }
    child = got >= 0 && addr ? conn_get(got) : NULL;
    if (child) {
        carrier_wire.name(child, got, true, addr, len);
        conn_put(child);
    }
    return got;
}

// Waits for the kernel's listener and the ears. 0, -EINTR, -EAGAIN.
static int await_either(struct conn *c, int fd, uint64_t deadline_ns, uint32_t interrupts)
{
    struct pollfd p[2] = {{fd, POLLIN, 0}, {c->ears, POLLIN, 0}};
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = deadline_ns - MIN(now_ns, deadline_ns);
    struct timespec ts = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};
    int n = real.ppoll(p, 2, deadline_ns == CLOCK_NEVER ? NULL : &ts, NULL);

    if (n < 0 && (sock_thread.interrupts != interrupts || deadline_ns != CLOCK_NEVER))
        return -EINTR;
    return n == 0 ? -EAGAIN : 0;
}

int sock_accept(struct conn *c, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    uint32_t interrupts = sock_thread.interrupts;
    uint64_t deadline_ns = 0;
    struct timeval tv = {0};
    socklen_t n = sizeof tv;
    int got, err;

    if (c->ears < 0)
        return -EOPNOTSUPP;
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return -EINVAL;
    for (;;) {
        got = try_accept(c, fd, addr, len, flags);
        if (got != -EAGAIN || c->nonblock)
            return got;
        if (!deadline_ns) {
            sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &n);
            deadline_ns = tv.tv_sec || tv.tv_usec
                              ? clock_now_ns() + (uint64_t)tv.tv_sec * NS_PER_S +
                                    (uint64_t)tv.tv_usec * NS_PER_US
                              : CLOCK_NEVER;
        }
        err = await_either(c, fd, deadline_ns, interrupts);
        if (err)
            return err;
    }
}

// ---- from one process to another ----

void wire_share(struct conn *c, int fd)
{
    struct end_place place = end_place(c->end);
    int err;

    end_lend(c->end);
    end_set(c->end, END_CROWD);
    sock_lock(&self.lock, false);
    err = cm_wire_share(fd, place.chunk_fd, place.slot, clock_now_ns() + ATTACH_NS);
    sock_unlock(&self.lock, false);
    if (err)
        log_warn("fd %d cannot be shared: %s", fd, err_text(err));
}

// Lifelines are nameless stream sockets, with nobody's name at the other end either.
static bool may_be_lifeline(int fd)
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name, m = sizeof(int);
    int type = 0;

    return !sys_call(SYS_getsockname, fd, &name, &n) && name.ss_family == AF_UNIX &&
           n == sizeof name.ss_family && !sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) &&
           type == SOCK_STREAM;
}

// c is new, and has fd. Under self.lock.
static int adopt_locked(struct conn *c, int fd, struct chan *chan, int chunk_fd, uint32_t slot)
{
    c->end = end_adopt(chunk_fd, slot);
    if (!c->end)
        return -ENOMEM;
    cm_wire_move(chan, &c->chan);
    c->carrier = &carrier_wire;
    c->ring_lane = SHUNT_LANE_TCP;
    c->family = (uint8_t)c->end->rec.local.sa.sa_family;
    c->nonblock = sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK;
    self.unshown = true;
    fdtab_set(c->chan.bell, FD_OWN, NULL);
    conn_ask(c, &c->end->rec.local, &c->end->rec.remote);
    atomic_store(&c->stage, CONN_MAPPED);
    return 0;
}

bool wire_adopt(int fd)
{
    struct chan chan = {.bell = -1};
    struct conn *c;
    uint32_t slot;
    int chunk_fd, err;

    if (!policy_names_lane(self.policy, POLICY_LANE_TCP) || !may_be_lifeline(fd))
        return false;
    sock_enter();
    sock_lock(&self.lock, false);
    err = cm_wire_attach(fd, clock_now_ns() + ATTACH_NS, &chan, &chunk_fd, &slot);
    sock_unlock(&self.lock, false);
    if (!err) {
        c = conn_wired(fd, 0, POLICY_SERVER);
        sock_lock(&self.lock, false);
        err = c ? adopt_locked(c, fd, &chan, chunk_fd, slot) : -ENOMEM;
        if (err) {
            cm_wire_leave(&chan);
            sys_close(chunk_fd);
        }
        sock_unlock(&self.lock, false);
    }
    sock_leave();
    return !err;
}
