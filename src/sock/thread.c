// SPDX-License-Identifier: BSD-2-Clause
#include "sock/thread.h"

#include "base/sys.h"

__thread struct sock_thread sock_thread __attribute__((tls_model("initial-exec")));

int sock_tid_slow(void)
{
    return sock_thread.tid = sys_gettid();
}

// A child of a vfork child has the same mark: it is as little the parent as that one.
void sock_before_vfork(void)
{
    if (!sock_thread.vfork_parent || !sock_vforked())
        sock_thread.vfork_parent = sys_gettid();
}

bool sock_vforked(void)
{
    if (sys_gettid() != sock_thread.vfork_parent)
        return true;
    sock_thread.vfork_parent = 0;
    return false;
}
