// SPDX-License-Identifier: BSD-2-Clause
// What is not TCP, or not through libc, is none of Shunt's business and goes on as it was.
#include "common/epoll.h"

#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

static void udp(struct conn *unused)
{
    char buf[100];
    struct sockaddr_in addr = {.sin_family = AF_INET}, from;
    socklen_t len = sizeof(addr);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE_EQ(bind(a, (struct sockaddr *)&addr, len), 0);
    REQUIRE_EQ(getsockname(a, (struct sockaddr *)&addr, &len), 0);
    REQUIRE_EQ(connect(b, (struct sockaddr *)&addr, len), 0);
    REQUIRE_EQ(send(b, "one", 3, 0), 3);
    REQUIRE_EQ(send(b, "", 0, 0), 0);
    REQUIRE_EQ(recvfrom(a, buf, 100, 0, (struct sockaddr *)&from, &len), 3);
    REQUIRE_EQ(len, sizeof(from));
    REQUIRE_EQ(sock_poll(a, POLLIN, 1000), POLLIN);
    REQUIRE_EQ(recv(a, buf, 100, 0), 0);
    REQUIRE_EQ(send(b, "longer", 6, 0), 6);
    REQUIRE_EQ(recv(a, buf, 2, MSG_TRUNC), 6);
}

static void unix_streams_and_packets(struct conn *unused)
{
    char buf[100];
    int pair[2];
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    REQUIRE_EQ(write(pair[0], "abc", 3), 3);
    REQUIRE_EQ(recv(pair[1], buf, 100, MSG_PEEK), 3);
    REQUIRE_EQ(read(pair[1], buf, 100), 3);
    close(pair[0]);
    REQUIRE_EQ(read(pair[1], buf, 100), 0);
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    REQUIRE_EQ(send(pair[0], "x", 1, MSG_EOR), 1);
    struct iovec iov = {buf, 100};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    REQUIRE_EQ(recvmsg(pair[1], &msg, 0), 1);
}

static void abstract_unix_server(struct conn *unused)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_EQ(bind(listener, (struct sockaddr *)&addr, len), 0);
    REQUIRE_EQ(listen(listener, 5), 0);
    len = sizeof(addr);
    REQUIRE_EQ(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, len), 0);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(write(fd, "hello", 5), 5);
    REQUIRE_EQ(sock_poll(server, POLLIN, 1000), POLLIN);
}

static void files_and_pipes(struct conn *unused)
{
    char buf[10];
    int pipes[2], file = open("/dev/zero", O_RDWR);
    REQUIRE_EQ(pipe2(pipes, O_NONBLOCK), 0);
    REQUIRE_ERRNO(read(pipes[0], buf, 10), EAGAIN);
    REQUIRE_EQ(write(pipes[1], "0123456789", 10), 10);
    REQUIRE_EQ(read(pipes[0], buf, 10), 10);
    REQUIRE_EQ(pread(file, buf, 10, 1000), 10);
    REQUIRE_ERRNO(recv(file, buf, 10, 0), ENOTSOCK);
    REQUIRE_ERRNO(send(pipes[1], buf, 10, 0), ENOTSOCK);
    REQUIRE_ERRNO(shutdown(file, SHUT_RD), ENOTSOCK);
}

