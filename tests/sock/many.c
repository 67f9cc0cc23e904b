// SPDX-License-Identifier: BSD-2-Clause
// Many connections at once, and many one after the other.
#include "common/epoll.h"

#include <stdlib.h>
#include <sys/resource.h>

#define MANY  1000
#define BYTES 200

static void raise_limit(rlim_t fds)
{
    struct rlimit limit = {fds, fds};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        sock_skip("cannot raise RLIMIT_NOFILE enough");
}

// An event loop that echoes on every connection it accepts, until all of them have ended.
static void echo_server(int listener, int conns)
{
    struct epoll_event ev[64];
    char buf[BYTES];
    int ep = ep_new();
    ep_add(ep, listener, EPOLLIN);
    while (conns > 0) {
        int n = epoll_wait(ep, ev, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = (int)ev[i].data.u64;
            if (fd == listener) {
                ep_add(ep, accept(listener, NULL, NULL), EPOLLIN);
                continue;
            }
            ssize_t got = read(fd, buf, sizeof(buf));
            if (got > 0) {
                REQUIRE_EQ(write(fd, buf, (size_t)got), got);
                continue;
            }
            REQUIRE_EQ(got, 0);
            close(fd);
            conns--;
        }
    }
    close(ep);
}

static pid_t start_server(struct sockaddr_in *addr, int conns)
{
    int listener = sock_listen(addr);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        echo_server(listener, conns);
        _exit(0);
    }
    close(listener);
    return pid;
}

static void join_server(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

static void round_trip(int fd, int mark)
{
    int out[BYTES / 4] = {mark, ~mark}, in[BYTES / 4];
    REQUIRE_EQ(write(fd, out, BYTES), BYTES);
    REQUIRE_EQ(recv(fd, in, BYTES, MSG_WAITALL), BYTES);
    REQUIRE(memcmp(in, out, BYTES) == 0);
}

static void a_thousand_at_once(struct conn *unused)
{
    struct sockaddr_in addr;
    static int fds[MANY];
    raise_limit(4 * MANY + 1000);
    pid_t pid = start_server(&addr, MANY);
    for (int i = 0; i < MANY; i++)
        fds[i] = sock_connect(&addr);
    for (int i = 0; i < 10 * MANY; i++)
        round_trip(fds[i % MANY], i);
    for (int i = 0; i < MANY; i++) {
        REQUIRE_EQ(shutdown(fds[i], SHUT_WR), 0);
        REQUIRE_EQ(read(fds[i], &(char){0}, 1), 0);
        close(fds[i]);
    }
    join_server(pid);
}

// All requests are out before the first answer is read: 300 connections are ready together.
static void all_ready_together(struct conn *unused)
{
    enum { COUNT = 300 };
    struct sockaddr_in addr;
    int fds[COUNT], ep = ep_new();
    char buf[BYTES] = {0};
    raise_limit(4 * COUNT + 1000);
    pid_t pid = start_server(&addr, COUNT);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = sock_connect(&addr);
        ep_add(ep, fds[i], EPOLLIN);
    }
    for (int round = 0; round < 20; round++) {
        struct epoll_event ev[50];
        for (int i = 0; i < COUNT; i++)
            REQUIRE_EQ(write(fds[i], buf, BYTES), BYTES);
        for (int got = 0; got < COUNT;) {
            int n = epoll_wait(ep, ev, 50, 5000);
            REQUIRE(n > 0);
            for (int i = 0; i < n; i++)
                REQUIRE_EQ(recv((int)ev[i].data.u64, buf, BYTES, MSG_WAITALL), BYTES);
            got += n;
        }
    }
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    join_server(pid);
}

static void churn(struct conn *unused)
{
    enum { COUNT = 1000 };
    struct sockaddr_in addr;
    pid_t pid = start_server(&addr, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int fd = sock_connect(&addr);
        round_trip(fd, i);
        round_trip(fd, i + 1);
        close(fd);
    }
    join_server(pid);
}

static void churn_of_longer_ones(struct conn *unused)
{
    enum { COUNT = 60 };
    struct sockaddr_in addr;
    pid_t pid = start_server(&addr, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int fd = sock_connect(&addr);
        for (int j = 0; j < 100; j++)
            round_trip(fd, j);
        close(fd);
    }
    join_server(pid);
}

