// SPDX-License-Identifier: BSD-2-Clause
// The fds that the libraries open. They keep the numbers in public fields, so that a number can be
// changed: out of the way of a program that counts on getting low ones.
#include "lane/rdma/state.h"

#include "base/sys.h"
#include "base/util.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define FDS_MOST 128

static struct {
    int fd;        // 0: free
    bool borrowed; // of a library that keeps it for good
} fds[FDS_MOST];

static void own(int *fd, bool borrowed)
{
    if (lane.host.own)
        *fd = lane.host.own(*fd);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (!fds[i].fd) {
            fds[i].fd = *fd;
            fds[i].borrowed = borrowed;
            return;
        }
}

void lane_own_fd(int *fd)
{
    own(fd, false);
}

void lane_borrow_fd(int *fd)
{
    own(fd, true);
}

// Never given back: the library may close the number later, when it would be somebody else's.
void lane_void_fd(int fd)
{
    int null = (int)sys_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);

    sys_call(SYS_dup3, null, fd, O_CLOEXEC);
    sys_close(null);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i].fd == fd)
            fds[i].fd = 0;
}

void lane_lose_fd(int fd)
{
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i].fd == fd)
            fds[i].fd = 0;
    if (lane.host.lose)
        lane.host.lose(fd);
}

void lane_close_fds(void)
{
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (!fds[i].fd)
            continue;
        if (fds[i].borrowed) {
            lane_void_fd(fds[i].fd);
            continue;
        }
        if (lane.host.lose)
            lane.host.lose(fds[i].fd);
        sys_close(fds[i].fd);
        fds[i].fd = 0;
    }
}

int lane_watch(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    sys_fcntl(fd, F_SETFL, O_NONBLOCK);
    return (int)sys_call(SYS_epoll_ctl, lane.epfd, EPOLL_CTL_ADD, fd, &ev);
}
