// SPDX-License-Identifier: BSD-2-Clause
// Waiting for one connection: what holds now, spinning, sleep.
#include "base/clock.h"
#include "base/sys.h"
#include "chan/pump.h"
#include "cm/wire.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/self.h"

#include <sys/ioctl.h>

#define TURN    16 // looks at the ring between two looks at the clock
#define PASSES  32 // of a ring in turn, one right after the other
#define PASS_NS (1 * NS_PER_MS)

// ---- what holds now ----

static int64_t avail_now(struct conn *c, uint64_t want)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    int64_t n;

    sock_lock(&e->rx_lock, alone);
    n = end_has(e, END_HOLD) || !conn_rx_ring(c) ? 0 : chan_avail(&c->chan, &e->rx, want);
    sock_unlock(&e->rx_lock, alone);
    return n;
}

static int64_t room_now(struct conn *c, uint64_t want)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    int64_t n;

    sock_lock(&e->tx_lock, alone);
    n = conn_tx_ring(c) && conn_may_put(c) ? conn_room(c, want) : 0;
    sock_unlock(&e->tx_lock, alone);
    return n;
}

static bool follow(struct conn *c, int fd)
{
    bool alone = end_alone(c->end), followed;

    sock_lock(&c->end->rx_lock, alone);
    followed = conn_follow(c, fd);
    sock_unlock(&c->end->rx_lock, alone);
    return followed;
}

// What the rings say, and the flags that were noted of the twin.
static short ring_mask(struct conn *c)
{
    const struct sock_end *e = c->end;
    short mask = 0;
    int64_t quarter = conn_tx_bytes(c) / 4;
    int64_t avail = conn_rx_ring(c) ? avail_now(c, e->rcvlowat) : 0;

    if (avail < 0 || end_has(e, END_BROKEN))
        return POLLIN | POLLOUT | POLLERR | POLLHUP;
    if (end_has(e, END_RDHUP))
        mask |= POLLIN | POLLRDHUP;
    if (conn_rx_ring(c) && (avail >= e->rcvlowat || end_has(e, END_RX_SHUT)))
        mask |= POLLIN;
    else if (avail && conn_rx_ends(c))
        mask |= POLLIN; // the rest will be in the twin
    if (conn_tx_ring(c) && (end_has(e, END_TX_SHUT) || room_now(c, quarter) >= quarter))
        mask |= POLLOUT;
    return mask;
}

// What the carrier says; but of a mirrored connection's end only what a read would say, too.
static short twin_mask(struct conn *c, int fd, short ask)
{
    short mask = c->carrier->poll(c, fd, ask);
    int unread = 0;

    if (likely(!c->far) || !(mask & (POLLRDHUP | POLLHUP)) || (mask & POLLERR) || mirror_settled(c))
        return mask;
    if (!sys_ioctl(fd, FIONREAD, &unread) && !unread)
        mask &= ~POLLIN;
    return mask & ~(POLLRDHUP | POLLHUP);
}

short conn_mask(struct conn *c, int fd)
{
    conn_look_if_due(c, fd);
    return conn_mask_told(c, fd);
}

short conn_mask_told(struct conn *c, int fd)
{
    short mask, ask = 0;

    conn_look_if_hinted(c, fd);
    conn_serve(c, fd);
    mask = ring_mask(c);
    // nothing to read where bytes came from so far: have they moved?
    if (!(mask & POLLIN) && follow(c, fd))
        mask = ring_mask(c);
    if (!conn_rx_ring(c))
        ask |= POLLIN | POLLPRI | POLLRDHUP;
    if (!conn_tx_ring(c))
        ask |= POLLOUT;
    if (ask || end_has(c->end, END_DEAD))
        mask |= twin_mask(c, fd, ask);
    if (end_has(c->end, END_RDHUP) && end_has(c->end, END_TX_SHUT))
        mask |= POLLHUP;
    if (unlikely(!c->carrier->twin) && wire_is_urgent(c))
        mask |= POLLPRI;
    // the twin was drained and the bytes go on in the ring
    if (!conn_rx_ring(c) && !(mask & POLLIN) && follow(c, fd))
        mask |= ring_mask(c);
    return mask;
}

// ---- sleep ----

static bool any(_Atomic uint32_t *n)
{
    return atomic_load(n) != 0;
}

// Is there something for sleepers besides this one?
static bool due_to_others(struct conn *c, bool rx, bool room)
{
    struct sock_end *e = c->end;
    bool more_rx = atomic_load(&e->rx_sleepers) > rx, more_tx = atomic_load(&e->tx_sleepers) > room;

    return (more_rx && conn_rx_ring(c) && chan_stored(c->chan.rx) > 0) ||
           (more_tx && (!conn_tx_ring(c) || chan_stored(c->chan.tx) < conn_tx_bytes(c)));
}

