// SPDX-License-Identifier: BSD-2-Clause
#include "sock/holders.h"

#include "base/sys.h"
#include "base/util.h"
#include "sock/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define UNBORN (-1) // a child that has not said its pid yet

struct entry { // of getdents64(2)
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static bool replace(struct sock_end *e, int old, int new)
{
    for (size_t i = 0; i < ARRAY_LEN(e->holders); i++) {
        int found = old;

        if (atomic_compare_exchange_strong(&e->holders[i], &found, new))
            return true;
    }
    return false;
}

static bool has(const struct sock_end *e, int pid)
{
    for (size_t i = 0; i < ARRAY_LEN(e->holders); i++)
        if (atomic_load(&e->holders[i]) == pid)
            return true;
    return false;
}

// A place for pid, or nobody will ever be the only one.
static void add(struct sock_end *e, int pid)
{
    if (!replace(e, 0, pid))
        end_set(e, END_CROWD);
}

void holders_expect_child(struct sock_end *e)
{
    if (!has(e, self.pid))
        add(e, self.pid);
    add(e, UNBORN);
}

void holders_add_self(struct sock_end *e)
{
    if (has(e, self.pid))
        return; // by another number of the same socket
    if (!replace(e, UNBORN, self.pid) || !sys_call(SYS_getppid))
        end_set(e, END_CROWD); // pids of another namespace say nothing
}

// ---- who still has it ----

static int stat_at(int dir, const char *path, struct stat *st)
{
    return (int)sys_call(SYS_newfstatat, dir, path, st, 0);
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool is_in(int dir, const struct stat *socket)
{
    alignas(struct entry) char buf[4096];
    struct stat st;
    long n;

    while ((n = sys_call(SYS_getdents64, dir, buf, sizeof buf)) > 0)
        for (char *at = buf; at < buf + n; at += ((struct entry *)(void *)at)->bytes)
            if (!stat_at(dir, ((struct entry *)(void *)at)->name, &st) && same(&st, socket))
                return true;
    return n < 0 && n != -ENOENT; // it has ended
}

// Mostly under the number that it has here.
static bool is_held_by(int pid, int fd, const struct stat *socket)
{
    char path[64];
    struct stat st;
    bool held;
    int dir;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    if (!stat_at(AT_FDCWD, path, &st) && same(&st, socket))
        return true;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    dir = (int)sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0)
        return dir != -ENOENT; // one that may not be looked at
    held = is_in(dir, socket);
    sys_close(dir);
    return held;
}

static bool proc_is_there(int fd, struct stat *socket)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", self.pid, fd);
    return !sys_call(SYS_newfstatat, fd, "", socket, AT_EMPTY_PATH) &&
           !stat_at(AT_FDCWD, path, &st) && same(&st, socket);
}

bool holders_only_self(struct sock_end *e, int fd)
{
    struct stat socket;

    if (!end_has(e, END_SHARED))
        return true;
    if (end_has(e, END_CROWD) || !has(e, self.pid) || !proc_is_there(fd, &socket))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(e->holders); i++) {
        int pid = atomic_load(&e->holders[i]);

        if (!pid || pid == self.pid)
            continue;
        if (pid == UNBORN || is_held_by(pid, fd, &socket))
            return false;
        atomic_compare_exchange_strong(&e->holders[i], &pid, 0);
    }
    return true;
}
