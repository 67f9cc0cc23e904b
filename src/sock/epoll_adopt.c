// SPDX-License-Identifier: BSD-2-Clause
// Epoll sets that live on through exec(2). The old program leaves its own registrations in the
// kernel, none of our tags; the new one reads them in /proc/self/fdinfo (proc_pid_fdinfo(5)).
#include "base/sys.h"
#include "sock/epoll_set.h"
#include "sock/sock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES 256

// ---- before ----

// Under epoll_lock.
static void restore(struct epoll_set *s)
{
    list_for_each (it, &s->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_set);

        if (w->dormant) {
            w->woken = true; // to be deleted
            continue;
        }
        epoll_take(&s->lock);
        if (w->raised)
            watch_lower(w, true);
        else
            watch_restore(w, true);
        epoll_drop(&s->lock);
        w->conn->epoll_up = false; // should exec fail, it is raised again when it is used
    }
}

// What a forked child has not used is its parent's to arrange.
void epoll_before_exec(int epfd)
{
    struct epoll_set *s = epoll_set_of(epfd);

    if (!s || s->inherited)
        return;
    epoll_take(&epoll_lock);
    restore(s);
    set_forget_pumps(s);
    epoll_drop(&epoll_lock);
    set_sweep(s);
}

void epoll_use(int epfd)
{
    struct epoll_set *s = epoll_set_of(epfd);

    if (!s || !s->inherited)
        return;
    sock_enter();
    set_family_slow(s);
    sock_leave();
}

void epoll_forget(int epfd)
{
    if (!epoll_set_of(epfd))
        return;
    epoll_before_exec(epfd);
    epoll_closing(epfd);
}

// ---- after ----

static bool is_epoll(int fd)
{
    static const char name[] = "anon_inode:[eventpoll]";
    char path[32], link[sizeof name];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return sys_call(SYS_readlinkat, AT_FDCWD, path, link, sizeof link) == sizeof name - 1 &&
           !memcmp(link, name, sizeof name - 1);
}

// The number may mean another file by now.
static bool has_inode(int fd, uint64_t inode)
{
    struct stat st;

    return !fstat(fd, &st) && st.st_ino == inode;
}

static void adopt_line(struct epoll_set *s, const char *line)
{
    uint64_t data, inode;
    uint32_t events;
    struct conn *c;
    int fd;

    if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%*d ino:%" SCNx64, &fd,
               &events, &data, &inode) != 4)
        return;
    c = conn_get(fd);
    if (!c)
        return;
    if (c->stage != CONN_LISTEN && c->stage != CONN_RAW && has_inode(fd, inode)) {
        const struct epoll_event ev = {.events = events, .data.u64 = data};

        watch_adopt(s, c, fd, &ev);
    }
    conn_put(c);
}

// Calls for each whole line in text, and leaves the rest at its beginning. Its length.
static size_t take_lines(struct epoll_set *s, char *text, size_t n)
{
    char *at = text, *end;

    text[n] = '\0';
    while ((end = strchr(at, '\n'))) {
        *end = '\0';
        adopt_line(s, at);
        at = end + 1;
    }
    n -= (size_t)(at - text);
    memmove(text, at, n);
    return n;
}

static void adopt_watches(struct epoll_set *s, int epfd)
{
    char path[40], text[4 * LINE_BYTES + 1];
    size_t n = 0;
    long got;
    int fd;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epfd);
    fd = (int)sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while (n < sizeof text - 1 && (got = sys_read(fd, text + n, sizeof text - 1 - n)) > 0)
        n = take_lines(s, text, n + (size_t)got);
    sys_close(fd);
}

void epoll_adopt(int fd)
{
    struct epoll_set *s;

    if (fd <= STDERR_FILENO || fdtab_kind(fd) != FD_NONE || !is_epoll(fd))
        return;
    sock_epoll_made(fd);
    s = epoll_set_of(fd);
    if (s)
        adopt_watches(s, fd);
}
