// SPDX-License-Identifier: BSD-2-Clause
// What a thread knows of itself while it is inside Shunt, and signals that come meanwhile.
//
// A signal handler of the program may call any socket function. So that it never meets a lock that
// its own thread holds, handlers (all are entered by way of signal.c) are put off while a thread is
// between sock_enter() and sock_leave(), and run in sock_leave(). Nothing in between may block:
// whoever waits leaves first (wait.c).
#ifndef SHUNT_SOCK_THREAD_H
#define SHUNT_SOCK_THREAD_H

#include "base/sys.h"
#include "base/util.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sock_thread {
    int depth;               // sock_enter() without its sock_leave()
    volatile bool pending;   // a handler was put off
    int tid;                 // 0: not asked yet
    uintptr_t handler_frame; // of the innermost handler of the program's; 0: none
    int vfork_parent;        // tid of the parent while a vfork child may be running in its memory
    volatile uint32_t interrupts; // handlers without SA_RESTART that have run in this thread
    volatile uint32_t restarts;   // handlers with SA_RESTART that have run
};

extern __thread struct sock_thread sock_thread __attribute__((tls_model("initial-exec")));

void sock_run_pending(void); // signal.c: runs the handlers that were put off
int sock_tid_slow(void);

// Before vfork and its like: marks the thread as a parent whose memory a child will use.
void sock_before_vfork(void);

// Is the caller such a child? To be asked where vfork_parent is set; clears it in the parent.
bool sock_vforked(void);

static inline void sock_enter(void)
{
    sock_thread.depth++;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void sock_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (--sock_thread.depth == 0 && unlikely(sock_thread.pending))
        sock_run_pending();
}

// Between its last look and its sleep a thread has all signals blocked, and the sleep takes the
// mask of before: so a handler that ends the call cannot slip in there unseen.
static inline void sock_hold_signals(sigset_t *before)
{
    const uint64_t all = ~UINT64_C(0);

    sigemptyset(before);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, before, sizeof all);
}

static inline void sock_release_signals(const sigset_t *before)
{
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, before, NULL, sizeof(uint64_t));
}

// Does a signal handler of the program run? One that was left by longjmp lies below.
static inline bool sock_in_handler(void)
{
    return sock_thread.handler_frame &&
           (uintptr_t)__builtin_frame_address(0) < sock_thread.handler_frame;
}

// The caller's thread id; right after fork, too (fork.c resets it).
static inline int sock_tid(void)
{
    return likely(sock_thread.tid) ? sock_thread.tid : sock_tid_slow();
}

#endif