void conn_arm(struct conn *c, bool rx, bool room)
{
    if (!c->carrier->twin)
        cm_wire_arm(&c->chan);
    // where all of the ring is used, whoever consumes knows what half of it is
    chan_arm(&c->chan, rx, !room ? 0 : c->end->tx_limit ? MAX(conn_tx_bytes(c) / 2, 2U) : 1);
}

// Who has heard a ring that others may have missed rings again. They may have to wait for a core,
// or be stopped, or have been killed and never uncounted: if it goes on it is done at leisure.
static void pass_on(struct conn *c)
{
    const struct timespec leisure = {0, PASS_NS};
    static const uint64_t one = 1;

    sys_write(c->chan.bell, &one, sizeof one);
    if (atomic_fetch_add(&c->end->passes, 1) >= PASSES)
        sys_call(SYS_nanosleep, &leisure, NULL);
}

// One bell wakes all sleepers of an end, and the first one clears it, perhaps before another has
// looked at it. So each ring is passed on while it is due to another, and a direction that moves
// between the last look of a sleeper and its sleep, or during that, wakes it in any case:
//   rx to the twin: the sleeper polls the twin for bytes, though none come there now
//   rx to the ring: as its bytes, for which all are armed
//   tx to the twin: tx_sleepers counts those alone that sleep for room in the ring
//   tx to the ring: the peer reads what the twin still has, and that makes room in the twin
bool conn_sleep(struct conn *c, bool rx, bool tx)
{
    struct sock_end *e = c->end;
    bool rang, room;

    if (rx)
        atomic_fetch_add(&e->rx_sleepers, 1);
    if (tx)
        atomic_fetch_add(&e->tx_sleepers, 1);
    rang = chan_bell_clear(&c->chan);
    room = tx && conn_tx_ring(c); // counted before and asked after: a move between rings
    if (tx && !room)
        atomic_fetch_sub(&e->tx_sleepers, 1);
    conn_arm(c, any(&e->rx_sleepers), any(&e->tx_sleepers));
    chan_offer_room(&c->chan);
    if (rang && due_to_others(c, rx, room))
        pass_on(c);
    else if (rang)
        atomic_store(&e->passes, 0);
    if (unlikely(!list_empty(&c->watches)))
        epoll_conn_stir(c, false);
    return room;
}

void conn_woken(struct conn *c, bool rx, bool room)
{
    if (rx)
        atomic_fetch_sub(&c->end->rx_sleepers, 1);
    if (room)
        atomic_fetch_sub(&c->end->tx_sleepers, 1);
}

short conn_twin_events(const struct conn *c, bool rx, bool tx)
{
    short events = end_has(c->end, END_RDHUP) ? 0 : POLLRDHUP;

    if (!c->carrier->twin)
        return POLLRDHUP; // shuntd is gone
    if (rx && !conn_rx_ring(c))
        events |= POLLIN | POLLPRI;
    if (tx && !conn_tx_ring(c))
        events |= POLLOUT;
    return events;
}

// After the peer's FIN the twin is readable for good.
short conn_sleep_events(const struct conn *c, bool rx, bool twin_tx)
{
    short events = conn_twin_events(c, rx, false);

    if (!c->carrier->twin)
        return events;
    if (rx && !end_has(c->end, END_RDHUP))
        events |= POLLIN;
    return (short)(events | (twin_tx ? POLLOUT : 0));
}

// One sleep of conn_wait().
struct nap {
    struct conn *c;
    bool rx, tx, room; // room: as conn_sleep() said
    struct pump_sleep pumped;
};

static void woken(struct nap *nap)
{
    pumps_woken(&nap->pumped);
    conn_woken(nap->c, nap->rx, nap->room);
}

// How long one may sleep; a producer whose peer has sent FIN hears no more from the twin, and
// looks.
static struct timespec *how_long(struct conn *c, bool tx, uint64_t deadline_ns, struct timespec *ts)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t ns = deadline_ns == CLOCK_NEVER ? CLOCK_NEVER : deadline_ns - MIN(now_ns, deadline_ns);

    if (tx && end_has(c->end, END_RDHUP))
        ns = MIN(ns, 10 * NS_PER_MS);
    if (ns == CLOCK_NEVER)
        return NULL;
    *ts = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    return ts;
}

// What an interrupted sleep means: signal(7) restarts a socket call after SA_RESTART handlers
// unless it has a timeout.
static int interrupted(const struct conn_call *call, uint32_t restarts)
{
    if (sock_thread.interrupts != call->interrupts || call->timeout_ns)
        return -EINTR;
    return sock_thread.restarts != restarts ? 0 : -EINTR;
}

