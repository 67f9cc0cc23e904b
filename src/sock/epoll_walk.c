// SPDX-License-Identifier: BSD-2-Clause
// Looking at raised watches without asking the kernel. Everything here is under the set's lock.
#include "sock/epoll_set.h"

// So many looks (some 6 ns) cost as much as a bell: a system call of the peer's, and one of ours.
#define IDLE_WAITS 256

// ---- one watch ----

static uint64_t ring_tail(const struct conn *c)
{
    return atomic_load_explicit(&c->chan.rx->tail, memory_order_relaxed);
}

// By edge, a change since the last report makes everything due that holds, as in the kernel.
static bool has_edge(const struct epoll_watch *w, uint32_t held, uint64_t tail)
{
    const uint32_t lasting = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;

    return w->fresh || w->edge || ((held & EPOLLIN) && tail != w->told_tail) ||
           ((held & EPOLLOUT) && w->blocked) || (held & ~w->told & lasting);
}

// Certainly nothing is due, found out with loads only: what most looks at most watches find.
static bool is_quiet(const struct epoll_watch *w, const struct conn *c)
{
    const uint32_t news = END_RDHUP | END_DEAD | END_BROKEN | END_RX_SHUT | END_TX_SHUT;
    bool by_edge = w->events & EPOLLET;

    if (w->fresh || w->edge || w->blocked || (!by_edge && (w->events & READY_OUT)))
        return false;
    if (!conn_rx_ring(c) || end_has(c->end, news) || chan_wanted(&c->chan))
        return false;
    if (atomic_load_explicit(&c->chan.rx->hint, memory_order_relaxed) != c->hint_seen ||
        atomic_load_explicit(&c->chan.rx->epoch, memory_order_relaxed) != c->end->rx.epoch)
        return false;
    return by_edge ? ring_tail(c) == w->told_tail : !chan_stored(c->chan.rx);
}

// The tail is read before the mask: what comes in between is reported twice rather than never.
static uint32_t look(struct epoll_watch *w, uint32_t *held, uint64_t *tail)
{
    struct conn *c = w->conn;
    uint32_t due;

    if (unlikely(watch_disabled(w)))
        return 0;
    if (unlikely(!conn_ready(c))) {
        w->set->stale = true;
        return 0;
    }
    if (is_quiet(w, c))
        return 0;
    *tail = ring_tail(c);
    *held = ready_expand(conn_mask_told(c, w->fd));
    due = *held & (w->events | EPOLLERR | EPOLLHUP);
    if ((w->events & READY_OUT) && !(*held & EPOLLOUT))
        w->blocked = true;
    if ((w->events & EPOLLET) && !has_edge(w, *held, *tail))
        due = 0;
    if (!due)
        w->edge = false;
    w->told &= *held;
    return due;
}

// What of the program's events is due now; 0: nothing. Reports nothing by itself.
static uint32_t due_now(struct epoll_watch *w)
{
    uint64_t tail;
    uint32_t held;

    return look(w, &held, &tail);
}

static void count_wait(struct cm_record *rec, enum epoll_found how)
{
    if (how == FOUND_SPINNING)
        atomic_fetch_add_explicit(&rec->waits_spin, 1, memory_order_relaxed);
    else if (how == FOUND_SLEEPING)
        atomic_fetch_add_explicit(&rec->waits_sleep, 1, memory_order_relaxed);
}

static void report(struct epoll_watch *w, uint32_t due, struct epoll_out *out)
{
    struct epoll_event *ev = &out->ev[out->n++];

    count_wait(&w->conn->end->rec, out->how);

    ev->events = due;
    ev->data.u64 = w->data;
    w->fresh = w->edge = false;
    if (due & READY_OUT)
        w->blocked = false;
    w->idle = 0;
}

void watch_heat(struct epoll_watch *w)
{
    w->idle = 0;
    if (list_empty(&w->node))
        list_add_tail(&w->set->hot, &w->node);
}

// A producer's flag is armed only when it has no room: a consumer that empties the ring would ring
// for nothing each time.
static bool arm(struct epoll_watch *w)
{
    bool rx = w->events & (READY_IN | EPOLLPRI), out = w->events & READY_OUT, tx;

    watch_refresh(w);
    do {
        tx = out && w->blocked;
        conn_arm(w->conn, rx, tx);
        if (due_now(w))
            return false;
    } while (tx != (out && w->blocked));
    return true;
}

// Arms the bell and looks once more. True: nothing is due, and the kernel will tell.
static bool park(struct epoll_watch *w)
{
    if (!watch_disabled(w) && (!conn_ready(w->conn) || !arm(w)))
        return false;
    list_del(&w->node);
    return true;
}

void watch_settle(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    watch_heat(w);
    if ((s->sleepers || s->exposed) && !park(w))
        set_kick(s);
}

// ---- all ----

// The next walk begins where this one stopped, so that a full array starves nobody.
static void rotate(struct list *head, struct list *first)
{
    list_del(head);
    list_add_tail(first, head);
}

void set_walk(struct epoll_set *s, struct epoll_out *out, int limit, bool first)
{
    struct list *it = s->hot.next, *next;
    uint32_t due, held = 0;
    uint64_t tail = 0;

    for (; it != &s->hot && out->n < limit; it = next) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, node);

        next = it->next;
        if (w->pass == s->pass)
            continue;
        w->pass = s->pass;
        due = look(w, &held, &tail);
        if (due && (!(w->events & EPOLLONESHOT) || said_fire(w))) {
            w->told = held;
            w->told_tail = tail;
            report(w, due, out);
        } else if (first && ++w->idle >= IDLE_WAITS) {
            park(w);
        }
    }
    if (it != &s->hot && it != s->hot.next)
        rotate(&s->hot, it);
}

bool set_park(struct epoll_set *s)
{
    list_for_each_safe (it, &s->hot)
        park(list_entry(it, struct epoll_watch, node));
    return list_empty(&s->hot);
}

// Whoever leaves with events takes nobody's turn: what is still hot is parked for those who sleep,
// and one of them is woken if something is due. As the kernel does it.
void set_hand_over(struct epoll_set *s)
{
    if ((s->sleepers || s->exposed) && !list_empty(&s->hot) && !set_park(s))
        set_kick(s);
}
