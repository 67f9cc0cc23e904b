// SPDX-License-Identifier: BSD-2-Clause
// Numbers of our own, where the program does not need them: above its limit of open files, which
// holds for numbers that are given, not for those that are there. It is lifted for the moment;
// where it cannot be, they go to the top quarter below it.
#include "cm/cm.h"

#include "base/sys.h"
#include "base/util.h"

#include <fcntl.h>
#include <sys/resource.h>

#define RANGE_MAX  4096 // a fork copies the table up to the highest number
#define OVER_COUNT 4096 // numbers above a limit that only privilege lifts

static atomic_flag lifting = ATOMIC_FLAG_INIT;
static _Atomic int highest;

static rlim_t soft_limit(void)
{
    struct rlimit lim;

    return sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &lim) ? 0 : lim.rlim_cur;
}

static int first_of_top_quarter(void)
{
    return (int)(MIN(soft_limit(), (rlim_t)RANGE_MAX) / 4 * 3);
}

static int note(int fd)
{
    int known = atomic_load(&highest);

    while (fd > known && !atomic_compare_exchange_weak(&highest, &known, fd))
        ;
    return fd;
}

static int dup_from(int fd, int min)
{
    return sys_fcntl(fd, F_DUPFD_CLOEXEC, min);
}

// ---- over the limit ----

static bool lift(const struct rlimit *lim, struct rlimit *lifted)
{
    *lifted = (struct rlimit){lim->rlim_max, lim->rlim_max};
    if (lim->rlim_cur == lim->rlim_max)
        lifted->rlim_cur = lifted->rlim_max += OVER_COUNT;
    return sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, lifted, NULL) == 0;
}

// What another thread set meanwhile stays.
static void lower(const struct rlimit *lim, const struct rlimit *lifted)
{
    struct rlimit was;

    sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, lim, &was);
    if (was.rlim_cur != lifted->rlim_cur || was.rlim_max != lifted->rlim_max)
        sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, &was, NULL);
}

static int dup_over(int fd)
{
    struct rlimit lim, lifted;
    int up = -EMFILE;

    while (atomic_flag_test_and_set_explicit(&lifting, memory_order_acquire))
        sys_call(SYS_sched_yield, 0);
    if (!sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &lim) && lift(&lim, &lifted)) {
        up = dup_from(fd, (int)lim.rlim_cur);
        lower(&lim, &lifted);
    }
    atomic_flag_clear_explicit(&lifting, memory_order_release);
    return up;
}

int cm_fd_dup_over(int fd)
{
    int up = dup_over(fd);

    return up < 0 ? -EMFILE : note(up);
}

bool cm_fd_is_over(int fd)
{
    return (rlim_t)fd >= soft_limit();
}

// ---- up ----

bool cm_fd_is_up(int fd)
{
    return fd >= first_of_top_quarter();
}

int cm_fd_up(int fd)
{
    int min = first_of_top_quarter(), up = -EMFILE;

    if (soft_limit() <= RANGE_MAX)
        up = dup_over(fd);
    if (up < 0 && fd < min)
        up = dup_from(fd, min);
    if (up < 0)
        return note(fd);
    sys_close(fd);
    return note(up);
}

int cm_fd_limit(void)
{
    return atomic_load(&highest) + 1;
}
