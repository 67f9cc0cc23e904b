// SPDX-License-Identifier: BSD-2-Clause
// Everybody's work, by whoever holds the lock.
#include <errno.h>

#include "base/sys.h"
#include "net/lock.h"

#define BURST        32               // frames taken at once
#define ROUNDS       4                // bursts a turn: others, and our own program, wait meanwhile
#define AGAIN_MAX    8                // turns for others after our own
#define FULL_WAIT_NS (20 * NS_PER_US) // the queue was full: try again so soon
#define KICK_NS      (50 * NS_PER_US) // a turn that finds nothing to do kicks the queue so often

void net_bell_owner(const struct net *n)
{
    static const uint64_t one = 1;

    if (n->owner_bell >= 0)
        sys_write(n->owner_bell, &one, sizeof one);
}

// Writers are woken when half of their ring is free, or of what they use of it: who sleeps has less
// than a quarter (chan.h), and one wake-up then serves many writes.
static bool has_room(const struct net *n, const struct chan_dir *d, uint32_t wait)
{
    uint64_t used = atomic_load_explicit(&d->tail, memory_order_relaxed) -
                    atomic_load_explicit(&d->head, memory_order_relaxed);

    return used <= (wait > 1 ? MIN(wait, n->ring_bytes / 2) : n->ring_bytes / 2);
}

// Does somebody sleep for what happened?
static bool sleeps(const struct net *n, const struct net_touch *t)
{
    const uint32_t rx = TCP_EV_RX | TCP_EV_FIN | TCP_EV_CLOSED | TCP_EV_URGENT;
    const uint32_t tx = TCP_EV_TX | TCP_EV_CONNECTED | TCP_EV_CLOSED;
    struct net_sock *s = &n->socks[t->sock];
    struct chan_shared *ch = net_chan(n, t->sock);
    uint32_t wait;

    if (t->events & ~(uint32_t)(TCP_EV_RX | TCP_EV_TX) && atomic_load(&s->wait))
        return true;
    if (t->events & rx && atomic_load_explicit(&ch->dir[1].rx_wait, memory_order_relaxed))
        return true;
    wait = atomic_load_explicit(&ch->dir[0].tx_wait, memory_order_relaxed);
    if (!(t->events & tx) || !wait)
        return false;
    return t->events & ~(uint32_t)TCP_EV_TX || has_room(n, &ch->dir[0], wait);
}

// The flags are cleared before the bell rings: who arms in between is woken by it.
static void note_sleeper(struct net *n, uint32_t sock)
{
    struct chan_shared *ch = net_chan(n, sock);

    atomic_store_explicit(&n->socks[sock].wait, 0, memory_order_relaxed);
    atomic_store_explicit(&ch->dir[1].rx_wait, 0, memory_order_relaxed);
    atomic_store_explicit(&ch->dir[0].tx_wait, 0, memory_order_relaxed);
    if (n->rung_count == NET_TOUCHED) { // more than fit: the owner wakes them
        net_bits_add(&n->arena->wakes, sock);
        net_bell_owner(n);
        return;
    }
    n->rung[n->rung_count++] = sock;
}

static void find_sleepers(struct net *n)
{
    if (!n->touched_count)
        return;
    atomic_thread_fence(memory_order_seq_cst); // chan.h, "Sleep"
    for (uint32_t i = 0; i < n->touched_count; i++)
        if (unlikely(sleeps(n, &n->touched[i])))
            note_sleeper(n, n->touched[i].sock);
    n->touched_count = 0;
}

void net_touch(struct net *n, uint32_t sock, uint32_t events)
{
    uint32_t count = n->touched_count;

    if (count && n->touched[count - 1].sock == sock) {
        n->touched[count - 1].events |= events;
        return;
    }
    if (n->touched_count == NET_TOUCHED)
        find_sleepers(n);
    n->touched[n->touched_count++] = (struct net_touch){sock, events};
}

static void serve_requests(struct net *n)
{
    uint32_t sock = 0;

    if (likely(!net_bits_has_news(&n->arena->kicks)))
        return;
    net_changes(n);
    net_bits_news(&n->arena->kicks);
    n->work = true;
    while ((sock = net_bits_take(&n->arena->kicks, sock)) < n->sock_count)
        net_sock_serve(n, sock++);
}

static void queue_failed(struct net *n, int err)
{
    if (err == -ENXIO)
        net_declare_dead(n, net_lock_word(n), NET_DEAD_QUEUE);
}

// Timers, output, kick. True where the queue took everything.
static bool send_all(struct net *n)
{
    int err, kicked;

    net_changes(n);
    tcp_expire(&n->ctx, n->now_ns);
    err = tcp_output(&n->ctx, n->now_ns, &n->sink);
    net_settled(n);
    kicked = queue_kick(n->queue, n->now_ns);
    if (err == -EAGAIN && !kicked) {
        net_changes(n);
        err = tcp_output(&n->ctx, n->now_ns, &n->sink);
        net_settled(n);
        kicked = queue_kick(n->queue, n->now_ns);
    }
    queue_failed(n, kicked);
    return !err;
}

