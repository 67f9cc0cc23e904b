// SPDX-License-Identifier: BSD-2-Clause
// Moves between the twin and the ring. The protocol is chan.h's (epochs); here is who may move
// when:
//
//   A side says `ready` when none of its threads can be blocked in the kernel's recv any more
//   (END_READY keeps new ones out, rx_raw counts those inside) and its epoll sets watch the bell.
//   A producer goes to the ring when its consumer is ready and no thread is inside the kernel's
//   send. A producer goes back to the twin when its consumer has acknowledged the ring; or when the
//   peer has gone, since then nobody is left to acknowledge.
#include "sock/move.h"
#include "sock/mirror.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/info.h"
#include "sock/real.h"
#include "sock/self.h"
#include "shunt/info.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define LOOK_EVERY_NS (100 * NS_PER_US)
#define LOOK_TOLD_NS  (2 * NS_PER_MS)

void conn_rouse(struct conn *c)
{
    static const uint64_t one = 1;

    if (atomic_load(&c->end->rx_sleepers) || atomic_load(&c->end->tx_sleepers))
        sys_write(c->chan.bell, &one, sizeof one);
}

void conn_counted(struct conn *c)
{
    atomic_fetch_add_explicit(&c->end->rec.switches, 1, memory_order_relaxed);
    atomic_store_explicit(&c->end->rec.lane_tx, conn_tx_ring(c) ? conn_lane(c) : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&c->end->rec.lane_rx, conn_rx_ring(c) ? conn_lane(c) : 0,
                          memory_order_relaxed);
    info_log_lanes(c);
    conn_rouse(c); // they may be waiting for the wrong thing
}

// The producer's move, under tx_lock.
static void move(struct conn *c, uint64_t mark)
{
    chan_tx_move(&c->chan, &c->end->tx, mark);
    conn_counted(c);
}

// ---- how far the carrier is ----

static int tcp_info(int fd, struct tcp_info *info)
{
    socklen_t n = sizeof *info;

    return sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n);
}

// Bytes that programs have put into the socket since it was connected. One snapshot: what is not
// sent yet may be sent between two calls.
static int64_t carrier_written(int fd)
{
    struct tcp_info info = {0};
    int err = tcp_info(fd, &info);

    return err ? err
               : (int64_t)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans) +
                     info.tcpi_notsent_bytes;
}

static bool fin_counted(const struct tcp_info *info)
{
    enum { TIME_WAIT = 6, CLOSED = 7, CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };
    int s = info->tcpi_state;

    return s == TIME_WAIT || s == CLOSED || s == CLOSE_WAIT || s == LAST_ACK || s == CLOSING;
}

// Have programs read exactly mark bytes from the socket? A FIN that has come counts as one
// received.
static bool carrier_read_is(int fd, uint64_t mark)
{
    struct tcp_info info = {0};
    int unread = 0;

    if (tcp_info(fd, &info) || sys_ioctl(fd, SIOCINQ, &unread))
        return false;
    return info.tcpi_bytes_received - (uint64_t)unread - fin_counted(&info) == mark;
}

// ---- producer ----

// Under tx_lock. A thread that enters the kernel's send counts itself, then looks for END_MOVING,
// or for the stage where there was no end; here it is the other way about, so that one of the two
// sees the other.
static void to_ring(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    int64_t written;

    end_set(e, END_MOVING);
    if (!atomic_load(&e->tx_raw) && !atomic_load(&c->early)) {
        written = carrier_written(fd);
        if (written >= 0) {
            move(c, (uint64_t)written);
        }
    }
    end_clear(e, END_MOVING);
}

static void try_to_ring(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);

    if (!atomic_load_explicit(&c->chan.tx->ready, memory_order_acquire))
        return;
    sock_lock(&e->tx_lock, alone);
    if (c->stage == CONN_MAPPED && conn_current(c) && !conn_tx_ring(c) &&
        atomic_load(&c->chan.tx->ready) && chan_tx_acked(&c->chan, &e->tx) &&
        e->again_from == e->again_to && chan_wanted(&c->chan) == CHAN_WANT_NOTHING)
        to_ring(c, fd);
    sock_unlock(&e->tx_lock, alone);
}

