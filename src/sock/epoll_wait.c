// SPDX-License-Identifier: BSD-2-Clause
// epoll_wait: look at the rings, ask the kernel now and then, spin, sleep.
#include "base/sys.h"
#include "sock/epoll_set.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/require.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <limits.h>
#include <pthread.h>

#define DUE_MAX     32 // connections advanced after one look at the kernel
#define ADVANCE_MAX 32 // and while they wait for their channel, before one sleep

#define PARK_COST_US     2 // of a ring, a system call, and the event, another
#define SPIN_GROWS_TIMES 4

struct wait {
    struct epoll_set *set;
    uint32_t generation; // of the set when the call began
    int epfd;
    struct ready_call call;
    struct epoll_out out;
    struct pump_sleep pumped;
    uint64_t required_ns; // when rules that require lanes are to be kept next
    bool first;           // no walk yet
    bool over;            // the time is
    int due[DUE_MAX], n_due;
};

// ---- progress of connections; no lock held ----

static void advance(int fd)
{
    struct conn *c = conn_get(fd);

    if (!c)
        return;
    conn_advance(c, fd);
    if (unlikely(c->epoll_up && !conn_ready(c)))
        epoll_conn_down(c); // another process of the family took it back
    conn_put(c);
}

static void advance_due(struct wait *w)
{
    while (w->n_due)
        advance(w->due[--w->n_due]);
}

static bool may_advance(const struct conn *c)
{
    return c->stage == CONN_CLAIMED || (c->stage == CONN_MAPPED && !end_has(c->end, END_FROZEN)) ||
           (c->stage == CONN_HOPEFUL && end_has(c->end, END_ATTACHED));
}

// A few of those that wait for a channel, others the next time.
static void advance_waiting(struct wait *w)
{
    struct epoll_set *s = w->set;

    conn_answers(0);
    epoll_take(&s->lock);
    for (int i = 0; i < ADVANCE_MAX && !list_empty(&s->waiting); i++) {
        struct epoll_watch *watch = list_entry(s->waiting.next, struct epoll_watch, node);

        list_del(&watch->node);
        list_add_tail(&s->waiting, &watch->node);
        if (may_advance(watch->conn) && w->n_due < DUE_MAX)
            w->due[w->n_due++] = watch->fd;
    }
    epoll_drop(&s->lock);
    advance_due(w);
}

// ---- what the kernel says; under the set's lock ----

static void due(struct wait *w, const struct epoll_watch *watch)
{
    if (w->n_due < DUE_MAX)
        w->due[w->n_due++] = watch->fd;
}

static void heat_all(struct epoll_set *s, const struct conn *c)
{
    list_for_each (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (w->raised && w->conn == c)
            watch_heat(w);
    }
}

static void take_tagged(struct wait *w, enum tag_kind kind, struct epoll_watch *watch,
                        uint32_t events)
{
    if (kind == TAG_KICK)
        return;
    if (unlikely(watch->dormant)) {
        watch->woken = w->set->sweep = true;
        return;
    }
    if (kind == TAG_TWIN) {
        watch->edge |= (events & (EPOLLIN | EPOLLOUT | EPOLLPRI)) != 0;
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            conn_look(watch->conn, watch->fd);
    }
    watch_heat(watch);
    if (w->set->doubled)
        heat_all(w->set, watch->conn);
    due(w, watch);
}

// The kernel has told of a ONESHOT registration. False: that is not for the program, see
// said_fire().
static bool take_shot(struct epoll_watch *watch, struct epoll_event *ev)
{
    ev->data.u64 = watch->data;
    return said_fire(watch);
}

// Of n events that the kernel put behind ours, keeps the program's.
static void sift(struct wait *w, int n)
{
    struct epoll_event *ev = w->out.ev + w->out.n;
    struct epoll_watch *watch;

    if (!w->set->tagged) {
        w->out.n += MAX(n, 0);
        return;
    }
    for (int i = 0; i < n; i++) {
        enum tag_kind kind = tag_read(w->set, ev[i].data.u64, &watch);

        if (kind == TAG_NONE || (kind == TAG_SHOT && take_shot(watch, &ev[i])))
            w->out.ev[w->out.n++] = ev[i];
        else if (kind != TAG_SHOT)
            take_tagged(w, kind, watch, ev[i].events);
    }
}

