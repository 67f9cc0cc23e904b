// SPDX-License-Identifier: BSD-2-Clause
// Short words for the epoll cases.
#ifndef TESTS_SOCK_EPOLL_H
#define TESTS_SOCK_EPOLL_H

#include "sock.h"

#include <sys/epoll.h>

static inline int ep_new(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(ep >= 0);
    return ep;
}

// epoll_ctl with data.u64 = fd; 0 or -1 with errno.
static inline int ep_ctl(int ep, int op, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)fd};
    return epoll_ctl(ep, op, fd, &ev);
}

static inline void ep_add(int ep, int fd, uint32_t events)
{
    REQUIRE_EQ(ep_ctl(ep, EPOLL_CTL_ADD, fd, events), 0);
}

static inline void ep_mod(int ep, int fd, uint32_t events)
{
    REQUIRE_EQ(ep_ctl(ep, EPOLL_CTL_MOD, fd, events), 0);
}

// Waits for one event: its bits, 0 after timeout_ms. The event must be of fd.
static inline uint32_t ep_wait(int ep, int fd, int timeout_ms)
{
    struct epoll_event ev = {0};
    int n = epoll_wait(ep, &ev, 1, timeout_ms);
    REQUIRE(n >= 0);
    if (n == 1)
        REQUIRE_EQ(ev.data.u64, fd);
    return n == 1 ? ev.events : 0;
}

#endif
