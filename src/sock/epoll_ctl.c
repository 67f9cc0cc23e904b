// SPDX-License-Identifier: BSD-2-Clause
// epoll_ctl, and what happens to watches when their connection becomes ready, goes back or is
// closed.
#include "base/sys.h"
#include "sock/epoll_set.h"
#include "sock/sock.h"

// ---- what the program says ----

static void watch_say(struct epoll_watch *w, const struct epoll_event *ev)
{
    w->events = ev->events | EPOLLERR | EPOLLHUP;
    w->data = ev->data.u64;
    w->fresh = true;
    said_publish(w);
}

void watch_adopt(struct epoll_set *s, struct conn *c, int fd, const struct epoll_event *ev)
{
    struct epoll_watch *w;

    epoll_take(&epoll_lock);
    w = watch_new(s, c, fd);
    if (w)
        watch_say(w, ev);
    epoll_drop(&epoll_lock);
}

static int watch_raise_locked(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;
    int err;

    epoll_take(&s->lock);
    err = w->raised ? 0 : watch_raise(w);
    epoll_drop(&s->lock);
    return err;
}

// -ESTALE: another thread has given fd another meaning.
static int add_watch(struct epoll_set *s, struct conn *c, int fd, const struct epoll_event *ev)
{
    struct epoll_watch *w = watch_new(s, c, fd);
    int err;

    if (!w)
        return -ENOMEM;
    if (unlikely(!conn_has_number(c, fd))) { // now that whoever takes it away finds the watch
        watch_free(w);
        return -ESTALE;
    }
    epoll_take(&s->lock);
    watch_say(w, ev);
    err = watch_own(w, EPOLL_CTL_ADD);
    epoll_drop(&s->lock);
    if (!err && c->epoll_up && conn_ready(c) && !s->common) {
        err = watch_raise_locked(w);
        if (err)
            epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, fd, 0, 0);
    }
    if (err)
        watch_free(w);
    return err;
}

static int ctl_add(struct epoll_set *s, int epfd, struct conn *c, int fd,
                   const struct epoll_event *ev)
{
    if (c->stage == CONN_LISTEN || c->stage == CONN_RAW)
        return epoll_kernel_ctl(epfd, EPOLL_CTL_ADD, fd, ev->events, ev->data.u64);
    return add_watch(s, c, fd, ev);
}

static int mod_raised(struct epoll_watch *w, const struct epoll_event *ev)
{
    struct epoll_set *s = w->set;

    if ((w->events | ev->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    epoll_take(&s->lock);
    watch_say(w, ev);
    watch_refresh(w);
    watch_settle(w);
    epoll_drop(&s->lock);
    return 0;
}

static int mod_own(struct epoll_watch *w, const struct epoll_event *ev)
{
    const struct epoll_watch before = *w;
    struct epoll_set *s = w->set;
    int err;

    epoll_take(&s->lock);
    watch_say(w, ev);
    err = watch_own(w, EPOLL_CTL_MOD);
    if (err) {
        w->events = before.events;
        w->data = before.data;
        w->shot = before.shot;
        said_publish(w);
    }
    epoll_drop(&s->lock);
    return err;
}

static int ctl_mod(int epfd, struct epoll_watch *w, int fd, const struct epoll_event *ev)
{
    if (!w)
        return epoll_kernel_ctl(epfd, EPOLL_CTL_MOD, fd, ev->events, ev->data.u64);
    return w->raised ? mod_raised(w, ev) : mod_own(w, ev);
}

// ---- dormant watches ----
//
// Some programs delete and add a connection for every message (redis-benchmark). What the kernel
// watches of a raised one are our tags, which the program never sees; so they stay, and adding it
// again takes no system call.

static bool may_sleep(const struct epoll_watch *w)
{
    return w->raised && !w->set->exposed && !w->set->doubled && !w->set->forked &&
           !(w->events & EPOLLEXCLUSIVE);
}

static void lay_down(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    w->dormant = true;
    w->woken = false;
    w->events = 0;
    said_publish(w);
    list_del(&w->node);
    epoll_drop(&s->lock);
}

static void get_up(struct epoll_watch *w, const struct epoll_event *ev)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    w->dormant = false;
    watch_say(w, ev);
    watch_refresh(w);
    watch_settle(w);
    epoll_drop(&s->lock);
}

// Deletes it in the kernel, too. Under epoll_lock.
static void bury(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    watch_drop_bell(w);
    epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, w->fd, 0, 0);
    epoll_drop(&s->lock);
    watch_free(w);
}

