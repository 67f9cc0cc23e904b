// SPDX-License-Identifier: BSD-2-Clause
// Making processes. fork() comes by pthread_atfork(), which also sees the forks that libc makes
// itself (daemon, forkpty); the shim calls the same for those that skip such handlers.
#include "sock/fork.h"

#include "sock/carrier.h"
#include "sock/mirror.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <pthread.h>

int __cxa_atexit(void (*fn)(void *), void *arg, void *library); // Itanium C++ ABI, 3.3.5.3

static bool ready; // a child of a program in which Shunt is off has nothing to share

// Inside until it is over on both sides, so that no handler meets a lock that is held meanwhile.
void sock_before_fork(void)
{
    if (!ready)
        return;
    sock_enter();
    conn_before_fork();
}

void sock_after_fork(bool child)
{
    if (!ready)
        return;
    if (child) {
        sock_thread.tid = 0;
        signal_after_fork();
    }
    conn_after_fork(child);
    sock_leave();
}

static void in_parent(void)
{
    sock_after_fork(false);
}

static void in_child(void)
{
    sock_after_fork(true);
}

void sock_before_exit(void)
{
    if (!ready || self.off)
        return;
    mirror_drain();
    wire_exit();
}

static void at_exit(void *unused)
{
    if (!self.off)
        wire_exit();
}

void fork_setup(void)
{
    ready = true;
    pthread_atfork(sock_before_fork, in_parent, in_child);
    // of no library, so that it comes after all destructors: they may have last words to send
    __cxa_atexit(at_exit, NULL, NULL);
}