static int receive(struct net *n)
{
    struct queue_frame frames[BURST];
    int got = queue_rx(n->queue, frames, BURST, n->now_ns);

    if (got < 0) {
        queue_failed(n, -ENXIO);
        return 0;
    }
    if (got)
        net_changes(n);
    for (int i = 0; i < got; i++)
        net_input(n, &frames[i]);
    if (got)
        queue_release(n->queue, got);
    return got;
}

static void follow_tables(struct net *n)
{
    struct net_arena *a = n->arena;
    uint32_t seq = atomic_load_explicit(&a->tables.seq, memory_order_acquire);

    if (!(seq & 1))
        n->tables_seq = seq;
    if (unlikely(a->held_count)) {
        net_changes(n);
        n->work = true;
        net_held_run(n);
    }
    if (likely(atomic_load_explicit(&a->tables.paths_seq, memory_order_relaxed) == a->paths_seen))
        return;
    net_changes(n);
    net_paths_changed(n);
}

static void publish_deadline(struct net *n, bool sent)
{
    uint64_t at = u64_min(tcp_deadline(&n->ctx), queue_deadline(n->queue));

    if (!sent)
        at = u64_min(at, n->now_ns + FULL_WAIT_NS);
    if (n->arena->held_count)
        at = u64_min(at, n->now_ns + NS_PER_S);
    atomic_store_explicit(&n->arena->deadline_ns, at, memory_order_relaxed);
}

// Nothing asked for, no timer due: who spins comes here most of the time.
static bool is_idle(const struct net *n)
{
    return !n->work && n->now_ns < net_deadline(n) && n->now_ns - n->busy_ns < KICK_NS;
}

// With the lock. Whoever drives has read the clock before it got the lock, and others may have
// driven since: for the engine time never goes back.
static void set_time(struct net *n, uint64_t now_ns)
{
    n->now_ns = likely(now_ns >= n->arena->turn_ns) ? now_ns : clock_now_ns();
    n->arena->turn_ns = n->now_ns;
}

void net_turn(struct net *n, uint64_t now_ns)
{
    bool sent;
    int got;

    set_time(n, now_ns);
    atomic_store_explicit(&n->arena->turn, n->arena->turn + 1, memory_order_relaxed);
    net_count(n, turns);
    follow_tables(n);
    serve_requests(n);
    got = receive(n);
    if (!got && is_idle(n))
        return;
    n->busy_ns = n->now_ns;
    n->work = false;
    sent = send_all(n);
    for (int i = 1; i < ROUNDS && got == BURST; i++) {
        got = receive(n);
        sent = send_all(n);
    }
    find_sleepers(n);
    publish_deadline(n, sent);
}

static void ring(struct net *n, const uint32_t *socks, uint32_t count)
{
    bool forward = false;

    for (uint32_t i = 0; i < count; i++) {
        if (n->wake && n->wake(n->self, socks[i]))
            continue;
        net_bits_add(&n->arena->wakes, socks[i]);
        forward = true;
    }
    if (forward)
        net_bell_owner(n);
}

// Counts, releases, rings: system calls are made without the lock where they can be.
static void release_and_ring(struct net *n)
{
    uint32_t socks[NET_TOUCHED], count = n->rung_count;

    if (likely(!count)) {
        net_lock_release(n);
        return;
    }
    memcpy(socks, n->rung, count * sizeof *socks);
    n->rung_count = 0;
    n->arena->counters.wakes += count;
    net_lock_release(n);
    ring(n, socks, count);
}

void net_leave(struct net *n)
{
    for (int i = 0;; i++) {
        release_and_ring(n);
        if (likely(!net_bits_has_news(&n->arena->kicks)))
            return;
        if (i == AGAIN_MAX) { // others bring work faster than we do it, and our program waits
            net_bell_owner(n);
            return;
        }
        if (!net_lock_try(n))
            return;
        net_turn(n, clock_now_ns());
    }
}

bool net_drive(struct net *n, uint64_t now_ns)
{
    if (unlikely(!n->queue)) {
        net_bell_owner(n);
        return false;
    }
    if (!net_lock_try(n)) {
        net_count(n, turns_left);
        return false;
    }
    net_settled(n);
    net_turn(n, now_ns);
    net_leave(n);
    return true;
}

bool net_poke(struct net *n, uint64_t now_ns, uint32_t sock)
{
    if (sock >= n->sock_count)
        return false;
    if (likely(net_lock_try(n))) {
        set_time(n, now_ns);
        net_sock_serve(n, sock);
    } else {
        net_bits_add(&n->arena->kicks, sock);
        if (!net_lock_try(n)) {
            net_count(n, turns_left);
            return false;
        }
    }
    net_turn(n, now_ns);
    net_leave(n);
    return true;
}

uint64_t net_deadline(const struct net *n)
{
    return atomic_load_explicit(&n->arena->deadline_ns, memory_order_relaxed);
}
