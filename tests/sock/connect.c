// SPDX-License-Identifier: BSD-2-Clause
// connect(2): blocking and not, refused, repeated, to itself, and over every kind of loopback
// address; in mode rdma over addresses that the lane has.
#include "common/sock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

// An address of this host by which the mode's lane can be reached.
static const char *near_address(const char *loopback, const char *of_lane)
{
    return sock_mode == SOCK_RDMA ? getenv(of_lane) : loopback;
}

static int so_error(int fd)
{
    int err = -1;
    socklen_t len = sizeof(err);
    REQUIRE_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    return err;
}

// An address where nobody listens.
static struct sockaddr_in dead_address(void)
{
    struct sockaddr_in addr;
    close(sock_listen(&addr));
    return addr;
}

static void nonblocking_connect(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    REQUIRE(ret == 0 || errno == EINPROGRESS);
    REQUIRE_EQ(sock_poll(fd, POLLOUT, 2000), POLLOUT);
    REQUIRE_EQ(so_error(fd), 0);
    sock_set_nonblock(fd, false);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static void refused(struct conn *unused)
{
    struct sockaddr_in addr = dead_address();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ECONNREFUSED);
    REQUIRE_EQ(so_error(fd), 0);
}

static void refused_nonblocking(struct conn *unused)
{
    char byte;
    struct sockaddr_in addr = dead_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), EINPROGRESS);
    REQUIRE(sock_poll(fd, POLLOUT, 2000) & POLLERR);
    REQUIRE_EQ(so_error(fd), ECONNREFUSED);
    REQUIRE_EQ(so_error(fd), 0);
    REQUIRE_EQ(read(fd, &byte, 1), 0);
}

// After a refusal the same socket may try again.
static void refused_then_accepted(struct conn *unused)
{
    struct sockaddr_in dead = dead_address(), addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&dead, sizeof(dead)), ECONNREFUSED);
    int listener = sock_listen(&addr);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static void connected_already(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd = sock_connect(&addr);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), EISCONN);
    sock_warm(fd, accept(listener, NULL, NULL));
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), EISCONN);
}

static void io_before_connect(struct conn *unused)
{
    char byte = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(read(fd, &byte, 1), ENOTCONN);
    REQUIRE_ERRNO(send(fd, &byte, 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
    REQUIRE(sock_poll(fd, POLLIN | POLLOUT, 0) & POLLHUP);
}

// connect(2) with AF_UNSPEC takes the connection down; the socket can be used for another.
static void unspec_disconnects(struct conn *unused)
{
    struct sockaddr_in addr;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    char byte;
    int listener = sock_listen(&addr), fd = sock_connect(&addr);
    int server = accept(listener, NULL, NULL);
    sock_warm(fd, server);
    REQUIRE_EQ(connect(fd, &none, sizeof(none)), 0);
    REQUIRE_EQ(so_error(fd), ECONNRESET);
    REQUIRE_ERRNO(read(fd, &byte, 1), ENOTCONN);
    REQUIRE_ERRNO(read(server, &byte, 1), ECONNRESET);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static struct epoll_event one_event(int epfd)
{
    struct epoll_event ev = {0};
    REQUIRE_EQ(epoll_wait(epfd, &ev, 1, 5000), 1);
    return ev;
}

// A socket stays in its sets, whatever it is connected to.
static void set_keeps_what_connects_again(struct conn *unused)
{
    struct sockaddr_in addr;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 4711};
    int listener = sock_listen(&addr), fd = sock_connect(&addr), epfd = epoll_create1(0);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), 0);
    for (int i = 0; i < 3; i++) {
        sock_warm(fd, server);
        REQUIRE_EQ(write(server, "x", 1), 1);
        ev = one_event(epfd);
        REQUIRE_EQ(ev.data.u64, 4711);
        REQUIRE_EQ(ev.events, EPOLLIN);
        REQUIRE_EQ(connect(fd, &none, sizeof(none)), 0);
        REQUIRE_EQ(so_error(fd), ECONNRESET);
        REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        close(server);
        server = accept(listener, NULL, NULL);
    }
    REQUIRE_EQ(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL), 0);
}

static void set_keeps_what_was_refused(struct conn *unused)
{
    struct sockaddr_in dead = dead_address(), addr;
    struct epoll_event ev = {.events = EPOLLOUT, .data.u64 = 4711};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epfd = epoll_create1(0);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&dead, sizeof(dead)), EINPROGRESS);
    REQUIRE_EQ(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), 0);
    REQUIRE(sock_poll(fd, POLLOUT, 2000) & POLLERR);
    REQUIRE_ERRNO(connect(fd, (struct sockaddr *)&dead, sizeof(dead)), ECONNREFUSED);
    int listener = sock_listen(&addr), ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    REQUIRE(ret == 0 || errno == EINPROGRESS);
    ev = one_event(epfd);
    REQUIRE_EQ(ev.data.u64, 4711);
    REQUIRE_EQ(ev.events, EPOLLOUT);
    REQUIRE_EQ(so_error(fd), 0);
    sock_set_nonblock(fd, false);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static void names(struct conn *unused)
{
    struct sockaddr_in addr, mine, theirs;
    socklen_t len = sizeof(addr);
    int listener = sock_listen(&addr), fd = sock_connect(&addr);
    int server = accept(listener, (struct sockaddr *)&theirs, &len);
    sock_warm(fd, server);
    REQUIRE_EQ(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
    REQUIRE_EQ(mine.sin_port, theirs.sin_port);
    REQUIRE_EQ(getpeername(fd, (struct sockaddr *)&theirs, &len), 0);
    REQUIRE_EQ(theirs.sin_port, addr.sin_port);
    REQUIRE_EQ(getpeername(server, (struct sockaddr *)&theirs, &len), 0);
    REQUIRE_EQ(theirs.sin_port, mine.sin_port);
}

// RFC 9293, 3.5: a simultaneous open; here a socket with itself. What it writes it reads.
static void to_itself(struct conn *unused)
{
    char buf[5000] = "to myself", back[5000];
    struct sockaddr_in addr = dead_address();
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    REQUIRE_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    for (int i = 0; i < 200; i++) {
        buf[100] = (char)i;
        REQUIRE_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
        REQUIRE_EQ(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
        REQUIRE(memcmp(buf, back, sizeof(buf)) == 0);
    }
}

static void over_ipv6(struct conn *unused)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET6, SOCK_STREAM, 0), fd = socket(AF_INET6, SOCK_STREAM, 0);
    REQUIRE_EQ(inet_pton(AF_INET6, near_address("::1", "VM_PEER6"), &addr.sin6_addr), 1);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) < 0)
        sock_skip("no IPv6 loopback here");
    REQUIRE_EQ(listen(listener, 1), 0);
    REQUIRE_EQ(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, len), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
}

