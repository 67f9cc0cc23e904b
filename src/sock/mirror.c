// SPDX-License-Identifier: BSD-2-Clause
#include "sock/mirror.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/sys.h"
#include "cm/choice.h"
#include "sock/fdtab.h"
#include "sock/holders.h"
#include "sock/move.h"
#include "sock/self.h"
#include "shunt/info.h"

#include <stdlib.h>
#include <string.h>

#define END_NS   (5 * NS_PER_S)  // for the last bytes, after the twin has ended
#define LOSS_NS  (10 * NS_PER_S) // to go back after a loss
#define DRAIN_NS (1 * NS_PER_S)

// A connection's part.
struct conn_far {
    struct chan_mirror *mirror; // NULL: not begun to open
    uint64_t channel_id;
    int side;
    size_t endpoint_bytes;
    uint8_t endpoint[MIRROR_ENDPOINT_MAX];
    uint8_t early[MIRROR_RELAY_MAX], relay[MIRROR_RELAY_MAX]; // to the lane, from the lane
    size_t early_bytes, relay_bytes;
    _Atomic bool gone;    // nothing can be relayed any more
    uint64_t asked;       // the tail for which the peer was asked to say what it has consumed
    uint64_t ended_ns;    // when the twin was seen to have ended before the bytes had; 0: not
    uint64_t deadline_ns; // to go back after a loss; 0: nothing is lost
};

static struct pool fars = {(sizeof(struct conn_far) + 63) / 64 * 64, NULL};
static const struct mirror_lane *_Atomic lane; // NULL: not started in this process

int conn_lane(const struct conn *c)
{
    return c->far ? SHUNT_LANE_RDMA : c->ring_lane;
}

// ---- the lane in this process ----

static int own(int fd)
{
    fd = cm_fd_up(fd);
    fdtab_set(fd, FD_OWN, NULL);
    return fd;
}

static void lose(int fd)
{
    fdtab_set(fd, FD_NONE, NULL);
}

static bool may_be_slow(void)
{
    return !sock_in_handler();
}

static void start_locked(void)
{
    static const struct mirror_host host = {own, lose, may_be_slow};
    static bool added;
    const struct mirror_lane *l = atomic_load(&lane) ? NULL : cm_mirror_lane();

    if (!l || l->start(&host) || (!added && pumps_add(l->pump)))
        return;
    if (!added)
        atexit(mirror_drain);
    added = true;
    atomic_store(&lane, l);
}

// Loading and starting takes a while; meanwhile other threads wait.
static void start(void)
{
    static struct sock_lock lock;

    if (atomic_load(&lane) || !may_be_slow())
        return;
    sock_lock(&lock, false);
    start_locked();
    sock_unlock(&lock, false);
}

void mirror_start(const uint8_t *lanes, uint8_t n)
{
    if (memchr(lanes, SHUNT_LANE_RDMA, n))
        start();
}

static void take_off(struct cm_wish *wish)
{
    uint8_t n = 0;

    for (uint8_t i = 0; i < wish->n_lanes; i++)
        if (wish->lanes[i] != SHUNT_LANE_RDMA)
            wish->lanes[n++] = wish->lanes[i];
    wish->n_lanes = n;
}

void mirror_wish(const struct conn *c, int fd, struct cm_wish *wish)
{
    static uint8_t endpoint[MIRROR_ENDPOINT_MAX]; // the same for all
    const struct mirror_lane *l = atomic_load(&lane);

    if (!memchr(wish->lanes, SHUNT_LANE_RDMA, wish->n_lanes))
        return;
    if (!l || !holders_only_self(c->end, fd)) {
        take_off(wish);
        return;
    }
    wish->endpoint = endpoint;
    wish->endpoint_bytes = l->endpoint(endpoint);
}

// ---- answers of shuntd ----

int mirror_matched(struct conn *c, const struct cm_channel *ch)
{
    struct conn_far *f;
    int err;

    if (!atomic_load(&lane) || ch->peer_endpoint_bytes > sizeof f->endpoint)
        return -EPROTO;
    f = pool_take(&fars);
    err = f ? conn_map(c, ch, atomic_load(&c->end->generation)) : -ENOMEM;
    if (err) {
        if (f)
            pool_give(&fars, f);
        return err;
    }
    f->channel_id = ch->channel_id;
    f->side = ch->side;
    f->endpoint_bytes = ch->peer_endpoint_bytes;
    memcpy(f->endpoint, ch->peer_endpoint, ch->peer_endpoint_bytes);
    c->far = f;
    return 0;
}

