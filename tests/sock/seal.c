// SPDX-License-Identifier: BSD-2-Clause
// Programs that forbid themselves system calls, seccomp(2). The kernel kills who makes another one:
// us for one of Shunt's.
#include "common/epoll.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CALLS_MAX 16

// The process may make no other calls from now on. Nor may its threads; what it executes, neither.
static void allow_only(const int *calls, size_t n)
{
    struct sock_filter code[2 * CALLS_MAX + 2];
    struct sock_fprog program = {.filter = code};
    REQUIRE(n <= CALLS_MAX);
    code[program.len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < n; i++) {
        code[program.len++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    REQUIRE_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    REQUIRE_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

#define ALLOW_ONLY(...)                                                                            \
    allow_only((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

// What the process may do in the end, whatever it has forbidden itself.
static _Noreturn void end(void)
{
    for (;;)
        syscall(SYS_exit, 0);
}

static void talk(struct conn *c, void (*await)(int fd))
{
    for (int i = 0; i < 64; i++) {
        conn_write(c, KIB);
        if (await)
            await(c->fd);
        conn_read(c, KIB);
    }
}

// Runs in_child in a child of ours, while the peer sends back what comes.
static void in_child(struct conn *c, void (*run)(struct conn *c))
{
    int status;
    peer_start(c, op_echo, 64 * KIB);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        run(c);
        end();
    }
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
    REQUIRE_EQ(peer_finish(c), 64 * KIB);
}

static void talk_in_strict_mode(struct conn *c)
{
    REQUIRE_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
    talk(c, NULL);
}

// read, write and exit; nothing else whatever.
static void strict_mode(struct conn *c)
{
    in_child(c, talk_in_strict_mode);
}

static void by_poll(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    REQUIRE_EQ(poll(&p, 1, -1), 1);
}

static void talk_with_poll(struct conn *c)
{
    ALLOW_ONLY(SYS_poll, SYS_read, SYS_write, SYS_exit);
    talk(c, by_poll);
}

// As sshd's child before the login.
static void filter_and_poll(struct conn *c)
{
    in_child(c, talk_with_poll);
}

static int set;

static void by_epoll(int fd)
{
    REQUIRE_EQ(ep_wait(set, fd, -1), EPOLLIN);
}

static void use_a_set(struct conn *c)
{
    set = ep_new();
    ep_add(set, c->fd, EPOLLIN);
    REQUIRE_EQ(ep_wait(set, c->fd, 0), 0);
}

static void talk_with_epoll(struct conn *c)
{
    ALLOW_ONLY(SYS_epoll_wait, SYS_read, SYS_write, SYS_exit);
    talk(c, by_epoll);
}

static void talk_with_a_set(struct conn *c)
{
    use_a_set(c);
    talk_with_epoll(c);
}

// The set knows the connection by tags of Shunt's own.
static void filter_and_epoll(struct conn *c)
{
    in_child(c, talk_with_a_set);
}

// The same where it is the parent's.
static void filter_and_inherited_set(struct conn *c)
{
    use_a_set(c);
    in_child(c, talk_with_epoll);
}

static void read_under_a_filter(struct conn *c)
{
    ALLOW_ONLY(SYS_read, SYS_write, SYS_exit);
    conn_read(c, 8 * KIB);
    talk(c, NULL);
}

// What had arrived before is read under the filter.
static void filter_with_data_waiting(struct conn *c)
{
    REQUIRE_EQ(peer_do(c, op_write, 8 * KIB), 8 * KIB);
    conn_await(c, 8 * KIB);
    in_child(c, read_under_a_filter);
}

static void ask_under_a_filter(struct conn *c)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer, n = sizeof(int);
    int one = 1;
    ALLOW_ONLY(SYS_getpeername, SYS_setsockopt, SYS_getsockopt, SYS_shutdown, SYS_close, SYS_read,
               SYS_write, SYS_exit, SYS_munmap);
    REQUIRE_EQ(getpeername(c->fd, (struct sockaddr *)&peer, &len), 0);
    REQUIRE_EQ(peer.sin_family, AF_INET);
    REQUIRE_EQ(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    one = 0;
    REQUIRE_EQ(getsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, &n), 0);
    REQUIRE_EQ(one, 1);
    talk(c, NULL);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    close(c->fd);
}

static void names_and_options(struct conn *c)
{
    in_child(c, ask_under_a_filter);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static int listener;

static void serve_under_a_filter(struct conn *c)
{
    char byte;
    ALLOW_ONLY(SYS_accept, SYS_accept4, SYS_read, SYS_write, SYS_exit);
    talk(c, NULL);
    for (int i = 0; i < 3; i++) {
        int fd = accept(listener, NULL, NULL);
        REQUIRE(fd >= 0);
        REQUIRE_EQ(read(fd, &byte, 1), 1);
        REQUIRE_EQ(write(fd, &byte, 1), 1);
    }
}

static int64_t call_thrice(struct conn *self, int64_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = (in_port_t)port};
    char byte = 'x';
    addr.sin_addr.s_addr = sock_address();
    op_echo(self, 64 * KIB);
    for (int i = 0; i < 3; i++) {
        int fd = sock_connect(&addr);
        REQUIRE_EQ(write(fd, &byte, 1), 1);
        REQUIRE_EQ(read(fd, &byte, 1), 1);
        close(fd);
    }
    return 0;
}

// A worker under a filter accepts from its parent's listener.
static void accept_under_a_filter(struct conn *c)
{
    struct sockaddr_in addr;
    int status;
    listener = sock_listen(&addr);
    peer_start(c, call_thrice, addr.sin_port);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        serve_under_a_filter(c);
        end();
    }
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
    REQUIRE_EQ(peer_finish(c), 0);
}

// Everything but what Shunt needs and cat does not.
static void forbid_sockets(void)
{
    static const int calls[] = {SYS_socket,       SYS_sendmsg,  SYS_recvmsg,
                                SYS_memfd_create, SYS_eventfd2, SYS_getsockopt};
    struct sock_filter code[2 * CALLS_MAX + 2];
    struct sock_fprog program = {.filter = code};
    code[program.len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        code[program.len++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        code[program.len++] =
            (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    REQUIRE_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    REQUIRE_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

static int64_t want_back(struct conn *self, int64_t n)
{
    struct conn back = {.fd = self->fd, .salt = !self->salt, .rx = self->tx};
    for (int64_t done = 0; done < n; done += KIB) {
        conn_write(self, KIB);
        conn_read(&back, KIB);
    }
    return op_shutdown(self, SHUT_WR);
}

// The filter stays, and so what is executed under it must not be Shunt's either.
static void filter_and_exec(struct conn *c)
{
    int status;
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        REQUIRE(dup2(c->fd, 0) == 0 && dup2(c->fd, 1) == 1);
        close(c->fd);
        forbid_sockets();
        execlp("cat", "cat", NULL);
        _exit(127);
    }
    conn_close(c);
    REQUIRE_EQ(peer_do(c, want_back, 64 * KIB), 0);
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

// Where the kernel would refuse the filter nothing changes.
static void no_filter(struct conn *c)
{
    char why[200] = "";
    REQUIRE_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL), EFAULT);
    conn_warm(c);
    if (!sock_lane_ok(c->fd, why, sizeof why))
        sock_fail(__FILE__, __LINE__, "%s", why);
}

static const struct sock_case cases[] = {
    CASE(strict_mode),
    CASE(filter_and_poll),
    CASE(filter_and_epoll),
    CASE(filter_and_inherited_set),
    CASE(filter_with_data_waiting),
    CASE(names_and_options),
    CASE(accept_under_a_filter),
    CASE(filter_and_exec),
    CASE(no_filter),
};
SOCK_TOPIC(seal);
