// SPDX-License-Identifier: BSD-2-Clause
// Several epoll sets: nested, one socket in many, polled, copied, shared by threads and processes.
#include "common/epoll.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/select.h>

static void set_in_a_set(struct conn *c)
{
    int inner = ep_new(), outer = ep_new();
    ep_add(inner, c->fd, EPOLLIN);
    ep_add(outer, inner, EPOLLIN);
    REQUIRE_EQ(ep_wait(outer, inner, 20), 0);
    peer_start_later(c, 50, op_write, 5);
    REQUIRE_EQ(ep_wait(outer, inner, 5000), EPOLLIN);
    REQUIRE_EQ(ep_wait(inner, c->fd, 0), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
    REQUIRE_EQ(ep_wait(outer, inner, 20), 0);
}

static void three_deep(struct conn *c)
{
    int a = ep_new(), b = ep_new(), d = ep_new();
    ep_add(b, a, EPOLLIN);
    ep_add(d, b, EPOLLIN);
    ep_add(a, c->fd, EPOLLIN);
    peer_start_later(c, 50, op_write, 5);
    REQUIRE_EQ(ep_wait(d, b, 5000), EPOLLIN);
    peer_finish(c);
    REQUIRE_ERRNO(ep_ctl(a, EPOLL_CTL_ADD, d, EPOLLIN), ELOOP);
}

static void set_in_poll(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    REQUIRE_EQ(sock_poll(ep, POLLIN, 20), 0);
    peer_start_later(c, 50, op_write, 5);
    REQUIRE_EQ(sock_poll(ep, POLLIN, 5000), POLLIN);
    conn_read(c, 5);
    peer_finish(c);
    REQUIRE_EQ(sock_poll(ep, POLLIN, 20), 0);
}

static void set_in_select(struct conn *c)
{
    fd_set in;
    struct timeval tv = {.tv_sec = 5};
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    FD_ZERO(&in);
    FD_SET(ep, &in);
    peer_start_later(c, 50, op_write, 5);
    REQUIRE_EQ(select(ep + 1, &in, NULL, NULL, &tv), 1);
    peer_finish(c);
}

static void one_socket_in_many_sets(struct conn *c)
{
    int eps[5];
    for (size_t i = 0; i < ARRAY_LEN(eps); i++) {
        eps[i] = ep_new();
        ep_add(eps[i], c->fd, i % 2 ? EPOLLIN : EPOLLIN | EPOLLET);
    }
    peer_start_later(c, 30, op_write, 5);
    for (size_t i = 0; i < ARRAY_LEN(eps); i++)
        REQUIRE_EQ(ep_wait(eps[i], c->fd, 5000), EPOLLIN);
    for (size_t i = 0; i < ARRAY_LEN(eps); i++)
        REQUIRE_EQ(ep_wait(eps[i], c->fd, 10), i % 2 ? EPOLLIN : 0);
    peer_finish(c);
}

static void copy_of_a_set(struct conn *c)
{
    int ep = ep_new(), copy = dup(ep);
    ep_add(ep, c->fd, EPOLLIN);
    close(ep);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(copy, c->fd, 5000), EPOLLIN);
    ep_mod(copy, c->fd, EPOLLOUT);
    REQUIRE_EQ(ep_wait(copy, c->fd, 1000), EPOLLOUT);
    peer_finish(c);
}

static void *wait_level(void *arg)
{
    struct epoll_event ev;
    REQUIRE_EQ(epoll_wait(*(int *)arg, &ev, 1, 5000), 1);
    return NULL;
}

static void threads_wait_in_one_set(struct conn *c)
{
    pthread_t threads[4];
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, wait_level, &ep), 0);
    peer_start_later(c, 50, op_write, 5);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    peer_finish(c);
}

static void join_child(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

static void child_waits_in_the_parents_set(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        conn_read(c, 5);
        REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
        _exit(0);
    }
    sleep_ms(30);
    peer_do(c, op_write, 5);
    join_child(pid);
    c->rx += 5;
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
}

static void both_wait_in_one_set(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        _exit(0);
    }
    peer_start_later(c, 50, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    join_child(pid);
    conn_read(c, 5);
    peer_finish(c);
}

// Forks a child that waits in ep and exits with the number of events that it got.
static pid_t child_that_waits(int ep, int timeout_ms)
{
    struct epoll_event ev;
    pid_t pid = fork();
    if (pid == 0)
        _exit(epoll_wait(ep, &ev, 1, timeout_ms));
    REQUIRE(pid > 0);
    return pid;
}