bool conn_tx_return(struct conn *c)
{
    if (!conn_tx_ring(c))
        return true;
    // what a lane to another host has not delivered might have to be sent again
    if (c->chan.pump && chan_room(&c->chan, &c->end->tx, UINT64_MAX) != c->chan.ring_bytes) {
        if (c->far)
            mirror_ask_head(c);
        return false;
    }
    if (!chan_tx_acked(&c->chan, &c->end->tx))
        return false;
    move(c, c->end->tx.tail);
    return true;
}

// The consumer has stopped at its head and wants the rest by the carrier.
static void return_again(struct conn *c)
{
    struct sock_end *e = c->end;

    if (!conn_tx_ring(c) || !chan_tx_acked(&c->chan, &e->tx))
        return;
    if (chan_room(&c->chan, &e->tx, UINT64_MAX) < 0)
        return;
    e->again_from = e->tx.head;
    e->again_to = e->tx.tail;
    move(c, e->again_from);
}

int conn_send_again(struct conn *c, int fd)
{
    struct sock_end *e = c->end;

    if (!conn_current(c))
        return 0;
    while (e->again_from != e->again_to) {
        const uint8_t *at = c->chan.tx_ring + (e->again_from & (c->chan.ring_bytes - 1));
        long n = sys_call(SYS_sendto, fd, at, e->again_to - e->again_from,
                          MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);

        if (n < 0)
            return (int)n;
        e->again_from += (uint64_t)n;
    }
    if (e->again_to) {
        // the ring would go on from where its consumer stopped
        e->tx.tail = e->tx.head;
        atomic_store_explicit(&c->chan.tx->tail, e->tx.tail, memory_order_release);
        e->again_from = e->again_to = 0;
    }
    return 0;
}

bool conn_nobody_reads(const struct conn *c, int fd)
{
    return unlikely(c->far) ? mirror_peer_closed(c) : conn_peer_gone(fd);
}

// The peer has sent FIN. Half-closed or gone, from now on the kernel knows best what a send should
// do: accept, EPIPE, ECONNRESET.
static void peer_left(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e), gone;

    sock_lock(&e->tx_lock, alone);
    gone = conn_tx_ring(c) && conn_nobody_reads(c, fd);
    if (gone && e->tx.tail != atomic_load(&c->chan.tx->head))
        conn_abort(c, fd); // it died before it read all: a reset, as by TCP
    else if (!conn_tx_return(c) && gone)
        move(c, e->tx.tail);
    sock_unlock(&e->tx_lock, alone);
}

// Under tx_lock, as is the look at `want` before a move to the ring: so a grant is for good.
static void grant(struct conn *c, enum chan_want want)
{
    if (!conn_current(c))
        return;
    if (want & CHAN_WANT_AGAIN)
        return_again(c);
    else
        conn_tx_return(c);
    if (conn_tx_ring(c))
        return; // not acknowledged yet
    atomic_store(&c->chan.tx->granted, 1);
    chan_ring_peer(&c->chan);
}

void conn_serve(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);
    enum chan_want want = chan_wanted(&c->chan);

    if (unlikely(c->far))
        mirror_serve(c, fd);
    if (unlikely(want != CHAN_WANT_NOTHING && !atomic_load(&c->chan.tx->granted))) {
        sock_lock(&e->tx_lock, alone);
        grant(c, want);
        sock_unlock(&e->tx_lock, alone);
    }
    if (unlikely(e->again_from != e->again_to)) {
        sock_lock(&e->tx_lock, alone);
        conn_send_again(c, fd);
        sock_unlock(&e->tx_lock, alone);
    }
    if (unlikely(want & CHAN_WANT_ANEW))
        conn_lane_lost(c, fd, "the peer left the lane");
    if (unlikely(end_has(e, END_RDHUP | END_DEAD)) && conn_tx_ring(c) && c->carrier->twin)
        peer_left(c, fd);
}

