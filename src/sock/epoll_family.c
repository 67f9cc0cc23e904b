// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets and fork. Parent and child share the kernel's epoll, but each has its own watches. So:
//
//   A child leaves an inherited set alone until its program uses it; most never do. Then it reads
//   in the set's lines (epoll_said.c) what was said since the fork. If the process that used it
//   till then is gone, the child takes its place. Else the set becomes common, which is for good:
//   each process brings the connections in it that it has back to the kernel, and whoever finds one
//   back first puts the program's registration into the kernel. Till then both look at the ring.
//   Connections in a common set never become ready.
#include "base/sys.h"
#include "sock/epoll_set.h"

#define COMMON (UINT64_C(1) << 32) // in a mark, above the pid of the process that uses the set

static int parent; // of a forked process, when it was forked

void set_join_family(struct epoll_set *s)
{
    said_open(s);
    if (s->mark)
        atomic_store(s->mark, (uint32_t)sys_getpid());
}

// A child may want to use it still: its place is given to no other set then.
void set_leave_family(struct epoll_set *s)
{
    uint64_t mine = (uint32_t)sys_getpid();

    if (!s->forked)
        said_close(s);
    else if (s->mark)
        atomic_compare_exchange_strong(s->mark, &mine, 0);
}

// A dead parent may be a zombie still, but it has no children any more.
static bool is_gone(int pid)
{
    return !pid || sys_call(SYS_kill, pid, 0) == -ESRCH ||
           (pid == parent && sys_call(SYS_getppid, 0) != pid);
}

// True: nobody else uses the set, it is ours now.
static bool take_over(struct epoll_set *s)
{
    uint64_t word = s->mark ? atomic_load(s->mark) : COMMON;

    return !(word & COMMON) && is_gone((int)word) &&
           atomic_compare_exchange_strong(s->mark, &word, (uint32_t)sys_getpid());
}

// ---- going back ----