static int events_of(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// One arrival, one report, whoever waits; any process may arm it again.
static void oneshot_across_fork(struct conn *c)
{
    struct epoll_event ev;
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLONESHOT);
    pid_t pid = child_that_waits(ep, 1500);
    peer_start_later(c, 100, op_write, 5);
    REQUIRE_EQ(epoll_wait(ep, &ev, 1, 1500) + events_of(pid), 1);
    peer_finish(c);
    REQUIRE_EQ(epoll_wait(ep, &ev, 1, 20), 0);
    pid = fork();
    if (pid == 0) {
        ep_mod(ep, c->fd, EPOLLIN | EPOLLONESHOT);
        _exit(0);
    }
    REQUIRE_EQ(events_of(pid), 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    pid = child_that_waits(ep, 20);
    REQUIRE_EQ(events_of(pid), 0);
    conn_read(c, 5);
}

// What the parent says of a registration after the fork holds for the child as well.
static void changed_by_the_parent_after_fork(struct conn *c)
{
    struct epoll_event ev;
    int ep = ep_new(), go[2];
    REQUIRE_EQ(pipe(go), 0);
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(read(go[0], &ev, 1), 1);
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
        _exit(ev.data.u64 == 77 && ev.events == EPOLLOUT ? 0 : 1);
    }
    ev = (struct epoll_event){.events = EPOLLOUT, .data.u64 = 77};
    REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev), 0);
    REQUIRE_EQ(write(go[1], &ev, 1), 1);
    REQUIRE_EQ(events_of(pid), 0);
    REQUIRE(close(go[0]) == 0 && close(go[1]) == 0);
}

// So does what it adds, and what it takes out.
static void added_by_the_parent_after_fork(struct conn *c)
{
    struct epoll_event ev;
    struct conn other;
    int ep = ep_new(), go[2];
    REQUIRE_EQ(pipe(go), 0);
    conn_open(&other, SOCK_PROC);
    conn_warm(&other);
    ep_add(ep, other.fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(read(go[0], &ev, 1), 1);
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
        _exit(ev.data.u64 == (uint64_t)c->fd && ev.events == EPOLLIN ? 0 : 1);
    }
    ep_add(ep, c->fd, EPOLLIN);
    REQUIRE_EQ(ep_ctl(ep, EPOLL_CTL_DEL, other.fd, 0), 0);
    peer_do(&other, op_write, 5);
    peer_do(c, op_write, 5);
    REQUIRE_EQ(write(go[1], &ev, 1), 1);
    REQUIRE_EQ(events_of(pid), 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 5);
    conn_read(&other, 5);
    conn_end(&other);
    REQUIRE(close(go[0]) == 0 && close(go[1]) == 0);
}

// In a set that two processes use each may take out what the other put in, and the reverse.
static void taken_out_by_the_child(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(ep_ctl(ep, EPOLL_CTL_DEL, c->fd, 0) != 0);
    REQUIRE_EQ(events_of(pid), 0);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN), ENOENT);
    ep_add(ep, c->fd, EPOLLIN);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN), EEXIST);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    peer_finish(c);
    conn_read(c, 5);
}

// The maker changes the set after the fork, and is gone when its child begins to use it.
static void left_to_the_child(struct conn *c)
{
    int go[2], status;
    REQUIRE_EQ(pipe(go), 0);
    REQUIRE_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t maker = fork();
    if (maker == 0) {
        int ep = ep_new();
        ep_add(ep, c->fd, EPOLLOUT);
        if (fork() == 0) {
            REQUIRE_EQ(read(go[0], &status, 1), 1);
            for (int i = 0; i < 3; i++)
                REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
            conn_read(c, 5);
            conn_warm(c); // and it is switched still
            _exit((int)ep_wait(ep, c->fd, 20));
        }
        ep_mod(ep, c->fd, EPOLLIN);
        _exit(0);
    }
    REQUIRE_EQ(waitpid(maker, &status, 0), maker);
    REQUIRE_EQ(status, 0);
    peer_do(c, op_write, 5);
    REQUIRE_EQ(write(go[1], "", 1), 1);
    REQUIRE(waitpid(-1, &status, 0) > 0);
    REQUIRE_EQ(status, 0);
    REQUIRE(close(go[0]) == 0 && close(go[1]) == 0);
    conn_close(c);
}

