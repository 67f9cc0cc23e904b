// SPDX-License-Identifier: BSD-2-Clause
// What cases exec: this same program again, as "sock --helper NAME ARGS...".
#include "common/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

// Echoes bytes from in to out until n have come, or the end.
static int echo(int in, int out, long n)
{
    char buf[4 * KIB];
    while (n > 0) {
        ssize_t got = read(in, buf, n < (long)sizeof(buf) ? (size_t)n : sizeof(buf));
        if (got <= 0)
            return got < 0;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(out, buf + done, (size_t)(got - done));
            if (put <= 0)
                return 1;
            done += put;
        }
        n -= got;
    }
    return 0;
}

// Echoes on fd to the end, each time that the epoll set ep, which this program did not make, says
// with HELPER_DATA that it can be read. The set has nothing else to say.
static int echo_by_epoll(int ep, int fd)
{
    char buf[4 * KIB];
    for (;;) {
        struct epoll_event ev;
        int n = epoll_wait(ep, &ev, 1, 20000);
        if (n != 1 || ev.data.u64 != HELPER_DATA || !(ev.events & EPOLLIN))
            return 10 + n;
        ssize_t got = read(fd, buf, sizeof(buf));
        if (got <= 0)
            return got < 0;
        if (write(fd, buf, (size_t)got) != got)
            return 3;
    }
}

// Takes an fd that was passed over the unix socket via, and echoes on it to the end.
static int echo_passed(int via)
{
    int fd;
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    if (recvmsg(via, &msg, 0) != 1 || CMSG_FIRSTHDR(&msg) == NULL)
        return 1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
    return echo(fd, fd, INT64_MAX);
}

// Accepts n connections, and sends back a byte on each.
static int serve(int listener, int n)
{
    char byte;
    for (int i = 0; i < n; i++) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            return 10;
        if (read(fd, &byte, 1) != 1 || write(fd, &byte, 1) != 1)
            return 11;
        close(fd);
    }
    return 0;
}

int sock_helper(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[0], "echo") == 0)
        return echo(STDIN_FILENO, STDOUT_FILENO, atol(argv[1]));
    if (argc == 2 && strcmp(argv[0], "echo-passed") == 0)
        return echo_passed(atoi(argv[1]));
    if (argc == 2 && strcmp(argv[0], "echo-fd") == 0)
        return echo(atoi(argv[1]), atoi(argv[1]), INT64_MAX);
    if (argc == 3 && strcmp(argv[0], "echo-epoll") == 0)
        return echo_by_epoll(atoi(argv[1]), atoi(argv[2]));
    if (argc == 3 && strcmp(argv[0], "serve") == 0)
        return serve(atoi(argv[1]), atoi(argv[2]));
    fprintf(stderr, "sock: no helper '%s'\n", argv[0]);
    return 2;
}
