// SPDX-License-Identifier: BSD-2-Clause
#include "sock/conn.h"

#include "base/clock.h"
#include "base/pool.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/fdtab.h"
#include "sock/holders.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/require.h"
#include "sock/self.h"
#include "shunt/info.h"

#include <fcntl.h>
#include <netinet/in.h>

#define FORK_BACK_NS (3 * NS_PER_S) // for all peers together

static struct pool conns = {sizeof(struct conn), NULL};

_Static_assert(sizeof(struct conn) % 64 == 0, "the pool aligns by size, fdtab keeps a kind below");

// ---- holding ----

// Counts without a locked instruction while there is one thread: 1 ns instead of 6.
static void count(_Atomic uint32_t *n, int by)
{
    if (__libc_single_threaded)
        atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (uint32_t)by,
                              memory_order_relaxed);
    else
        atomic_fetch_add(n, (uint32_t)by);
}

static struct conn *conn_of(uintptr_t word)
{
    return (word & 15) == FD_CONN ? fdtab_object(word) : NULL;
}

struct conn *conn_get(int fd)
{
    uintptr_t word = fdtab_word(fd);
    struct conn *c = conn_of(word);

    if (!c)
        return NULL;
    count(&c->users, 1);
    if (likely(fdtab_word(fd) == word))
        return c;
    conn_put(c);
    return conn_get(fd);
}

// In one order with what was stored before and with name(), which lets go of the number before it
// looks at what holds it.
bool conn_has_number(const struct conn *c, int fd)
{
    atomic_thread_fence(memory_order_seq_cst);
    return conn_of(fdtab_word(fd)) == c;
}

void conn_unmap(struct conn *c)
{
    int bell = c->chan.bell, peer_bell = c->chan.peer_bell;

    if (c->ears >= 0) {
        fdtab_set(c->ears, FD_NONE, NULL);
        sys_close(c->ears);
        c->ears = -1;
    }
    if (!c->carrier->twin) {
        wire_leave(c);
        return;
    }
    if (!c->chan.shared)
        return;
    if (c->far)
        mirror_free(c);
    chan_unmap(&c->chan);
    fdtab_set(bell, FD_NONE, NULL);
    fdtab_set(peer_bell, FD_NONE, NULL);
    sys_close(bell);
    sys_close(peer_bell);
}

static void conn_free(struct conn *c)
{
    sock_enter();
    sock_lock(&self.lock, false);
    if (c->live && !atomic_load(&c->users) && !atomic_load(&c->fds)) {
        c->live = false;
        require_over(c);
        if (c->registered)
            cm_drop(self.cm, c->cookie);
        list_del(&c->claimed);
        conn_unmap(c);
        if (c->end)
            end_free(c->end);
        pool_give(&conns, c);
    }
    sock_unlock(&self.lock, false);
    sock_leave();
}

void conn_put(struct conn *c)
{
    count(&c->users, -1);
    if (unlikely(!atomic_load_explicit(&c->fds, memory_order_relaxed)))
        conn_free(c);
}

// ---- numbers ----

// Gives fd the meaning c, and lets go of what it meant before.
static void name(int fd, struct conn *c)
{
    struct conn *old;

    if (c)
        atomic_fetch_add(&c->fds, 1);
    old = conn_of(fdtab_set(fd, c ? FD_CONN : FD_NONE, c));
    if (old) {
        count(&old->users, 1);
        epoll_conn_closing(old, fd); // where the number was closed behind our back
        atomic_fetch_sub(&old->fds, 1);
        conn_put(old);
    }
}

static struct conn *conn_new(int fd, enum conn_stage stage)
{
    struct conn *c;

    sock_enter();
    sock_lock(&self.lock, false);
    c = pool_take(&conns);
    sock_unlock(&self.lock, false);
    if (c) {
        c->stage = stage;
        c->live = true;
        c->chan.bell = c->chan.peer_bell = -1;
        c->carrier = &carrier_kernel;
        c->ring_lane = SHUNT_LANE_SHM;
        c->shadow = c->ears = c->held = -1;
        list_init(&c->watches);
        list_init(&c->claimed);
    }
    name(fd, c);
    sock_leave();
    return c;
}

void conn_made(int fd, int type_flags)
{
    struct conn *c = conn_new(fd, CONN_NEW);

    if (c)
        c->nonblock = type_flags & SOCK_NONBLOCK;
}

void conn_connected(struct conn *c, int fd)
{
    if (c->stage != CONN_NEW)
        return;
    c->role = POLICY_CLIENT;
    c->made_ns = clock_now_ns();
    c->stage = c->inherited ? CONN_RAW : CONN_FRESH;
    require_begin(c);
}

void conn_accepted(int fd, int type_flags, struct conn *listener)
{
    struct conn *c = conn_new(fd, listener && listener->kernel_only ? CONN_RAW : CONN_FRESH);

    if (!c)
        return;
    c->role = POLICY_SERVER;
    c->nonblock = type_flags & SOCK_NONBLOCK;
    c->made_ns = clock_now_ns();
    require_begin(c);
}

struct conn *conn_wired(int fd, int type_flags, enum policy_role role)
{
    struct conn *c = conn_new(fd, CONN_NEW);

    if (!c)
        return NULL;
    c->role = (uint8_t)role;
    c->nonblock = type_flags & SOCK_NONBLOCK;
    return c;
}

