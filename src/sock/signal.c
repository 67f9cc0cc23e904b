// SPDX-License-Identifier: BSD-2-Clause
// The program's signal handlers, entered by way of ours.
//
// The kernel keeps mask, alternate stack, nesting and restarting as the program asked for. We only
// count what has run, and put a handler off while its thread is inside: then the signal is queued
// again, with all that it said, and everything stays blocked until sock_leave() lifts the block; so
// that the kernel delivers it once more, as if it had come then.
#include "base/sys.h"
#include "sock/fork.h"
#include "sock/sock.h"
#include "sock/thread.h"

#include <string.h>
#include <ucontext.h>

#define BIT(sig)  (UINT64_C(1) << ((sig)-1))
#define SET_BYTES 8 // of the kernel's sigset

// Faults belong to the instruction that made them, and the two below SIGRTMIN to libc's threads.
#define NEVER_OURS                                                                                 \
    (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGSYS) |         \
     BIT(SIGKILL) | BIT(SIGSTOP) | BIT(32) | BIT(33))

// What the program asked for. The handler of ours reads the first two at any time.
struct slot {
    _Atomic uintptr_t handler;
    _Atomic int flags;
    struct sigaction act; // all of it, under the lock
};

static struct slot slots[_NSIG];
static atomic_flag locked = ATOMIC_FLAG_INIT;

// The mask to go back to in sock_run_pending().
static __thread uint64_t mask_before __attribute__((tls_model("initial-exec")));

static void set_mask(uint64_t mask, uint64_t *old)
{
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, SET_BYTES);
}

// ---- running ----

static void put_off(int sig, siginfo_t *info, ucontext_t *context)
{
    uint64_t before;

    set_mask(~NEVER_OURS, NULL);
    // a second one may have nested in ours until here: the outermost knows the thread's own mask
    memcpy(&before, &context->uc_sigmask, sizeof before);
    mask_before = before;
    before |= ~NEVER_OURS;
    memcpy(&context->uc_sigmask, &before, sizeof before);
    sys_call(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), sig, info);
    sock_thread.pending = true;
}

void sock_run_pending(void)
{
    sock_thread.pending = false;
    set_mask(mask_before, NULL);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    const struct sigaction dfl = {.sa_handler = SIG_DFL};
    uintptr_t handler, outer = sock_thread.handler_frame;
    int flags;

    if (sock_thread.depth) {
        put_off(sig, info, context);
        return;
    }
    handler = atomic_load_explicit(&slots[sig].handler, memory_order_acquire);
    flags = atomic_load_explicit(&slots[sig].flags, memory_order_relaxed);
    if (flags & SA_RESTART)
        sock_thread.restarts++;
    else
        sock_thread.interrupts++;
    if (flags & (int)SA_RESETHAND)
        real.sigaction(sig, &dfl, NULL);
    sock_thread.handler_frame = (uintptr_t)__builtin_frame_address(0);
    ((void (*)(int, siginfo_t *, void *))handler)(sig, info, context);
    sock_thread.handler_frame = outer;
}

// ---- setting ----

static bool is_handler(const struct sigaction *act)
{
    return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

static bool is_ours(const struct sigaction *act)
{
    return (act->sa_flags & SA_SIGINFO) && act->sa_sigaction == on_signal;
}

static void publish(struct slot *s, const struct sigaction *act)
{
    s->act = *act;
    atomic_store_explicit(&s->flags, act->sa_flags, memory_order_relaxed);
    atomic_store_explicit(&s->handler, (uintptr_t)act->sa_handler, memory_order_release);
}

// Under the lock. The program sees its own handler in *old.
static int exchange(int sig, const struct sigaction *act, struct sigaction *old)
{
    struct sigaction before, outer, shown = slots[sig].act;
    int err;

    if (act && is_handler(act) && !is_ours(act)) {
        publish(&slots[sig], act);
        outer = *act;
        outer.sa_sigaction = on_signal;
        // the kernel would reset it at the delivery that we put off
        outer.sa_flags = (outer.sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
        act = &outer;
    }
    err = real.sigaction(sig, act, &before) < 0 ? -errno : 0;
    if (!err && old)
        *old = is_ours(&before) ? shown : before;
    return err;
}

int sock_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    uint64_t mask;
    int err;

    sock_real_init();
    if (sig <= 0 || sig > 64 || (NEVER_OURS & BIT(sig)))
        return real.sigaction(sig, act, old) < 0 ? -errno : 0;
    if (sock_thread.vfork_parent && sock_vforked()) {
        // the table is the parent's; a child that will exec needs no putting off
        err = real.sigaction(sig, act, old) < 0 ? -errno : 0;
        if (!err && old && is_ours(old))
            *old = slots[sig].act;
        return err;
    }
    set_mask(~UINT64_C(0), &mask);
    while (atomic_flag_test_and_set_explicit(&locked, memory_order_acquire))
        ;
    err = exchange(sig, act, old);
    atomic_flag_clear_explicit(&locked, memory_order_release);
    set_mask(mask, NULL);
    return err;
}

void signal_after_fork(void)
{
    atomic_flag_clear(&locked);
}
