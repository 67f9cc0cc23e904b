// SPDX-License-Identifier: BSD-2-Clause
// accept(2): the accept queue, and several workers at it.
#include "common/sock.h"

#include <poll.h>
#include <sys/epoll.h>

static void data_before_accept(struct conn *unused)
{
    char buf[5];
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd = sock_connect(&addr);
    REQUIRE_EQ(write(fd, "early", 5), 5);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(recv(server, buf, 5, MSG_WAITALL), 5);
    REQUIRE(memcmp(buf, "early", 5) == 0);
    sock_warm(fd, server);
}

static void client_gone_before_accept(struct conn *unused)
{
    char buf[8];
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd = sock_connect(&addr);
    REQUIRE_EQ(write(fd, "bye", 3), 3);
    close(fd);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(read(server, buf, sizeof(buf)), 3);
    REQUIRE_EQ(read(server, buf, sizeof(buf)), 0);
}

static void not_listening(struct conn *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(accept(fd, NULL, NULL), EINVAL);
    REQUIRE_ERRNO(accept(udp, NULL, NULL), EOPNOTSUPP);
    REQUIRE_ERRNO(accept(-1, NULL, NULL), EBADF);
}

static void io_on_a_listener(struct conn *unused)
{
    char byte = 0;
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    REQUIRE_ERRNO(read(listener, &byte, 1), ENOTCONN);
    REQUIRE_ERRNO(send(listener, &byte, 1, MSG_NOSIGNAL), EPIPE);
}

static void shutdown_of_a_listener(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    REQUIRE_EQ(shutdown(listener, SHUT_RD), 0);
    REQUIRE_ERRNO(accept(listener, NULL, NULL), EINVAL);
}

// Echoes 100 bytes on each of n connections taken from listener, then leaves.
static void work(int listener, int n)
{
    char buf[100];
    while (n-- > 0) {
        int fd = accept(listener, NULL, NULL);
        REQUIRE(fd >= 0);
        for (ssize_t got; (got = read(fd, buf, sizeof(buf))) > 0;)
            REQUIRE_EQ(write(fd, buf, (size_t)got), got);
        REQUIRE_EQ(close(fd), 0);
    }
}

static void talk(const struct sockaddr_in *addr, int rounds)
{
    char buf[100] = {1}, back[100];
    int fd = sock_connect(addr);
    for (int i = 0; i < rounds; i++) {
        buf[7] = (char)i;
        REQUIRE_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
        REQUIRE_EQ(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
        REQUIRE(memcmp(buf, back, sizeof(buf)) == 0);
    }
    REQUIRE_EQ(shutdown(fd, SHUT_WR), 0);
    REQUIRE_EQ(read(fd, back, 1), 0);
    close(fd);
}

#define WORKERS 4
#define EACH    10

static void forked_workers(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), status;
    pid_t pids[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        if ((pids[i] = fork()) == 0) {
            work(listener, EACH);
            _exit(0);
        }
    }
    for (int i = 0; i < WORKERS * EACH; i++)
        talk(&addr, 50);
    for (int i = 0; i < WORKERS; i++) {
        REQUIRE_EQ(waitpid(pids[i], &status, 0), pids[i]);
        REQUIRE_EQ(status, 0);
    }
}

static void *work_thread(void *listener)
{
    work(*(int *)listener, EACH);
    return NULL;
}

static void *talk_thread(void *addr)
{
    for (int i = 0; i < EACH; i++)
        talk(addr, 50);
    return NULL;
}

static void threaded_workers(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    pthread_t threads[WORKERS * 2];
    for (int i = 0; i < WORKERS * 2; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, i % 2 ? work_thread : talk_thread,
                                  i % 2 ? (void *)&listener : (void *)&addr),
                   0);
    for (int i = 0; i < WORKERS * 2; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
}

static int listen_shared(struct sockaddr_in *addr)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof(*addr);
    REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    REQUIRE_EQ(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
    REQUIRE_EQ(listen(fd, 100), 0);
    REQUIRE_EQ(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

static void reuseport_listeners(struct conn *unused)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int served[2] = {0};
    addr.sin_addr.s_addr = sock_address();
    struct pollfd p[2] = {{.fd = listen_shared(&addr), .events = POLLIN}};
    p[1] = (struct pollfd){.fd = listen_shared(&addr), .events = POLLIN};
    for (int i = 0; i < 20; i++) {
        int fd = sock_connect(&addr);
        REQUIRE_EQ(poll(p, 2, 2000), 1);
        int which = p[1].revents != 0, server = accept(p[which].fd, NULL, NULL);
        sock_warm(fd, server);
        close(fd);
        close(server);
        served[which]++;
    }
    REQUIRE(served[0] > 0 && served[1] > 0);
}

// A listener handed to a child that outlives its opener, as with daemon(3).
static void listener_of_a_child(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), status;
    pid_t pid = fork();
    if (pid == 0) {
        work(listener, 5);
        _exit(0);
    }
    close(listener);
    for (int i = 0; i < 5; i++)
        talk(&addr, 100);
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

static void backlog_is_served_in_order(struct conn *unused)
{
    enum { COUNT = 60 }; // more than the ears hold
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = sock_connect(&addr);
        REQUIRE_EQ(write(fds[i], &i, sizeof(i)), sizeof(i));
        // what two cores send over a veth pair may pass each other
        sleep_ms(sock_mode == SOCK_TCP ? 2 : 0);
    }
    for (int i = 0; i < COUNT; i++) {
        int got = -1, fd = accept(listener, NULL, NULL);
        REQUIRE_EQ(recv(fd, &got, sizeof(got), MSG_WAITALL), sizeof(got));
        REQUIRE_EQ(got, i);
        sock_warm(fds[i], fd);
        close(fd);
        close(fds[i]);
    }
}

static const struct sock_case cases[] = {
    CASE(data_before_accept, .flags = SOCK_BARE),
    CASE(client_gone_before_accept, .flags = SOCK_BARE),
    CASE(not_listening, .flags = SOCK_BARE),
    CASE(io_on_a_listener, .flags = SOCK_BARE),
    CASE(shutdown_of_a_listener, .flags = SOCK_BARE),
    CASE(forked_workers, .flags = SOCK_BARE),
    CASE(threaded_workers, .flags = SOCK_BARE),
    CASE(reuseport_listeners, .flags = SOCK_BARE),
    CASE(listener_of_a_child, .flags = SOCK_BARE),
    CASE(backlog_is_served_in_order, .flags = SOCK_BARE, .limit_s = 20),
};
SOCK_TOPIC(accept);
