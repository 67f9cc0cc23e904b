// SPDX-License-Identifier: BSD-2-Clause
// Sockets that travel by SCM_RIGHTS (unix(7)), and what comes.
#include "base/clock.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <string.h>

#define ASK_NS (200 * NS_PER_MS)

// Calls see for every fd in the control messages of msg.
static void each_fd(const struct msghdr *msg, void (*see)(int fd, void *arg), void *arg)
{
    struct msghdr *m = (struct msghdr *)msg; // CMSG_NXTHDR wants it so

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(0))
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            see(fd, arg);
        }
    }
}

// Can the process at the other end of the unix socket find a channel? Asked once a message. The
// kernel names who made the socket; where that is this process, who reads it may be any child.
struct receiver {
    int sock;
    int knows; // -1: not asked yet
};

static bool knows_shunt(struct receiver *to)
{
    struct ucred cred = {0};
    socklen_t n = sizeof cred;

    if (to->knows >= 0)
        return to->knows;
    to->knows = 0;
    if (sys_getsockopt(to->sock, SOL_SOCKET, SO_PEERCRED, &cred, &n) || cred.pid <= 0 ||
        cred.pid == sys_getpid())
        return false;
    sock_enter();
    sock_lock(&self.lock, false);
    to->knows = cm_is_client(self.cm, cred.pid, clock_now_ns() + ASK_NS) == 1;
    sock_unlock(&self.lock, false);
    sock_leave();
    return to->knows;
}

static void see_leaving(int fd, void *arg)
{
    struct conn *c = conn_get(fd);

    if (!c)
        return;
    if (!c->carrier->twin)
        wire_share(c, fd);
    if (c->far || !knows_shunt(arg) || !conn_lend(c, fd, clock_now_ns() + ASK_NS))
        sock_hand_over(c, fd, "passed to another process");
    else if (c->end)
        end_set(c->end, END_CROWD);
    conn_put(c);
}

void sock_before_pass(int fd, const struct msghdr *msg)
{
    struct receiver to = {fd, -1};

    if (!self.off)
        each_fd(msg, see_leaving, &to);
}

static void see_coming(int fd, void *arg)
{
    conn_adopt(fd);
}

void sock_after_received(const struct msghdr *msg)
{
    if (!self.off)
        each_fd(msg, see_coming, NULL);
}