void conn_listening(struct conn *c)
{
    if (c->stage == CONN_NEW)
        c->stage = CONN_LISTEN;
}

void conn_duped(int oldfd, int newfd)
{
    struct conn *c = conn_get(oldfd);

    if (oldfd != newfd)
        name(newfd, c);
    if (c)
        conn_put(c);
    else
        epoll_duped(oldfd, newfd);
}

static bool is_tcp(int fd)
{
    int domain = 0, type = 0, protocol = 0;
    socklen_t n = sizeof(int);

    return !sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) &&
           (domain == AF_INET || domain == AF_INET6) &&
           !sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) && type == SOCK_STREAM &&
           !sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) && protocol == IPPROTO_TCP;
}

// An adopted socket that is connected was made by a process that may still hold it. If it has a
// channel, we join; else it stays with the kernel, because nobody could tell that process of a
// switch.
void conn_adopt(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int listening = 0;
    socklen_t n = sizeof listening;
    struct conn *c;

    if (fdtab_kind(fd) != FD_NONE)
        return;
    if (!is_tcp(fd)) {
        wire_adopt(fd);
        return;
    }
    sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n);
    c = conn_new(fd, listening ? CONN_LISTEN : CONN_NEW);
    if (!c)
        return;
    c->inherited = true;
    c->nonblock = sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK;
    if (sys_call(SYS_getpeername, fd, &peer, &len) == 0)
        conn_join(c, fd);
}

// ---- closing ----

// The last number of this process: the peer should look at its twin, where the FIN is unless
// another process holds the socket. It would find out by itself, some 100 us later.
static void tell_peer(struct conn *c)
{
    if (c->chan.shared && c->carrier->twin && atomic_load(&c->fds) == 0 &&
        !end_has(c->end, END_SHARED))
        chan_hint(&c->chan);
}

void conn_closing(int fd)
{
    struct conn *c = conn_get(fd);

    if (!c) {
        epoll_closing(fd);
        return;
    }
    sock_enter();
    wire_closing(c, fd);
    name(fd, NULL);
    tell_peer(c);
    sock_leave();
    conn_put(c);
}

// TCP answers a close before everything was read with RST (RFC 9293, section 3.6.1). The kernel
// sees an empty twin, so it has to be told.
static void reset_if_unread(struct conn *c, int fd)
{
    const struct linger now = {1, 0};

    if (atomic_load(&c->fds) > 1 || !conn_rx_ring(c) || end_has(c->end, END_SHARED | END_RX_SHUT))
        return;
    if (!c->carrier->twin) { // the engine knows what is unread
        if (end_has(c->end, END_HARD))
            c->carrier->abort(c, fd);
        return;
    }
    sock_lock(&c->end->rx_lock, false);
    if (chan_avail(&c->chan, &c->end->rx, 1) > 0)
        sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    sock_unlock(&c->end->rx_lock, false);
}

int conn_close(int fd)
{
    struct conn *c = conn_get(fd);
    int err;

    if (!c) {
        epoll_closing(fd);
        return sys_close(fd);
    }
    sock_enter();
    wire_closing(c, fd);
    reset_if_unread(c, fd);
    name(fd, NULL);
    err = sys_close(fd);
    tell_peer(c);
    sock_leave();
    conn_put(c);
    return err;
}

// ---- fork ----

static bool may_be_used_later(const struct conn *c)
{
    return c->stage == CONN_FRESH && !c->inherited;
}

// What only this process can carry goes back to the twin; all at the same time.
static void bring_back_mirrored(void)
{
    uint64_t deadline_ns = clock_now_ns() + FORK_BACK_NS;

    for (int pass = 0; pass < 2; pass++)
        for (int fd = 0; fd < fdtab_limit(); fd++) {
            struct conn *c = conn_get(fd);

            if (c && c->far)
                conn_leave_lane(c, fd, pass ? deadline_ns : 0, "a process was forked");
            if (c)
                conn_put(c);
        }
}

// What was not used yet gets its end now, so that parent and child share it.
void conn_before_fork(void)
{
    if (mirror_in_use())
        bring_back_mirrored();
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        if (may_be_used_later(c))
            conn_decide(c, fd);
        if (c->stage == CONN_NEW || c->stage == CONN_FRESH)
            c->inherited = true; // not connected yet: no end to share
        conn_put(c);
    }
    epoll_before_fork();
    sock_lock(&self.lock, false);
    end_before_fork();
}

// The child's claims are its parent's: it makes its own when it uses the connection.
static void forget_claim(struct conn *c)
{
    c->registered = false;
    if (c->stage == CONN_CLAIMED)
        c->stage = CONN_HOPEFUL;
    list_del(&c->claimed);
}

void conn_after_fork(bool child)
{
    if (child) {
        sock_thread.tid = 0;
        self_forked();
        mirror_forked();
        for (int fd = 0; fd < fdtab_limit(); fd++) {
            struct conn *c = conn_of(fdtab_word(fd));

            if (!c)
                continue;
            atomic_store(&c->users, 0);
            atomic_store(&c->early, 0); // those threads are the parent's
            forget_claim(c);
            if (c->end)
                holders_add_self(c->end);
            if (c->far)
                mirror_forget(c, fd);
        }
        atomic_store(&self.lock.owner, 0);
    } else {
        sock_unlock(&self.lock, false);
    }
    epoll_after_fork(child);
}
