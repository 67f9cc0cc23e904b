// SPDX-License-Identifier: BSD-2-Clause
// The fds that the libraries open. They keep the numbers in public fields, so that a number can be
// changed: out of the way of a program that counts on getting low ones.
#include "lane/rdma/state.h"

#include "base/sys.h"
#include "base/util.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define FDS_MOST 64

static int fds[FDS_MOST]; // 0: free

void lane_own_fd(int *fd)
{
    if (lane.host.own)
        *fd = lane.host.own(*fd);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (!fds[i]) {
            fds[i] = *fd;
            return;
        }
}

void lane_lose_fd(int fd)
{
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] == fd)
            fds[i] = 0;
    if (lane.host.lose)
        lane.host.lose(fd);
}

void lane_close_fds(void)
{
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (!fds[i])
            continue;
        if (lane.host.lose)
            lane.host.lose(fds[i]);
        sys_close(fds[i]);
        fds[i] = 0;
    }
}

int lane_watch(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    sys_fcntl(fd, F_SETFL, O_NONBLOCK);
    return (int)sys_call(SYS_epoll_ctl, lane.epfd, EPOLL_CTL_ADD, fd, &ev);
}
