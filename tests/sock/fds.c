// SPDX-License-Identifier: BSD-2-Clause
// File descriptors: dup(2) and kin, close(2) and kin, numbers that are used again.
#include "common/sock.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void dup_is_the_same_stream(struct conn *c)
{
    int old = c->fd, copy = dup(c->fd);
    for (int i = 0; i < 10; i++) {
        c->fd = i % 2 ? old : copy;
        conn_write(c, 10);
        peer_do(c, op_read, 10);
        peer_do(c, op_write, 10);
        conn_read(c, 10);
    }
    c->fd = old;
    close(copy);
    conn_warm(c);
}

static void close_of_the_first_keeps_the_copy(struct conn *c)
{
    int copy = dup(c->fd);
    conn_close(c);
    c->fd = copy;
    conn_warm(c);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void cold_copy_is_switched_too(struct conn *c)
{
    int copy = fcntl(c->fd, F_DUPFD, 100);
    REQUIRE(copy >= 100);
    conn_warm(c);
    conn_close(c);
    c->fd = copy;
    conn_warm(c);
}

static void dup2_over_the_socket_closes_it(struct conn *c)
{
    int null = open("/dev/null", O_RDWR);
    REQUIRE_EQ(dup2(null, c->fd), c->fd);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
    REQUIRE_EQ(write(c->fd, "x", 1), 1);
    struct stat st;
    REQUIRE_EQ(fstat(c->fd, &st), 0);
    REQUIRE(S_ISCHR(st.st_mode));
}

static void dup2_of_the_socket_over_a_file(struct conn *c)
{
    int file = open("/proc/self/exe", O_RDONLY), old = c->fd;
    REQUIRE_EQ(dup2(c->fd, file), file);
    conn_close(c);
    c->fd = file;
    conn_warm(c);
    REQUIRE_ERRNO(read(old, &old, 1), EBADF);
}

static void dup2_of_one_connection_over_another(struct conn *c)
{
    struct conn other;
    conn_open(&other, SOCK_THREAD);
    conn_warm(&other);
    REQUIRE_EQ(dup2(c->fd, other.fd), other.fd);
    REQUIRE_EQ(peer_do(&other, op_drain, 0), 0);
    conn_close(c);
    c->fd = other.fd;
    other.fd = -1;
    conn_end(&other);
    conn_warm(c);
}

static void dup2_to_itself(struct conn *c)
{
    REQUIRE_EQ(dup2(c->fd, c->fd), c->fd);
    REQUIRE_ERRNO(dup3(c->fd, c->fd, 0), EINVAL);
    REQUIRE_ERRNO(dup2(c->fd, -1), EBADF);
    REQUIRE_ERRNO(dup2(100000, c->fd), EBADF);
    conn_warm(c);
}

static void onto_stdin_and_stdout(struct conn *c)
{
    int in = dup(0), old = c->fd;
    REQUIRE_EQ(dup2(c->fd, 0), 0);
    c->fd = 0;
    close(old);
    // what is a standard stream may be used by stdio from now on: by either lane
    peer_start(c, op_echo, 6400);
    for (int i = 0; i < 100; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
    REQUIRE_EQ(dup2(in, 0), 0);
}

static void cloexec_flags(struct conn *c)
{
    int a = dup3(c->fd, 50, O_CLOEXEC), b = fcntl(c->fd, F_DUPFD_CLOEXEC, 60), d = dup(a);
    REQUIRE(a == 50 && b == 60);
    REQUIRE_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    REQUIRE_EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
    REQUIRE_EQ(fcntl(d, F_GETFD), 0);
    c->fd = b;
    conn_warm(c);
}

static void close_range_closes(struct conn *c)
{
    int copy = dup2(c->fd, 200);
    REQUIRE_EQ(copy, 200);
    conn_close(c);
    REQUIRE_EQ(close_range(150, 250, 0), 0);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
    REQUIRE_ERRNO(close(200), EBADF);
    REQUIRE_ERRNO(close_range(10, 5, 0), EINVAL);
}

static void close_range_cloexec(struct conn *c)
{
    REQUIRE_EQ(close_range((unsigned)c->fd, (unsigned)c->fd, CLOSE_RANGE_CLOEXEC), 0);
    REQUIRE_EQ(fcntl(c->fd, F_GETFD), FD_CLOEXEC);
    conn_warm(c);
}

static void closefrom_closes(struct conn *c)
{
    REQUIRE_EQ(dup2(c->fd, 300), 300);
    conn_close(c);
    closefrom(300);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

// Moves the case's two fds to 20 and 21, with nothing of ours above.
static void move_up(struct conn *c)
{
    REQUIRE(dup2(c->fd, 20) == 20 && dup2(c->ctl, 21) == 21);
    c->fd = 20;
    c->ctl = 21;
}

static void goes_on(struct conn *c)
{
    peer_start(c, op_echo, 64 * 200);
    for (int i = 0; i < 200; i++) {
        conn_write(c, 64);
        REQUIRE_EQ(sock_poll(c->fd, POLLIN, 5000), POLLIN);
        conn_read(c, 64);
    }
    peer_finish(c);
}

static void new_one_works(void)
{
    char buf[5];
    int client, server;
    sock_pair(&client, &server);
    for (int i = 0; i < 200; i++) {
        REQUIRE_EQ(write(client, "hello", 5), 5);
        REQUIRE_EQ(recv(server, buf, 5, MSG_WAITALL), 5);
        REQUIRE_EQ(write(server, "world", 5), 5);
        REQUIRE_EQ(recv(client, buf, 5, MSG_WAITALL), 5);
    }
}

// What daemons do at their start: every fd but the standard ones and the given ones is closed,
// whoever it belongs to. The connection that is left must go on, and new ones must work.
static void everything_else_closed(struct conn *c)
{
    move_up(c);
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != 20 && fd != 21)
            close(fd);
    }
    goes_on(c);
    new_one_works();
}

static void everything_else_close_ranged(struct conn *c)
{
    move_up(c);
    REQUIRE_EQ(close_range(3, 19, 0), 0);
    REQUIRE_EQ(close_range(22, ~0U, 0), 0);
    goes_on(c);
    new_one_works();
}

static void everything_else_closed_from(struct conn *c)
{
    move_up(c);
    closefrom(22);
    goes_on(c);
    new_one_works();
}

static void number_used_again_for_a_file(struct conn *c)
{
    char buf[10];
    int old = c->fd;
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    conn_close(c);
    int file = open("/dev/zero", O_RDWR);
    REQUIRE_EQ(file, old);
    REQUIRE_EQ(read(file, buf, 10), 10);
    REQUIRE_EQ(buf[5], 0);
    REQUIRE_EQ(write(file, buf, 10), 10);
    REQUIRE_EQ(sock_poll(file, POLLIN, 0), POLLIN);
}

static void number_used_again_for_a_connection(struct conn *c)
{
    for (int i = 0; i < 10; i++) {
        struct conn next;
        int old = c->fd;
        peer_do(c, op_write, 100); // never read: must not show up in the next connection
        conn_open(&next, SOCK_THREAD);
        conn_warm(&next);
        REQUIRE_EQ(dup2(next.fd, old), old);
        close(next.fd);
        next.fd = old;
        conn_warm(&next);
        c->fd = -1;
        conn_end(c);
        *c = next;
    }
}

static void number_used_again_in_a_poll_set(struct conn *c)
{
    int old = c->fd, pipes[2];
    conn_close(c);
    REQUIRE_EQ(pipe(pipes), 0);
    REQUIRE_EQ(pipes[0], old);
    REQUIRE_EQ(write(pipes[1], "x", 1), 1);
    REQUIRE_EQ(sock_poll(old, POLLIN, 1000), POLLIN);
}

static void huge_fd_number(struct conn *c)
{
    // a container's hard limit may be lower
    struct rlimit limit = {70000, 70000};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        REQUIRE_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    if (limit.rlim_cur < 4096)
        sock_skip("cannot raise RLIMIT_NOFILE to 4096");
    int huge = (int)(limit.rlim_cur / 16 * 15);
    REQUIRE_EQ(dup2(c->fd, huge), huge);
    conn_close(c);
    c->fd = huge;
    conn_warm(c);
}

static void fstat_says_socket(struct conn *c)
{
    struct stat st;
    REQUIRE_EQ(fstat(c->fd, &st), 0);
    REQUIRE(S_ISSOCK(st.st_mode));
    REQUIRE_EQ(isatty(c->fd), 0);
    REQUIRE_ERRNO(fsync(c->fd), EINVAL);
}

static void few_fds_are_taken(struct conn *c)
{
    // A program that counts on the lowest free number gets low ones: Shunt's own fds are elsewhere.
    int fd = open("/dev/null", O_RDONLY);
    REQUIRE(fd < 16);
    close(fd);
}

static void limit_numbers(rlim_t soft, rlim_t hard)
{
    struct rlimit lim = {soft, hard};
    REQUIRE_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

// Takes what numbers there are; returns how many.
static int take_numbers(void)
{
    int n = 0;
    while (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
        n++;
    REQUIRE_EQ(errno, EMFILE);
    return n;
}

static int count_numbers(int limit)
{
    int n = 0;
    for (int fd = 0; fd < limit; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

// The program has each number below its limit that it has not used: before of them are.
static void take_all_numbers(int limit, int before)
{
    REQUIRE_EQ(take_numbers(), limit - before);
    REQUIRE_EQ(count_numbers(limit), limit);
}

static void io_at_the_limit(struct conn *c)
{
    REQUIRE_EQ(peer_do(c, op_write, 100 * KIB), 100 * KIB);
    conn_read(c, 100 * KIB);
    conn_write(c, 100);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
}

// The program has all numbers below its limit, as if there were no Shunt.
static void all_numbers_are_the_programs(struct conn *c)
{
    struct rlimit lim;
    int before = count_numbers(64);
    REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
    limit_numbers(64, lim.rlim_max);
    conn_warm(c);
    take_all_numbers(64, before);
    io_at_the_limit(c);
    limit_numbers(90, lim.rlim_max);
    take_all_numbers(90, 64);
    io_at_the_limit(c);
}

// capabilities(7): without CAP_SYS_RESOURCE.
static void drop_privilege(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];
    REQUIRE_EQ(syscall(SYS_capget, &head, caps), 0);
    caps[0].effective &= ~(1U << CAP_SYS_RESOURCE);
    caps[0].permitted &= ~(1U << CAP_SYS_RESOURCE);
    REQUIRE_EQ(syscall(SYS_capset, &head, caps), 0);
}

// The same where nobody may lift the limit: a connection gives its numbers back.
static void all_numbers_without_privilege(struct conn *c)
{
    int before = count_numbers(64), client, server;
    sock_pair(&client, &server); // what stays is made before: the way to shuntd, the counters
    sock_warm(client, server);
    REQUIRE(close(client) == 0 && close(server) == 0);
    limit_numbers(64, 64);
    drop_privilege();
    conn_warm(c);
    peer_start(c, op_echo, 64); // it waits in a read, and hears of our wish there
    take_all_numbers(64, before);
    conn_write(c, 64);
    conn_read(c, 64);
    peer_finish(c);
    io_at_the_limit(c);
}

// A server's life at the limit: accept() fails for want of numbers, then goes on.
static void accept_at_the_limit(struct conn *c)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), client, server = -1, spare;
    struct rlimit lim;
    REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
    client = sock_connect(&addr);
    limit_numbers(48, lim.rlim_max);
    while ((spare = dup(listener)) >= 0)
        server = spare;
    REQUIRE_ERRNO(accept(listener, NULL, NULL), EMFILE);
    if (sock_mode == SOCK_TCP) // which takes two: the lifeline and the bell
        close(server--);
    close(server);
    REQUIRE_EQ(accept(listener, NULL, NULL), server);
    REQUIRE_EQ(write(client, "x", 1), 1);
    REQUIRE_EQ(read(server, &(char){0}, 1), 1);
    io_at_the_limit(c);
}

// Connections to the limit, each of them used: one end each here, the others in a process beside.
static void connections_to_the_limit(struct conn *c)
{
    struct rlimit lim;
    int pairs[20][2], before = count_numbers(64);
    REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
    limit_numbers(64, lim.rlim_max);
    for (int i = 0; i < 20; i++)
        sock_pair(&pairs[i][0], &pairs[i][1]);
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 20; i++) {
            REQUIRE_EQ(write(pairs[i][0], "ping", 4), 4);
            REQUIRE_EQ(read(pairs[i][1], (char[4]){0}, 4), 4);
        }
    take_all_numbers(64, before + 40);
    for (int i = 0; i < 20; i++) {
        REQUIRE_EQ(write(pairs[i][1], "pong", 4), 4);
        REQUIRE_EQ(read(pairs[i][0], (char[4]){0}, 4), 4);
    }
    io_at_the_limit(c);
}

// Memory that a file stands for counts as a file to RLIMIT_FSIZE: without room for it all stays
// with the kernel, and nobody is killed by SIGXFSZ.
static void no_file_may_grow(struct conn *unused)
{
    struct rlimit limit = {KIB, KIB};
    int client, server;
    char byte = 0;
    if (sock_mode == SOCK_TCP)
        sock_skip("an accepted connection needs memory there, or accept() says ENOMEM");
    REQUIRE_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 3; i++) {
        sock_pair(&client, &server);
        for (int j = 0; j < 500; j++) {
            REQUIRE_EQ(write(client, &byte, 1), 1);
            REQUIRE_EQ(read(server, &byte, 1), 1);
            REQUIRE_EQ(write(server, &byte, 1), 1);
            REQUIRE_EQ(read(client, &byte, 1), 1);
        }
        REQUIRE(close(client) == 0 && close(server) == 0);
    }
}

