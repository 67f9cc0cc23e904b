// SPDX-License-Identifier: BSD-2-Clause
// What the shim brings along where a test links without it; the library's own, if linked, win.
#include "base/sys.h"
#include "sock/real.h"
#include "sock/thread.h"

#define WEAK __attribute__((weak))

WEAK __thread struct sock_thread sock_thread __attribute__((tls_model("initial-exec")));
WEAK struct sock_real real;

WEAK int sock_tid_slow(void)
{
    return sock_thread.tid = sys_gettid();
}

WEAK void sock_run_pending(void)
{
}

WEAK void sock_real_init(void)
{
    real.sendmsg = sendmsg;
    real.recvmsg = recvmsg;
    real.send = send;
    real.recv = recv;
    real.ppoll = ppoll;
    real.epoll_pwait = epoll_pwait;
    real.epoll_pwait2 = epoll_pwait2;
    real.sigaction = sigaction;
    real.pthread_sigmask = pthread_sigmask;
}
