// SPDX-License-Identifier: BSD-2-Clause
// Programs that do their I/O by io_uring (io_uring(7)): nobody can see those calls, so their
// sockets must stay with the kernel, and be right. By system calls, so that no library is needed.
#include "common/sock.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 8

struct uring {
    int fd;
    char *rings; // submission and completion in one mapping
    struct io_uring_sqe *sqes;
    struct io_uring_params p;
};

static unsigned *word(const struct uring *u, unsigned off)
{
    return (unsigned *)(void *)(u->rings + off);
}

static void uring_open(struct uring *u)
{
    *u = (struct uring){0};
    u->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &u->p);
    if (u->fd < 0)
        sock_skip("the kernel gives no io_uring");
    if (!(u->p.features & IORING_FEAT_SINGLE_MMAP))
        sock_skip("io_uring of before Linux 5.4");
    size_t bytes = u->p.sq_off.array + u->p.sq_entries * sizeof(unsigned);
    size_t cq_bytes = u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe);
    if (cq_bytes > bytes)
        bytes = cq_bytes;
    int prot = PROT_READ | PROT_WRITE;
    u->rings = mmap(NULL, bytes, prot, MAP_SHARED, u->fd, IORING_OFF_SQ_RING);
    u->sqes =
        mmap(NULL, u->p.sq_entries * sizeof(*u->sqes), prot, MAP_SHARED, u->fd, IORING_OFF_SQES);
    REQUIRE(u->rings != MAP_FAILED && (void *)u->sqes != MAP_FAILED);
}

// One operation, until it is done: its result.
static int uring_do(struct uring *u, const struct io_uring_sqe *sqe)
{
    unsigned tail = *word(u, u->p.sq_off.tail), head = *word(u, u->p.cq_off.head);
    unsigned at = tail & *word(u, u->p.sq_off.ring_mask);
    struct io_uring_cqe *cqes = (struct io_uring_cqe *)(void *)(u->rings + u->p.cq_off.cqes);
    u->sqes[at] = *sqe;
    word(u, u->p.sq_off.array)[at] = at;
    __atomic_store_n(word(u, u->p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    REQUIRE_EQ(syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), 1);
    REQUIRE(__atomic_load_n(word(u, u->p.cq_off.tail), __ATOMIC_ACQUIRE) == head + 1);
    int res = cqes[head & *word(u, u->p.cq_off.ring_mask)].res;
    __atomic_store_n(word(u, u->p.cq_off.head), head + 1, __ATOMIC_RELEASE);
    return res;
}

static int uring_io(struct uring *u, int op, int fd, void *buf, size_t n)
{
    return uring_do(u, &(struct io_uring_sqe){.opcode = (uint8_t)op,
                                              .fd = fd,
                                              .addr = (uint64_t)(uintptr_t)buf,
                                              .len = (unsigned)n});
}

static void need_twin(void)
{
    if (sock_mode == SOCK_TCP)
        sock_skip("nobody sees such calls, and there is no kernel's socket");
}

static void round_trips(struct uring *u, struct conn *c, int times)
{
    char buf[100];
    peer_start(c, op_echo, 100 * times);
    for (int i = 0; i < times; i++) {
        conn_next(c, buf, 100);
        REQUIRE_EQ(uring_io(u, IORING_OP_SEND, c->fd, buf, 100), 100);
        c->tx += 100;
        for (size_t got = 0; got < 100;) {
            int n = uring_io(u, IORING_OP_RECV, c->fd, buf, 100 - got);
            REQUIRE(n > 0);
            conn_check(c, buf, (size_t)n);
            got += (size_t)n;
        }
    }
    peer_finish(c);
}

static void sends_and_receives(struct conn *c)
{
    struct uring u;
    need_twin();
    uring_open(&u);
    round_trips(&u, c, 500);
    peer_do(c, op_close, 0);
    REQUIRE_EQ(uring_io(&u, IORING_OP_RECV, c->fd, &u, 1), 0);
    conn_close(c);
}

// The peer would like to switch, and finds its way back to the kernel as well.
static void bulk(struct conn *c)
{
    static char buf[64 * KIB];
    struct uring u;
    need_twin();
    uring_open(&u);
    peer_start(c, op_write, 4 * MIB);
    for (size_t got = 0; got < 4 * MIB;) {
        int n = uring_io(&u, IORING_OP_READ, c->fd, buf, sizeof(buf));
        REQUIRE(n > 0);
        conn_check(c, buf, (size_t)n);
        got += (size_t)n;
    }
    peer_finish(c);
}

static void polls(struct conn *c)
{
    struct uring u;
    char buf[5];
    need_twin();
    uring_open(&u);
    struct io_uring_sqe sqe = {.opcode = IORING_OP_POLL_ADD, .fd = c->fd, .poll32_events = POLLIN};
    peer_start_later(c, 50, op_write, 5);
    REQUIRE(uring_do(&u, &sqe) & POLLIN);
    REQUIRE_EQ(uring_io(&u, IORING_OP_RECV, c->fd, buf, 5), 5);
    conn_check(c, buf, 5);
    peer_finish(c);
}

// Server and client by io_uring from the first call to the last.
static void accepts_and_connects(struct conn *unused)
{
    struct sockaddr_in addr;
    struct uring u;
    char buf[10] = "0123456789", back[10];
    uring_open(&u);
    int listener = sock_listen(&addr), client = socket(AF_INET, SOCK_STREAM, 0);
    need_twin();
    struct io_uring_sqe sqe = {.opcode = IORING_OP_CONNECT,
                               .fd = client,
                               .addr = (uint64_t)(uintptr_t)&addr,
                               .off = sizeof(addr)};
    REQUIRE_EQ(uring_do(&u, &sqe), 0);
    int server = uring_do(&u, &(struct io_uring_sqe){.opcode = IORING_OP_ACCEPT, .fd = listener});
    REQUIRE(server >= 0);
    for (int i = 0; i < 300; i++) {
        REQUIRE_EQ(uring_io(&u, IORING_OP_WRITE, client, buf, 10), 10);
        REQUIRE_EQ(uring_io(&u, IORING_OP_READ, server, back, 10), 10);
        REQUIRE_EQ(memcmp(buf, back, 10), 0);
        buf[i % 10]++;
    }
    REQUIRE_EQ(uring_do(&u, &(struct io_uring_sqe){.opcode = IORING_OP_CLOSE, .fd = client}), 0);
    REQUIRE_EQ(uring_io(&u, IORING_OP_READ, server, back, 10), 0);
}

// A number that io_uring closed and the program got again for another connection.
static void closed_number_is_used_again(struct conn *c)
{
    struct uring u;
    need_twin();
    uring_open(&u);
    struct sockaddr_in addr;
    int fd = c->fd, listener = sock_listen(&addr);
    REQUIRE_EQ(uring_do(&u, &(struct io_uring_sqe){.opcode = IORING_OP_CLOSE, .fd = fd}), 0);
    c->fd = -1;
    int client = sock_connect(&addr), server = accept(listener, NULL, NULL);
    REQUIRE_EQ(client, fd);
    sock_warm(client, server);
}

static const struct sock_case cases[] = {
    CASE(sends_and_receives, .flags = SOCK_COLD),
    CASE(bulk, .flags = SOCK_COLD),
    CASE(polls, .flags = SOCK_COLD),
    CASE(accepts_and_connects, .flags = SOCK_BARE),
    CASE(closed_number_is_used_again, .flags = SOCK_COLD | SOCK_NO_THREAD),
};
SOCK_TOPIC(uring);
