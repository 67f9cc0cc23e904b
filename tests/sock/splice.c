// SPDX-License-Identifier: BSD-2-Clause
// sendfile(2), splice(2), tee(2), vmsplice(2): bytes that the program never holds.
#include "common/sock.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

// A file that holds the next n bytes of the stream.
static int stream_file(const struct conn *c, size_t n)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    REQUIRE_EQ(ftruncate(fd, (off_t)n), 0);
    void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(map != MAP_FAILED);
    conn_next(c, map, n);
    munmap(map, n);
    return fd;
}

// Checks n bytes in the pipe or file fd as the next ones of the stream.
static void check_fd(struct conn *c, int fd, size_t n)
{
    char buf[4 * KIB];
    while (n > 0) {
        ssize_t got = read(fd, buf, n < sizeof(buf) ? n : sizeof(buf));
        REQUIRE(got > 0);
        conn_check(c, buf, (size_t)got);
        n -= (size_t)got;
    }
}

static void sendfile_with_offset(struct conn *c)
{
    int file = stream_file(c, 9000);
    off_t off = 0;
    REQUIRE_EQ(sendfile(c->fd, file, &off, 9000), 9000);
    REQUIRE_EQ(off, 9000);
    REQUIRE_EQ(lseek(file, 0, SEEK_CUR), 0);
    c->tx += 9000;
    REQUIRE_EQ(peer_do(c, op_read, 9000), 9000);
}

static void sendfile_moves_the_file_position(struct conn *c)
{
    int file = stream_file(c, 5000);
    REQUIRE_EQ(sendfile(c->fd, file, NULL, 2000), 2000);
    REQUIRE_EQ(lseek(file, 0, SEEK_CUR), 2000);
    REQUIRE_EQ(sendfile64(c->fd, file, NULL, 10000), 3000);
    REQUIRE_EQ(sendfile(c->fd, file, NULL, 10000), 0);
    c->tx += 5000;
    REQUIRE_EQ(peer_do(c, op_read, 5000), 5000);
}

static void sendfile_large(struct conn *c)
{
    enum { SIZE = 24 * MIB };
    int file = stream_file(c, SIZE);
    off_t off = 0;
    peer_start(c, op_read, SIZE);
    while (off < SIZE)
        REQUIRE(sendfile(c->fd, file, &off, (size_t)(SIZE - off)) > 0);
    c->tx += SIZE;
    REQUIRE_EQ(peer_finish(c), SIZE);
}

static void sendfile_nonblocking(struct conn *c)
{
    enum { SIZE = 24 * MIB };
    int file = stream_file(c, SIZE);
    off_t off = 0;
    ssize_t n;
    sock_set_nonblock(c->fd, true);
    for (int idle = 0; idle < 5; sleep_ms(20)) {
        n = sendfile(c->fd, file, &off, SIZE);
        REQUIRE(n > 0 || errno == EAGAIN);
        idle += n < 0;
    }
    REQUIRE(off > 0 && off < SIZE);
    c->tx += (uint64_t)off;
    REQUIRE_EQ(peer_do(c, op_read, off), off);
}

static void sendfile_to_a_closed_peer(struct conn *c)
{
    int file = stream_file(c, 100 * KIB);
    off_t off = 0;
    signal(SIGPIPE, SIG_IGN);
    peer_do(c, op_reset, 0);
    REQUIRE_ERRNO(sendfile(c->fd, file, &off, 1000), ECONNRESET);
    REQUIRE_ERRNO(sendfile(c->fd, file, &off, 1000), EPIPE);
    REQUIRE_EQ(off, 0);
}

static void sendfile_errors(struct conn *c)
{
    int pipes[2], file = stream_file(c, 10);
    off_t off = -1;
    REQUIRE_EQ(pipe(pipes), 0);
    REQUIRE_ERRNO(sendfile(c->fd, file, &off, 10), EINVAL);
    REQUIRE_ERRNO(sendfile(c->fd, 100000, NULL, 10), EBADF);
    REQUIRE_ERRNO(sendfile(100000, file, NULL, 10), EBADF);
    REQUIRE_ERRNO(sendfile(c->fd, c->fd, NULL, 10), EINVAL);
    REQUIRE_ERRNO(sendfile(file, c->fd, NULL, 10), EINVAL);
}

static void splice_out_of_the_socket(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    peer_do(c, op_write, 3000);
    conn_await(c, 3000);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 1000, 0), 1000);
    check_fd(c, pipes[0], 1000);
    conn_read(c, 500);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 5000, 0), 1500);
    check_fd(c, pipes[0], 1500);
}

static void splice_into_the_socket(struct conn *c)
{
    int pipes[2];
    char buf[2000];
    REQUIRE_EQ(pipe(pipes), 0);
    conn_next(c, buf, sizeof(buf));
    REQUIRE_EQ(write(pipes[1], buf, sizeof(buf)), sizeof(buf));
    REQUIRE_EQ(splice(pipes[0], NULL, c->fd, NULL, 1500, SPLICE_F_MORE), 1500);
    REQUIRE_EQ(splice(pipes[0], NULL, c->fd, NULL, 1500, 0), 500);
    c->tx += sizeof(buf);
    REQUIRE_EQ(peer_do(c, op_read, sizeof(buf)), sizeof(buf));
}

static void splice_blocks_for_data(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    peer_start_later(c, 60, op_write, 100);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 1000, 0), 100);
    check_fd(c, pipes[0], 100);
    peer_finish(c);
}

