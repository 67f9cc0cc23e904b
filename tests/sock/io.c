// SPDX-License-Identifier: BSD-2-Clause
// Plain reading and writing: read(2), write(2), readv(2), send(2), recv(2).
#include "common/sock.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>

#define PAGE 65536 // of any machine

// volatile, so that the compiler does not see the mistakes that the cases make.
static void *volatile bad_memory = (void *)16;
static volatile int negative = -1, too_many = IOV_MAX + 1;

static void write_then_read(struct conn *c)
{
    conn_write(c, 100);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
    REQUIRE_EQ(peer_do(c, op_write, 3000), 3000);
    conn_read(c, 3000);
}

static void read_returns_what_is_there(struct conn *c)
{
    char buf[1000];
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(read(c->fd, buf, sizeof(buf)), 10);
    conn_check(c, buf, 10);
}

static void read_blocks_until_data(struct conn *c)
{
    uint64_t before = now_ms();
    peer_start_later(c, 100, op_write, 5);
    conn_read(c, 5);
    REQUIRE(now_ms() - before >= 95);
    peer_finish(c);
}

static void write_blocks_until_room(struct conn *c)
{
    uint64_t before = now_ms();
    peer_start_later(c, 150, op_read, 8 * MIB);
    conn_write(c, 8 * MIB);
    REQUIRE(now_ms() - before >= 145);
    REQUIRE_EQ(peer_finish(c), 8 * MIB);
}

static void one_byte_at_a_time(struct conn *c)
{
    peer_start(c, op_echo, 2000);
    for (int i = 0; i < 2000; i++) {
        conn_write(c, 1);
        conn_read(c, 1);
    }
    peer_finish(c);
}

static void many_writes_one_read(struct conn *c)
{
    for (int i = 0; i < 500; i++)
        conn_write(c, 7);
    REQUIRE_EQ(peer_do(c, op_read, 3500), 3500);
}

static void zero_length_write(struct conn *c)
{
    REQUIRE_EQ(write(c->fd, "", 0), 0);
    REQUIRE_EQ(send(c->fd, "", 0, 0), 0);
    conn_write(c, 3);
    REQUIRE_EQ(peer_do(c, op_read, 3), 3);
}

static void zero_length_read(struct conn *c)
{
    char byte;
    peer_do(c, op_write, 2);
    conn_await(c, 2);
    REQUIRE_EQ(read(c->fd, &byte, 0), 0);
    conn_read(c, 2);
}

static void read_into_bad_memory(struct conn *c)
{
    peer_do(c, op_write, 50);
    conn_await(c, 50);
    REQUIRE_ERRNO(read(c->fd, bad_memory, 50), EFAULT);
    conn_read(c, 50);
}

static void write_from_bad_memory(struct conn *c)
{
    REQUIRE_ERRNO(write(c->fd, bad_memory, 50), EFAULT);
    conn_write(c, 50);
    REQUIRE_EQ(peer_do(c, op_read, 50), 50);
}

// The last n bytes of a page that ends where memory does.
static char *end_of_memory(size_t n)
{
    char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    REQUIRE_EQ(mprotect(at + PAGE, PAGE, PROT_NONE), 0);
    return at + PAGE - n;
}

// The kernel says EFAULT or how far it came, as it is just cutting the bytes; none is lost.
static void read_over_the_end_of_memory(struct conn *c)
{
    char *buf = end_of_memory(30);
    peer_do(c, op_write, 50);
    conn_await(c, 50);
    ssize_t n = read(c->fd, buf, 50);
    REQUIRE((n == -1 && errno == EFAULT) || (n > 0 && n <= 30));
    if (n > 0)
        conn_check(c, buf, (size_t)n);
    conn_read(c, n > 0 ? 50 - (size_t)n : 50);
}

static void write_over_the_end_of_memory(struct conn *c)
{
    char *buf = end_of_memory(30);
    conn_next(c, buf, 30);
    ssize_t n = write(c->fd, buf, 50);
    REQUIRE((n == -1 && errno == EFAULT) || (n > 0 && n <= 30));
    if (n > 0)
        c->tx += (size_t)n;
    conn_write(c, 20);
    REQUIRE_EQ(peer_do(c, op_read, n > 0 ? n + 20 : 20), n > 0 ? n + 20 : 20);
}

// A buffer that was good once is no better for it when it is gone.
static void buffers_that_are_gone(struct conn *c)
{
    char *buf = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(buf != MAP_FAILED);
    conn_next(c, buf, 2 * PAGE);
    REQUIRE_EQ(write(c->fd, buf, 2 * PAGE), 2 * PAGE); // not more than fits without a reader
    c->tx += 2 * PAGE;
    REQUIRE_EQ(peer_do(c, op_read, 2 * PAGE), 2 * PAGE);
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(recv(c->fd, buf, 10, MSG_PEEK), 10);
    REQUIRE_EQ(mprotect(buf, PAGE, PROT_READ), 0);
    REQUIRE_ERRNO(read(c->fd, buf, 10), EFAULT);
    REQUIRE_ERRNO(recv(c->fd, buf, 10, MSG_PEEK), EFAULT);
    REQUIRE_EQ(munmap(buf, 2 * PAGE), 0);
    REQUIRE_ERRNO(write(c->fd, buf, 10), EFAULT);
    REQUIRE_ERRNO(read(c->fd, buf, 10), EFAULT);
    conn_read(c, 10);
    conn_write(c, 10);
    REQUIRE_EQ(peer_do(c, op_read, 10), 10);
}

