// SPDX-License-Identifier: BSD-2-Clause
// The kernel's TCP below the ring: every question goes to the twin.
#include "base/sys.h"
#include "sock/carrier.h"

#include <poll.h>

static short twin_poll(struct conn *c, int fd, short ask)
{
    struct pollfd p = {fd, ask, 0};
    struct timespec now = {0};

    return sys_call(SYS_ppoll, &p, 1, &now, 0, 8) > 0 ? p.revents : 0;
}

static ssize_t take_end(int fd)
{
    char byte;

    return sys_call(SYS_recvfrom, fd, &byte, 1, MSG_DONTWAIT, 0, 0);
}

static bool is_unread(const struct conn *c)
{
    return c->end->tx.tail != atomic_load_explicit(&c->chan.tx->head, memory_order_acquire);
}

// What the kernel says of the twin is the answer. A peer that closed before it read all that we
// wrote is a reset, as it would have been by TCP.
static ssize_t twin_at_end(struct conn *c, int fd)
{
    ssize_t n = take_end(fd);

    // again afterwards: its last words say how far it came
    if (n == 0 && is_unread(c) && conn_nobody_reads(c, fd) && is_unread(c)) {
        c->carrier->abort(c, fd);
        return take_end(fd); // the error that it left
    }
    return n > 0 ? -EPROTO : n;
}

// AF_UNSPEC: the kernel sends RST and forgets the peer.
static void twin_abort(struct conn *c, int fd)
{
    const struct linger now = {1, 0};

    sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    sys_call(SYS_connect, fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

static int twin_shutdown(struct conn *c, int fd, int how)
{
    return (int)sys_call(SYS_shutdown, fd, how);
}

static int twin_name(struct conn *c, int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
    return (int)sys_call(peer ? SYS_getpeername : SYS_getsockname, fd, addr, len);
}

static int twin_getsockopt(struct conn *c, int fd, int level, int name, void *val, socklen_t *len)
{
    return sys_getsockopt(fd, level, name, val, len);
}

static int twin_setsockopt(struct conn *c, int fd, int level, int name, const void *val,
                           socklen_t len)
{
    return sys_setsockopt(fd, level, name, val, len);
}

static int twin_ioctl(struct conn *c, int fd, unsigned long request, void *arg)
{
    return sys_ioctl(fd, request, arg);
}

bool conn_has_twin(const struct conn *c)
{
    return c->carrier->twin;
}

const struct carrier carrier_kernel = {
    .twin = true,
    .poll = twin_poll,
    .at_end = twin_at_end,
    .abort = twin_abort,
    .shutdown = twin_shutdown,
    .name = twin_name,
    .getsockopt = twin_getsockopt,
    .setsockopt = twin_setsockopt,
    .ioctl = twin_ioctl,
};
