// SPDX-License-Identifier: BSD-2-Clause
// poll and ppoll on any mix of fds.
//
// Fds are of three kinds. Connections that are ready are looked at by conn_mask(); everything else
// is the kernel's. Of the latter, connections that may become ready count this thread as one that
// may be asleep in the kernel, so that nobody makes them ready meanwhile.
#include "base/sys.h"
#include "chan/pump.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/fdtab.h"
#include "sock/ready.h"
#include "sock/require.h"
#include "sock/sock.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ON_STACK 64

// A connection of the call, held.
struct member {
    struct conn *conn;
    _Atomic uint32_t *counter; // of conn_doze()
    uint32_t at;               // in fds
    bool ready;                // looked at by us, else by the kernel
    bool room;                 // asleep for room in the ring
};

struct poll {
    struct ready_call call;
    struct pollfd *fds;
    uint32_t n;
    struct pollfd *kernel;  // n, then a bell a ready connection, then the pumps' fds
    struct member *members; // up to n
    uint32_t n_members, n_ready;
    uint32_t others; // fds that only the kernel knows
    void *mapped;    // NULL: kernel and members are on the stack
    size_t mapped_bytes;
    struct pump_sleep pumped;
};

static short mask_of(const struct poll *p, const struct member *m)
{
    const struct pollfd *f = &p->fds[m->at];

    return (short)(ready_expand(conn_mask(m->conn, f->fd)) &
                   ((uint16_t)f->events | POLLERR | POLLHUP));
}

static bool wants_in(const struct pollfd *f)
{
    return f->events & (READY_IN | POLLPRI | POLLRDHUP);
}

static bool wants_out(const struct pollfd *f)
{
    return f->events & READY_OUT;
}

// ---- who is in the call ----

// Holds c from then on.
static void join(struct conn *c, int fd, struct member *m)
{
    m->conn = c;
    m->counter = NULL;
    do {
        conn_advance(c, fd);
        m->ready = conn_ready(c);
    } while (!m->ready && !conn_doze(c, &m->counter));
}

static void gather(struct poll *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct member *m = &p->members[p->n_members];
        int fd = p->fds[i].fd;
        struct conn *c = conn_get(fd);

        p->fds[i].revents = 0;
        p->others += fd >= 0;
        if (!c) {
            epoll_reveal(fd);
            continue;
        }
        join(c, fd, m);
        m->at = i;
        p->n_members++;
        p->n_ready += m->ready;
        p->others -= m->ready;
    }
}

static void dismiss(struct poll *p)
{
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];

        conn_woke(&m->counter);
        conn_put(m->conn);
    }
}

// ---- looking ----

static int look_at_rings(struct poll *p)
{
    int found = 0;

    pumps_look();

    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];

        if (!m->ready)
            continue;
        p->fds[m->at].revents = mask_of(p, m);
        found += p->fds[m->at].revents != 0;
    }
    return found;
}

static void fill_kernel(struct poll *p)
{
    memcpy(p->kernel, p->fds, p->n * sizeof *p->fds);
    for (uint32_t i = 0; i < p->n_members; i++)
        if (p->members[i].ready)
            p->kernel[p->members[i].at].fd = -1;
}

// Copies what the kernel found of the fds that are its own.
static void take_others(struct poll *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        p->fds[i].revents = p->kernel[i].revents;
}

// The others, then the rings: both at one time, so that the answer is one that the kernel could
// give.
static int look(struct poll *p)
{
    struct timespec now = {0};
    long n = 0;

    if (p->others) {
        fill_kernel(p);
        n = sys_call(SYS_ppoll, p->kernel, p->n, &now, 0, 8);
        if (n < 0)
            return (int)n;
        take_others(p);
    }
    return (int)n + look_at_rings(p);
}

// ---- waiting ----

static uint32_t spin_us(const struct poll *p)
{
    uint32_t us = 0;

    for (uint32_t i = 0; i < p->n_members; i++)
        if (p->members[i].ready && p->members[i].conn->rule.spin_us > us)
            us = p->members[i].conn->rule.spin_us;
    return ready_spin_us(&p->call, us);
}

// The first ready connection remembers for the call.
static struct spin_memory *memory(const struct poll *p)
{
    uint32_t i = 0;

    while (!p->members[i].ready)
        i++;
    return &p->members[i].conn->spin;
}

static int spin(struct poll *p)
{
    uint64_t every = clock_ticks_of_ns(READY_LOOK_SPINNING_NS), looked = clock_ticks();
    struct spin s;
    int n = 0;

    if (!spin_begin(&s, memory(p), spin_us(p)))
        return 0;
    p->call.waited = true;
    do {
        clock_pause();
        sock_leave(); // handlers run here
        sock_enter();
        if (ready_interrupted(&p->call)) {
            n = -EINTR;
        } else if (look_at_rings(p) || s.last - looked >= every) {
            n = look(p);
            looked = s.last;
        }
    } while (!n && spin_go_on(&s));
    spin_end(&s);
    return n;
}

