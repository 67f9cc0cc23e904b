// SPDX-License-Identifier: BSD-2-Clause
// A connection that goes to another program: by exec(2), or by SCM_RIGHTS (unix(7)).
// "Stranger" is a program that does not run under Shunt although we do.
#include "common/sock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>

static void join_child(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

// Starts file with the connection as its standard input and output.
static pid_t run_on(struct conn *c, bool stranger, const char *const argv[])
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid > 0)
        return pid;
    REQUIRE(dup2(c->fd, 0) == 0 && dup2(c->fd, 1) == 1);
    close(c->fd);
    if (stranger)
        unsetenv("LD_PRELOAD");
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

// The peer writes n bytes and wants its own bytes back.
static int64_t want_back(struct conn *self, int64_t n)
{
    char buf[4 * KIB];
    struct conn back = {.fd = self->fd, .salt = !self->salt, .rx = self->tx};
    for (int64_t done = 0; done < n; done += (int64_t)sizeof(buf)) {
        conn_write(self, sizeof(buf));
        REQUIRE_EQ(recv(self->fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
        conn_check(&back, buf, sizeof(buf));
    }
    return op_shutdown(self, SHUT_WR);
}

static void cat_on_it(struct conn *c, bool stranger)
{
    const char *argv[] = {"cat", NULL};
    pid_t pid = run_on(c, stranger, argv);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, want_back, 256 * KIB), 0);
    join_child(pid);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void exec_of_cat(struct conn *c)
{
    cat_on_it(c, false);
}

static void exec_of_a_stranger(struct conn *c)
{
    cat_on_it(c, true);
}

static void exec_before_the_switch(struct conn *c)
{
    cat_on_it(c, false);
}

// What the number meant before is another's business: the connection behind it stays with us.
static void a_number_means_another_connection(struct conn *c)
{
    struct conn other;
    char script[60];
    pid_t pid;
    conn_open(&other, c->peer_pid ? SOCK_PROC : SOCK_THREAD);
    conn_warm(&other);
    snprintf(script, sizeof(script), "exec cat <&%d >&%d", c->fd, c->fd);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        REQUIRE_EQ(dup2(other.fd, c->fd), c->fd);
        close(other.fd);
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    conn_close(&other);
    REQUIRE_EQ(peer_do(&other, want_back, 64 * KIB), 0);
    join_child(pid);
    conn_end(&other);
    conn_write(c, KIB);
    REQUIRE_EQ(peer_do(c, op_read, KIB), KIB);
    REQUIRE_EQ(peer_do(c, op_write, KIB), KIB);
    conn_read(c, KIB);
}

// Reads n bytes that the peer itself wrote before.
static int64_t read_own(struct conn *self, int64_t n)
{
    struct conn back = {.fd = self->fd, .salt = !self->salt, .rx = self->tx - (uint64_t)n};
    conn_read(&back, (size_t)n);
    return n;
}

// What had arrived before the exec belongs to the new program.
static void exec_with_data_waiting(struct conn *c)
{
    const char *argv[] = {"cat", NULL};
    REQUIRE_EQ(peer_do(c, op_write, 4 * KIB), 4 * KIB);
    conn_await(c, 4 * KIB);
    pid_t pid = run_on(c, false, argv);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, read_own, 4 * KIB), 4 * KIB);
    peer_do(c, op_shutdown, SHUT_WR);
    join_child(pid);
}

static int64_t write_and_want_back(struct conn *self, int64_t n)
{
    for (int64_t done = 0; done < n; done += KIB) {
        op_write(self, KIB);
        read_own(self, KIB);
    }
    return n;
}

// This program again, three times in a row; between them the connection is only ours.
static void exec_of_ourselves(struct conn *c)
{
    char count[20];
    const char *argv[] = {sock_self, "--helper", "echo", count, NULL};
    snprintf(count, sizeof(count), "%d", 64 * KIB);
    for (int i = 0; i < 3; i++) {
        pid_t pid = run_on(c, i == 1, argv);
        REQUIRE_EQ(peer_do(c, write_and_want_back, 64 * KIB), 64 * KIB);
        join_child(pid);
    }
}

static void ask_a_server(const struct sockaddr_in *addr)
{
    char byte = 'x';
    int fd = sock_connect(addr);
    REQUIRE_EQ(write(fd, &byte, 1), 1);
    REQUIRE_EQ(read(fd, &byte, 1), 1);
    close(fd);
}