static void exclusive_across_fork(struct conn *c)
{
    struct epoll_event ev;
    int ours = ep_new(), its = ep_new();
    ep_add(ours, c->fd, EPOLLIN | EPOLLEXCLUSIVE);
    ep_add(its, c->fd, EPOLLIN | EPOLLEXCLUSIVE);
    pid_t pid = child_that_waits(its, 1500);
    peer_start_later(c, 100, op_write, 5);
    REQUIRE(epoll_wait(ours, &ev, 1, 1500) + events_of(pid) >= 1);
    peer_finish(c);
    conn_read(c, 5);
}

static void nested_across_fork(struct conn *c)
{
    struct epoll_event ev;
    int inner = ep_new(), outer = ep_new();
    ep_add(inner, c->fd, EPOLLIN);
    ep_add(outer, inner, EPOLLIN);
    pid_t pid = child_that_waits(outer, 5000);
    peer_start_later(c, 100, op_write, 5);
    REQUIRE_EQ(epoll_wait(outer, &ev, 1, 5000), 1);
    REQUIRE_EQ(ev.data.u64, inner);
    REQUIRE_EQ(events_of(pid), 1);
    peer_finish(c);
    REQUIRE_EQ(ep_wait(inner, c->fd, 1000), EPOLLIN);
    conn_read(c, 5);
    REQUIRE_EQ(epoll_wait(outer, &ev, 1, 20), 0);
}

// What the child adds to the shared set the parent's wait reports, and the other way about.
static void child_adds_for_the_parent(struct conn *c)
{
    int ep = ep_new();
    pid_t pid = fork();
    if (pid == 0) {
        ep_add(ep, c->fd, EPOLLIN);
        _exit(0);
    }
    join_child(pid);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    REQUIRE_EQ(ep_ctl(ep, EPOLL_CTL_DEL, c->fd, 0), 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_finish(c);
}

static void childs_close_changes_nothing(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        close(c->fd);
        close(ep);
        _exit(0);
    }
    join_child(pid);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
    conn_warm(c);
}

// One worker: its own set on the inherited listener, serves echo to every client until killed.
static _Noreturn void serve_by_epoll(int listener)
{
    struct epoll_event ev;
    char buf[100];
    int ep = ep_new();
    ep_add(ep, listener, EPOLLIN | EPOLLEXCLUSIVE);
    for (;;) {
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, -1), 1);
        int fd = (int)ev.data.u64;
        if (fd == listener) {
            if ((fd = accept(listener, NULL, NULL)) >= 0)
                ep_add(ep, fd, EPOLLIN | EPOLLRDHUP);
            continue;
        }
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n > 0)
            REQUIRE_EQ(write(fd, buf, (size_t)n), n);
        else
            close(fd);
    }
}

// nginx's way: each worker makes its own set on the inherited listener.
static void workers_with_own_sets(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fds[30];
    char buf[100] = {1}, back[100];
    pid_t pids[3];
    sock_set_nonblock(listener, true);
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        if ((pids[i] = fork()) == 0)
            serve_by_epoll(listener);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = sock_connect(&addr);
    for (size_t i = 0; i < ARRAY_LEN(fds) * 50; i++) {
        int fd = fds[i % ARRAY_LEN(fds)];
        REQUIRE_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
        REQUIRE_EQ(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
    }
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        REQUIRE_EQ(kill(pids[i], SIGKILL), 0);
        REQUIRE_EQ(waitpid(pids[i], NULL, 0), pids[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        REQUIRE_EQ(read(fds[i], back, 1), 0);
}

static void survives_exec_of_others(struct conn *c)
{
    int ep = epoll_create(1);
    ep_add(ep, c->fd, EPOLLIN);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    join_child(pid);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(set_in_a_set),
    CASE(three_deep),
    CASE(set_in_poll),
    CASE(set_in_select),
    CASE(one_socket_in_many_sets),
    CASE(copy_of_a_set),
    CASE(threads_wait_in_one_set),
    CASE(child_waits_in_the_parents_set),
    CASE(both_wait_in_one_set),
    CASE(oneshot_across_fork),
    CASE(changed_by_the_parent_after_fork),
    CASE(added_by_the_parent_after_fork),
    CASE(taken_out_by_the_child),
    CASE(left_to_the_child, .flags = SOCK_NO_THREAD),
    CASE(exclusive_across_fork),
    CASE(nested_across_fork),
    CASE(child_adds_for_the_parent),
    CASE(childs_close_changes_nothing),
    CASE(workers_with_own_sets, .flags = SOCK_BARE),
    CASE(survives_exec_of_others),
};
SOCK_TOPIC(epoll_sets);