static void sleep_on(struct poll *p, bool begin)
{
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];
        const struct pollfd *f = &p->fds[m->at];

        if (!m->ready)
            continue;
        if (begin)
            m->room = conn_sleep(m->conn, wants_in(f), wants_out(f));
        else
            conn_woken(m->conn, wants_in(f), m->room);
    }
}

// For the sleep every ready connection is its twin, and its bell at the end. The number in all.
static uint32_t fill_sleep(struct poll *p)
{
    uint32_t n = p->n;

    memcpy(p->kernel, p->fds, p->n * sizeof *p->fds);
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];
        struct pollfd *f = &p->kernel[m->at];

        if (!m->ready)
            continue;
        f->events = conn_sleep_events(m->conn, wants_in(f), wants_out(f) && !m->room);
        p->kernel[n++] = (struct pollfd){m->conn->chan.bell, POLLIN, 0};
    }
    for (uint32_t i = 0; i < p->pumped.n_fds; i++)
        p->kernel[n++] = (struct pollfd){p->pumped.fd[i], POLLIN, 0};
    return n;
}

static void release(struct poll *p)
{
    dismiss(p);
    if (p->mapped)
        sys_call(SYS_munmap, p->mapped, p->mapped_bytes);
}

static void cancelled(void *arg)
{
    struct poll *p = arg;

    sock_enter();
    pumps_woken(&p->pumped);
    sleep_on(p, false);
    release(p);
    sock_leave();
}

// Not inside: the thread may be cancelled here.
static int sleep_in_kernel(struct poll *p, uint32_t n)
{
    uint64_t now_ns = p->pumped.deadline_ns == CLOCK_NEVER ? 0 : clock_now_ns();
    uint64_t cap_ns = p->pumped.deadline_ns - MIN(now_ns, p->pumped.deadline_ns);
    struct timespec ts, *t = ready_left(&p->call, cap_ns, &ts);
    bool hold = p->call.waited && !p->call.mask;
    sigset_t before;
    volatile int found = -EINTR;

    if (hold)
        sock_hold_signals(&before);
    pthread_cleanup_push(cancelled, p);
    if (!ready_interrupted(&p->call)) {
        found = real.ppoll(p->kernel, n, t, hold ? &before : p->call.mask);
        found = found < 0 ? -errno : found;
    }
    pthread_cleanup_pop(0);
    if (hold)
        sock_release_signals(&before);
    p->call.waited = true;
    return found;
}

// News of twins and bells after a sleep.
static void take_news(struct poll *p)
{
    uint32_t bell = p->n;

    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];
        int fd = p->fds[m->at].fd;

        if (!m->ready)
            continue;
        if (p->kernel[m->at].revents & (POLLRDHUP | POLLHUP | POLLERR))
            conn_look(m->conn, fd);
        if (p->kernel[bell++].revents | p->kernel[m->at].revents)
            conn_advance(m->conn, fd);
    }
}

// One sleep. Fds; 0: look again, or *over; -errno.
static int nap(struct poll *p, bool *over)
{
    uint32_t n;
    int found;

    sleep_on(p, true);
    pumps_arm(&p->pumped); // look() looks again
    p->pumped.deadline_ns = u64_min(p->pumped.deadline_ns, require_serve());
    found = look(p);
    if (!found) {
        n = fill_sleep(p);
        sock_leave();
        found = sleep_in_kernel(p, n);
        sock_enter();
        *over = found == 0 && ready_is_over(&p->call);
        if (found > 0) {
            take_news(p);
            found = look(p);
        }
    }
    pumps_woken(&p->pumped);
    sleep_on(p, false);
    return found;
}

static void count_found(struct poll *p, bool spinning)
{
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[i];
        struct cm_record *rec = m->ready ? &m->conn->end->rec : NULL;

        if (rec && p->fds[m->at].revents)
            atomic_fetch_add_explicit(spinning ? &rec->waits_spin : &rec->waits_sleep, 1,
                                      memory_order_relaxed);
    }
}

static int wait_for_fds(struct poll *p)
{
    uint64_t start = clock_ticks();
    bool over = false;
    int n;

    ready_start(&p->call);
    n = spin(p);
    if (n > 0)
        count_found(p, true);
    while (!n && !over) {
        n = nap(p, &over);
        if (n > 0)
            count_found(p, false);
    }
    spin_learn(memory(p), start);
    return n;
}

// None is ready: one call of the kernel's, or more where a rule's deadline is to be kept.
static int poll_kernel(struct poll *p)
{
    int n;

    p->kernel = p->fds;
    ready_start(&p->call);
    do {
        p->pumped.deadline_ns = require_serve();
        sock_leave();
        n = sleep_in_kernel(p, p->n);
        sock_enter();
    } while (!n && p->pumped.deadline_ns != CLOCK_NEVER && !ready_is_over(&p->call));
    return n;
}

// ---- the calls ----