// A new program accepts from our listener, which blocks; then we do.
static void serve_by(bool stranger)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd;
    char number[20], byte;
    snprintf(number, sizeof(number), "%d", listener);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(fcntl(listener, F_SETFD, 0), 0);
        if (stranger)
            unsetenv("LD_PRELOAD");
        execl(sock_self, sock_self, "--helper", "serve", number, "3", NULL);
        _exit(127);
    }
    sleep_ms(100);
    for (int i = 0; i < 3; i++)
        ask_a_server(&addr);
    join_child(pid);
    pid = fork();
    if (pid == 0) {
        ask_a_server(&addr);
        _exit(0);
    }
    fd = accept(listener, NULL, NULL);
    REQUIRE(fd >= 0);
    REQUIRE_EQ(read(fd, &byte, 1), 1);
    REQUIRE_EQ(write(fd, &byte, 1), 1);
    join_child(pid);
}

static void exec_of_a_server(struct conn *unused)
{
    serve_by(false);
}

static void exec_of_a_strange_server(struct conn *unused)
{
    serve_by(true);
}

static void cloexec_closes(struct conn *c)
{
    REQUIRE_EQ(fcntl(c->fd, F_SETFD, FD_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("sleep", "sleep", "2", NULL);
        _exit(127);
    }
    sleep_ms(100);
    conn_close(c);
    uint64_t before = now_ms();
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
    REQUIRE(now_ms() - before < 1500);
    REQUIRE_EQ(kill(pid, SIGKILL), 0);
    waitpid(pid, NULL, 0);
}

static void send_fd(int via, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    REQUIRE_EQ(sendmsg(via, &msg, 0), 1);
}

static int recv_fd(int via, int flags)
{
    int fd = -1;
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    REQUIRE_EQ(recvmsg(via, &msg, flags), 1);
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    REQUIRE(cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
    return fd;
}

static void talk(struct conn *c)
{
    for (int i = 0; i < 100; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
}

// Who reads the other end of a socket pair cannot be known: the connection may go on by either
// lane.
static void exchange(struct conn *c)
{
    peer_start(c, op_echo, 6400);
    talk(c);
    peer_finish(c);
}

static void passed_to_ourselves(struct conn *c)
{
    int pair[2];
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_fd(pair[0], c->fd);
    conn_close(c); // now only the message holds it
    c->fd = recv_fd(pair[1], MSG_CMSG_CLOEXEC);
    REQUIRE_EQ(fcntl(c->fd, F_GETFD), FD_CLOEXEC);
    exchange(c);
}

static void copy_passed_to_ourselves(struct conn *c)
{
    int pair[2], old = c->fd;
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_fd(pair[0], c->fd);
    int copy = recv_fd(pair[1], 0);
    for (int i = 0; i < 10; i++) {
        c->fd = i % 2 ? copy : old;
        peer_start(c, op_echo, 64);
        conn_write(c, 64);
        conn_read(c, 64);
        peer_finish(c);
    }
    close(old);
    c->fd = copy;
    exchange(c);
}

// A pre-forked worker gets the connection from its master: it was forked before there was one.
static void passed_to_an_older_process(struct conn *unused)
{
    int pair[2];
    struct conn c;
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        int fd = recv_fd(pair[1], 0);
        REQUIRE_EQ(recv(pair[1], &c, sizeof(c), MSG_WAITALL), sizeof(c));
        c.fd = fd;
        talk(&c);
        _exit(0);
    }
    conn_open(&c, SOCK_PROC);
    conn_warm(&c);
    peer_start(&c, op_echo, 6400);
    send_fd(pair[0], c.fd);
    REQUIRE_EQ(send(pair[0], &c, sizeof(c), 0), sizeof(c));
    conn_close(&c);
    join_child(pid);
    peer_finish(&c);
    conn_end(&c);
}

static void passed_to_a_stranger(struct conn *c)
{
    int pair[2];
    char via[20];
    const char *argv[] = {sock_self, "--helper", "echo-passed", via, NULL};
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    snprintf(via, sizeof(via), "%d", pair[1]);
    pid_t pid = fork();
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        close(c->fd);
        execv(sock_self, (char *const *)argv);
        _exit(127);
    }
    send_fd(pair[0], c->fd);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, want_back, 64 * KIB), 0);
    join_child(pid);
}

