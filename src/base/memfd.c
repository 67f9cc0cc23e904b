// SPDX-License-Identifier: BSD-2-Clause
#include "base/memfd.h"

#include "base/sys.h"

#include <sys/resource.h>

int memfd_resize(int fd, uint64_t bytes)
{
    struct rlimit limit;

    if (!sys_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) && limit.rlim_cur < bytes)
        return -EFBIG;
    return (int)sys_call(SYS_ftruncate, fd, bytes);
}
