// SPDX-License-Identifier: BSD-2-Clause
#include "sock/real.h"

#include <dlfcn.h>

struct sock_real real;

static void find(void *slot, const char *symbol)
{
    *(void **)slot = dlsym(RTLD_NEXT, symbol);
}

void sock_real_init(void)
{
    if (real.sigaction)
        return;
    find(&real.connect, "connect");
    find(&real.sendmsg, "sendmsg");
    find(&real.recvmsg, "recvmsg");
    find(&real.send, "send");
    find(&real.recv, "recv");
    find(&real.ppoll, "ppoll");
    find(&real.epoll_pwait2, "epoll_pwait2");
    find(&real.epoll_pwait, "epoll_pwait");
    find(&real.pthread_sigmask, "pthread_sigmask");
    find(&real.sigaction, "sigaction");
}