// What is relayed before we have begun is the peer's OPEN.
void mirror_relayed(struct conn *c, const void *bytes, size_t n)
{
    struct conn_far *f = c->far;

    if (f && f->mirror) {
        atomic_load(&lane)->incoming(f->mirror, bytes, n);
    } else if (f && n <= sizeof f->early) {
        memcpy(f->early, bytes, n);
        f->early_bytes = n;
    }
}

void mirror_gone(struct conn *c, enum cm_gone why)
{
    if (c->far)
        atomic_store(&c->far->gone, true);
}

// ---- opening ----

// Under self.lock.
static int begin(struct conn *c)
{
    struct conn_far *f = c->far;
    const struct mirror_lane *l = atomic_load(&lane);
    const struct mirror_call call = {
        .channel_id = f->channel_id,
        .side = f->side,
        .chan = c->chan,
        .endpoint = f->endpoint,
        .endpoint_len = f->endpoint_bytes,
        .local = &c->end->rec.local.sa,
        .remote = &c->end->rec.remote.sa,
    };
    int err = l->open(&call, &f->mirror);

    if (err)
        return err;
    c->chan.pump = l->pump;
    c->chan.pumped = (uintptr_t)f->mirror;
    if (f->early_bytes)
        l->incoming(f->mirror, f->early, f->early_bytes);
    return 0;
}

// Under self.lock. True: nothing is left.
static bool relay_all(struct conn *c)
{
    struct conn_far *f = c->far;
    const struct mirror_lane *l = atomic_load(&lane);

    do {
        if (!f->relay_bytes)
            f->relay_bytes = l->outgoing(f->mirror, f->relay);
        if (f->relay_bytes && cm_relay(self.cm, c->cookie, f->relay, f->relay_bytes) == -EAGAIN)
            return false;
    } while (f->relay_bytes && !(f->relay_bytes = 0));
    return true;
}

static void relay(struct conn *c)
{
    sock_lock(&self.lock, false);
    if (c->far && c->far->mirror)
        relay_all(c);
    sock_unlock(&self.lock, false);
}

bool mirror_told(struct conn *c)
{
    return relay_all(c);
}

// The connection stays on the twin, for a while at least.
static void give_up(struct conn *c, const char *why)
{
    sock_lock(&self.lock, false);
    if (c->far && c->stage == CONN_CLAIMED) {
        cm_drop(self.cm, c->cookie);
        c->registered = false;
        conn_reason(c, why);
        mirror_free(c);
        chan_blank(&c->chan);
        c->generation = CONN_NO_CHANNEL;
        end_rest(c->end);
        c->stage = end_has(c->end, END_FROZEN) ? CONN_RAW : CONN_HOPEFUL;
    }
    sock_unlock(&self.lock, false);
}

void mirror_stop(struct conn *c, const char *why)
{
    if (c->far)
        give_up(c, why);
}

static bool opened(struct conn *c)
{
    sock_lock(&self.lock, false);
    if (c->stage == CONN_CLAIMED) {
        conn_reason(c, "");
        c->stage = CONN_MAPPED;
    }
    sock_unlock(&self.lock, false);
    return c->stage == CONN_MAPPED;
}

static int begin_locked(struct conn *c)
{
    int err = 0;

    sock_lock(&self.lock, false);
    if (c->far && !c->far->mirror)
        err = begin(c);
    sock_unlock(&self.lock, false);
    return err;
}

bool mirror_open(struct conn *c, int fd)
{
    const struct mirror_lane *l = atomic_load(&lane);
    struct conn_far *f = c->far;

    if (!may_be_slow())
        return false;
    if (end_has(c->end, END_FROZEN) || (!f->mirror && !holders_only_self(c->end, fd))) {
        give_up(c, HELD_ELSEWHERE);
        return false;
    }
    if (begin_locked(c)) {
        give_up(c, "rdma: the channel cannot be opened");
        return false;
    }
    l->advance();
    relay(c);
    switch (l->state(f->mirror)) {
    case MIRROR_OPENING:
        if (atomic_load(&f->gone))
            give_up(c, "rdma: the peer has left");
        return false;
    case MIRROR_OPEN:
        return opened(c);
    default:
        give_up(c, l->reason(f->mirror));
        return false;
    }
}

// ---- loss ----

// A peer that has closed, or died, with all its bytes here needs no lane any more.
static bool is_lost(const struct conn *c)
{
    return atomic_load(&lane)->state(c->far->mirror) != MIRROR_OPEN && !mirror_peer_closed(c);
}