// The next watch in turn. Its fd; -1: there is none, or only_raised and it is not.
static int turn_watch(struct epoll_set *s, bool only_raised)
{
    struct epoll_watch *w;
    int fd = -1;

    epoll_take(&epoll_lock);
    if (!list_empty(&s->watches)) {
        epoll_take(&s->lock);
        w = list_entry(s->watches.next, struct epoll_watch, in_set);
        list_del(&w->in_set);
        list_add_tail(&s->watches, &w->in_set);
        fd = only_raised && !w->raised ? -1 : w->fd;
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
    return fd;
}

static int count_watches(struct epoll_set *s)
{
    int n = 0;

    epoll_take(&epoll_lock);
    list_for_each (it, &s->watches)
        n++;
    epoll_drop(&epoll_lock);
    return n;
}

// Not back yet: all who wait look at the ring meanwhile, and the line says what to look for. Under
// the set's lock.
static void follow(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    said_load(w);
    if (!w->raised) {
        w->raised = w->fresh = true;
        w->conn->epoll_up = true;
        s->raised++;
        list_del(&w->node);
    }
    watch_heat(w);
}

static void place(struct epoll_set *s, struct conn *c, int fd, bool back)
{
    struct epoll_watch *w;

    epoll_take(&epoll_lock);
    w = watch_find(s, c, fd);
    if (w && said_gone(w)) {
        watch_free(w);
    } else if (w && w->dormant) {
        epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, fd, 0, 0);
        watch_free(w);
    } else if (w) {
        epoll_take(&s->lock);
        if (!back)
            follow(w);
        else if (w->raised)
            watch_lower(w, true);
        else
            watch_restore(w, true);
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}

// What was not read yet is read from the ring, so nobody waits for the peer.
void set_bring_back(struct epoll_set *s, struct conn *c, int fd)
{
    bool back = true;

    sock_leave();
    if (c->stage >= CONN_FRESH)
        back = !conn_go_back(c, fd, false, 0, "in an epoll set that several processes use");
    sock_enter();
    place(s, c, fd, back || !conn_ready(c));
}

static void bring_all_back(struct epoll_set *s, bool only_raised)
{
    for (int n = count_watches(s); n > 0; n--) {
        int fd = turn_watch(s, only_raised);
        struct conn *c = fd >= 0 ? conn_get(fd) : NULL;

        if (!c)
            continue;
        set_bring_back(s, c, fd);
        conn_put(c);
    }
}

// ---- what the others have said since the fork ----

// Where the kernel has a tag that means something here, it stays. Under both locks.
static void catch_up_watch(struct epoll_watch *w)
{
    bool in_kernel = said_load(w);

    w->fresh = true;
    w->dormant &= !w->events;
    if (w->dormant || w->set->common || w->raised == !in_kernel)
        return;
    w->conn->epoll_up = false; // to be raised again
    if (w->raised)
        watch_lower(w, false);
    else
        watch_restore(w, false);
}

static void catch_up_known(struct epoll_set *s)
{
    epoll_take(&epoll_lock);
    list_for_each_safe (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (said_gone(w)) {
            watch_free(w);
            continue;
        }
        epoll_take(&s->lock);
        catch_up_watch(w);
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}

// A number may mean another file here than where it was registered.
static bool is_registered(const struct epoll_set *s, int fd)
{
    int err = epoll_kernel_ctl(s->epfd, EPOLL_CTL_ADD, fd, 0, 0);

    if (!err)
        epoll_kernel_ctl(s->epfd, EPOLL_CTL_DEL, fd, 0, 0);
    return err == -EEXIST;
}

static void adopt_line(struct epoll_set *s, struct conn *c, int fd, uint32_t at)
{
    struct epoll_watch *w = watch_find(s, c, fd);

    if ((w && said_is(w, at)) || !is_registered(s, fd))
        return;
    w = watch_new(s, c, fd);
    if (!w)
        return;
    epoll_take(&s->lock);
    said_adopt(w, at);
    catch_up_watch(w);
    epoll_drop(&s->lock);
}

static void catch_up(struct epoll_set *s)
{
    uint32_t at = 0;
    int fd;

    catch_up_known(s);
    while ((fd = said_next(s, &at)) >= 0) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        epoll_take(&epoll_lock);
        adopt_line(s, c, fd, at);
        epoll_drop(&epoll_lock);
        conn_put(c);
    }
}

static void use_inherited(struct epoll_set *s)
{
    bool alone = take_over(s);

    s->inherited = false;
    s->tagged = true;
    s->forked = s->common = !alone;
    if (s->common && s->mark)
        atomic_fetch_or(s->mark, COMMON);
    catch_up(s);
    if (s->common)
        bring_all_back(s, false);
}

void set_family_slow(struct epoll_set *s)
{
    if (s->inherited) {
        use_inherited(s);
    } else if (s->common) {
        bring_all_back(s, true);
    } else if (s->mark && (atomic_load(s->mark) & COMMON)) {
        s->common = s->tagged = true;
        bring_all_back(s, false);
    }
}

// ---- fork ----

void epoll_before_fork(void)
{
    epoll_take(&epoll_lock);
    list_for_each (it, &epoll_sets) {
        struct epoll_set *s = list_entry(it, struct epoll_set, in_sets);

        epoll_take(&s->lock);
        s->forked = true;
    }
}

// The locks were taken under the parent's thread id; in the child nobody else can hold any.
static void after_in_child(void)
{
    parent = (int)sys_call(SYS_getppid, 0);
    list_for_each (it, &epoll_sets) {
        struct epoll_set *s = list_entry(it, struct epoll_set, in_sets);

        s->inherited = !s->common;
        s->sleepers = 0;
        atomic_store(&s->lock.owner, 0);
    }
    said_forked();
    atomic_store(&epoll_lock.owner, 0);
}

static void after_in_parent(void)
{
    list_for_each (it, &epoll_sets)
        epoll_drop(&list_entry(it, struct epoll_set, in_sets)->lock);
    epoll_drop(&epoll_lock);
}

void epoll_after_fork(bool child)
{
    if (child)
        after_in_child();
    else
        after_in_parent();
}
