// SPDX-License-Identifier: BSD-2-Clause
// Leaving a lane for a while.
//
// A side that leaves sends by the twin from then on, and asks the other one to do the same. Bytes
// that have arrived are read from the ring as before; a mirrored channel, where some may be lost,
// holds its consumer instead, and what it has not read is sent again by the twin. Who has both
// directions with the twin, nothing left to send again, and the promise of both producers to stay
// there, needs the channel no more: its last words to the peer stand in the header, which the peer
// has mapped itself. So each side ends the channel on its own, and claims the connection anew at
// once, so that shuntd forgets the old channel; the next one is made when both have done so, and
// begins at epoch 0.
//
// An ended channel is blanked and not unmapped: threads that look at rings without a lock find an
// idle one. Other processes that share the end find it by its generation.
#include "base/clock.h"
#include "base/sys.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/self.h"

#include <fcntl.h>

#define REST_FIRST_NS (1 * NS_PER_MS)
#define REST_LAST_NS  (1 * NS_PER_S)
#define CALM_NS       (10 * NS_PER_S) // a lane that held so long was a good one

static void ring_own(struct conn *c)
{
    static const uint64_t one = 1;

    sys_write(c->chan.bell, &one, sizeof one);
}

void conn_lane_lost(struct conn *c, int fd, const char *reason)
{
    struct sock_end *e = c->end;
    bool alone;

    if (!e || c->stage != CONN_MAPPED || end_has(e, END_LEAVING) || !conn_current(c))
        return;
    alone = end_alone(e);
    conn_reason(c, reason);
    sock_lock(&e->rx_lock, alone);
    if (conn_current(c)) {
        end_set(e, c->far ? END_LEAVING | END_HOLD : END_LEAVING);
        atomic_store(&c->chan.rx->ready, 0);
        chan_ask(&c->chan,
                 c->far ? CHAN_WANT_AGAIN | CHAN_WANT_ANEW : CHAN_WANT_CARRIER | CHAN_WANT_ANEW);
    }
    sock_unlock(&e->rx_lock, alone);
    ring_own(c);
}

// On shared memory our own direction need not be asked for.
static void leave_tx(struct conn *c)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);

    sock_lock(&e->tx_lock, alone);
    if (!c->far)
        conn_tx_return(c);
    sock_unlock(&e->tx_lock, alone);
}

// ---- is it over? ----

// Under both locks of the end.
static bool is_home(const struct conn *c)
{
    const struct sock_end *e = c->end;
    const struct chan *ch = &c->chan;
    uint64_t mark;

    return c->stage == CONN_MAPPED && conn_current(c) && end_has(e, END_LEAVING) &&
           !conn_tx_ring(c) && !conn_rx_ring(c) && e->again_from == e->again_to &&
           atomic_load(&ch->tx->granted) && atomic_load(&ch->rx->granted) &&
           !chan_rx_moved(ch, &e->rx, &mark);
}

static void lock_both(struct sock_end *e, bool alone)
{
    sock_lock(&e->rx_lock, alone);
    sock_lock(&e->tx_lock, alone);
}

static void unlock_both(struct sock_end *e, bool alone)
{
    sock_unlock(&e->tx_lock, alone);
    sock_unlock(&e->rx_lock, alone);
}

bool conn_is_home(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e), home;

    lock_both(e, alone);
    while (conn_follow(c, fd))
        ;
    home = is_home(c);
    unlock_both(e, alone);
    return home;
}

// ---- the end ----

void end_rest(struct sock_end *e)
{
    uint64_t now_ns = clock_now_ns(), until_ns = atomic_load(&e->rest_until_ns);

    if (now_ns > until_ns + CALM_NS)
        e->rest_ns = REST_FIRST_NS;
    else
        e->rest_ns = MIN(2 * e->rest_ns, REST_LAST_NS);
    atomic_store(&e->rest_until_ns, now_ns + e->rest_ns);
}

bool end_rested(const struct sock_end *e)
{
    uint64_t until_ns = atomic_load_explicit(&e->rest_until_ns, memory_order_relaxed);

    return likely(!until_ns) || clock_now_ns() >= until_ns;
}

static void start_over(struct sock_end *e)
{
    e->tx.head = e->tx.tail = e->rx.head = e->rx.tail = 0;
    e->again_from = e->again_to = 0;
    atomic_store(&e->tx.epoch, 0);
    atomic_store(&e->rx.epoch, 0);
    end_clear(e, END_READY | END_ATTACHED | END_LEAVING | END_HOLD);
    atomic_fetch_add(&e->generation, 1);
    end_rest(e);
}

// Under self.lock and both locks of the end.
static bool forget_channel(struct conn *c)
{
    if (c->far)
        mirror_free(c);
    if (chan_blank(&c->chan))
        return false; // no memory for it: at the next call
    c->generation = CONN_NO_CHANNEL;
    c->hint_seen = 0;
    c->stage = end_has(c->end, END_FROZEN) ? CONN_RAW : CONN_HOPEFUL;
    return true;
}

// shared_part: for the whole family, if it is over; else only here, if another process has done
// that.
static void end_channel(struct conn *c, bool shared_part)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e), ended;

    sock_lock(&self.lock, false);
    lock_both(e, alone);
    ended = shared_part ? is_home(c) : c->stage == CONN_MAPPED && !conn_current(c);
    ended = ended && (!c->far || mirror_told(c)) && forget_channel(c);
    if (ended && shared_part)
        start_over(e);
    unlock_both(e, alone);
    if (ended) {
        conn_rouse(c);
        if (c->registered)
            cm_drop(self.cm, c->cookie);
        c->registered = false;
    }
    sock_unlock(&self.lock, false);
}

void conn_leave(struct conn *c, int fd)
{
    bool far;

    conn_serve(c, fd);
    leave_tx(c);
    if (!conn_is_home(c, fd))
        return;
    far = c->far;
    // nobody may block in the kernel's recv while READY; now everything comes from there
    end_clear(c->end, END_READY);
    epoll_conn_down(c);
    end_channel(c, true);
    if (!far)
        conn_claim(c, fd, true); // a lane to another host may need the rest itself
}

void conn_let_go(struct conn *c)
{
    epoll_conn_down(c);
    end_channel(c, false);
}

// ---- the next one ----

// Sleepers may hold the old bell, or the new one without having armed the new channel.
int conn_renew(struct conn *c, const struct cm_channel *ch)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    int old = sys_fcntl(c->chan.bell, F_DUPFD_CLOEXEC, 0), err;
    static const uint64_t one = 1;

    lock_both(e, alone);
    ring_own(c);
    err = chan_renew(&c->chan, ch->memfd, ch->side, ch->bell, ch->peer_bell);
    c->hint_seen = 0;
    unlock_both(e, alone);
    if (!err)
        conn_rouse(c);
    if (old >= 0) {
        sys_write(old, &one, sizeof one);
        sys_close(old);
    }
    return err;
}