// It was to send again what we have not read; now all that there will be is in the ring.
static void stop_holding(struct conn *c)
{
    bool alone = end_alone(c->end);

    sock_lock(&c->end->rx_lock, alone);
    end_clear(c->end, END_HOLD);
    sock_unlock(&c->end->rx_lock, alone);
    conn_rouse(c);
}

// Both sides leave the lane (leave.c), with their lines relayed by shuntd.
static void serve_loss(struct conn *c, int fd)
{
    struct conn_far *f = c->far;
    bool gone = atomic_load(&f->gone);

    if (!f->deadline_ns) {
        f->deadline_ns = clock_now_ns() + LOSS_NS;
        conn_lane_lost(c, fd, atomic_load(&lane)->reason(f->mirror));
    }
    relay(c);
    conn_answers(0);
    if (!gone && clock_now_ns() < f->deadline_ns)
        return;
    if (c->far != f || end_has(c->end, END_DEAD) || conn_is_home(c, fd))
        return;
    conn_reason(c, "the lane was lost, and the peer cannot be reached");
    conn_abort(c, fd);
}

void mirror_serve(struct conn *c, int fd)
{
    struct conn_far *f = c->far;

    if (!f->mirror)
        return;
    if (may_be_slow())
        atomic_load(&lane)->advance();
    if (!conn_rx_ring(c) || !conn_tx_ring(c))
        pump_look(&c->chan); // nobody finds an empty ring that would make him look
    if (unlikely(end_has(c->end, END_HOLD)) && mirror_peer_closed(c))
        stop_holding(c);
    if (unlikely(is_lost(c))) {
        serve_loss(c, fd);
    } else if (unlikely(f->ended_ns) && !mirror_settled(c) && !end_has(c->end, END_DEAD) &&
               clock_now_ns() - f->ended_ns >= END_NS) {
        conn_reason(c, "the peer ended, and its last bytes did not come");
        conn_abort(c, fd);
    }
}

// ---- data ----

bool mirror_may_put(const struct conn *c)
{
    return !c->far->mirror || atomic_load(&lane)->ready(c->far->mirror);
}

static bool settled(const struct conn *c)
{
    if (c->stage != CONN_MAPPED)
        return true; // not open yet: all goes by the twin
    if (is_lost(c))
        return !conn_rx_ring(c) && chan_rx_granted(&c->chan);
    return atomic_load(&lane)->ended(c->far->mirror) != MIRROR_GOING ||
           (!conn_rx_ring(c) && !atomic_load(&c->chan.rx->ready));
}

bool mirror_settled(struct conn *c)
{
    // after our own SHUT_RD the twin seems to have ended, too
    if (end_has(c->end, END_RX_SHUT) || settled(c))
        return true;
    if (!c->far->ended_ns)
        c->far->ended_ns = clock_now_ns();
    return false;
}

bool mirror_peer_closed(const struct conn *c)
{
    return c->far->mirror && atomic_load(&lane)->ended(c->far->mirror) == MIRROR_CLOSED;
}

void mirror_finish(struct conn *c)
{
    if (c->far->mirror)
        atomic_load(&lane)->finish(c->far->mirror);
}

// ---- the end ----

void mirror_free(struct conn *c)
{
    struct conn_far *f = c->far;

    if (f->mirror)
        atomic_load(&lane)->close(f->mirror);
    list_del(&c->claimed);
    pool_give(&fars, f);
    c->far = NULL;
    c->chan.pump = NULL;
}

void mirror_ask_head(struct conn *c)
{
    if (c->far->asked == c->end->tx.tail)
        return;
    c->far->asked = c->end->tx.tail;
    chan_hint(&c->chan);
}

void mirror_drain(void)
{
    const struct mirror_lane *l = atomic_load(&lane);

    if (l)
        l->drain(DRAIN_NS);
}

bool mirror_in_use(void)
{
    return atomic_load(&lane) != NULL;
}

// A connection whose peer did not let it go back in time is its parent's alone: here its number
// means a socket that says that it is not connected.
static void sever(int fd)
{
    int dead = (int)sys_call(SYS_socket, AF_INET, SOCK_STREAM, 0);

    log_error("connection %d: its peer did not answer before the fork, it stays with the parent",
              fd);
    sys_call(SYS_dup3, dead, fd, 0);
    sys_close(dead);
}

void mirror_forget(struct conn *c, int fd)
{
    sever(fd);
    c->far = NULL; // its memory is the parent's lane's to speak of
    c->stage = CONN_RAW;
    conn_unmap(c);
}

void mirror_forked(void)
{
    const struct mirror_lane *l = atomic_exchange(&lane, NULL);

    if (l)
        l->forked();
}
