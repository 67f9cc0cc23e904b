// SPDX-License-Identifier: BSD-2-Clause
#include "net/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/sys.h"

#define SPINS      200              // tries before the first sleep
#define NAP_NS     (50 * NS_PER_US) // between tries from then on
#define SUSPECT_NS (2 * NS_PER_MS)  // a holder that took so long is looked at, each time again

static __thread int own_tid;

uint64_t net_lock_word(const struct net *n)
{
    if (unlikely(!own_tid))
        own_tid = sys_gettid();
    return (uint64_t)(n->member + 1) << 32 | (uint32_t)own_tid;
}

bool net_lock_try(struct net *n)
{
    uint64_t nobody = 0;

    if (atomic_load_explicit(&n->arena->dead, memory_order_relaxed) ||
        atomic_load_explicit(&n->arena->lock, memory_order_relaxed))
        return false;
    if (!atomic_compare_exchange_strong(&n->arena->lock, &nobody, net_lock_word(n)))
        return false;
    net_changes(n);
    if (likely(n->arena->last_member == n->member))
        return true;
    n->arena->last_member = n->member;
    n->ctx.last = NULL; // somebody else may have freed it
    return true;
}

void net_lock_release(struct net *n)
{
    uint64_t word = net_lock_word(n);

    // not ours any more where the stack was declared dead under us
    atomic_compare_exchange_strong(&n->arena->lock, &word, 0);
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = NAP_NS};

    sys_call(SYS_nanosleep, &t, NULL);
}

int net_lock_until(struct net *n, uint64_t deadline_ns)
{
    uint64_t now_ns, suspect_ns = 0, holder;

    for (int i = 0;; i++) {
        if (net_lock_try(n))
            return 0;
        if (net_dead(n))
            return -ECONNRESET;
        if (i < SPINS) {
            clock_pause();
            continue;
        }
        now_ns = clock_now_ns();
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        holder = atomic_load(&n->arena->lock);
        if (holder && suspect_ns && now_ns >= suspect_ns && net_holder_gone(n, holder))
            net_holder_died(n, holder);
        if (!suspect_ns || now_ns >= suspect_ns)
            suspect_ns = now_ns + SUSPECT_NS;
        nap();
    }
}

// Reads the file into text (size bytes, ended by a zero). False where it cannot be read.
static bool read_file(const char *path, char *text, size_t size)
{
    int fd = (int)sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long got;

    if (fd < 0)
        return false;
    got = sys_read(fd, text, size - 1);
    sys_close(fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

// State and start time of a thread (tid == pid: of the process): proc(5), /proc/PID/stat.
static bool read_stat(uint32_t pid, uint32_t tid, char *state, uint64_t *start_ticks)
{
    char path[64], text[1024], *at;

    snprintf(path, sizeof path, "/proc/%u/task/%u/stat", pid, tid);
    if (!read_file(path, text, sizeof text))
        return false;
    at = strrchr(text, ')'); // the name may hold anything
    if (!at || at[1] != ' ')
        return false;
    *state = at[2];
    for (int field = 3; at && field <= 22; field++)
        at = strchr(at + 1, ' ');
    *start_ticks = at ? strtoull(at, NULL, 10) : 0;
    return at;
}

// Two files: /proc may be another namespace's, or not there. Only what both say counts.
static bool thread_gone(uint32_t pid, uint32_t tid)
{
    uint64_t start;
    char state;

    if (sys_call(SYS_tgkill, pid, tid, 0) == -ESRCH)
        return true;
    return read_stat(pid, tid, &state, &start) && (state == 'Z' || state == 'X');
}

static bool knows(const struct net *n, const struct net_member *m)
{
    return m->pid_ns == n->pid_ns;
}

// Another process may have got the pid.
static bool is_another(const struct net_member *m, uint32_t pid)
{
    uint64_t start;
    char state;

    return read_stat(pid, pid, &state, &start) && start != m->start_ticks;
}

bool net_holder_gone(const struct net *n, uint64_t word)
{
    uint32_t member = (uint32_t)(word >> 32) - 1, pid;
    const struct net_member *m;

    if (member >= NET_MEMBERS)
        return true; // nobody: somebody has written nonsense
    m = &n->arena->member[member];
    pid = atomic_load(&m->pid);
    if (!knows(n, m))
        return false;
    return !pid || thread_gone(pid, (uint32_t)word) || is_another(m, pid);
}

bool net_member_gone(const struct net *n, uint32_t member)
{
    const struct net_member *m = &n->arena->member[member];
    uint32_t pid = atomic_load(&m->pid);

    return pid && knows(n, m) && (sys_call(SYS_kill, pid, 0) == -ESRCH || is_another(m, pid));
}

static uint64_t own_pid_ns(void)
{
    char text[64] = "";
    long n = sys_call(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", text, sizeof text - 1);

    return n > 5 ? strtoull(text + 5, NULL, 10) : 0; // "pid:[4026531836]"
}

static void fill_member(struct net *n, struct net_member *m, uint32_t pid)
{
    char state;

    m->start_ticks = 0;
    read_stat(pid, pid, &state, &m->start_ticks);
    m->pid_ns = n->pid_ns;
    atomic_store(&m->lookers, 0);
}

int net_member_join(struct net *n)
{
    uint32_t pid = (uint32_t)sys_getpid();

    own_tid = 0; // after fork it is another
    n->pid_ns = own_pid_ns();
    for (uint32_t i = 0; i < NET_MEMBERS; i++) {
        struct net_member *m = &n->arena->member[i];
        uint32_t nobody = 0;

        // joining is marked by a pid that nobody has
        if (!atomic_compare_exchange_strong(&m->pid, &nobody, UINT32_MAX))
            continue;
        fill_member(n, m, pid);
        n->member = i;
        atomic_store(&m->pid, pid);
        return 0;
    }
    return -EUSERS;
}

void net_member_leave(struct net *n)
{
    struct net_member *m = &n->arena->member[n->member];

    atomic_store(&m->lookers, 0);
    atomic_store(&m->pid, 0);
}