// Everything else that a call can be told to read or to fill.
static void bad_pointers(struct conn *c)
{
    int fd = c->fd, ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT};
    char *gone = end_of_memory(0);
    socklen_t len = sizeof(int);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_ERRNO(readv(fd, (void *)gone, 1), EFAULT);
    REQUIRE_ERRNO(writev(fd, (void *)gone, 1), EFAULT);
    REQUIRE_ERRNO(sendmsg(fd, (void *)gone, 0), EFAULT);
    REQUIRE_ERRNO(recvmsg(fd, (void *)gone, 0), EFAULT);
    REQUIRE_ERRNO(sendmmsg(fd, (void *)gone, 1, 0), EFAULT);
    REQUIRE_ERRNO(recvmmsg(fd, (void *)gone, 1, 0, NULL), EFAULT);
    REQUIRE_ERRNO(poll((void *)gone, 1, 0), EFAULT);
    REQUIRE_ERRNO(poll((void *)gone, (nfds_t)negative, 0), EINVAL);
    REQUIRE_ERRNO(select(fd + 1, &set, (void *)gone, NULL, NULL), EFAULT);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, (void *)gone), EFAULT);
    REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    REQUIRE_ERRNO(epoll_wait(ep, (void *)gone, 1, 1000), EFAULT);
    REQUIRE_ERRNO(ioctl(fd, FIONREAD, gone), EFAULT);
    REQUIRE_ERRNO(ioctl(fd, FIONBIO, gone), EFAULT);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, gone, sizeof(int)), EFAULT);
    REQUIRE_ERRNO(getsockopt(fd, SOL_SOCKET, SO_ERROR, gone, &len), EFAULT);
    REQUIRE_ERRNO(connect(fd, (void *)gone, sizeof(struct sockaddr_in)), EFAULT);
    conn_read(c, 10);
    close(ep);
}

static void bad_fds(struct conn *c)
{
    char byte = 0;
    int old = c->fd;
    conn_close(c);
    REQUIRE_ERRNO(read(old, &byte, 1), EBADF);
    REQUIRE_ERRNO(write(old, &byte, 1), EBADF);
    REQUIRE_ERRNO(send(-1, &byte, 1, 0), EBADF);
    REQUIRE_ERRNO(close(old), EBADF);
    REQUIRE_ERRNO(recv(100000, &byte, 1, 0), EBADF);
}

static void no_seeking(struct conn *c)
{
    char byte = 0;
    struct iovec iov = {&byte, 1};
    REQUIRE_ERRNO(lseek(c->fd, 0, SEEK_CUR), ESPIPE);
    REQUIRE_ERRNO(pread(c->fd, &byte, 1, 0), ESPIPE);
    REQUIRE_ERRNO(pwrite(c->fd, &byte, 1, 0), ESPIPE);
    REQUIRE_ERRNO(preadv(c->fd, &iov, 1, 0), ESPIPE);
}

// preadv2(2): an offset of -1 means the current position, which a socket accepts.
static void preadv2_at_current_position(struct conn *c)
{
    char buf[20];
    struct iovec iov = {buf, 10};
    conn_next(c, buf, 10);
    REQUIRE_EQ(pwritev2(c->fd, &iov, 1, -1, 0), 10);
    c->tx += 10;
    peer_do(c, op_read, 10);
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    REQUIRE_EQ(preadv2(c->fd, &iov, 1, -1, 0), 10);
    conn_check(c, buf, 10);
}

static void readv_scatters(struct conn *c)
{
    char buf[300];
    struct iovec iov[] = {{buf, 1}, {buf + 1, 0}, {buf + 1, 99}, {buf + 100, 200}};
    peer_do(c, op_write, 250);
    conn_await(c, 250);
    REQUIRE_EQ(readv(c->fd, iov, 4), 250);
    conn_check(c, buf, 250);
}

static void writev_gathers(struct conn *c)
{
    char buf[300];
    struct iovec iov[] = {{buf, 10}, {buf + 10, 0}, {buf + 10, 190}, {buf + 200, 100}};
    conn_next(c, buf, 300);
    REQUIRE_EQ(writev(c->fd, iov, 4), 300);
    c->tx += 300;
    REQUIRE_EQ(peer_do(c, op_read, 300), 300);
}

