// SPDX-License-Identifier: BSD-2-Clause
// Random sizes, by random calls, both ways at once: every byte in its place.
#include "common/sock.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define LARGEST (48 * KIB)

// Writes up to len bytes by one of the calls that write. Returns what the call took.
static ssize_t any_write(struct conn *c, char *buf, size_t len, uint32_t how)
{
    struct iovec iov[3] = {{buf, len / 3}, {buf + len / 3, 0}, {buf + len / 3, len - len / 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    conn_next(c, buf, len);
    switch (how % 5) {
    case 0:
        return write(c->fd, buf, len);
    case 1:
        return send(c->fd, buf, len, MSG_DONTWAIT);
    case 2:
        return writev(c->fd, iov, 3);
    case 3:
        return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    default:
        return sendto(c->fd, buf, len, 0, NULL, 0);
    }
}

static ssize_t any_read(struct conn *c, char *buf, size_t len, uint32_t how)
{
    struct iovec iov[3] = {{buf, len / 3}, {buf + len / 3, 0}, {buf + len / 3, len - len / 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    switch (how % 6) {
    case 0:
        return read(c->fd, buf, len);
    case 1:
        return recv(c->fd, buf, len, MSG_DONTWAIT);
    case 2:
        return readv(c->fd, iov, 3);
    case 3:
        return recvmsg(c->fd, &msg, 0);
    case 4: {
        ssize_t n = recv(c->fd, buf, len, MSG_PEEK);
        conn_compare(c, buf, n > 0 ? (size_t)n : 0, 0);
        return n > 0 ? recv(c->fd, buf, (size_t)n, MSG_WAITALL) : n;
    }
    default:
        return recvfrom(c->fd, buf, len, 0, NULL, NULL);
    }
}

// Small sizes are as common as large ones.
static size_t any_size(uint64_t *seed, uint64_t left)
{
    size_t size = 1 + sock_random(seed) % (1U << (1 + sock_random(seed) % 16));
    size = size < LARGEST ? size : LARGEST;
    return size < left ? size : (size_t)left;
}

struct side {
    struct conn *c;
    uint64_t bytes, seed;
};

static void *write_randomly(void *arg)
{
    static _Thread_local char buf[LARGEST];
    struct side *s = arg;
    for (uint64_t left = s->bytes; left > 0;) {
        ssize_t n = any_write(s->c, buf, any_size(&s->seed, left), sock_random(&s->seed));
        if (n < 0 && errno == EAGAIN) {
            sock_poll(s->c->fd, POLLOUT, -1);
            continue;
        }
        REQUIRE(n > 0);
        s->c->tx += (size_t)n;
        left -= (uint64_t)n;
    }
    return NULL;
}

static void read_randomly(struct side *s)
{
    static _Thread_local char buf[LARGEST];
    for (uint64_t left = s->bytes; left > 0;) {
        ssize_t n = any_read(s->c, buf, any_size(&s->seed, left), sock_random(&s->seed));
        if (n < 0 && errno == EAGAIN) {
            sock_poll(s->c->fd, POLLIN, -1);
            continue;
        }
        REQUIRE(n > 0);
        conn_check(s->c, buf, (size_t)n);
        left -= (uint64_t)n;
    }
}

// Both directions at once, a thread each.
static int64_t both_ways(struct conn *self, int64_t bytes)
{
    pthread_t thread;
    struct side out = {self, (uint64_t)bytes, 11 + self->salt};
    struct side in = {self, (uint64_t)bytes, 22 + self->salt};
    REQUIRE_EQ(pthread_create(&thread, NULL, write_randomly, &out), 0);
    read_randomly(&in);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

static void random_both_ways(struct conn *c)
{
    peer_start(c, both_ways, 6 * MIB);
    both_ways(c, 6 * MIB);
    peer_finish(c);
}

static void random_both_ways_from_the_start(struct conn *c)
{
    random_both_ways(c);
    conn_warm(c);
}

static void random_both_ways_nonblocking(struct conn *c)
{
    sock_set_nonblock(c->fd, true);
    random_both_ways(c);
}

static void random_both_ways_small_buffers(struct conn *c)
{
    int bytes = 8 * KIB;
    REQUIRE_EQ(setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    REQUIRE_EQ(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
    peer_start(c, both_ways, 96 * KIB);
    both_ways(c, 96 * KIB);
    peer_finish(c);
}

// A request and an answer of random sizes, in turn.
static int64_t answer(struct conn *self, int64_t rounds)
{
    uint64_t seed = 5;
    for (int64_t i = 0; i < rounds; i++) {
        conn_read(self, any_size(&seed, LARGEST));
        conn_write(self, any_size(&seed, LARGEST));
    }
    return 0;
}

static void random_requests(struct conn *c)
{
    uint64_t seed = 5;
    peer_start(c, answer, 200);
    for (int i = 0; i < 200; i++) {
        conn_write(c, any_size(&seed, LARGEST));
        conn_read(c, any_size(&seed, LARGEST));
    }
    peer_finish(c);
}

// One direction is busy from the first byte on, the other says one byte a mebibyte: the switch of
// the first must happen in full flow.
static int64_t slow_acks(struct conn *self, int64_t mib)
{
    for (int64_t i = 0; i < mib; i++) {
        conn_read(self, 1 * MIB);
        conn_write(self, 1);
    }
    return 0;
}

static void one_way_flow_through_the_switch(struct conn *c)
{
    peer_start(c, slow_acks, 24);
    for (int i = 0; i < 24; i++) {
        conn_write(c, 1 * MIB);
        conn_read(c, 1);
    }
    peer_finish(c);
    conn_warm(c);
}

static int64_t read_late(struct conn *self, int64_t n)
{
    sleep_ms(200);
    return op_read(self, n);
}

// The switch finds both the sender's and the receiver's buffers of the twin full.
static void switch_with_full_buffers(struct conn *c)
{
    int64_t filled = 0;
    for (int i = 0; i < 20; i++) {
        peer_start(c, op_echo, 64);
        conn_write(c, 64);
        conn_read(c, 64);
        peer_finish(c);
    }
    filled = (int64_t)conn_fill_up(c);
    peer_start(c, read_late, filled + 2 * MIB);
    conn_write(c, 2 * MIB);
    REQUIRE_EQ(peer_finish(c), filled + 2 * MIB);
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(random_both_ways, .limit_s = 20),
    CASE(random_both_ways_from_the_start, .flags = SOCK_COLD, .limit_s = 20),
    CASE(random_both_ways_nonblocking, .limit_s = 20),
    CASE(random_both_ways_small_buffers, .limit_s = 20),
    CASE(random_requests, .limit_s = 20),
    CASE(one_way_flow_through_the_switch, .flags = SOCK_COLD),
    CASE(switch_with_full_buffers, .flags = SOCK_COLD),
};
SOCK_TOPIC(integrity);