static void passed_by_recvmmsg(struct conn *c)
{
    int pair[2];
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct mmsghdr msg = {.msg_hdr = {.msg_iov = &iov,
                                      .msg_iovlen = 1,
                                      .msg_control = control,
                                      .msg_controllen = sizeof(control)}};
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_fd(pair[0], c->fd);
    conn_close(c);
    REQUIRE_EQ(recvmmsg(pair[1], &msg, 1, 0, NULL), 1);
    memcpy(&c->fd, CMSG_DATA(CMSG_FIRSTHDR(&msg.msg_hdr)), sizeof(int));
    exchange(c);
}

// ---- before the switch ----

// Starts this program again, which echoes on fd under the same number.
static pid_t echo_on(int fd)
{
    char text[20];
    const char *argv[] = {sock_self, "--helper", "echo-fd", text, NULL};
    snprintf(text, sizeof(text), "%d", fd);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        REQUIRE_EQ(fcntl(fd, F_SETFD, 0), 0);
        execv(sock_self, (char *const *)argv);
        _exit(127);
    }
    return pid;
}

// The peer writes and wants its own bytes back until both directions are where the mode wants them.
static int64_t want_back_switched(struct conn *self, int64_t unused)
{
    char why[256] = "";
    uint64_t end = now_ms() + 20000;
    do {
        write_and_want_back(self, 20 * KIB);
        sleep_ms(5);
    } while (!sock_lane_ok(self->fd, why, sizeof(why)) && now_ms() < end);
    if (!sock_lane_ok(self->fd, why, sizeof(why)))
        sock_fail(__FILE__, __LINE__, "not on the lane of the mode: %s", why);
    return write_and_want_back(self, 256 * KIB);
}

static int64_t written(struct conn *self, int64_t unused)
{
    return (int64_t)self->tx;
}

static void a_new_program_switches(struct conn *c)
{
    pid_t pid = echo_on(c->fd);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, want_back_switched, 0), 256 * KIB);
    peer_do(c, op_shutdown, SHUT_WR);
    join_child(pid);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

// The maker goes on where the new program was killed. Nothing is under way then.
static void the_maker_follows_a_new_program(struct conn *c)
{
    for (int i = 0; i < 2; i++) {
        pid_t pid = echo_on(c->fd);
        REQUIRE_EQ(peer_do(c, want_back_switched, 0), 256 * KIB);
        REQUIRE_EQ(kill(pid, SIGKILL), 0);
        REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
        c->rx = (uint64_t)peer_do(c, written, 0);
        exchange(c);
    }
}

// A unix socket between processes that know of each other, unlike a socket pair. Its number in the
// child is to_child[1].
static void connect_processes(int to_child[2], pid_t *pid)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_EQ(bind(listener, (struct sockaddr *)&addr, sizeof(sa_family_t)), 0); // any name
    REQUIRE_EQ(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    REQUIRE_EQ(listen(listener, 1), 0);
    *pid = fork();
    REQUIRE(*pid >= 0);
    if (*pid == 0) {
        to_child[1] = socket(AF_UNIX, SOCK_STREAM, 0);
        REQUIRE_EQ(connect(to_child[1], (struct sockaddr *)&addr, len), 0);
        return;
    }
    to_child[0] = accept(listener, NULL, NULL);
    REQUIRE(to_child[0] >= 0);
    close(listener);
}

// A worker that has served connections of its own before it gets one from its master.
static void work_for_a_master(int via)
{
    struct conn own;
    int fds[2];
    conn_open(&own, SOCK_PROC);
    conn_warm(&own);
    conn_end(&own);
    REQUIRE_EQ(write(via, "r", 1), 1);
    for (int i = 0; i < 2; i++)
        fds[i] = recv_fd(via, MSG_CMSG_CLOEXEC);
    for (int i = 0; i < 2; i++)
        echo_on(fds[i]);
    close(fds[0]);
    close(fds[1]);
    while (wait(NULL) > 0)
        ;
}

