// SPDX-License-Identifier: BSD-2-Clause
// epoll over the stack's poll(): level-triggered, edge-triggered (an edge is anything that has
// happened on the connection since the last report), and one-shot.
#include "plug.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

static struct plug_epoll *set_of(struct plug *p, int fd)
{
    for (struct plug_epoll *s = p->epoll; s < p->epoll + PLUG_EPOLLS; s++)
        if (s->fd == fd && fd > 0)
            return s;
    return NULL;
}

static ptrdiff_t create(struct plug *p)
{
    struct plug_epoll *s = p->epoll;

    while (s < p->epoll + PLUG_EPOLLS && s->fd)
        s++;
    if (s == p->epoll + PLUG_EPOLLS)
        return -EMFILE;
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < PLUG_WATCH; i++)
        s->watch[i].fd = -1;
    return s->fd;
}

int plug_epoll_create(void *self, int size)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, size > 0 ? create(p) : -EINVAL);
}

static struct plug_watch *watch_of(struct plug_epoll *s, int fd)
{
    for (struct plug_watch *w = s->watch; w < s->watch + PLUG_WATCH; w++)
        if (w->fd == fd)
            return w;
    return NULL;
}

static ptrdiff_t control(struct plug *p, int epfd, int op, int fd, const struct epoll_event *event)
{
    struct plug_epoll *s = set_of(p, epfd);
    struct plug_watch *w;

    if (!s || plug_inner(p, fd) < 0)
        return -EBADF;
    w = watch_of(s, fd);
    if (op == EPOLL_CTL_ADD && w)
        return -EEXIST;
    if (op != EPOLL_CTL_ADD && !w)
        return -ENOENT;
    if (op == EPOLL_CTL_ADD)
        w = watch_of(s, -1);
    if (!w)
        return -ENOSPC;
    *w = (struct plug_watch){.fd = op == EPOLL_CTL_DEL ? -1 : fd};
    if (op != EPOLL_CTL_DEL)
        w->event = *event;
    return 0;
}

int plug_epoll_ctl(void *self, int epfd, int op, int fd, struct epoll_event *event)
{
    struct plug *p = self;

    return (int)AT_ONCE(p, control(p, epfd, op, fd, event));
}

// What is to be reported of w now; 0: nothing.
static uint32_t ready(struct plug *p, struct plug_watch *w)
{
    struct pollfd fd = {.fd = plug_inner(p, w->fd), .events = (short)(w->event.events & 0xffff)};
    uint64_t activity = stack_activity(p->stack, fd.fd);

    if (!(w->event.events & ~(uint32_t)(EPOLLET | EPOLLONESHOT)))
        return 0; // a shot that was fired
    if (!stack_poll(p->stack, &fd, 1) || (w->event.events & EPOLLET && w->activity == activity))
        return 0;
    w->activity = activity;
    return (uint32_t)fd.revents;
}

static ptrdiff_t wait_once(struct plug *p, int epfd, struct epoll_event *events, int max,
                           uint64_t until_ns)
{
    struct plug_epoll *s = set_of(p, epfd);
    int n = 0;

    if (!s)
        return -EBADF;
    for (struct plug_watch *w = s->watch; w < s->watch + PLUG_WATCH && n < max; w++) {
        uint32_t what = w->fd < 0 ? 0 : ready(p, w);

        if (!what)
            continue;
        events[n++] = (struct epoll_event){.events = what, .data = w->event.data};
        if (w->event.events & EPOLLONESHOT)
            w->event.events = EPOLLONESHOT;
    }
    return n || stack_now(p->stack) >= until_ns ? n : -EAGAIN;
}

int plug_epoll_wait(void *self, int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    struct plug *p = self;
    uint64_t until =
        timeout_ms < 0 ? CLOCK_NEVER : stack_now(p->stack) + (uint64_t)timeout_ms * NS_PER_MS;

    if (max <= 0)
        return (int)plug_result(-EINVAL);
    return (int)UNTIL_DONE(p, -1, false, wait_once(p, epfd, events, max, until));
}

void plug_epoll_forget(struct plug *p, int fd)
{
    pthread_mutex_lock(&p->lock);
    for (struct plug_epoll *s = p->epoll; s < p->epoll + PLUG_EPOLLS; s++) {
        struct plug_watch *w = watch_of(s, fd);

        if (w && fd >= 0)
            w->fd = -1;
        if (s->fd == fd)
            s->fd = 0;
    }
    pthread_mutex_unlock(&p->lock);
}
