// SPDX-License-Identifier: BSD-2-Clause
// A process that is about to forbid itself system calls (seccomp(2)) must not be killed for one of
// Shunt's. So it goes on without Shunt: every connection goes back to the kernel for good, and each
// call of the program is one of the kernel's then, with nothing beside it. Programs that it starts
// live under the same filter, and go without Shunt as well.
#include "base/clock.h"
#include "base/log.h"
#include "base/reach.h"
#include "cm/wire.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/fdtab.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "sock/wire.h"

#include <stdlib.h>

#define REASON  "the program forbids itself system calls"
#define BACK_NS (1 * NS_PER_S) // for all peers together

// deadline_ns 0: begins to go back.
static void leave(struct conn *c, int fd, uint64_t deadline_ns)
{
    if (c->stage == CONN_LISTEN) {
        wire_deafen(c, fd);
        wire_unlisten(c, fd);
    }
    if (c->stage <= CONN_RAW || conn_go_back(c, fd, true, deadline_ns, REASON))
        return;
    if (!c->carrier->twin)
        wire_shadow(c); // making it takes a system call
    c->stage = CONN_RAW;
}

static void leave_all(uint64_t deadline_ns)
{
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        leave(c, fd, deadline_ns);
        conn_put(c);
    }
}

static void each_number(void (*see)(int fd))
{
    for (int fd = 0; fd < fdtab_limit(); fd++)
        see(fd);
}

// The connection itself stays, for `shunt stat`. What is on Shunt's own TCP keeps its name.
static void forget_number(int fd)
{
    struct conn *c = conn_get(fd);

    if (!c)
        return;
    if (c->carrier->twin && c->stage <= CONN_RAW)
        fdtab_set(fd, FD_NONE, NULL);
    conn_put(c);
}

// The numbers stay open, and stay ours.
static void mute(void)
{
    int fds[2];

    sock_enter();
    sock_lock(&self.lock, false);
    fds[0] = cm_mute(self.cm);
    fds[1] = cm_wire_mute();
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            fdtab_set(fds[i], FD_OWN, NULL);
    sock_unlock(&self.lock, false);
    sock_leave();
}

void sock_seal(void)
{
    log_info(REASON "; it goes on without Shunt");
    each_number(epoll_use);
    leave_all(0);
    leave_all(clock_now_ns() + BACK_NS);
    each_number(epoll_forget);
    each_number(forget_number);
    reach_trust();
    mute();
    setenv(SOCK_SEALED, "1", 1);
    self.off = true;
}