static void ask_kernel(struct wait *w, uint64_t now)
{
    struct epoll_out *out = &w->out;
    int room = out->max - out->n, n;

    w->set->looked = now;
    if (!room)
        return;
    n = (int)sys_call(SYS_epoll_pwait, w->epfd, out->ev + out->n, room, 0, 0, 8);
    sift(w, n);
    if (n < room)
        w->set->told = now;
}

// ---- looking ----

// Where the rings alone could fill the array, a part is kept for the kernel's.
static int rings_share(struct epoll_set *s, int max)
{
    if (max > 1)
        return max - MAX(max / 4, 1);
    s->turn = !s->turn;
    return s->turn;
}

static void find_stale(struct wait *w)
{
    w->set->stale = false;
    list_for_each (it, &w->set->hot) {
        struct epoll_watch *watch = list_entry(it, struct epoll_watch, node);

        if (!conn_ready(watch->conn))
            due(w, watch);
    }
}

// Looks at the rings, and at the kernel if that was not done for every_ns. The number of events.
static int collect(struct wait *w, uint64_t every_ns)
{
    struct epoll_set *s = w->set;
    uint64_t now = clock_ticks();
    bool ask;

    pumps_look();
    epoll_take(&s->lock);
    ask = now - s->looked >= clock_ticks_of_ns(every_ns);
    s->pass++;
    set_walk(s, &w->out, ask ? rings_share(s, w->out.max) : w->out.max, w->first);
    if (ask) {
        ask_kernel(w, now);
        set_walk(s, &w->out, w->out.max, false);
    }
    w->first = false;
    if (unlikely(s->stale))
        find_stale(w);
    if (w->out.n)
        set_hand_over(s);
    epoll_drop(&s->lock);
    advance_due(w);
    return w->out.n;
}

// ---- waiting ----

// A sleep parks what is hot, and each of those costs its peer a ring and us an event. So the more
// there is, the longer it pays to stay awake. 0: nothing is hot, or the rules do not allow it.
static uint32_t spin_limit_us(struct wait *w)
{
    struct epoll_set *s = w->set;
    uint32_t us = 0;

    epoll_take(&s->lock);
    list_for_each (it, &s->hot)
        us += PARK_COST_US;
    us = us ? MIN(s->spin_us + us, s->spin_us * SPIN_GROWS_TIMES) : 0;
    epoll_drop(&s->lock);
    return ready_spin_us(&w->call, us);
}

static int spin(struct wait *w)
{
    struct epoll_set *s = w->set;
    struct spin sp;
    int n = 0;

    if (!spin_begin(&sp, &s->spin, spin_limit_us(w)))
        return 0;
    w->out.how = FOUND_SPINNING;
    w->call.waited = true;
    do {
        clock_pause();
        sock_leave(); // handlers run here
        sock_enter();
        n = ready_interrupted(&w->call) ? -EINTR : collect(w, READY_LOOK_SPINNING_NS);
    } while (!n && spin_go_on(&sp));
    spin_end(&sp);
    return n;
}

static void woken(struct wait *w)
{
    if (w->set->generation == w->generation)
        w->set->sleepers--;
}

static void cancelled(void *arg)
{
    struct wait *w = arg;

    sock_enter();
    pumps_woken(&w->pumped);
    epoll_take(&w->set->lock);
    woken(w);
    epoll_drop(&w->set->lock);
    sock_leave();
}

static int to_ms(const struct timespec *t)
{
    int64_t ms;

    if (!t)
        return -1;
    ms = t->tv_sec * INT64_C(1000) + (t->tv_nsec + 999999) / 1000000;
    return (int)MIN(ms, (int64_t)INT_MAX);
}

static int kernel_wait(const struct wait *w, const struct timespec *t, const sigset_t *mask)
{
    static _Atomic bool has_no_pwait2;
    int n;

    if (real.epoll_pwait2 && !has_no_pwait2) {
        n = real.epoll_pwait2(w->epfd, w->out.ev, w->out.max, t, mask);
        if (n >= 0 || errno != ENOSYS)
            return n < 0 ? -errno : n;
        has_no_pwait2 = true;
    }
    n = real.epoll_pwait(w->epfd, w->out.ev, w->out.max, to_ms(t), mask);
    return n < 0 ? -errno : n;
}

