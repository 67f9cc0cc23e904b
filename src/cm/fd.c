// SPDX-License-Identifier: BSD-2-Clause
#include "cm/cm.h"

#include "base/sys.h"
#include "base/util.h"

#include <fcntl.h>
#include <sys/resource.h>

#define RANGE_MAX 4096 // a fork copies the table up to the highest number

static int first_of_top_quarter(void)
{
    struct rlimit lim;

    if (sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &lim))
        return 0;
    return (int)(MIN(lim.rlim_cur, (rlim_t)RANGE_MAX) / 4 * 3);
}

bool cm_fd_is_up(int fd)
{
    return fd >= first_of_top_quarter();
}

int cm_fd_up(int fd)
{
    int min = first_of_top_quarter(), up;

    if (fd >= min)
        return fd;
    up = sys_fcntl(fd, F_DUPFD_CLOEXEC, min);
    if (up < 0)
        return fd;
    sys_close(fd);
    return up;
}
