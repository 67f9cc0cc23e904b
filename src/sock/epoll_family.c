// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets and fork. Parent and child share the kernel's epoll, but each has its own watches, and
// one cannot translate the other's. So:
//
//   A child leaves an inherited set alone until its program uses it; most never do.
//   If the process that used it till then is gone, the child takes its place.
//   Else the set becomes common, which is for good: the child brings the connections in it back to
//   the kernel and restores the program's registrations; the others find the mark at their next
//   look and forget. Connections in a common set never become ready.
#include "base/sys.h"
#include "sock/epoll_set.h"

#include <sys/mman.h>

#define MARKS  4096
#define COMMON (UINT64_C(1) << 32) // in a mark, above the pid of the process that uses the set

static _Atomic uint64_t *marks; // a page or more that forked children share
static uint64_t taken[MARKS / 64];
static int parent; // of a forked process, when it was forked

static _Atomic uint64_t *mark_new(void)
{
    void *at;

    if (!marks) {
        at = mmap(NULL, MARKS * sizeof *marks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
        if (at == MAP_FAILED)
            return NULL;
        marks = at;
    }
    for (int i = 0; i < MARKS / 64; i++) {
        if (~taken[i]) {
            int bit = __builtin_ctzll(~taken[i]);

            taken[i] |= UINT64_C(1) << bit;
            return &marks[i * 64 + bit];
        }
    }
    return NULL;
}

void set_join_family(struct epoll_set *s)
{
    s->mark = mark_new();
    if (s->mark)
        atomic_store(s->mark, (uint32_t)sys_getpid());
}

void set_leave_family(struct epoll_set *s)
{
    ptrdiff_t i = s->mark ? s->mark - marks : -1;

    if (i >= 0)
        taken[i / 64] &= ~(UINT64_C(1) << i % 64);
}

// A dead parent may be a zombie still, but it has no children any more.
static bool is_gone(int pid)
{
    return sys_call(SYS_kill, pid, 0) == -ESRCH ||
           (pid == parent && sys_call(SYS_getppid, 0) != pid);
}

// True: nobody else uses the set, it is ours now.
static bool take_over(struct epoll_set *s)
{
    uint64_t word = s->mark ? atomic_load(s->mark) : COMMON;

    return !(word & COMMON) && is_gone((int)word) &&
           atomic_compare_exchange_strong(s->mark, &word, (uint32_t)sys_getpid());
}

// The next watch in turn. Its fd, if it is raised, else -1.
static int turn_watch(struct epoll_set *s)
{
    struct epoll_watch *w;
    int fd = -1;

    epoll_take(&epoll_lock);
    if (!list_empty(&s->watches)) {
        epoll_take(&s->lock);
        w = list_entry(s->watches.next, struct epoll_watch, in_set);
        list_del(&w->in_set);
        list_add_tail(&s->watches, &w->in_set);
        fd = w->raised ? w->fd : -1;
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

// The peer sends by the twin what was not read yet; if it does not within the time, then later.
void set_bring_back(struct conn *c, int fd, uint64_t deadline_ns)
{
    sock_leave();
    conn_go_back(c, fd, true, deadline_ns, "in an epoll set that several processes use");
    sock_enter();
}

static void bring_all_back(struct epoll_set *s)
{
    uint64_t deadline_ns = clock_now_ns() + SET_BACK_NS;

    for (int n = count_watches(s); n > 0; n--) {
        int fd = turn_watch(s);
        struct conn *c = fd >= 0 ? conn_get(fd) : NULL;

        if (!c)
            continue;
        set_bring_back(c, fd, deadline_ns);
        conn_put(c);
    }
}

// The process that made the set common has restored the kernel's side.
static void forget(struct epoll_set *s)
{
    epoll_take(&epoll_lock);
    list_for_each_safe (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (conn_ready(w->conn))
            continue;
        if (w->dormant) {
            watch_free(w);
            continue;
        }
        epoll_take(&s->lock);
        if (w->raised)
            watch_lower(w, true);
        epoll_drop(&s->lock);
    }
    epoll_drop(&epoll_lock);
}

void set_family_slow(struct epoll_set *s)
{
    if (s->inherited) {
        s->inherited = false;
        if (take_over(s)) {
            s->forked = false;
            return;
        }
        s->common = true;
        if (s->mark)
            atomic_fetch_or(s->mark, COMMON);
        bring_all_back(s);
    } else if (s->mark && (atomic_load(s->mark) & COMMON)) {
        s->common = s->tagged = true;
        forget(s);
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