static void sweep(struct epoll_set *s)
{
    s->sweep = false;
    list_for_each_safe (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (w->dormant && w->woken)
            bury(w);
    }
}

void set_sweep(struct epoll_set *s)
{
    epoll_take(&epoll_lock);
    sweep(s);
    epoll_drop(&epoll_lock);
}

// ---- the calls ----

static int ctl_add_again(struct epoll_set *s, int epfd, struct epoll_watch *w,
                         const struct epoll_event *ev)
{
    struct conn *c = w->conn;
    int fd = w->fd;

    if (conn_ready(c) && !(ev->events & EPOLLEXCLUSIVE)) {
        get_up(w, ev);
        return 0;
    }
    bury(w);
    return ctl_add(s, epfd, c, fd, ev);
}

static int ctl_del(int epfd, struct epoll_watch *w, int fd)
{
    int err;

    if (w && may_sleep(w)) {
        lay_down(w);
        return 0;
    }
    err = epoll_kernel_ctl(epfd, EPOLL_CTL_DEL, fd, 0, 0);
    if (!w)
        return err;
    watch_drop_bell(w);
    said_delete(w);
    watch_free(w);
    return err;
}

static int ctl_conn(struct epoll_set *s, int epfd, int op, struct conn *c, int fd,
                    const struct epoll_event *ev)
{
    struct epoll_watch *w;

    if (unlikely(s->sweep))
        sweep(s); // first, since it frees watches
    w = watch_find(s, c, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        if (w && w->dormant)
            return ctl_add_again(s, epfd, w, ev);
        if (w && s->common) // another process may have taken it out
            watch_free(w);
        else if (w)
            return -EEXIST;
        return ctl_add(s, epfd, c, fd, ev);
    case EPOLL_CTL_MOD:
        return w && w->dormant ? -ENOENT : ctl_mod(epfd, w, fd, ev);
    case EPOLL_CTL_DEL:
        return w && w->dormant ? -ENOENT : ctl_del(epfd, w, fd);
    default:
        return -EINVAL;
    }
}

// A set in a set: see epoll_reveal().
static void nest(struct epoll_set *outer, int fd)
{
    if (fdtab_kind(fd) != FD_EPOLL)
        return;
    outer->outer = true;
    epoll_reveal(fd);
}

// ---- files that change, and listeners with ears ----

void epoll_conn_hide(struct conn *c)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);

        epoll_kernel_ctl(w->set->epfd, EPOLL_CTL_DEL, w->fd, 0, 0);
    }
    epoll_drop(&epoll_lock);
}

void epoll_conn_show(struct conn *c)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);

        watch_own(w, EPOLL_CTL_ADD);
    }
    epoll_drop(&epoll_lock);
}

void epoll_listener_up(struct conn *c)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);

        epoll_kernel_ctl(w->set->epfd, EPOLL_CTL_ADD, c->ears, w->events, w->data);
    }
    epoll_drop(&epoll_lock);
}

void epoll_listener_down(const struct conn *c)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &epoll_sets)
        epoll_kernel_ctl(list_entry(it, struct epoll_set, in_sets)->epfd, EPOLL_CTL_DEL, c->ears, 0,
                         0);
    epoll_drop(&epoll_lock);
}

// The ears are watched as their listener is.
static void ctl_ears(int epfd, int op, const struct conn *c, const struct epoll_event *ev)
{
    if (c->ears >= 0)
        sys_call(SYS_epoll_ctl, epfd, op, c->ears, ev);
}

// ---- one call ----

static int ctl_held(struct epoll_set *s, int epfd, int op, struct conn *c, int fd,
                    const struct epoll_event *ev)
{
    int err;

    epoll_take(&epoll_lock);
    err = ctl_conn(s, epfd, op, c, fd, ev);
    epoll_drop(&epoll_lock);
    if (!err)
        ctl_ears(epfd, op, c, ev);
    if (unlikely(s->common) && !err && op != EPOLL_CTL_DEL)
        set_bring_back(s, c, fd);
    return err;
}

int sock_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    struct epoll_set *s = epoll_set_of(epfd);
    struct conn *c;
    int err;

    sock_enter();
    do {
        c = NULL;
        if (s && (ev || op == EPOLL_CTL_DEL)) {
            set_family(s);
            nest(s, fd);
            c = conn_get(fd);
        }
        if (c) {
            err = ctl_held(s, epfd, op, c, fd, ev);
            conn_put(c);
        } else {
            err = (int)sys_call(SYS_epoll_ctl, epfd, op, fd, ev);
        }
    } while (unlikely(err == -ESTALE));
    sock_leave();
    return err;
}