// What the master passed lives on, and is switched, although the master has closed it and made
// others in its place.
static void a_worker_switches(struct conn *unused)
{
    int via[2];
    pid_t pid;
    char ready;
    struct conn c[2], later[3];
    connect_processes(via, &pid);
    if (pid == 0) {
        work_for_a_master(via[1]);
        _exit(0);
    }
    REQUIRE_EQ(read(via[0], &ready, 1), 1);
    for (int i = 0; i < 2; i++) {
        conn_open(&c[i], SOCK_PROC);
        if (i)
            conn_warm(&c[i]); // and one that is switched already
        send_fd(via[0], c[i].fd);
        conn_close(&c[i]);
    }
    for (int i = 0; i < 3; i++) {
        conn_open(&later[i], SOCK_PROC);
        conn_warm(&later[i]);
    }
    for (int i = 0; i < 2; i++)
        peer_start(&c[i], want_back_switched, 0);
    for (int i = 0; i < 3; i++)
        exchange(&later[i]);
    for (int i = 0; i < 2; i++) {
        REQUIRE_EQ(peer_finish(&c[i]), 256 * KIB);
        peer_do(&c[i], op_shutdown, SHUT_WR);
    }
    close(via[0]);
    join_child(pid);
    for (int i = 0; i < 2; i++)
        conn_end(&c[i]);
    for (int i = 0; i < 3; i++)
        conn_end(&later[i]);
}

// ---- epoll sets that live on ----

// The set is made, and used, by the process that execs.
static void in_a_set_that_lives_on(struct conn *c, uint32_t events, bool used)
{
    int ready[2];
    char byte;
    REQUIRE_EQ(pipe(ready), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        int ep = epoll_create1(0);
        struct epoll_event ev = {.events = events, .data.u64 = HELPER_DATA};
        REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev), 0);
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, used ? 20 : 0), 0);
        char fds[2][20];
        const char *argv[] = {sock_self, "--helper", "echo-epoll", fds[0], fds[1], NULL};
        snprintf(fds[0], sizeof(fds[0]), "%d", ep);
        snprintf(fds[1], sizeof(fds[1]), "%d", c->fd);
        REQUIRE_EQ(fcntl(c->fd, F_SETFD, 0), 0);
        execv("/nowhere", (char *const *)argv); // which changes nothing
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, 20), 0);
        REQUIRE_EQ(write(ready[1], "r", 1), 1);
        execv(sock_self, (char *const *)argv);
        _exit(127);
    }
    REQUIRE_EQ(read(ready[0], &byte, 1), 1);
    conn_close(c);
    REQUIRE_EQ(peer_do(c, want_back_switched, 0), 256 * KIB);
    sleep_ms(50); // it sleeps in its set meanwhile
    REQUIRE_EQ(peer_do(c, write_and_want_back, 20 * KIB), 20 * KIB);
    peer_do(c, op_shutdown, SHUT_WR);
    join_child(pid);
}

static void a_set_lives_on(struct conn *c)
{
    in_a_set_that_lives_on(c, EPOLLIN, true);
}

static void a_cold_set_lives_on(struct conn *c)
{
    in_a_set_that_lives_on(c, EPOLLIN, false);
}

static void an_edge_set_lives_on(struct conn *c)
{
    in_a_set_that_lives_on(c, EPOLLIN | EPOLLET, true);
}

static const struct sock_case cases[] = {
    CASE(exec_of_cat),
    CASE(exec_of_a_stranger),
    CASE(exec_before_the_switch, .flags = SOCK_COLD),
    CASE(exec_with_data_waiting),
    CASE(a_number_means_another_connection),
    CASE(exec_of_ourselves),
    CASE(exec_of_a_server, .flags = SOCK_BARE),
    CASE(exec_of_a_strange_server, .flags = SOCK_BARE),
    CASE(cloexec_closes),
    CASE(passed_to_ourselves),
    CASE(copy_passed_to_ourselves),
    CASE(passed_to_an_older_process, .flags = SOCK_BARE),
    CASE(passed_to_a_stranger),
    CASE(passed_by_recvmmsg),
    CASE(a_new_program_switches, .flags = SOCK_COLD, .limit_s = 30),
    CASE(the_maker_follows_a_new_program, .flags = SOCK_COLD, .limit_s = 60),
    CASE(a_set_lives_on, .limit_s = 30),
    CASE(a_cold_set_lives_on, .flags = SOCK_COLD, .limit_s = 30),
    CASE(an_edge_set_lives_on, .limit_s = 30),
    CASE(a_worker_switches, .flags = SOCK_BARE, .limit_s = 40),
};
SOCK_TOPIC(exec);
