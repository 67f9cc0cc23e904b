// SPDX-License-Identifier: BSD-2-Clause
// For the "%{ ... }%" of scripts packetdrill asks the kernel, by getsockopt(), also where a plug
// has the sockets. A plug that is preloaded as well answers instead.
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "plug.h"

static struct plug *shown;

void plug_show(struct plug *p)
{
    shown = p;
}

// What the engine has no word for, but packetdrill insists on: nothing, or zeros.
static int nothing(int level, void *value, socklen_t *len)
{
    if (level == SOL_SOCKET)
        memset(value, 0, *len); // SO_MEMINFO
    else
        *len = 0; // TCP_CC_INFO
    return 0;
}

SHUNT_EXPORT int getsockopt(int fd, int level, int name, void *restrict value,
                            socklen_t *restrict len)
{
    socklen_t room = *len;
    int err;

    if (!shown || plug_inner(shown, fd) < 0)
        return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
    err = stack_getsockopt(shown->stack, plug_inner(shown, fd), level, name, value, len);
    if (err == -ENOPROTOOPT)
        return nothing(level, value, len);
    if (!err) { // packetdrill may know a longer struct than this machine's headers
        memset((char *)value + *len, 0, room - *len);
        *len = room;
    }
    return (int)plug_result(err);
}