static void splice_nonblocking(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe2(pipes, O_NONBLOCK), 0);
    sock_set_nonblock(c->fd, true);
    REQUIRE_ERRNO(splice(c->fd, NULL, pipes[1], NULL, 100, 0), EAGAIN);
    REQUIRE_ERRNO(splice(pipes[0], NULL, c->fd, NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
}

static void splice_sees_eof(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    peer_do(c, op_write, 10);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 100, 0), 10);
    check_fd(c, pipes[0], 10);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 100, 0), 0);
}

static void splice_errors(struct conn *c)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    REQUIRE_ERRNO(splice(c->fd, NULL, c->fd, NULL, 10, 0), EINVAL);
    REQUIRE_EQ(splice(c->fd, NULL, pipes[1], NULL, 0, 0), 0);
}

// A proxy: everything that comes goes back through a pipe. 2 MiB through a 64 KiB pipe.
static int64_t splice_echo(struct conn *self, int64_t n)
{
    int pipes[2];
    REQUIRE_EQ(pipe(pipes), 0);
    for (int64_t left = n; left > 0;) {
        ssize_t in = splice(self->fd, NULL, pipes[1], NULL, (size_t)left, SPLICE_F_MOVE);
        REQUIRE(in > 0);
        left -= in;
        while (in > 0) {
            ssize_t out = splice(pipes[0], NULL, self->fd, NULL, (size_t)in, SPLICE_F_MOVE);
            REQUIRE(out > 0);
            in -= out;
        }
    }
    close(pipes[0]);
    close(pipes[1]);
    return n;
}

// The echo is of our own stream, so it is checked as if the other direction had our salt.
static void splice_proxy(struct conn *c)
{
    enum { SIZE = 2 * MIB };
    char buf[8 * KIB];
    struct conn back = {.fd = c->fd, .salt = !c->salt, .rx = c->tx};
    peer_start(c, splice_echo, SIZE);
    for (int i = 0; i < SIZE; i += (int)sizeof(buf)) {
        conn_write(c, sizeof(buf));
        REQUIRE_EQ(recv(c->fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
        conn_check(&back, buf, sizeof(buf));
    }
    peer_finish(c);
}

static void tee_then_splice(struct conn *c)
{
    int a[2], b[2];
    char buf[1000];
    REQUIRE_EQ(pipe(a), 0);
    REQUIRE_EQ(pipe(b), 0);
    peer_do(c, op_write, 1000);
    conn_await(c, 1000);
    REQUIRE_EQ(splice(c->fd, NULL, a[1], NULL, 1000, 0), 1000);
    REQUIRE_EQ(tee(a[0], b[1], 1000, 0), 1000);
    REQUIRE_EQ(read(b[0], buf, 1000), 1000);
    conn_compare(c, buf, 1000, 0);
    check_fd(c, a[0], 1000);
    REQUIRE_ERRNO(tee(c->fd, b[1], 10, 0), EINVAL);
}

static void vmsplice_then_splice(struct conn *c)
{
    int pipes[2];
    char buf[1000];
    struct iovec iov = {buf, sizeof(buf)};
    REQUIRE_EQ(pipe(pipes), 0);
    conn_next(c, buf, sizeof(buf));
    REQUIRE_EQ(vmsplice(pipes[1], &iov, 1, 0), sizeof(buf));
    REQUIRE_EQ(splice(pipes[0], NULL, c->fd, NULL, sizeof(buf), 0), sizeof(buf));
    c->tx += sizeof(buf);
    REQUIRE_EQ(peer_do(c, op_read, sizeof(buf)), sizeof(buf));
    REQUIRE_ERRNO(vmsplice(c->fd, &iov, 1, 0), EBADF);
}

static void between_writes_nothing_is_reordered(struct conn *c)
{
    int file, pipes[2];
    char buf[100];
    REQUIRE_EQ(pipe(pipes), 0);
    peer_start(c, op_read, 300 * 100);
    for (int i = 0; i < 100; i++) {
        conn_write(c, 100);
        file = stream_file(c, 100);
        REQUIRE_EQ(sendfile(c->fd, file, NULL, 100), 100);
        close(file);
        c->tx += 100;
        conn_next(c, buf, 100);
        REQUIRE_EQ(write(pipes[1], buf, 100), 100);
        REQUIRE_EQ(splice(pipes[0], NULL, c->fd, NULL, 100, 0), 100);
        c->tx += 100;
    }
    peer_finish(c);
}

static void copy_file_range_refuses(struct conn *c)
{
    int file = stream_file(c, 10);
    REQUIRE_ERRNO(copy_file_range(file, NULL, c->fd, NULL, 10, 0), EINVAL);
}

static const struct sock_case cases[] = {
    CASE(sendfile_with_offset),
    CASE(sendfile_moves_the_file_position),
    CASE(sendfile_large),
    CASE(sendfile_nonblocking),
    CASE(sendfile_to_a_closed_peer),
    CASE(sendfile_errors),
    CASE(splice_out_of_the_socket),
    CASE(splice_into_the_socket),
    CASE(splice_blocks_for_data),
    CASE(splice_nonblocking),
    CASE(splice_sees_eof),
    CASE(splice_errors),
    CASE(splice_proxy),
    CASE(tee_then_splice),
    CASE(vmsplice_then_splice),
    CASE(between_writes_nothing_is_reordered),
    CASE(copy_file_range_refuses),
};
SOCK_TOPIC(splice);