// ---- what happens to the connection ----

static void lower_all(struct conn *c)
{
    list_for_each_safe (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);
        struct epoll_set *s = w->set;

        if (w->dormant) {
            bury(w);
            continue;
        }
        epoll_take(&s->lock);
        if (w->raised)
            watch_lower(w, false);
        epoll_drop(&s->lock);
    }
}

static int raise_all(struct conn *c)
{
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);
        int err = w->set->common || w->set->inherited ? -EBUSY : watch_raise_locked(w);

        if (err)
            return err;
    }
    return 0;
}

int epoll_conn_up(struct conn *c)
{
    int err;

    if (likely(c->epoll_up))
        return 0;
    epoll_take(&epoll_lock);
    err = raise_all(c);
    if (err)
        lower_all(c);
    c->epoll_up = !err; // before anybody adds another watch
    epoll_drop(&epoll_lock);
    return err;
}

void epoll_conn_down(struct conn *c)
{
    static const uint64_t one = 1;

    if (!c->epoll_up)
        return;
    epoll_take(&epoll_lock);
    lower_all(c);
    c->epoll_up = false;
    epoll_drop(&epoll_lock);
    if (end_has(c->end, END_SHARED))
        sys_write(c->chan.bell, &one, sizeof one); // other processes have sets of their own
}

void epoll_conn_stir(struct conn *c, bool full)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);
        struct epoll_set *s = w->set;

        epoll_take(&s->lock);
        w->blocked |= full;
        if (w->raised)
            watch_settle(w);
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}

void epoll_conn_part(struct conn *c, struct list *parted)
{
    list_init(parted);
    epoll_take(&epoll_lock);
    lower_all(c);
    list_for_each_safe (it, &c->watches) {
        list_del(it);
        list_add_tail(parted, it);
    }
    epoll_drop(&epoll_lock);
}

void epoll_conn_join(struct conn *c, struct list *parted)
{
    epoll_take(&epoll_lock);
    list_for_each_safe (it, parted) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);
        struct epoll_set *s = w->set;

        if (!c) {
            watch_free(w);
            continue;
        }
        list_del(it);
        list_add_tail(&c->watches, it);
        epoll_take(&s->lock);
        w->conn = c;
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}

// While shuntd looks at the socket of a claim (/proc/PID/fd) it holds the file: closing the last
// number would leave the registration behind for that long, and the program would be told of a
// number that it has closed.
static bool is_looked_at(const struct epoll_watch *w)
{
    const struct conn *c = w->conn;

    return c->stage == CONN_CLAIMED && atomic_load(&c->fds) == 1 && !end_has(c->end, END_SHARED);
}

// The kernel forgets the twin by itself with its last file; the bell's file is the peer's as well.
static void close_watch(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    if (w->raised && !s->inherited) {
        watch_drop_bell(w);
        if (w->dormant || end_has(w->conn->end, END_SHARED))
            epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, w->fd, 0, 0);
    } else if (w->shot && s->forked && !s->inherited) {
        watch_restore(w, true);
    } else if (is_looked_at(w)) {
        epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, w->fd, 0, 0);
    }
    epoll_drop(&s->lock);
    watch_free(w);
}

// The kernel goes on reporting a registration under a number that was closed while a copy of it is
// open, and nobody can change it any more (epoll(7), Q6). So it becomes the program's own again,
// and the bytes go where it looks.
static void abandon_watch(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    if (w->raised)
        watch_lower(w, true);
    else if (!s->inherited)
        watch_restore(w, true);
    epoll_drop(&s->lock);
    watch_free(w);
}

void epoll_conn_closing(struct conn *c, int fd)
{
    bool copies = atomic_load(&c->fds) > 1, abandoned = false;

    if (likely(list_empty(&c->watches)))
        return;
    epoll_take(&epoll_lock);
    list_for_each_safe (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);

        // on Shunt's own TCP the copies keep what the closed number had, up to the last one
        if (!conn_has_twin(c) ? copies && !w->dormant : w->fd != fd)
            continue;
        if (copies && (w->raised || w->shot) && !w->dormant) {
            abandoned |= w->raised;
            abandon_watch(w);
        } else {
            close_watch(w);
        }
    }
    epoll_drop(&epoll_lock);
    if (abandoned)
        conn_go_back(c, fd, true, 0, "closed in an epoll set while a copy is open");
}
