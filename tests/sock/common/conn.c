// SPDX-License-Identifier: BSD-2-Clause
// A connection whose bytes are known by their position.
#include "sock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <shunt/info.h>

#define WARM_ROUNDS   50
#define WARM_BYTES    64
#define WARM_LIMIT_MS 4000

static uint8_t byte_at(unsigned salt, uint64_t pos)
{
    return (uint8_t)(((pos + ((uint64_t)salt << 40)) * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

void conn_next(const struct conn *c, void *buf, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = byte_at(c->salt, c->tx + i);
}

void conn_compare(const struct conn *c, const void *buf, size_t n, uint64_t off)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t got = ((const uint8_t *)buf)[i], want = byte_at(!c->salt, c->rx + off + i);
        if (got != want)
            sock_fail(__FILE__, __LINE__, "stream byte %llu is %02x, want %02x (at %zu of %zu)",
                      (unsigned long long)(c->rx + off + i), got, want, i, n);
    }
}

void conn_check(struct conn *c, const void *buf, size_t n)
{
    conn_compare(c, buf, n, 0);
    c->rx += n;
}

void conn_write(struct conn *c, size_t n)
{
    uint8_t buf[16 * KIB];
    while (n > 0) {
        size_t len = n < sizeof(buf) ? n : sizeof(buf);
        conn_next(c, buf, len);
        ssize_t done = write(c->fd, buf, len);
        if (done <= 0)
            sock_fail(__FILE__, __LINE__, "write of %zu returned %zd", len, done);
        c->tx += (size_t)done;
        n -= (size_t)done;
    }
}

void conn_read(struct conn *c, size_t n)
{
    uint8_t buf[16 * KIB];
    while (n > 0) {
        ssize_t done = read(c->fd, buf, n < sizeof(buf) ? n : sizeof(buf));
        if (done <= 0)
            sock_fail(__FILE__, __LINE__, "read returned %zd with %zu bytes to come", done, n);
        conn_check(c, buf, (size_t)done);
        n -= (size_t)done;
    }
}

void conn_read_eof(struct conn *c)
{
    char byte;
    REQUIRE_EQ(read(c->fd, &byte, 1), 0);
}

size_t conn_fill_up(struct conn *c)
{
    uint8_t buf[16 * KIB];
    size_t total = 0;
    // A TCP buffer may take more after a moment, when what it holds has moved to the peer. Shunt's
    // own sends into a window of less than a segment, too, after its retransmission timeout (RFC
    // 9293, 3.8.6.2.1): 200 ms at least. The kernel's does so as well, but counts whole packets.
    const int enough = sock_both() ? 32 : 8;
    for (int idle = 0; idle < enough;) {
        conn_next(c, buf, sizeof(buf));
        ssize_t done = send(c->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0) {
            REQUIRE_EQ(errno, EAGAIN);
            sleep_ms(25);
            idle++;
            continue;
        }
        idle = 0;
        c->tx += (size_t)done;
        total += (size_t)done;
    }
    return total;
}

void conn_await(const struct conn *c, int n)
{
    uint64_t end = now_ms() + 5000;
    int ready = 0;
    while (ioctl(c->fd, FIONREAD, &ready) == 0 && ready < n) {
        if (now_ms() > end)
            sock_fail(__FILE__, __LINE__, "FIONREAD stays at %d, want %d", ready, n);
        sleep_ms(1);
    }
}

void conn_close(struct conn *c)
{
    REQUIRE_EQ(close(c->fd), 0);
    c->fd = -1;
}

// ---- the two hosts of mode tcp ----

static in_addr_t host_address(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? inet_addr(text) : htonl(INADDR_LOOPBACK);
}

// A socket of this host, or of the other one. Only the calling thread is there for a moment.
static int socket_at(bool there)
{
    const char *peer_ns = getenv("SOCK_PEER_NS");
    int here_ns, ns, fd;
    if (!there || sock_mode != SOCK_TCP || peer_ns == NULL)
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    here_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ns = open(peer_ns, O_RDONLY | O_CLOEXEC);
    REQUIRE(here_ns >= 0 && ns >= 0);
    REQUIRE_EQ(setns(ns, CLONE_NEWNET), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE_EQ(setns(here_ns, CLONE_NEWNET), 0);
    close(here_ns);
    close(ns);
    return fd;
}

// A channel of lane rdma belongs to one process: while more have the socket, it stays on TCP.
static bool is_held_elsewhere(const struct shunt_info *info)
{
    return strstr(info->reason, "another process has the socket") != NULL ||
           strstr(info->reason, "a process was forked") != NULL;
}

// One end's half of the lanes that info tells, or "plain" when nobody answers.
static bool lane_wanted(bool answered, const struct shunt_info *info)
{
    switch (sock_mode) {
    case SOCK_PLAIN:
        return !answered;
    case SOCK_KERNEL:
        return answered && info->lane_tx == SHUNT_LANE_KERNEL && info->lane_rx == SHUNT_LANE_KERNEL;
    case SOCK_SHM:
        return answered && info->lane_tx == SHUNT_LANE_SHM && info->lane_rx == SHUNT_LANE_SHM;
    case SOCK_RDMA:
        return answered &&
               ((info->lane_tx == SHUNT_LANE_RDMA && info->lane_rx == SHUNT_LANE_RDMA) ||
                is_held_elsewhere(info));
    case SOCK_TCP:
        return answered && info->lane_tx == SHUNT_LANE_TCP && info->lane_rx == SHUNT_LANE_TCP;
    }
    return false;
}

// In mode tcp the other host's end is the kernel's, and so is what never leaves this one.
static bool is_kernels(int fd)
{
    struct sockaddr_in name, peer;
    socklen_t len = sizeof(name), peer_len = sizeof(peer);
    return sock_mode == SOCK_TCP && getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
           (name.sin_addr.s_addr != host_address("SOCK_HERE") ||
            (getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
             (peer.sin_addr.s_addr == name.sin_addr.s_addr ||
              ntohl(peer.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)));
}

bool sock_lane_ok(int fd, char *why, size_t why_len)
{
    struct shunt_info info = {0};
    socklen_t len = sizeof(info);
    if (is_kernels(fd))
        return true;
    bool answered = getsockopt(fd, SOL_SHUNT, SHUNT_INFO, &info, &len) == 0;
    if (lane_wanted(answered, &info))
        return true;
    snprintf(why, why_len, "answered %d, lane_tx %u, lane_rx %u, rule '%.32s', reason '%.96s'",
             answered, info.lane_tx, info.lane_rx, info.rule, info.reason);
    return false;
}

// Calls round (one round trip) until the connection is where the mode wants it.
static void warm(int fd, void (*round)(void *), void *arg)
{
    char why[256] = "";
    uint64_t end = now_ms() + SOCK_PATIENCE * WARM_LIMIT_MS;
    for (int i = 0; i < WARM_ROUNDS; i++)
        round(arg);
    do {
        sleep_ms(sock_mode == SOCK_PLAIN ? 0 : 20);
        for (int i = 0; i < WARM_ROUNDS / 5; i++)
            round(arg);
        if (sock_lane_ok(fd, why, sizeof(why)))
            return;
    } while (now_ms() < end);
    sock_fail(__FILE__, __LINE__, "not on the lane of the mode after warm-up: %s", why);
}

static int64_t op_lane(struct conn *self, int64_t unused)
{
    struct shunt_info info = {0};
    socklen_t len = sizeof(info);
    return getsockopt(self->fd, SOL_SHUNT, SHUNT_INFO, &info, &len) == 0 &&
           info.lane_tx == SHUNT_LANE_TCP && info.lane_rx == SHUNT_LANE_TCP;
}

static void conn_round(void *arg)
{
    struct conn *c = arg;
    peer_start(c, op_echo, WARM_BYTES);
    conn_write(c, WARM_BYTES);
    conn_read(c, WARM_BYTES);
    peer_finish(c);
}

void conn_warm(struct conn *c)
{
    warm(c->fd, conn_round, c);
    if (sock_both() && !peer_do(c, op_lane, 0))
        sock_fail(__FILE__, __LINE__, "the peer's end is not on Shunt's own TCP");
}

static void pair_round(void *arg)
{
    const int *fds = arg;
    char buf[WARM_BYTES] = {0};
    for (int i = 0; i < 2; i++) {
        REQUIRE_EQ(write(fds[i], buf, sizeof(buf)), sizeof(buf));
        REQUIRE_EQ(recv(fds[!i], buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
    }
}

void sock_warm(int client, int server)
{
    int fds[] = {client, server};
    warm(client, pair_round, fds);
    warm(server, pair_round, fds);
}

static in_addr_t address_at(bool there)
{
    const char *device = getenv("VM_PEER");
    if (sock_mode != SOCK_RDMA)
        return host_address(there ? "SOCK_PEER" : "SOCK_HERE");
    REQUIRE(device != NULL);
    return inet_addr(device);
}

bool sock_both(void)
{
    return sock_mode == SOCK_TCP && getenv("SOCK_PEER_SHUNTD") != NULL;
}

// Shunt looks for shuntd where it always does, and finds the other host's.
void sock_move_there(void)
{
    int ns = open(getenv("SOCK_PEER_NS"), O_RDONLY | O_CLOEXEC);
    REQUIRE(ns >= 0);
    REQUIRE_EQ(setns(ns, CLONE_NEWNET), 0);
    close(ns);
    REQUIRE_EQ(unshare(CLONE_NEWNS), 0);
    REQUIRE_EQ(mount(getenv("SOCK_PEER_SHUNTD"), getenv("SHUNT_SOCKET"), NULL, MS_BIND, NULL), 0);
}

in_addr_t sock_address(void)
{
    return address_at(false);
}

static int listen_at(bool there, struct sockaddr_in *addr)
{
    socklen_t len = sizeof(*addr);
    int fd = socket_at(there);
    REQUIRE(fd >= 0);
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = address_at(there)};
    REQUIRE_EQ(bind(fd, (struct sockaddr *)addr, len), 0);
    REQUIRE_EQ(listen(fd, 1024), 0);
    REQUIRE_EQ(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

int sock_listen(struct sockaddr_in *addr)
{
    return listen_at(false, addr);
}

int sock_listen_there(struct sockaddr_in *addr)
{
    return listen_at(true, addr);
}

int sock_connect(const struct sockaddr_in *addr)
{
    int fd = socket_at(addr->sin_addr.s_addr == host_address("SOCK_HERE"));
    REQUIRE(fd >= 0);
    REQUIRE_EQ(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), 0);
    return fd;
}

void sock_pair(int *client, int *server)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    *client = sock_connect(&addr);
    *server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    REQUIRE(*server >= 0);
    REQUIRE_EQ(close(listener), 0);
}

void sock_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    REQUIRE(flags >= 0);
    REQUIRE_EQ(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

void sock_set_timeout(int fd, int opt, unsigned ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof(tv)), 0);
}

int sock_poll(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int ret = poll(&p, 1, timeout_ms);
    REQUIRE(ret >= 0);
    REQUIRE_EQ(ret, p.revents != 0);
    return p.revents;
}
