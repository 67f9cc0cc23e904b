// SPDX-License-Identifier: BSD-2-Clause
// What a set's kernel epoll watches: the program's registrations, or twins and bells with tags.
#include "base/sys.h"
#include "cm/cm.h"
#include "sock/epoll_set.h"

#include <sys/eventfd.h>

int epoll_kernel_ctl(int epfd, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};

    return (int)sys_call(SYS_epoll_ctl, epfd, op, fd, &ev);
}

static int set_ctl(const struct epoll_set *s, int op, int fd, uint32_t events, uint64_t data)
{
    return epoll_kernel_ctl(s->epfd, op, fd, events, data);
}

// The kernel modifies nothing that is or was EPOLLEXCLUSIVE (epoll_ctl(2)).
static int replace(const struct epoll_watch *w, uint32_t events, uint64_t data)
{
    if (!(w->events & EPOLLEXCLUSIVE))
        return set_ctl(w->set, EPOLL_CTL_MOD, w->fd, events, data);
    set_ctl(w->set, EPOLL_CTL_DEL, w->fd, 0, 0);
    return set_ctl(w->set, EPOLL_CTL_ADD, w->fd, events, data);
}

static uint32_t twin_wish(const struct epoll_watch *w)
{
    bool rx = w->events & (READY_IN | EPOLLPRI), tx = w->events & READY_OUT;

    return (uint16_t)conn_twin_events(w->conn, rx, tx) | EPOLLRDHUP | EPOLLET;
}

// ---- bells ----

static struct epoll_watch *other_watch(const struct epoll_watch *w, bool with_bell)
{
    list_for_each (it, &w->conn->watches) {
        struct epoll_watch *o = list_entry(it, struct epoll_watch, in_conn);

        if (o != w && o->set == w->set && o->raised && o->bell == with_bell)
            return o;
    }
    return NULL;
}

// By edge a bell need never be emptied: each ring is an edge.
static int add_bell(struct epoll_watch *w)
{
    int err;

    if (w->set->doubled && other_watch(w, true))
        return 0;
    err =
        set_ctl(w->set, EPOLL_CTL_ADD, w->conn->chan.bell, EPOLLIN | EPOLLET, tag_of(w, TAG_BELL));
    w->bell = !err;
    return err;
}

void watch_drop_bell(struct epoll_watch *w)
{
    struct epoll_watch *heir = w->set->doubled ? other_watch(w, false) : NULL;

    if (!w->bell)
        return;
    w->bell = false;
    if (heir) {
        heir->bell = true;
        set_ctl(w->set, EPOLL_CTL_MOD, w->conn->chan.bell, EPOLLIN | EPOLLET,
                tag_of(heir, TAG_BELL));
    } else {
        set_ctl(w->set, EPOLL_CTL_DEL, w->conn->chan.bell, 0, 0);
    }
}

// ---- up and down ----

// What an event of w says while it is not raised.
static uint64_t own_data(struct epoll_watch *w, bool bare)
{
    w->shot = bare || w->set->common || !(w->events & EPOLLONESHOT) ? 0 : w->shot % TAG_SHOTS + 1;
    if (!w->shot)
        return w->data;
    w->set->tagged = true;
    said_tagged(w);
    return tag_of(w, TAG_SHOT);
}

int watch_own(struct epoll_watch *w, int op)
{
    uint64_t data = own_data(w, false);

    return set_ctl(w->set, op, w->fd, w->events, data);
}

int watch_restore(struct epoll_watch *w, bool bare)
{
    int err;

    w->shot = 0;
    if (!said_settle(w))
        return 0;
    do
        err = replace(w, w->events, own_data(w, bare));
    while (!err && said_changed(w));
    return err;
}

int watch_raise(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;
    int err;

    s->tagged = true; // before a thread can be handed a tag
    said_tagged(w);
    w->twin = twin_wish(w);
    err = replace(w, w->twin, tag_of(w, TAG_TWIN));
    if (err)
        return err;
    err = add_bell(w);
    if (err) {
        replace(w, w->events, own_data(w, false));
        return err;
    }
    list_del(&w->node);
    w->raised = w->fresh = true;
    w->conn->told_ticks = &s->told;
    w->edge = w->blocked = false;
    s->raised++;
    if (w->conn->rule.spin_us > s->spin_us)
        s->spin_us = w->conn->rule.spin_us;
    watch_settle(w);
    return 0;
}

void watch_lower(struct epoll_watch *w, bool bare)
{
    struct epoll_set *s = w->set;

    w->raised = false;
    if (!s->inherited) {
        watch_drop_bell(w);
        watch_restore(w, bare);
    }
    w->bell = false;
    w->conn->told_ticks = NULL;
    s->raised--;
    if (!s->raised)
        s->spin_us = 0;
    list_del(&w->node);
    list_add_tail(&s->waiting, &w->node);
}

void watch_refresh(struct epoll_watch *w)
{
    uint32_t wish = twin_wish(w);

    if (likely(wish == w->twin))
        return;
    if (!replace(w, wish, tag_of(w, TAG_TWIN)))
        w->twin = wish;
}

// The first kick makes the eventfd: adding it with a count is an edge, too.
void set_kick(struct epoll_set *s)
{
    static const uint64_t one = 1;
    int fd;

    if (s->kick >= 0) {
        sys_write(s->kick, &one, sizeof one);
        return;
    }
    fd = (int)sys_call(SYS_eventfd2, 1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return;
    s->kick = cm_fd_up(fd);
    fdtab_set(s->kick, FD_OWN, NULL);
    s->tagged = true;
    set_ctl(s, EPOLL_CTL_ADD, s->kick, EPOLLIN | EPOLLET, tag_of(NULL, TAG_KICK));
}

// By edge: who looks after arming misses none.
void set_watch_pumps(struct epoll_set *s, const struct pump_sleep *pumped)
{
    for (uint32_t i = 0; i < pumped->n_fds; i++) {
        int fd = pumped->fd[i];

        if (likely(s->pump[i] == fd + 1))
            continue;
        s->tagged = true;
        set_ctl(s, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, tag_of(NULL, TAG_KICK));
        s->pump[i] = fd + 1;
    }
}

// The file of a queue outlives this program.
void set_forget_pumps(struct epoll_set *s)
{
    epoll_take(&s->lock);
    for (size_t i = 0; i < ARRAY_LEN(s->pump); i++) {
        if (s->pump[i])
            set_ctl(s, EPOLL_CTL_DEL, s->pump[i] - 1, 0, 0);
        s->pump[i] = 0;
    }
    epoll_drop(&s->lock);
}

// A bell that moved stays registered under its old number, with the same tag: that does no harm.
void epoll_moved(int oldfd, int newfd)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &epoll_sets) {
        struct epoll_set *s = list_entry(it, struct epoll_set, in_sets);

        epoll_take(&s->lock);
        if (s->kick == oldfd)
            s->kick = newfd;
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}
