// SPDX-License-Identifier: BSD-2-Clause
// How a stack dies, and who notices.
#include "net/lock.h"
#include "net/owner.h"

enum net_death net_dead(const struct net *n)
{
    return (enum net_death)atomic_load_explicit(&n->arena->dead, memory_order_acquire);
}

const char *net_death_text(enum net_death why)
{
    static const char *const text[] = {
        [NET_ALIVE] = "it is alive",
        [NET_DEAD_HOLDER] = "a program died while it drove the stack",
        [NET_DEAD_STUCK] = "a program stopped while it drove the stack",
        [NET_DEAD_QUEUE] = "the network interface or its queue is gone",
        [NET_DEAD_OWNER] = "shuntd has ended it",
        [NET_DEAD_MEMORY] = "its memory holds nonsense",
    };

    return why < ARRAY_LEN(text) ? text[why] : "?";
}

// As RFC 9293, 3.10.5 has it for ABORT. The peer takes it where nothing was under way; else it
// asks, and its own kernel's neighbour (ours) answers.
static void reset_peer(struct net *n, const struct tcp_conn *c)
{
    struct segment seg = {
        .src = c->tuple.local,
        .dst = c->tuple.remote,
        .src_port = c->tuple.local_port,
        .dst_port = c->tuple.remote_port,
        .seq = c->snd_nxt,
        .ack = c->rcv_nxt,
        .flags = SEG_RST | SEG_ACK,
    };

    net_put(&n->sink, &seg);
}

static bool has_peer(const struct tcp_conn *c)
{
    return c->state >= TCP_SYN_RECEIVED && c->state < TCP_TIME_WAIT;
}

// Nobody else drives any more. The engine may have been left in the middle of anything: its
// connections are only read, one by one, by index.
static void reset_all(struct net *n)
{
    n->now_ns = clock_now_ns();
    for (uint32_t i = 0; i < net_conn_count(n); i++) {
        const struct tcp_conn *c = tcp_conn_at(&n->ctx, i);

        if (c && has_peer(c))
            reset_peer(n, c);
        if (i % 64 == 63)
            queue_kick(n->queue, n->now_ns);
    }
    queue_kick(n->queue, n->now_ns);
}

static void wake_all(struct net *n)
{
    for (uint32_t i = 0; i < u64_min(n->arena->fresh_sock, n->sock_count); i++) {
        if (atomic_load(&n->socks[i].use) != NET_USED)
            continue;
        if (!n->wake || !n->wake(n->self, i))
            net_bits_add(&n->arena->wakes, i);
    }
    net_bell_owner(n);
}

void net_declare_dead(struct net *n, uint64_t holder, enum net_death why)
{
    uint32_t alive = NET_ALIVE;
    uint64_t own = net_lock_word(n);

    if (!atomic_compare_exchange_strong(&n->arena->dead, &alive, why))
        return;
    // the lock is never free again; the word only says who buried it
    atomic_compare_exchange_strong(&n->arena->lock, &holder, own);
    if (why != NET_DEAD_QUEUE)
        reset_all(n);
    wake_all(n);
}

void net_holder_died(struct net *n, uint64_t holder)
{
    if (!atomic_load(&n->arena->harmless))
        net_declare_dead(n, holder, NET_DEAD_HOLDER);
    else if (atomic_compare_exchange_strong(&n->arena->lock, &holder, 0))
        wake_all(n);
}

static bool is_stuck(struct net *n, uint64_t now_ns, uint64_t holder)
{
    uint64_t turn = atomic_load(&n->arena->turn);

    if (holder != n->watch.holder || turn != n->watch.turn) {
        n->watch.holder = holder;
        n->watch.turn = turn;
        n->watch.since_ns = now_ns;
    }
    return holder && now_ns - n->watch.since_ns >= n->arena->stuck_ns;
}

static void free_places(struct net *n)
{
    for (uint32_t i = 0; i < NET_MEMBERS; i++) {
        struct net_member *m = &n->arena->member[i];

        if (!net_member_gone(n, i))
            continue;
        atomic_store(&m->lookers, 0);
        atomic_store(&m->pid, 0);
    }
}

enum net_death net_watch(struct net *n, uint64_t now_ns)
{
    uint64_t holder = atomic_load(&n->arena->lock);

    if (net_dead(n))
        return net_dead(n);
    if (holder && net_holder_gone(n, holder))
        net_holder_died(n, holder);
    else if (is_stuck(n, now_ns, holder))
        net_declare_dead(n, holder, NET_DEAD_STUCK);
    else
        free_places(n);
    return net_dead(n);
}

void net_kill(struct net *n, uint64_t now_ns, enum net_death why)
{
    net_lock_until(n, now_ns + 10 * NS_PER_MS); // in good order where that can be had
    net_declare_dead(n, atomic_load(&n->arena->lock), why);
}

void net_end(struct net *n, enum net_death why)
{
    uint32_t alive = NET_ALIVE;

    atomic_compare_exchange_strong(&n->arena->dead, &alive, why);
}

uint32_t net_wants(const struct net *n)
{
    return atomic_load_explicit(&n->arena->tables.want_head, memory_order_acquire);
}

uint32_t net_lookers(const struct net *n)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < NET_MEMBERS; i++)
        sum += atomic_load_explicit(&n->arena->member[i].lookers, memory_order_relaxed);
    return sum;
}

uint32_t net_wake_next(struct net *n, uint32_t from)
{
    if (!from)
        net_bits_news(&n->arena->wakes);
    from = net_bits_take(&n->arena->wakes, from);
    return from < n->sock_count ? from : NET_NONE;
}
