// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets that somebody waits for as for any fd: an outer set, poll, select.
//
// Such a set keeps nothing hot, so whatever comes rings a bell or the kick, which makes the set
// readable in the kernel. Nobody tells when what came has been read. So before each wait the bells
// and the kick are emptied, and rung again only for what is due.
#include "base/sys.h"
#include "sock/epoll_set.h"

// By threads that are in a call on the connection itself: they may not have heard the bell yet.
static bool is_slept_on(struct sock_end *e)
{
    return atomic_load(&e->rx_sleepers) || atomic_load(&e->tx_sleepers);
}

// Under both locks.
static void empty_bells(struct epoll_set *s)
{
    static const uint64_t one = 1;
    uint64_t count;

    list_for_each (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (!w->raised)
            continue;
        if (chan_bell_clear(&w->conn->chan) && is_slept_on(w->conn->end))
            sys_write(w->conn->chan.bell, &one, sizeof one);
        watch_heat(w);
    }
    if (s->kick >= 0)
        sys_read(s->kick, &count, sizeof count);
}

// Other sets may have been about to hear a bell that was emptied. Under epoll_lock.
static void stir_others(struct epoll_set *s)
{
    list_for_each (it, &s->watches) {
        struct conn *c = list_entry(it, struct epoll_watch, in_set)->conn;

        list_for_each (at, &c->watches) {
            struct epoll_watch *o = list_entry(at, struct epoll_watch, in_conn);

            if (o->set == s)
                continue;
            epoll_take(&o->set->lock);
            if (o->raised)
                watch_settle(o);
            epoll_drop(&o->set->lock);
        }
    }
}

static void reveal(struct epoll_set *s)
{
    epoll_take(&s->lock);
    empty_bells(s);
    set_hand_over(s);
    epoll_drop(&s->lock);
    stir_others(s);
}

void sets_reveal(void)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &epoll_sets) {
        struct epoll_set *s = list_entry(it, struct epoll_set, in_sets);

        if (s->exposed && s->raised)
            reveal(s);
    }
    epoll_drop(&epoll_lock);
}

void epoll_reveal(int fd)
{
    struct epoll_set *s = epoll_set_of(fd);

    if (!s)
        return;
    epoll_take(&s->lock);
    s->exposed = true;
    epoll_drop(&s->lock);
    sets_reveal();
}