// HTTP/1.0's way: the server writes its answer and closes; the client reads to the end.
static void server_closes_first(struct conn *unused)
{
    enum { COUNT = 300, ANSWER = 20000 };
    static char buf[ANSWER];
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < COUNT; i++) {
            int fd = accept(listener, NULL, NULL);
            REQUIRE_EQ(recv(fd, buf, 50, MSG_WAITALL), 50);
            memset(buf, i, ANSWER);
            REQUIRE_EQ(write(fd, buf, ANSWER), ANSWER);
            close(fd);
        }
        _exit(0);
    }
    for (int i = 0; i < COUNT; i++) {
        int fd = sock_connect(&addr);
        REQUIRE_EQ(write(fd, buf, 50), 50);
        REQUIRE_EQ(recv(fd, buf, ANSWER, MSG_WAITALL), ANSWER);
        REQUIRE(buf[0] == (char)i && buf[ANSWER - 1] == (char)i);
        REQUIRE_EQ(read(fd, buf, 1), 0);
        close(fd);
    }
    join_server(pid);
}

static void *client_thread(void *addr)
{
    for (int i = 0; i < 40; i++) {
        int fd = sock_connect(addr);
        for (int j = 0; j < 20; j++)
            round_trip(fd, j);
        close(fd);
    }
    return NULL;
}

static void parallel_churn(struct conn *unused)
{
    struct sockaddr_in addr;
    pthread_t threads[5];
    pid_t pid = start_server(&addr, 5 * 40);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, client_thread, &addr), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    join_server(pid);
}

// Nothing may be left over: after 300 switched connections there are as many fds as before.
static void no_fd_is_left_behind(struct conn *unused)
{
    int first = -1;
    for (int i = 0; i < 150; i++) {
        int client, server;
        sock_pair(&client, &server);
        if (i % 10 == 0)
            sock_warm(client, server);
        close(client);
        close(server);
        int probe = dup(0);
        if (i == 20)
            first = probe;
        REQUIRE(i < 20 || probe == first);
        close(probe);
    }
}

static void there_and_back(int a, int b, int value)
{
    int in = -1;
    REQUIRE_EQ(write(a, &value, sizeof(value)), sizeof(value));
    REQUIRE_EQ(recv(b, &in, sizeof(in), MSG_WAITALL), sizeof(in));
    REQUIRE_EQ(in, value);
    REQUIRE_EQ(write(b, &value, sizeof(value)), sizeof(value));
    REQUIRE_EQ(recv(a, &in, sizeof(in), MSG_WAITALL), sizeof(in));
    REQUIRE_EQ(in, value);
}

// With few numbers to give, connections stay with the kernel before the program runs out.
static void few_descriptors_are_enough(struct conn *unused)
{
    int fd[20][2];
    if (sock_mode == SOCK_TCP)
        sock_skip("a connection of Shunt's own TCP takes two numbers");
    raise_limit(64);
    for (int i = 0; i < 20; i++) {
        sock_pair(&fd[i][0], &fd[i][1]);
        for (int round = 0; round < 4; round++) {
            there_and_back(fd[i][0], fd[i][1], round);
            sleep_ms(5); // time to be switched
        }
    }
    for (int i = 0; i < 20; i++)
        there_and_back(fd[i][0], fd[i][1], 100 + i);
    REQUIRE(dup(0) >= 0);
}

static const struct sock_case cases[] = {
    CASE(few_descriptors_are_enough, .flags = SOCK_BARE),
    CASE(a_thousand_at_once, .flags = SOCK_BARE, .limit_s = 30),
    CASE(all_ready_together, .flags = SOCK_BARE, .limit_s = 20),
    CASE(churn, .flags = SOCK_BARE, .limit_s = 20),
    CASE(churn_of_longer_ones, .flags = SOCK_BARE, .limit_s = 20),
    CASE(server_closes_first, .flags = SOCK_BARE),
    CASE(parallel_churn, .flags = SOCK_BARE, .limit_s = 20),
    CASE(no_fd_is_left_behind, .flags = SOCK_BARE, .limit_s = 20),
};
SOCK_TOPIC(many);