// An IPv4 client of an IPv6 listener: the two ends name the same addresses differently.
static void v4_client_of_v6_listener(struct conn *unused)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    addr.sin_addr.s_addr = inet_addr(near_address("127.0.0.1", "VM_PEER"));
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&any, len) < 0)
        sock_skip("no IPv6 here");
    REQUIRE_EQ(listen(listener, 1), 0);
    REQUIRE_EQ(getsockname(listener, (struct sockaddr *)&any, &len), 0);
    addr.sin_port = any.sin6_port;
    int fd = sock_connect(&addr);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static void mapped_client_of_v4_listener(struct conn *unused)
{
    struct sockaddr_in addr;
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    int listener = sock_listen_there(&addr), fd = socket(AF_INET6, SOCK_STREAM, 0);
    REQUIRE_EQ(inet_pton(AF_INET6, "::ffff:0.0.0.0", &mapped.sin6_addr), 1);
    memcpy(mapped.sin6_addr.s6_addr + 12, &addr.sin_addr, sizeof(addr.sin_addr));
    mapped.sin6_port = addr.sin_port;
    if (fd < 0)
        sock_skip("no IPv6 here");
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
}

static void from_another_address(struct conn *unused)
{
    struct sockaddr_in addr, from = {.sin_family = AF_INET};
    int listener = sock_listen(&addr), fd = socket(AF_INET, SOCK_STREAM, 0);
    from.sin_addr.s_addr = inet_addr(near_address("127.0.0.6", "VM_ADDR"));
    REQUIRE_EQ(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
}

// tcp(7), TCP fast open: data together with the connecting.
static void fast_open(struct conn *unused)
{
    char buf[5] = "hello", back[5];
    struct sockaddr_in addr;
    int listener = sock_listen(&addr), fd = socket(AF_INET, SOCK_STREAM, 0);
    ssize_t n = sendto(fd, buf, 5, MSG_FASTOPEN, (struct sockaddr *)&addr, sizeof(addr));
    if (n < 0 && errno == EOPNOTSUPP)
        sock_skip("TCP fast open is off here");
    REQUIRE_EQ(n, 5);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(recv(server, back, 5, MSG_WAITALL), 5);
    REQUIRE(memcmp(buf, back, 5) == 0);
    sock_warm(fd, server);
}

// With TCP_FASTOPEN_CONNECT, connect() does nothing and the first write does both.
static void fast_open_connect(struct conn *unused)
{
    char back[5];
    struct sockaddr_in addr;
    int on = 1, listener = sock_listen(&addr), fd = socket(AF_INET, SOCK_STREAM, 0);
    if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) < 0)
        sock_skip("no TCP_FASTOPEN_CONNECT here");
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    REQUIRE_EQ(write(fd, "hello", 5), 5);
    int server = accept(listener, NULL, NULL);
    REQUIRE_EQ(recv(server, back, 5, MSG_WAITALL), 5);
    sock_warm(fd, server);
}

static const struct sock_case cases[] = {
    CASE(nonblocking_connect, .flags = SOCK_BARE),
    CASE(refused, .flags = SOCK_BARE),
    CASE(refused_nonblocking, .flags = SOCK_BARE),
    CASE(refused_then_accepted, .flags = SOCK_BARE),
    CASE(connected_already, .flags = SOCK_BARE),
    CASE(io_before_connect, .flags = SOCK_BARE),
    CASE(unspec_disconnects, .flags = SOCK_BARE),
    CASE(set_keeps_what_connects_again, .flags = SOCK_BARE),
    CASE(set_keeps_what_was_refused, .flags = SOCK_BARE),
    CASE(names, .flags = SOCK_BARE),
    CASE(to_itself, .flags = SOCK_BARE),
    CASE(over_ipv6, .flags = SOCK_BARE),
    CASE(v4_client_of_v6_listener, .flags = SOCK_BARE),
    CASE(mapped_client_of_v4_listener, .flags = SOCK_BARE),
    CASE(from_another_address, .flags = SOCK_BARE),
    CASE(fast_open, .flags = SOCK_BARE),
    CASE(fast_open_connect, .flags = SOCK_BARE),
};
SOCK_TOPIC(connect);
