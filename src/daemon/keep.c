// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keep.h"

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int keep_send(int sock, const struct keep_msg *m, const int *fds, int n_fds)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(KEEP_FDS * sizeof(int))] = {0};
    struct iovec iov = {(void *)(uintptr_t)m, sizeof *m};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *h = (void *)control;
    size_t bytes = (size_t)n_fds * sizeof(int);

    if (n_fds) {
        *h = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(bytes), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(h), fds, bytes);
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(bytes);
    }
    return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int take_fds(const struct msghdr *msg, int fds[static KEEP_FDS])
{
    struct cmsghdr *h = CMSG_FIRSTHDR(msg);
    size_t bytes;

    if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
        return 0;
    bytes = h->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(h), bytes);
    return (int)(bytes / sizeof(int));
}

int keep_recv(int sock, struct keep_msg *m, int fds[static KEEP_FDS], int *n_fds)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(KEEP_FDS * sizeof(int))];
    struct iovec iov = {m, sizeof *m};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    bool good;

    *n_fds = 0;
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    if (n == 0)
        return -EPIPE;
    *n_fds = take_fds(&msg, fds);
    good = n == sizeof *m && !(msg.msg_flags & MSG_TRUNC);
    if (good && !(msg.msg_flags & MSG_CTRUNC))
        return 0;
    keep_close(fds, *n_fds);
    *n_fds = 0;
    return good ? 0 : -EPROTO;
}

void keep_close(const int *fds, int n_fds)
{
    for (int i = 0; i < n_fds; i++)
        close(fds[i]);
}