// Is there anything that the kernel alone would do wrong?
static bool is_ours(int fd)
{
    enum fd_kind kind = fdtab_kind(fd);
    struct conn *c = kind == FD_CONN ? fdtab_object(fdtab_word(fd)) : NULL;

    if (kind == FD_EPOLL || !c)
        return kind == FD_EPOLL;
    if (c->stage == CONN_LISTEN)
        return c->ears >= 0;
    return c->stage != CONN_RAW && (c->end || c->wants_lane || !__libc_single_threaded);
}

bool sock_poll_ours(const struct pollfd *fds, nfds_t n)
{
    if (n > FDTAB_SIZE || reach(fds, n * sizeof *fds, REACH_WRITE) < n * sizeof *fds)
        return false; // the kernel says what is wrong
    for (nfds_t i = 0; i < n; i++)
        if (is_ours(fds[i].fd))
            return true;
    return false;
}

static int allocate(struct poll *p)
{
    const size_t each = 2 * sizeof *p->kernel + sizeof *p->members;
    struct rlimit files;

    if (sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &files) || p->n > files.rlim_cur)
        return -EINVAL; // poll(2)
    p->mapped_bytes = p->n * each + PUMPS * sizeof *p->kernel;
    p->mapped =
        mmap(NULL, p->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p->mapped == MAP_FAILED)
        return -ENOMEM;
    p->members = p->mapped;
    p->kernel = (struct pollfd *)(void *)(p->members + p->n);
    return 0;
}

static int poll_all(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                    const sigset_t *mask)
{
    struct pollfd kernel[2 * ON_STACK + PUMPS];
    struct member members[ON_STACK];
    struct poll p = {.fds = fds,
                     .n = (uint32_t)n,
                     .kernel = kernel,
                     .members = members,
                     .pumped.deadline_ns = CLOCK_NEVER};
    int found = ready_begin(&p.call, timeout, mask);

    if (found || n > INT_MAX)
        return found ? found : -EINVAL;
    found = n > ON_STACK ? allocate(&p) : 0;
    if (found)
        return found;
    if (!__libc_single_threaded)
        pthread_testcancel();
    sock_enter();
    gather(&p);
    if (!p.n_ready)
        found = poll_kernel(&p);
    else
        found = look(&p);
    if (!found && p.n_ready && !ready_no_wait(&p.call))
        found = wait_for_fds(&p);
    release(&p);
    sock_leave();
    return found;
}

// ---- listeners with ears ----

// The ears of fd: -1: it has none.
static int ears_of(int fd)
{
    const uintptr_t word = fdtab_word(fd);
    const struct conn *c = fdtab_object(word);

    return (word & 15) == FD_CONN && c->stage == CONN_LISTEN ? c->ears : -1;
}

static nfds_t count_ears(const struct pollfd *fds, nfds_t n)
{
    nfds_t ears = 0;

    for (nfds_t i = 0; i < n; i++)
        ears += ears_of(fds[i].fd) >= 0;
    return ears;
}

// The ears of fd may have hung up.
static bool is_deaf(int fd)
{
    struct conn *c = conn_get(fd);
    bool deaf = c && c->ears >= 0 && wire_was_deaf(c, fd);

    if (c)
        conn_put(c);
    return deaf;
}

// What the ears hear is the listener's.
static int merge(struct pollfd *fds, nfds_t n, const struct pollfd *all)
{
    const struct pollfd *ears = all + n;
    int found = 0;

    for (nfds_t i = 0; i < n; i++) {
        short heard = ears_of(fds[i].fd) >= 0 ? ears++->revents : 0;

        fds[i].revents = all[i].revents;
        if (unlikely(heard & POLLHUP) && is_deaf(fds[i].fd))
            heard = 0;
        if (heard & POLLIN)
            fds[i].revents |= (short)(fds[i].events & READY_IN);
        found += fds[i].revents != 0;
    }
    return found;
}

// all has room for every fd of the call, and then for the ears.
static int poll_with_ears(struct pollfd *all, struct pollfd *fds, nfds_t n,
                          const struct timespec *timeout, const sigset_t *mask)
{
    int found, merged;

    do {
        nfds_t m = n;

        memcpy(all, fds, n * sizeof *fds);
        for (nfds_t i = 0; i < n; i++)
            if (ears_of(fds[i].fd) >= 0)
                all[m++] = (struct pollfd){ears_of(fds[i].fd), fds[i].events & POLLIN, 0};
        found = poll_all(all, m, timeout, mask);
        merged = found < 0 ? found : merge(fds, n, all);
    } while (found > 0 && !merged);
    return merged;
}

int sock_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct pollfd few[ON_STACK], *all = few;
    nfds_t ears = n > INT_MAX ? 0 : count_ears(fds, n);
    size_t bytes = (n + ears) * sizeof *all;
    int found;

    if (likely(!ears))
        return poll_all(fds, n, timeout, mask);
    if (n + ears > ON_STACK)
        all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return -ENOMEM;
    found = poll_with_ears(all, fds, n, timeout, mask);
    if (all != few)
        sys_call(SYS_munmap, all, bytes);
    return found;
}