static void writev_with_iov_max(struct conn *c)
{
    static char buf[IOV_MAX * 3];
    struct iovec iov[IOV_MAX];
    conn_next(c, buf, sizeof(buf));
    for (int i = 0; i < IOV_MAX; i++)
        iov[i] = (struct iovec){buf + i * 3, 3};
    REQUIRE_EQ(writev(c->fd, iov, IOV_MAX), IOV_MAX * 3);
    c->tx += IOV_MAX * 3;
    REQUIRE_EQ(peer_do(c, op_read, IOV_MAX * 3), IOV_MAX * 3);
}

static void bad_iov_counts(struct conn *c)
{
    struct iovec iov = {NULL, 0};
    REQUIRE_ERRNO(writev(c->fd, &iov, negative), EINVAL);
    REQUIRE_ERRNO(readv(c->fd, &iov, too_many), EINVAL);
    REQUIRE_EQ(writev(c->fd, &iov, 0), 0);
    REQUIRE_EQ(writev(c->fd, &iov, 1), 0);
}

static void recvfrom_gives_no_address(struct conn *c)
{
    char byte;
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    peer_do(c, op_write, 1);
    REQUIRE_EQ(recvfrom(c->fd, &byte, 1, 0, (struct sockaddr *)&addr, &len), 1);
    REQUIRE_EQ(len, 0);
    conn_check(c, &byte, 1);
}

// tcp(7) ignores the address of sendto(2) on a connected socket.
static void sendto_ignores_address(struct conn *c)
{
    char buf[5];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = 9};
    conn_next(c, buf, 5);
    REQUIRE_EQ(sendto(c->fd, buf, 5, 0, (struct sockaddr *)&addr, sizeof(addr)), 5);
    c->tx += 5;
    REQUIRE_EQ(peer_do(c, op_read, 5), 5);
}

static void msg_more_arrives(struct conn *c)
{
    char buf[10];
    conn_next(c, buf, 10);
    REQUIRE_EQ(send(c->fd, buf, 4, MSG_MORE), 4);
    REQUIRE_EQ(send(c->fd, buf + 4, 6, 0), 6);
    c->tx += 10;
    REQUIRE_EQ(peer_do(c, op_read, 10), 10);
}

static void bulk_out(struct conn *c)
{
    peer_start(c, op_read, 64 * MIB);
    conn_write(c, 64 * MIB);
    REQUIRE_EQ(peer_finish(c), 64 * MIB);
}

static void bulk_in(struct conn *c)
{
    peer_start(c, op_write, 64 * MIB);
    conn_read(c, 64 * MIB);
    REQUIRE_EQ(peer_finish(c), 64 * MIB);
}

static void bulk_both_ways(struct conn *c)
{
    peer_start(c, op_write_echo, 16 * MIB);
    op_write_echo(c, 16 * MIB);
    REQUIRE_EQ(peer_finish(c), 16 * MIB);
}

// The stream must not care at which moment of it the connection is switched.
static void bulk_out_from_the_start(struct conn *c)
{
    peer_start(c, op_read, 32 * MIB);
    conn_write(c, 32 * MIB);
    REQUIRE_EQ(peer_finish(c), 32 * MIB);
    conn_warm(c);
}

static void bulk_both_ways_from_the_start(struct conn *c)
{
    peer_start(c, op_write_echo, 16 * MIB);
    op_write_echo(c, 16 * MIB);
    peer_finish(c);
    conn_warm(c);
}

static void single_write_of_16_mib(struct conn *c)
{
    static char buf[16 * MIB];
    conn_next(c, buf, sizeof(buf));
    peer_start(c, op_read, sizeof(buf));
    REQUIRE_EQ(write(c->fd, buf, sizeof(buf)), sizeof(buf));
    c->tx += sizeof(buf);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(write_then_read),
    CASE(read_returns_what_is_there),
    CASE(read_blocks_until_data),
    CASE(write_blocks_until_room),
    CASE(one_byte_at_a_time),
    CASE(many_writes_one_read),
    CASE(zero_length_write),
    CASE(zero_length_read),
    CASE(read_into_bad_memory),
    CASE(write_from_bad_memory),
    CASE(read_over_the_end_of_memory),
    CASE(write_over_the_end_of_memory),
    CASE(buffers_that_are_gone),
    CASE(bad_pointers),
    CASE(bad_fds),
    CASE(no_seeking),
    CASE(preadv2_at_current_position),
    CASE(readv_scatters),
    CASE(writev_gathers),
    CASE(writev_with_iov_max),
    CASE(bad_iov_counts),
    CASE(recvfrom_gives_no_address),
    CASE(sendto_ignores_address),
    CASE(msg_more_arrives),
    CASE(bulk_out),
    CASE(bulk_in),
    CASE(bulk_both_ways),
    CASE(bulk_out_from_the_start, .flags = SOCK_COLD),
    CASE(bulk_both_ways_from_the_start, .flags = SOCK_COLD),
    CASE(single_write_of_16_mib),
};
SOCK_TOPIC(io);