// syscall(2) is libc's: Shunt sees it and must do as for the wrapper.
static void by_syscall(struct conn *c)
{
    char buf[100];
    peer_start(c, op_echo, 100 * 100);
    for (int i = 0; i < 100; i++) {
        conn_next(c, buf, 100);
        REQUIRE_EQ(syscall(SYS_write, c->fd, buf, 100), 100);
        c->tx += 100;
        for (size_t got = 0; got < 100;) {
            long n = syscall(SYS_read, c->fd, buf, 100 - got);
            REQUIRE(n > 0);
            conn_check(c, buf, (size_t)n);
            got += (size_t)n;
        }
    }
    peer_finish(c);
    REQUIRE_EQ(syscall(SYS_close, c->fd), 0);
    c->fd = -1;
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

#ifdef __x86_64__
static long raw(long nr, long a, long b, long d)
{
    long ret;
    register long r10 __asm__("r10") = 0, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(d), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

// A program that makes its own system calls, as Go does: our end never uses the socket through
// libc, so it is never switched, whatever the peer would like.
static void by_raw_system_calls(struct conn *c)
{
    char buf[100];
    if (sock_mode == SOCK_TCP)
        sock_skip("nobody sees such calls, and there is no kernel's socket");
    peer_start(c, op_echo, 100 * 500);
    for (int i = 0; i < 500; i++) {
        conn_next(c, buf, 100);
        REQUIRE_EQ(raw(SYS_write, c->fd, (long)buf, 100), 100);
        c->tx += 100;
        for (size_t got = 0; got < 100;) {
            long n = raw(SYS_read, c->fd, (long)buf, (long)(100 - got));
            REQUIRE(n > 0);
            conn_check(c, buf, (size_t)n);
            got += (size_t)n;
        }
    }
    peer_finish(c);
}
#endif

// What the compiler makes of read and friends where it knows the buffer's size (_FORTIFY_SOURCE).
static void fortified_calls(struct conn *c)
{
    static volatile size_t len = 50;
    char buf[100];
    struct pollfd p[2] = {{c->fd, POLLIN, 0}, {-1, 0, 0}};
    struct timespec time = {.tv_sec = 5};
    peer_do(c, op_write, 150);
    conn_await(c, 150);
    REQUIRE_EQ(read(c->fd, buf, len), 50);
    conn_check(c, buf, 50);
    REQUIRE_EQ(recv(c->fd, buf, len, 0), 50);
    conn_check(c, buf, 50);
    REQUIRE_EQ(poll(p, (nfds_t)len / 25, 1000), 1);
    REQUIRE_EQ(ppoll(p, (nfds_t)len / 25, &time, NULL), 1);
    REQUIRE_EQ(recvfrom(c->fd, buf, len, 0, NULL, NULL), 50);
    conn_check(c, buf, 50);
}

static void *map(size_t n)
{
    return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// What a program allows itself is its own: Shunt's memory does not count (vsftpd).
static void limit_of_address_space(struct conn *c)
{
    const struct rlimit want = {1024 * MIB, RLIM_INFINITY};
    struct rlimit got = {0};
    struct conn other;
    REQUIRE_EQ(setrlimit(RLIMIT_AS, &want), 0);
    REQUIRE_EQ(getrlimit(RLIMIT_AS, &got), 0);
    REQUIRE_EQ(got.rlim_cur, want.rlim_cur);
    REQUIRE(map(512 * MIB) != MAP_FAILED);
    REQUIRE(map(1024 * MIB) == MAP_FAILED);
    conn_warm(c);
    conn_open(&other, SOCK_PROC);
    conn_warm(&other);
    conn_end(&other);
    REQUIRE_EQ(prlimit(0, RLIMIT_AS, NULL, &got), 0);
    REQUIRE_EQ(got.rlim_cur, want.rlim_cur);
}

// kB of Shunt's memory for which flag, of VmFlags in proc(5), is (not) set.
static long memory_kb(const char *flag, bool set)
{
    char line[400];
    long size = 0, sum = 0;
    bool ours = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    REQUIRE(maps != NULL);
    while (fgets(line, sizeof(line), maps)) {
        if (strchr(line, '-') && strspn(line, "0123456789abcdef-") > 20)
            ours = strstr(line, "memfd:shunt") != NULL;
        else if (sscanf(line, "Size: %ld", &size) != 1 && !strncmp(line, "VmFlags:", 8) && ours &&
                 (strstr(line, flag) != NULL) == set)
            sum += size;
    }
    fclose(maps);
    return sum;
}

// A program that crashes leaves its own memory behind, not a stack's gigabytes.
static void core_dumps(struct conn *c)
{
    REQUIRE(memory_kb(" dd", false) < 512);
}

static long locked_kb(void)
{
    char line[200];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");
    REQUIRE(status != NULL);
    while (kb < 0 && fgets(line, sizeof(line), status))
        if (sscanf(line, "VmLck: %ld", &kb) != 1)
            kb = -1;
    fclose(status);
    return kb;
}

// What a program locks in memory is its own: a stack's arena would fill the host.
static void locked_memory(struct conn *c)
{
    struct conn other;
    REQUIRE_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
    REQUIRE(memory_kb(" lo", true) < 64 * KIB);
    REQUIRE(locked_kb() > 2 * KIB);
    conn_warm(c);
    conn_open(&other, SOCK_PROC);
    conn_warm(&other);
    conn_end(&other);
    REQUIRE(memory_kb(" lo", true) < 64 * KIB);
    REQUIRE_EQ(munlockall(), 0);
}

// The same before there is a stack.
static void memory_to_be_locked(struct conn *unused)
{
    struct conn c;
    REQUIRE_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
    conn_open(&c, SOCK_PROC);
    conn_warm(&c);
    REQUIRE(memory_kb(" lo", true) < 64 * KIB);
    conn_end(&c);
}

static const struct sock_case cases[] = {
    CASE(udp, .flags = SOCK_BARE),
    CASE(unix_streams_and_packets, .flags = SOCK_BARE),
    CASE(abstract_unix_server, .flags = SOCK_BARE),
    CASE(files_and_pipes, .flags = SOCK_BARE),
    CASE(by_syscall),
#ifdef __x86_64__
    CASE(by_raw_system_calls, .flags = SOCK_COLD),
#endif
    CASE(fortified_calls),
    CASE(limit_of_address_space),
    CASE(core_dumps),
    CASE(locked_memory),
    CASE(memory_to_be_locked, .flags = SOCK_BARE),
};
SOCK_TOPIC(others);