// ---- consumer ----

bool conn_follow(struct conn *c, int fd)
{
    struct chan_rx *rx = &c->end->rx;
    uint64_t mark;

    if (!conn_current(c) || !chan_rx_moved(&c->chan, rx, &mark))
        return false;
    if (conn_rx_ring(c) && end_has(c->end, END_HOLD) && rx->head != mark) {
        if (unlikely(c->far) && (int64_t)(mark - atomic_load(&c->chan.rx->tail)) > 0)
            return false; // what it published before that is lost: the deadline ends it
        // it had moved of its own accord before it saw our wish: nothing is sent again
        end_clear(c->end, END_HOLD);
        return true;
    }
    if (conn_rx_ring(c) ? rx->head != mark : !carrier_read_is(fd, mark))
        return false;
    if (conn_rx_ring(c)) {
        rx->tail = rx->head; // the producer takes back what it published behind the mark
        if (end_has(c->end, END_HOLD))
            end_clear(c->end, END_HOLD);
    }
    chan_rx_follow(&c->chan, rx);
    conn_counted(c);
    return true;
}

// ---- the twin ----

void conn_look(struct conn *c, int fd)
{
    uint32_t found = 0;
    short news;

    atomic_store_explicit(&c->end->looked_ticks, clock_ticks(), memory_order_relaxed);
    news = c->carrier->poll(c, fd, POLLRDHUP);
    if (news & POLLRDHUP)
        found |= END_RDHUP;
    if (news & (POLLERR | POLLHUP))
        found |= END_DEAD;
    if (unlikely(c->far) && found && !(news & POLLERR) && !mirror_settled(c))
        return; // not before its last bytes are here
    if (found & ~atomic_load_explicit(&c->end->flags, memory_order_relaxed))
        end_set(c->end, found);
}

void conn_look_if_hinted(struct conn *c, int fd)
{
    uint32_t hint = atomic_load_explicit(&c->chan.rx->hint, memory_order_acquire);

    if (likely(hint == c->hint_seen))
        return;
    c->hint_seen = hint;
    conn_look(c, fd);
}

// Where an epoll set hears of the twin, the program learns of its end by epoll_wait. A mirrored
// channel tells of it by itself, unless the peer dies.
void conn_look_if_due(struct conn *c, int fd)
{
    const _Atomic uint64_t *told = c->told_ticks;
    uint64_t now = clock_ticks();

    conn_look_if_hinted(c, fd);
    if (told &&
        now - atomic_load_explicit(told, memory_order_relaxed) < clock_ticks_of_ns(LOOK_TOLD_NS))
        return;
    if (now - atomic_load_explicit(&c->end->looked_ticks, memory_order_relaxed) >=
        clock_ticks_of_ns(c->far ? LOOK_TOLD_NS : LOOK_EVERY_NS))
        conn_look(c, fd);
}

void conn_abort(struct conn *c, int fd)
{
    log_info("connection reset: %s", c->end->rec.reason);
    c->carrier->abort(c, fd); // first: senders go to the carrier when they see the flag
    end_set(c->end, END_DEAD | END_FROZEN);
}

void conn_break(struct conn *c, int fd)
{
    if (end_has(c->end, END_BROKEN))
        return;
    end_set(c->end, END_BROKEN);
    log_error("connection reset: the peer wrote nonsense into the channel");
    conn_reason(c, "the peer wrote nonsense into the channel");
    conn_abort(c, fd);
}

// ---- progress ----

// A connection that is not decided upon has no end to count in, and no other process will have one.
bool conn_doze(struct conn *c, _Atomic uint32_t **counter)
{
    uint8_t stage = atomic_load(&c->stage);
    bool early = stage == CONN_NEW || stage == CONN_FRESH;
    bool counted =
        early ? !__libc_single_threaded : c->end && stage != CONN_RAW && !end_alone(c->end);

    *counter = !counted ? NULL : early ? &c->early : &c->end->rx_raw;
    if (!counted)
        return true;
    atomic_fetch_add(*counter, 1);
    if (early ? atomic_load(&c->stage) <= CONN_FRESH : !(atomic_load(&c->end->flags) & END_READY))
        return true;
    conn_woke(counter);
    return false;
}

