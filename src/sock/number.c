// SPDX-License-Identifier: BSD-2-Clause
// Numbers of Shunt's own, which programs know nothing of and must not hurt.
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>

#define HAND_OVER_NS (1 * NS_PER_S)
#define GIVE_BACK_NS (50 * NS_PER_MS) // for one connection
#define GIVE_BACK    16               // numbers at once

bool sock_is_own(int fd)
{
    return fdtab_kind(fd) == FD_OWN || (self.cm && cm_owns_fd(self.cm, fd)) || cm_wire_owns_fd(fd);
}

int sock_limit(void)
{
    return MAX(fdtab_limit(), cm_fd_limit());
}

// The fds of one connection beside its own.
static bool bell_moved(struct conn *c, int oldfd, int newfd)
{
    int *own[] = {&c->chan.bell, &c->chan.peer_bell, &c->shadow, &c->ears, &c->held};

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (*own[i] != oldfd)
            continue;
        *own[i] = newfd;
        return true;
    }
    return false;
}

// Tells the one who uses oldfd. Under self.lock.
static void moved(int oldfd, int newfd)
{
    if (fdtab_kind(oldfd) == FD_OWN) {
        fdtab_set(newfd, FD_OWN, NULL);
        fdtab_set(oldfd, FD_NONE, NULL);
    }
    cm_moved(self.cm, oldfd, newfd);
    cm_wire_moved(oldfd, newfd);
    if (end_moved(oldfd, newfd))
        return;
    if (log_fd() == oldfd)
        log_setup(log_level(), newfd);
    for (int fd = 0; fd < fdtab_limit(); fd++) {
        uintptr_t word = fdtab_word(fd);

        if ((word & 15) == FD_CONN && bell_moved(fdtab_object(word), oldfd, newfd))
            return;
    }
}

static void note_moved(int oldfd, int newfd)
{
    sock_enter();
    sock_lock(&self.lock, false);
    moved(oldfd, newfd);
    sock_unlock(&self.lock, false);
    epoll_moved(oldfd, newfd);
    sock_leave();
}

static int move_away(int fd)
{
    int newfd;

    if (cm_wire_is_fixed(fd))
        return -EBUSY;
    newfd = cm_fd_dup_over(fd);
    if (newfd < 0)
        newfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
    if (newfd < 0)
        newfd = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (newfd < 0)
        return -EBUSY;
    note_moved(fd, newfd);
    return 0;
}

// ---- where the program has run out of them ----

// All that are among the program's go above its limit. How many did.
static int move_over(void)
{
    int n = 0;

    for (int fd = 0; fd < sock_limit() && !cm_fd_is_over(fd); fd++) {
        int newfd;

        if (!sock_is_own(fd) || cm_wire_is_fixed(fd))
            continue;
        newfd = cm_fd_dup_over(fd);
        if (newfd < 0)
            break;
        note_moved(fd, newfd);
        sys_close(fd);
        n++;
    }
    return n;
}

// The bells of a connection that is back for good.
static int drop_bells(struct conn *c)
{
    int *own[] = {&c->chan.bell, &c->chan.peer_bell}, n = 0;

    sock_enter();
    sock_lock(&self.lock, false);
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (*own[i] < 0)
            continue;
        fdtab_set(*own[i], FD_NONE, NULL);
        sys_close(*own[i]);
        *own[i] = -1;
        n++;
    }
    sock_unlock(&self.lock, false);
    sock_leave();
    return n;
}

// Some connections go back to the twin, to which they need no number. How many there are now.
static int give_back(void)
{
    int n = 0;

    for (int fd = 0; fd < fdtab_limit() && n < GIVE_BACK; fd++) {
        struct conn *c = conn_get(fd);

        if (!c)
            continue;
        if (c->chan.shared && c->carrier->twin && !c->far && c->chan.bell >= 0 &&
            !conn_go_back(c, fd, false, clock_now_ns() + GIVE_BACK_NS,
                          "the program needs the file descriptors"))
            n += drop_bells(c);
        conn_put(c);
    }
    return n;
}

bool sock_make_room(bool numbers)
{
    return self.cm && !self.off && ((numbers && move_over()) || give_back());
}

// Standard streams are for stdio, which calls the kernel from inside libc.
static void before_stdio(int oldfd)
{
    struct conn *c = conn_get(oldfd);

    if (!c)
        return;
    sock_hand_over(c, oldfd, "used as a standard stream");
    conn_put(c);
}

int sock_make_way(int oldfd, int newfd)
{
    if (newfd >= 0 && newfd <= STDERR_FILENO)
        before_stdio(oldfd);
    if (sock_is_own(newfd))
        return move_away(newfd);
    conn_closing(newfd);
    return 0;
}

void sock_hand_over(struct conn *c, int fd, const char *reason)
{
    if (c->stage == CONN_NEW)
        c->inherited = true; // never to be offered
    else if (c->stage == CONN_LISTEN)
        wire_deafen(c, fd);
    else if (c->stage != CONN_RAW)
        conn_go_back(c, fd, true, clock_now_ns() + HAND_OVER_NS, reason);
    if (c->stage == CONN_FRESH)
        c->inherited = true; // still connecting
}

// ---- all that are open ----

struct entry { // of getdents64(2)
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

void sock_each_open_fd(void (*see)(int fd))
{
    alignas(struct entry) char buf[4096];
    int dir =
        (int)sys_call(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n;

    while (dir >= 0 && (n = sys_call(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(const void *)(buf + at);

            if (e->name[0] != '.')
                see(atoi(e->name));
            at += e->bytes;
        }
    }
    if (dir >= 0)
        sys_close(dir);
}