static const struct sock_case cases[] = {
    CASE(dup_is_the_same_stream),
    CASE(close_of_the_first_keeps_the_copy),
    CASE(cold_copy_is_switched_too, .flags = SOCK_COLD),
    CASE(dup2_over_the_socket_closes_it),
    CASE(dup2_of_the_socket_over_a_file),
    CASE(dup2_of_one_connection_over_another),
    CASE(dup2_to_itself),
    CASE(onto_stdin_and_stdout),
    CASE(cloexec_flags),
    CASE(close_range_closes),
    CASE(close_range_cloexec),
    CASE(closefrom_closes),
    CASE(everything_else_closed, .flags = SOCK_NO_THREAD),
    CASE(everything_else_close_ranged, .flags = SOCK_NO_THREAD),
    CASE(everything_else_closed_from, .flags = SOCK_NO_THREAD),
    CASE(number_used_again_for_a_file, .flags = SOCK_NO_THREAD),
    CASE(number_used_again_for_a_connection),
    CASE(number_used_again_in_a_poll_set, .flags = SOCK_NO_THREAD),
    CASE(huge_fd_number),
    CASE(fstat_says_socket),
    CASE(few_fds_are_taken),
    CASE(all_numbers_are_the_programs, .flags = SOCK_NO_THREAD | SOCK_COLD),
    CASE(all_numbers_without_privilege, .flags = SOCK_NO_THREAD | SOCK_COLD),
    CASE(accept_at_the_limit, .flags = SOCK_NO_THREAD),
    CASE(no_file_may_grow, .flags = SOCK_BARE),
    CASE(connections_to_the_limit, .flags = SOCK_NO_THREAD),
};
SOCK_TOPIC(fds);
