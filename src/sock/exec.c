// SPDX-License-Identifier: BSD-2-Clause
// Handing sockets to a program that replaces this one, or a child of it.
//
// A connection may stay on the ring, or be switched later, only if the new program finds the state
// of its end: so it is lent, by way of shuntd. Else it goes back to the twin first, for good: the
// new program uses it without knowing.
#include "base/clock.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/self.h"
#include "sock/sock.h"
#include "sock/target.h"

#include <fcntl.h>
#include <unistd.h>

#define LEND_NS (200 * NS_PER_MS) // for all together

// The connection behind fd in a child of vfork, held. There numbers may have moved without the
// table, which is its parent's: the socket itself tells.
static struct conn *behind(int fd)
{
    uint64_t cookie = sys_cookie(fd);
    struct conn *c;

    for (int i = 0; cookie && i < fdtab_limit(); i++) {
        c = conn_get(i);
        if (c && ((c->end && c->end->rec.cookie == cookie) || sys_cookie(i) == cookie))
            return c;
        if (c)
            conn_put(c);
    }
    return NULL;
}

// Standard streams are for stdio, which knows nothing of rings.
static bool stays(struct conn *c, int fd, uint64_t deadline_ns)
{
    return deadline_ns && !c->far && fd > STDERR_FILENO && conn_lend(c, fd, deadline_ns);
}

// A child of vfork cannot speak to shuntd: answers would give it fds that its parent would take for
// its own. What has a channel is found by the socket's cookie.
static bool stays_in_vfork(const struct conn *c, int fd, bool under_shunt)
{
    if (!under_shunt || c->far || fd <= STDERR_FILENO || c->stage != CONN_MAPPED)
        return false;
    end_lend(c->end);
    return true;
}

// deadline_ns 0: the new program will not be under Shunt.
static void leave(struct conn *c, int fd, uint64_t deadline_ns)
{
    if (!c->carrier->twin)
        wire_share(c, fd);
    if (!stays(c, fd, deadline_ns))
        sock_hand_over(c, fd, "handed to another program");
}

static void leave_in_vfork(int fd, bool under_shunt)
{
    struct conn *c = behind(fd);

    if (!c)
        return;
    if (!c->carrier->twin)
        wire_share(c, fd);
    if (!stays_in_vfork(c, fd, under_shunt))
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
        leave_in_vfork(fd, true);
}

static void see_leaving(int fd)
{
    if (survives(fd))
        leave_in_vfork(fd, false);
}

// In a child of vfork: it has its own thread id, in its parent's memory.
static void before_exec_in_vfork(bool under_shunt)
{
    int tid = sock_thread.tid;

    sock_thread.tid = 0;
    sock_each_open_fd(under_shunt ? see_staying : see_leaving);
    sock_thread.tid = tid;
}

static void conns_before_exec(bool under_shunt)
{
    uint64_t deadline_ns = under_shunt ? clock_now_ns() + LEND_NS : 0;

    for (int fd = 0; fd < fdtab_limit(); fd++) {
        struct conn *c = fdtab_kind(fd) == FD_CONN && survives(fd) ? conn_get(fd) : NULL;

        if (!c)
            continue;
        leave(c, fd, deadline_ns);
        conn_put(c);
    }
}

static void sets_before_exec(void)
{
    for (int fd = 0; fd < fdtab_limit(); fd++)
        if (fdtab_kind(fd) == FD_EPOLL && survives(fd))
            epoll_before_exec(fd);
}

// Programs try one directory after the other.
static bool will_fail(const char *path, bool search_path)
{
    return path && !search_path && sys_call(SYS_faccessat, AT_FDCWD, path, X_OK) != 0;
}

static void before_exec(const char *path, char *const envp[], bool search_path, bool spawn)
{
    bool under_shunt;

    if (!fdtab_limit() || self.off || will_fail(path, search_path))
        return;
    under_shunt = target_under_shunt(path, envp, search_path);
    if (sock_thread.vfork_parent && sock_vforked()) {
        before_exec_in_vfork(under_shunt);
        return;
    }
    conns_before_exec(under_shunt);
    if (under_shunt && !spawn)
        sets_before_exec();
}

void sock_before_exec(const char *path, char *const envp[], bool search_path)
{
    before_exec(path, envp, search_path, false);
}

void sock_before_spawn(const char *path, char *const envp[], bool search_path)
{
    before_exec(path, envp, search_path, true);
}