void conn_woke(_Atomic uint32_t **counter)
{
    if (*counter)
        atomic_fetch_sub(*counter, 1);
    *counter = NULL;
}

// Under rx_lock: the channel may end meanwhile.
static bool may_be_ready(const struct conn *c)
{
    return c->stage == CONN_MAPPED && conn_current(c) && !end_has(c->end, END_FROZEN | END_LEAVING);
}

// Lets the peer switch, once no thread can be asleep in the kernel's recv.
static void try_ready(struct conn *c)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);

    sock_lock(&e->rx_lock, alone);
    if (may_be_ready(c)) {
        end_set(e, END_READY);
        if (!alone && (atomic_load(&e->rx_raw) || atomic_load(&c->early)))
            end_clear(e, END_READY);
    }
    sock_unlock(&e->rx_lock, alone);
    if (!conn_ready(c))
        return;
    if (epoll_conn_up(c)) {
        end_set(e, END_FROZEN);
        end_clear(e, END_READY);
        conn_reason(c, "an epoll set that holds it cannot watch the channel");
        return;
    }
    sock_lock(&e->rx_lock, alone);
    if (may_be_ready(c) && conn_ready(c))
        atomic_store_explicit(&c->chan.rx->ready, 1, memory_order_release);
    if (unlikely(c->far))
        chan_ring_peer(&c->chan);
    sock_unlock(&e->rx_lock, alone);
}

static void advance_mapped(struct conn *c, int fd)
{
    struct sock_end *e = c->end;

    if (unlikely(self.unshown))
        conn_show(c);
    if (unlikely(!c->carrier->twin)) {
        wire_advance(c, fd);
        return;
    }
    pump_look(&c->chan); // who finds bytes at the twin each time does not look elsewhere
    if (unlikely(end_has(e, END_LEAVING))) {
        conn_leave(c, fd);
        return;
    }
    if (end_has(e, END_READY)) {
        epoll_conn_up(c);
        if (!conn_tx_ring(c) && !end_has(e, END_FROZEN | END_TX_SHUT | END_RDHUP | END_DEAD))
            try_to_ring(c, fd);
    } else if (!end_has(e, END_FROZEN)) {
        try_ready(c);
    }
    conn_serve(c, fd);
}

void conn_advance(struct conn *c, int fd)
{
    if (c->stage == CONN_MAPPED && unlikely(!conn_current(c)))
        conn_let_go(c);
    switch ((enum conn_stage)c->stage) {
    case CONN_FRESH:
        if (!conn_is_early(c, EARLY_TO_DECIDE, policy_patience_bytes(self.policy)))
            conn_decide(c, fd);
        return;
    case CONN_HOPEFUL:
        if (unlikely(end_has(c->end, END_ATTACHED)))
            conn_attach(c, fd);
        else
            conn_claim(c, fd, false);
        return;
    case CONN_CLAIMED:
        if (unlikely(end_has(c->end, END_ATTACHED)))
            conn_attach(c, fd);
        else
            conn_answers(0);
        if (unlikely(c->far) && c->stage == CONN_CLAIMED)
            mirror_open(c, fd);
        if (c->stage == CONN_MAPPED)
            advance_mapped(c, fd);
        else
            conn_deadline(c, fd);
        return;
    case CONN_MAPPED:
        advance_mapped(c, fd);
        return;
    default:
        return;
    }
}

// ---- going back ----

