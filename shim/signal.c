// SPDX-License-Identifier: BSD-2-Clause
// How programs set handlers. The older names are sigaction() with certain flags: signal(2),
// sysv_signal(3), sigset(3), siginterrupt(3).
#include "shim/shim.h"

static sigset_t interrupting; // signals for which siginterrupt() was asked

SHUNT_EXPORT int sigaction(int sig, const struct sigaction *restrict act,
                           struct sigaction *restrict old)
{
    return (int)shim_ret(sock_sigaction(sig, act, old));
}
SHIM_ALIAS(__sigaction, sigaction);

static sighandler_t set(int sig, const struct sigaction *act)
{
    struct sigaction old;

    if (act->sa_handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    return sigaction(sig, act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

SHUNT_EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
    struct sigaction act = {.sa_handler = handler};

    sigemptyset(&act.sa_mask);
    if (sigaddset(&act.sa_mask, sig) < 0)
        return SIG_ERR;
    act.sa_flags = sigismember(&interrupting, sig) ? 0 : SA_RESTART;
    return set(sig, &act);
}
SHIM_ALIAS(ssignal, signal);
SHIM_ALIAS(bsd_signal, signal);

SHUNT_EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

    sigemptyset(&act.sa_mask);
    return set(sig, &act);
}
SHIM_ALIAS(__sysv_signal, sysv_signal);

SHUNT_EXPORT int siginterrupt(int sig, int interrupt)
{
    struct sigaction act;

    if (sigaction(sig, NULL, &act) < 0)
        return -1;
    if (interrupt) {
        sigaddset(&interrupting, sig);
        act.sa_flags &= ~SA_RESTART;
    } else {
        sigdelset(&interrupting, sig);
        act.sa_flags |= SA_RESTART;
    }
    return sigaction(sig, &act, NULL);
}

// SIG_HOLD blocks the signal; anything else sets the disposition and unblocks it.
SHUNT_EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
    struct sigaction act = {.sa_handler = handler}, old;
    sigset_t one, before;

    sigemptyset(&act.sa_mask);
    sigemptyset(&one);
    if (handler == SIG_ERR || sigaddset(&one, sig) < 0) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (sigprocmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_SETMASK,
                    handler == SIG_HOLD ? &one : NULL, &before) < 0 ||
        sigaction(sig, handler == SIG_HOLD ? NULL : &act, &old) < 0)
        return SIG_ERR;
    if (handler != SIG_HOLD && sigprocmask(SIG_UNBLOCK, &one, NULL) < 0)
        return SIG_ERR;
    return sigismember(&before, sig) ? SIG_HOLD : old.sa_handler;
}
