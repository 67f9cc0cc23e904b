// SPDX-License-Identifier: BSD-2-Clause
// Any packets to a shuntd, and to a program from one: neither crashes, leaks, or loses a fd.
//
// The input is a run of packets, each led by two bytes: its length, and in the length's upper four
// bits which fds go along. The last packet may be cut off.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cm/packet.h"
#include "daemon/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static struct registry registry;
static struct clients clients;
static struct timer stop;
static uint64_t count[COUNTERS];
static struct host host;
static int memfd;

static void between(struct loop *l)
{
    clients_bury(&clients);
}

static void stop_now(struct timer *timer, uint64_t now_ns)
{
    loop.stop = true;
}

static void begin(void)
{
    memfd = memfd_create("chunk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    stop = (struct timer){.fired = stop_now};
    if (host_open(&host) || memfd < 0 || loop_init(&loop, between) ||
        registry_init(&registry, &client_events, count))
        abort();
    users_init(&registry.users, &(struct user_limits){.ring_bytes = 1 << 20,
                                                      .channels = 16,
                                                      .pinned_bytes = 1 << 20,
                                                      .links = 4,
                                                      .fds = 100});
    clients_init(&clients, &loop, &registry, count, &host);
    loop_add_timer(&loop, &stop);
    loop_add_timer(&loop, &registry.sweep);
}

static void end(void)
{
    clients_fini(&clients);
    registry_fini(&registry);
    loop_fini(&loop);
    host_close(&host);
    close(memfd);
}

// Enough rounds for a packet, its answer and the end of it.
static void run(void)
{
    for (int i = 0; i < 4; i++) {
        loop.stop = false;
        timer_set(&stop, clock_now_ns());
        if (loop_run(&loop))
            abort();
    }
}

static void drain(int sock)
{
    static struct packet answer;

    while (packet_recv(sock, &answer) == 0)
        packet_close_fds(&answer);
}

static size_t send_one(int sock, const uint8_t *data, size_t size)
{
    size_t n = (size_t)data[0] | (size_t)(data[1] & 15) << 8;
    int fds[] = {memfd, sock, host.memfd, 0}, n_fds = data[1] >> 4 & 3;

    n = n < size - 2 ? n : size - 2;
    packet_send_bytes(sock, data + 2, n, fds, n_fds);
    return n + 2;
}

static void talk(const uint8_t *data, size_t size)
{
    int sock[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sock))
        abort();
    client_new(&clients, sock[1]);
    for (size_t at = 0; at + 2 < size;) {
        at += send_one(sock[0], data + at, size - at);
        run();
        drain(sock[0]);
    }
    close(sock[0]);
    run();
    if (!list_empty(&clients.all))
        abort();
}

static int n_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before = n_fds();

    begin();
    talk(data, size);
    if (count[COUNT_CLIENTS] || count[COUNT_CHANNELS] || count[COUNT_CLAIMS])
        abort();
    end();
    if (n_fds() != before)
        abort();
    return 0;
}