static uint64_t longest_ns(const struct wait *w)
{
    uint64_t due_ns = u64_min(w->pumped.deadline_ns, w->required_ns), now_ns;

    if (due_ns == CLOCK_NEVER)
        return set_longest_ns(w->set);
    now_ns = clock_now_ns();
    return MIN(due_ns - MIN(now_ns, due_ns), set_longest_ns(w->set));
}

// Not inside, no lock held: the thread may be cancelled here.
static int sleep_in_kernel(struct wait *w)
{
    struct timespec ts, *t = ready_left(&w->call, longest_ns(w), &ts);
    bool hold = w->call.waited && !w->call.mask;
    sigset_t before;
    volatile int n = -EINTR;

    if (hold)
        sock_hold_signals(&before);
    pthread_cleanup_push(cancelled, w);
    if (!ready_interrupted(&w->call))
        n = kernel_wait(w, t, hold ? &before : w->call.mask);
    pthread_cleanup_pop(0);
    if (hold)
        sock_release_signals(&before);
    w->call.waited = true;
    return n;
}

static bool is_late(const struct wait *w)
{
    return w->call.deadline_ns != CLOCK_NEVER &&
           (ready_no_wait(&w->call) || clock_now_ns() >= w->call.deadline_ns);
}

static int after_sleep(struct wait *w, int n)
{
    struct epoll_set *s = w->set;

    pumps_woken(&w->pumped);
    pumps_look();
    epoll_take(&s->lock);
    woken(w);
    sift(w, n);
    if (likely(s->generation == w->generation)) {
        s->looked = clock_ticks();
        s->pass++;
        set_walk(s, &w->out, w->out.max, false);
        if (w->out.n)
            set_hand_over(s);
    }
    epoll_drop(&s->lock);
    advance_due(w);
    w->over = n == 0 && is_late(w);
    return n < 0 && !w->out.n ? n : w->out.n;
}

static int kernel_now(const struct wait *w)
{
    return (int)sys_call(SYS_epoll_pwait, w->epfd, w->out.ev, w->out.max, 0, 0, 8);
}

// One sleep. Events; 0: look again, unless over; -errno.
static int nap(struct wait *w)
{
    struct epoll_set *s = w->set;
    bool again;
    int n;

    w->out.how = FOUND_SLEEPING;
    set_family(s);
    if (unlikely(s->sweep))
        set_sweep(s);
    advance_waiting(w);
    w->required_ns = require_serve();
    epoll_take(&s->lock);
    if (!set_park(s)) {
        epoll_drop(&s->lock);
        n = collect(w, 0);
        w->over = !n && is_late(w);
        return n;
    }
    s->sleepers++;
    pumps_none(&w->pumped);
    // a lane has something to hear, too, when nothing here is on it: of its device's end
    again = (s->raised || mirror_in_use()) && pumps_arm(&w->pumped);
    set_watch_pumps(s, &w->pumped);
    epoll_drop(&s->lock);
    if (unlikely(again)) {
        // what has come may be for a watch that was parked: its bell tells, if anything does
        n = kernel_now(w);
        return after_sleep(w, n);
    }
    sock_leave();
    n = sleep_in_kernel(w);
    sock_enter();
    return after_sleep(w, n);
}

static int wait_for_events(struct wait *w)
{
    uint64_t start = clock_ticks();
    int n;

    ready_start(&w->call);
    n = w->set->raised ? spin(w) : 0;
    while (!n && !w->over)
        n = nap(w);
    spin_learn(&w->set->spin, start);
    return n;
}

int sock_epoll_wait(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                    const sigset_t *mask)
{
    struct wait w = {.set = epoll_set_of(epfd), .epfd = epfd, .first = true};
    int n, err = ready_begin(&w.call, timeout, mask);

    if (err || max <= 0 || (size_t)max > INT_MAX / sizeof *events)
        return err ? err : -EINVAL;
    if (reach(events, sizeof *events, REACH_WRITE) < sizeof *events)
        return -EFAULT;
    if (!__libc_single_threaded)
        pthread_testcancel();
    w.out = (struct epoll_out){.ev = events, .max = max};
    sock_enter();
    set_family(w.set);
    if (unlikely(w.set->outer))
        sets_reveal();
    w.generation = w.set->generation;
    n = w.set->raised ? collect(&w, ready_no_wait(&w.call) ? 0 : READY_LOOK_BUSY_NS) : 0;
    if (!n && !(w.set->raised && ready_no_wait(&w.call)))
        n = wait_for_events(&w);
    sock_leave();
    return n;
}
