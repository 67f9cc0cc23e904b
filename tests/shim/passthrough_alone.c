// SPDX-License-Identifier: BSD-2-Clause
// Rows that make numbers, or are about memory and limits.
#include "passthrough.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

static int two[2];

// What makes numbers: whether they are there, and whether what cannot be is refused.
static long numbers(int r, int refused)
{
    return r < 0 ? -1
                 : (two[1] - two[0]) * 100 + (fcntl(two[0], F_GETFD) >= 0) * 10 + (refused < 0);
}

static long number(int fd, int refused)
{
    return fd < 0 ? -1 : (fcntl(fd, F_GETFD) >= 0) * 10 + (refused < 0);
}

static char *page(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long file_actions(void)
{
    posix_spawn_file_actions_t a;

    return posix_spawn_file_actions_init(&a) * 10L + posix_spawn_file_actions_destroy(&a);
}

static struct rlimit limit = {1 << 30, RLIM_INFINITY}, now;

static long limited(long r)
{
    return r * 100 + prlimit(0, RLIMIT_AS, NULL, &now) * 10 + (now.rlim_cur == 1 << 30);
}

ALONE(pipe, numbers(pipe(two), 0))
ALONE(pipe2, numbers(pipe2(two, O_CLOEXEC), pipe2((int[2]){0}, -1)))
ALONE(socketpair, numbers(socketpair(AF_UNIX, SOCK_STREAM, 0, two), 0))
ALONE(eventfd, number(eventfd(3, EFD_CLOEXEC), eventfd(0, -1)))
ALONE(timerfd_create, number(timerfd_create(CLOCK_MONOTONIC, 0), timerfd_create(-1, 0)))
ALONE(munmap, munmap(page(), 4096) * 10L + munmap((void *)1, 4096))
ALONE(mprotect, mprotect(page(), 4096, PROT_READ) * 10L + mprotect((void *)1, 4096, PROT_READ))
ALONE(mremap, mremap(page(), 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED)
ALONE(posix_spawn_file_actions_init, file_actions())
ALONE(posix_spawn_file_actions_destroy, file_actions())
ALONE(mlockall, mlockall(MCL_CURRENT) * 10L + mlockall(0))
ALONE(getrlimit, getrlimit(RLIMIT_AS, &now) * 10L + (now.rlim_cur == RLIM_INFINITY))
ALONE(getrlimit64, getrlimit64(RLIMIT_AS, (void *)&now) * 10L + (now.rlim_cur == RLIM_INFINITY))
ALONE(setrlimit, limited(setrlimit(RLIMIT_AS, &limit)))
ALONE(setrlimit64, limited(setrlimit64(RLIMIT_AS, (void *)&limit)))
ALONE(prlimit, limited(prlimit(0, RLIMIT_AS, &limit, NULL)))
ALONE(prlimit64, limited(prlimit64(0, RLIMIT_AS, (void *)&limit, NULL)))