static int sleep_once(const struct nap *nap, int fd, struct conn_call *call)
{
    const struct pump_sleep *pumped = &nap->pumped;
    struct conn *c = nap->c;
    short twin = conn_sleep_events(c, nap->rx, nap->tx && !nap->room);
    struct pollfd p[2 + PUMPS] = {{fd, twin, 0}, {c->chan.bell, POLLIN, 0}};
    uint32_t restarts = sock_thread.restarts;
    struct timespec ts,
        *left = how_long(c, nap->tx, MIN(call->deadline_ns, pumped->deadline_ns), &ts);
    sigset_t before;
    int n = 0;

    for (uint32_t i = 0; i < pumped->n_fds; i++)
        p[2 + i] = (struct pollfd){pumped->fd[i], POLLIN, 0};
    sock_hold_signals(&before);
    if (sock_thread.interrupts == call->interrupts)
        n = real.ppoll(p, 2 + pumped->n_fds, left, &before) < 0 ? interrupted(call, restarts) : 0;
    else
        n = -EINTR;
    sock_release_signals(&before);
    if (p[0].revents & (POLLRDHUP | POLLERR | POLLHUP)) {
        sock_enter();
        conn_look(c, fd);
        sock_leave();
    }
    return n;
}

// Can the waiter go on? It may need more than readiness tells (a peek of many bytes), or less (a
// blocking writer goes on as soon as there is any room, a reader with any byte).
static bool holds(struct conn *c, int fd, short events, const struct conn_call *call)
{
    int64_t need = (int64_t)MAX(call->need, (size_t)1);
    short mask;
    bool yes = false;

    sock_enter();
    mask = conn_mask(c, fd);
    if ((events & POLLIN) && conn_rx_ring(c)) {
        yes = avail_now(c, (uint64_t)need) >= need || ((mask & POLLIN) && conn_rx_ends(c));
        events &= ~POLLIN;
    }
    if ((events & POLLOUT) && conn_tx_ring(c) && !yes)
        yes = room_now(c, 1) != 0;
    sock_leave();
    return yes || (mask & (events | POLLERR | POLLHUP | POLLRDHUP));
}

// ---- spinning ----

// A look that costs one load: has anything been published since?
static bool stirs(const struct conn *c, short events, size_t need)
{
    if ((events & POLLIN) && conn_rx_ring(c) && chan_stored(c->chan.rx) >= need)
        return true;
    return (events & POLLOUT) && conn_tx_ring(c) && chan_stored(c->chan.tx) < conn_tx_bytes(c) &&
           conn_may_put(c);
}

// Is it not the rings that the waiter waits for?
static bool waits_for_carrier(const struct conn *c, short events)
{
    return !conn_rx_ring(c) || ((events & POLLOUT) && !conn_tx_ring(c));
}

static bool spin(struct conn *c, int fd, short events, const struct conn_call *call)
{
    size_t need = MAX(call->need, (size_t)1);
    int turn = c->chan.pump ? 1 : TURN; // what has come is seen only by looking at the pump
    struct spin s;
    bool found = false;

    if (!spin_begin(&s, &c->spin, c->rule.spin_us))
        return false;
    do {
        for (int i = 0; i < turn && !found; i++) {
            found = stirs(c, events, need);
            clock_pause();
        }
        if (!found && pumps_any()) {
            pumps_look();
            found = stirs(c, events, need);
        }
        if (!found && waits_for_carrier(c, events))
            found = holds(c, fd, events, call);
        if (!found) {
            sock_enter();
            conn_look_if_due(c, fd);
            sock_leave();
            found = end_has(c->end, END_RDHUP | END_DEAD);
        }
        if (found || sock_thread.interrupts != call->interrupts || chan_wanted(&c->chan))
            break;
    } while (spin_go_on(&s));
    spin_end(&s);
    return found;
}

// ---- a wait ----

static void begin(struct conn_call *call)
{
    if (!call->deadline_ns)
        call->deadline_ns =
            call->timeout_ns ? clock_now_ns() + (uint64_t)call->timeout_ns : CLOCK_NEVER;
}

// One sleep, counted as such also if the thread is cancelled in it.
static int sleep_for(struct conn *c, int fd, short events, struct conn_call *call)
{
    struct nap nap __attribute__((cleanup(woken)));
    int err = 0;

    nap.c = c;
    nap.rx = events & POLLIN;
    nap.tx = events & POLLOUT;
    nap.room = conn_sleep(c, nap.rx, nap.tx);
    if (!pumps_arm(&nap.pumped) && !holds(c, fd, events, call)) {
        err = sleep_once(&nap, fd, call);
        atomic_fetch_add_explicit(&c->end->rec.waits_sleep, 1, memory_order_relaxed);
    }
    return err;
}

int conn_wait(struct conn *c, int fd, short events, struct conn_call *call)
{
    uint64_t start = clock_ticks();
    int err;

    if (unlikely(self.unshown)) {
        sock_enter();
        conn_show(c);
        sock_leave();
    }
    begin(call);
    if (spin(c, fd, events, call)) {
        atomic_fetch_add_explicit(&c->end->rec.waits_spin, 1, memory_order_relaxed);
        spin_learn(&c->spin, start);
        return 0;
    }
    err = sleep_for(c, fd, events, call);
    spin_learn(&c->spin, start);
    if (!err && call->deadline_ns != CLOCK_NEVER && clock_now_ns() >= call->deadline_ns &&
        !holds(c, fd, events, call))
        err = -EAGAIN;
    return err;
}