static bool is_back(struct conn *c, int fd)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e), back;
    uint64_t mark;

    sock_lock(&e->rx_lock, alone);
    while (conn_follow(c, fd))
        ;
    sock_unlock(&e->rx_lock, alone);
    sock_lock(&e->tx_lock, alone);
    back = conn_tx_return(c) && !conn_send_again(c, fd);
    sock_unlock(&e->tx_lock, alone);
    return back && !conn_rx_ring(c) && chan_rx_granted(&c->chan) &&
           !(conn_current(c) && chan_rx_moved(&c->chan, &e->rx, &mark));
}

// Sleeps until the peer rings, a short time at most.
static void await_bell(struct conn *c, uint64_t deadline_ns)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct timespec ts = {0, (long)MIN(left_ns, 5 * NS_PER_MS)};
    struct pollfd p = {c->chan.bell, POLLIN, 0};
    bool room = conn_sleep(c, true, true);

    sock_leave();
    sys_call(SYS_ppoll, &p, 1, &ts, 0, 8);
    sock_enter();
    pumps_look();
    conn_woken(c, true, room);
}

static void freeze(struct conn *c, const char *reason)
{
    end_set(c->end, END_FROZEN);
    conn_reason(c, reason);
    if (c->chan.shared)
        atomic_store(&c->chan.rx->ready, 0);
}

// With unread_too the consumer stops here, under its lock, so that the producer finds a head that
// stands still.
static void ask(struct conn *c, bool unread_too)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e);

    sock_lock(&e->rx_lock, alone);
    if (unread_too)
        end_set(e, END_HOLD);
    chan_ask(&c->chan, unread_too ? CHAN_WANT_AGAIN : CHAN_WANT_CARRIER);
    sock_unlock(&e->rx_lock, alone);
}

int conn_go_back(struct conn *c, int fd, bool unread_too, uint64_t deadline_ns, const char *reason)
{
    bool back;

    conn_decide(c, fd);
    if (!c->end)
        return 0;
    if (!c->carrier->twin)
        return wire_relay(c, fd, reason);
    sock_enter();
    conn_advance(c, fd); // the family may have a channel that is unknown here
    freeze(c, reason);
    if (c->chan.shared)
        ask(c, unread_too);
    for (back = !c->chan.shared || is_back(c, fd);
         !back && !end_has(c->end, END_DEAD) && clock_now_ns() < deadline_ns;
         back = is_back(c, fd)) {
        conn_serve(c, fd);
        await_bell(c, deadline_ns);
        conn_look(c, fd);
    }
    if (back && c->epoll_up) {
        epoll_conn_down(c);
        end_clear(c->end, END_READY);
    }
    sock_leave();
    return back ? 0 : -ETIMEDOUT;
}

int conn_leave_lane(struct conn *c, int fd, uint64_t deadline_ns, const char *reason)
{
    sock_enter();
    if (c->stage == CONN_MAPPED)
        conn_lane_lost(c, fd, reason);
    else
        mirror_stop(c, reason);
    while (c->far && !end_has(c->end, END_DEAD)) {
        conn_advance(c, fd);
        if (!c->far || clock_now_ns() >= deadline_ns)
            break;
        await_bell(c, deadline_ns);
        conn_look(c, fd);
    }
    sock_leave();
    return c->far ? -ETIMEDOUT : 0;
}

int conn_tx_back(struct conn *c, int fd, bool nonblock, const char *reason)
{
    uint64_t deadline_ns = clock_now_ns() + (nonblock ? 0 : NS_PER_S);
    bool alone, back = false;

    conn_decide(c, fd);
    if (!c->end)
        return 0;
    if (!c->carrier->twin)
        return wire_relay(c, fd, reason);
    sock_enter();
    end_set(c->end, END_FROZEN);
    conn_reason(c, reason);
    alone = end_alone(c->end);
    for (;;) {
        sock_lock(&c->end->tx_lock, alone);
        back = conn_tx_return(c);
        sock_unlock(&c->end->tx_lock, alone);
        if (back || clock_now_ns() >= deadline_ns)
            break;
        await_bell(c, deadline_ns);
    }
    sock_leave();
    return back ? 0 : -EAGAIN;
}
