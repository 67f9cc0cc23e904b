// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

// Others may write there only where the sticky bit keeps them from what is not theirs.
static bool is_safe(const struct stat *st)
{
    return S_ISDIR(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
           (!(st->st_mode & (S_IWGRP | S_IWOTH)) || st->st_mode & S_ISVTX);
}

static int check_directory(const char *path, const char **why)
{
    char dir[PLACE_MAX];
    struct stat st;
    char *slash;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    *why = "its path is not absolute";
    if (dir[0] != '/')
        return -EINVAL;
    slash[slash == dir] = 0;
    *why = "its directory cannot be made";
    if (mkdir(dir, geteuid() == 0 ? 0755 : 0700) && errno != EEXIST)
        return -errno;
    *why = "its directory cannot be looked at";
    if (lstat(dir, &st))
        return -errno;
    *why = "others can meddle with its directory";
    return is_safe(&st) ? 0 : -EPERM;
}

static int take_lock(struct listener *l, const char **why)
{
    char path[PLACE_MAX + sizeof ".lock"];

    snprintf(path, sizeof path, "%s.lock", l->path);
    *why = "its lock cannot be opened";
    l->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (l->lock_fd < 0)
        return -errno;
    *why = "another shuntd lives there";
    if (flock(l->lock_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    return 0;
}

// With the lock held, a socket that is there has nobody behind it.
static int remove_stale(const char *path, const char **why)
{
    struct stat st;

    *why = "something that is no socket is in its place";
    if (lstat(path, &st))
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    return unlink(path) ? -errno : 0;
}

static int bind_there(struct listener *l, const char **why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int err;

    *why = "it cannot be bound";
    memcpy(addr.sun_path, l->path, sizeof addr.sun_path);
    l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return -errno;
    mask = umask(geteuid() == 0 ? 0111 : 0177);
    err = bind(l->fd, (struct sockaddr *)&addr, sizeof addr) ? -errno : 0;
    umask(mask);
    if (!err && listen(l->fd, BACKLOG))
        err = -errno;
    return err;
}

int listener_open(struct listener *l, const char *path, const char **why)
{
    int err;

    *l = (struct listener){.fd = -1, .lock_fd = -1};
    *why = "its path is too long";
    if (snprintf(l->path, sizeof l->path, "%s", path) >= (int)sizeof l->path)
        return -ENAMETOOLONG;
    err = check_directory(l->path, why);
    if (!err)
        err = take_lock(l, why);
    if (!err)
        err = remove_stale(l->path, why);
    if (!err)
        err = bind_there(l, why);
    if (err)
        listener_close(l);
    return err;
}

void listener_close(struct listener *l)
{
    if (l->fd >= 0) {
        unlink(l->path);
        close(l->fd);
    }
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    l->fd = l->lock_fd = -1;
}
