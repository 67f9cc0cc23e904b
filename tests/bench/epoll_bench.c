// SPDX-License-Identifier: BSD-2-Clause
// What one epoll_wait costs that finds one connection readable, by the number of connections in the
// set: all are on the ring, one is active. One JSON line a number. The write that makes it readable
// and the read are timed alone and taken off; "kernel_ns" is the same with plain sockets.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rig.h"
#include "base/clock.h"
#include "sock/epoll.h"
#include "sock/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROUNDS        20000
#define SETTLED       600 // waits until the idle ones are parked
#define FDS_OF_A_PAIR 6

static struct rig_pair *pairs;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

// False where the limit of fds is too low for n pairs.
static bool room_for(int n)
{
    struct rlimit r = {0};
    rlim_t need = (rlim_t)n * FDS_OF_A_PAIR + 2000;

    getrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_cur >= need)
        return true;
    r.rlim_cur = need;
    r.rlim_max = MAX(r.rlim_max, need);
    return setrlimit(RLIMIT_NOFILE, &r) == 0;
}

static void add(int ep, int i, bool ours)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    int fd = pairs[i].a.fd;

    if (ours ? sock_epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) : epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
        die("epoll_ctl");
}

static void wait_one(int ep, bool ours)
{
    const struct timespec second = {1, 0};
    struct epoll_event ev[16];
    int n = ours ? sock_epoll_wait(ep, ev, 16, &second, NULL) : epoll_wait(ep, ev, 16, 1000);

    if (n != 1 || ev[0].data.u32)
        die("epoll_wait");
}

static void hand_one_byte(bool ours)
{
    char byte = 0;

    if (ours) {
        rig_write(&pairs[0].b, 1);
        rig_read(&pairs[0].a, 1);
    } else if (write(pairs[0].b.fd, &byte, 1) != 1 || read(pairs[0].a.fd, &byte, 1) != 1) {
        die("plain");
    }
}

static void write_wait_read(int ep, bool ours)
{
    char byte = 0;

    if (ours)
        rig_write(&pairs[0].b, 1);
    else if (write(pairs[0].b.fd, &byte, 1) != 1)
        die("write");
    wait_one(ep, ours);
    if (ours)
        rig_read(&pairs[0].a, 1);
    else if (read(pairs[0].a.fd, &byte, 1) != 1)
        die("read");
}

static double wait_ns(int ep, bool ours)
{
    uint64_t start, with, without;

    for (int i = 0; i < SETTLED; i++)
        write_wait_read(ep, ours);
    start = clock_now_ns();
    for (int i = 0; i < ROUNDS; i++)
        write_wait_read(ep, ours);
    with = clock_now_ns() - start;
    start = clock_now_ns();
    for (int i = 0; i < ROUNDS; i++)
        hand_one_byte(ours);
    without = clock_now_ns() - start;
    return ((double)with - (double)without) / ROUNDS;
}

static double with_plain(int n)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    double ns;

    for (int i = 0; i < n; i++)
        add(ep, i, false);
    ns = wait_ns(ep, false);
    close(ep);
    return ns;
}

static double with_rings(int n)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    double ns;

    sock_epoll_made(ep);
    for (int i = 0; i < n; i++) {
        rig_switch(&pairs[i]);
        add(ep, i, true);
    }
    ns = wait_ns(ep, true);
    epoll_closing(ep);
    close(ep);
    return ns;
}

static void run(int n)
{
    double kernel_ns;

    pairs = calloc((size_t)n, sizeof *pairs);
    for (int i = 0; i < n; i++)
        rig_open(&pairs[i], 50);
    kernel_ns = with_plain(n);
    printf("{\"bench\": \"epoll_wait\", \"connections\": %d, \"ring_ns\": %.0f, \"kernel_ns\": "
           "%.0f}\n",
           n, with_rings(n), kernel_ns);
    fflush(stdout);
    for (int i = 0; i < n; i++)
        rig_close(&pairs[i]);
    free(pairs);
}

int main(int argc, char **argv)
{
    static const int usual[] = {1, 50, 1000, 3000, 10000};

    rig_init();
    for (int i = 1; i < argc; i++)
        run(atoi(argv[i]));
    for (size_t i = 0; argc == 1 && i < ARRAY_LEN(usual); i++) {
        if (room_for(usual[i]))
            run(usual[i]);
        else
            fprintf(stderr, "%d connections: RLIMIT_NOFILE is too low\n", usual[i]);
    }
    return 0;
}
