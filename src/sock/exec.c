// SPDX-License-Identifier: BSD-2-Clause
// Handing sockets to a program that replaces this one, or a child of it.
//
// A switched connection may stay on the ring only if the new program finds its channel, by the
// socket's SO_COOKIE; else it goes back to the twin first. A connection that is not switched is
// never offered again: the new program uses it without knowing.
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "sock/target.h"

#include <fcntl.h>

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t n = sizeof cookie;

    sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n);
    return cookie;
}

// The connection behind fd as the kernel has it now, held. In a child of vfork numbers may have
// moved without the table, which is its parent's: there, the socket itself tells.
static struct conn *behind(int fd, bool vforked)
{
    struct conn *c;
    uint64_t cookie;

    if (!vforked)
        return conn_get(fd);
    cookie = cookie_of(fd);
    for (int i = 0; cookie && i < fdtab_limit(); i++) {
        c = conn_get(i);
        if (c && ((c->end && c->end->rec.cookie == cookie) || cookie_of(i) == cookie))
            return c;
        if (c)
            conn_put(c);
    }
    return NULL;
}

// Standard streams are for stdio, which knows nothing of rings.
static bool may_stay(const struct conn *c, int fd, bool under_shunt)
{
    return under_shunt && c->stage == CONN_MAPPED && !c->far && fd > STDERR_FILENO;
}

static void leave(int fd, bool vforked, bool under_shunt)
{
    struct conn *c = behind(fd, vforked);

    if (!c)
        return;
    if (!c->carrier->twin)
        wire_share(c, fd);
    if (!may_stay(c, fd, under_shunt))
        sock_hand_over(c, fd, "handed to another program");
    conn_put(c);
}

static bool survives(int fd)
{
    int flags = sys_fcntl(fd, F_GETFD, 0);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static void see_staying(int fd)
{
    if (survives(fd))
        leave(fd, true, true);
}

static void see_leaving(int fd)
{
    if (survives(fd))
        leave(fd, true, false);
}

// In a child of vfork: it has its own thread id, in its parent's memory.
static void before_exec_in_vfork(bool under_shunt)
{
    int tid = sock_thread.tid;

    sock_thread.tid = 0;
    sock_each_open_fd(under_shunt ? see_staying : see_leaving);
    sock_thread.tid = tid;
}

void sock_before_exec(const char *path, char *const envp[], bool search_path)
{
    bool vforked = sock_thread.vfork_parent && sock_vforked();
    int limit = fdtab_limit();
    bool under_shunt;

    if (!limit || self.off)
        return;
    under_shunt = target_under_shunt(path, envp, search_path);
    if (vforked) {
        before_exec_in_vfork(under_shunt);
        return;
    }
    for (int fd = 0; fd < limit; fd++)
        if (fdtab_kind(fd) == FD_CONN && survives(fd))
            leave(fd, false, under_shunt);
}
