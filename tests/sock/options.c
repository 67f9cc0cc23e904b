// SPDX-License-Identifier: BSD-2-Clause
// Socket options and ioctls: what they tell must be true of the whole connection, whatever its
// lane.
#include "common/sock.h"

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>

static int get_int(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    REQUIRE_EQ(getsockopt(fd, level, name, &value, &len), 0);
    REQUIRE_EQ(len, sizeof(value));
    return value;
}

static void set_int(int fd, int level, int name, int value)
{
    REQUIRE_EQ(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

static void what_it_is(struct conn *c)
{
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_ERROR), 0);
}

static void values_are_kept(struct conn *c)
{
    static const struct {
        int level, name, value;
    } opts[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 33},
        {IPPROTO_TCP, TCP_KEEPINTVL, 11},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
        {SOL_SOCKET, SO_PRIORITY, 3},
        {SOL_SOCKET, SO_REUSEADDR, 1},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000000},
        {IPPROTO_IP, IP_TOS, 16},
    };
    for (size_t i = 0; i < ARRAY_LEN(opts); i++) {
        set_int(c->fd, opts[i].level, opts[i].name, opts[i].value);
        REQUIRE_EQ(get_int(c->fd, opts[i].level, opts[i].name), opts[i].value);
    }
    conn_warm(c);
}

// socket(7): the kernel doubles what it is told.
static void buffer_sizes_are_doubled(struct conn *c)
{
    set_int(c->fd, SOL_SOCKET, SO_RCVBUF, 50000);
    set_int(c->fd, SOL_SOCKET, SO_SNDBUF, 60000);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_RCVBUF), 100000);
    REQUIRE_EQ(get_int(c->fd, SOL_SOCKET, SO_SNDBUF), 120000);
    peer_start(c, op_write_echo, 1 * MIB);
    op_write_echo(c, 1 * MIB);
    peer_finish(c);
}

// What was written and not acknowledged is no more than the buffer. A ring that another program
// has, too, has its size once for all.
static void sndbuf_limits_what_is_under_way(struct conn *c)
{
    const int bytes = 20000;
    int queued = 0;
    if (sock_mode == SOCK_SHM || sock_mode == SOCK_RDMA)
        sock_skip("the ring is the buffer");
    set_int(c->fd, SOL_SOCKET, SO_SNDBUF, bytes);
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE_EQ(sock_poll(c->fd, POLLOUT, 0), 0);
    REQUIRE_EQ(ioctl(c->fd, SIOCOUTQ, &queued), 0);
    REQUIRE(queued > 0 && queued <= 2 * bytes);
    peer_start(c, op_read, filled + 200 * KIB);
    conn_write(c, 200 * KIB);
    REQUIRE_EQ(peer_finish(c), filled + 200 * KIB);
}

static void errors(struct conn *c)
{
    int value = 0;
    socklen_t len = sizeof(value);
    REQUIRE_ERRNO(getsockopt(c->fd, SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
    REQUIRE_ERRNO(setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &value, 1), EINVAL);
    REQUIRE_ERRNO(setsockopt(c->fd, IPPROTO_TCP, 9999, &value, sizeof(value)), ENOPROTOOPT);
    REQUIRE_ERRNO(getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ERROR, &value, &len), ENOTSOCK);
    REQUIRE_ERRNO(getsockopt(100000, SOL_SOCKET, SO_ERROR, &value, &len), EBADF);
}

static struct tcp_info tcp_info(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    REQUIRE_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    REQUIRE(len >= 104);
    return info;
}

static void tcp_info_state(struct conn *c)
{
    REQUIRE_EQ(tcp_info(c->fd).tcpi_state, TCP_ESTABLISHED);
    peer_do(c, op_shutdown, SHUT_WR);
    conn_read_eof(c);
    REQUIRE_EQ(tcp_info(c->fd).tcpi_state, TCP_CLOSE_WAIT);
}

// linux/tcp.h: tcpi_bytes_received and tcpi_bytes_acked count the bytes of the stream. glibc's
// struct tcp_info ends before them: they are at offsets 120 (acked) and 128 (received) of the
// kernel's.
static void tcp_info_counts_bytes(struct conn *c)
{
    struct {
        char start[120];
        uint64_t acked, received;
    } info = {0};
    socklen_t len = sizeof(info);
    peer_start(c, op_echo, 300 * KIB);
    op_write_echo(c, 300 * KIB);
    peer_finish(c);
    for (int i = 0; i < 100 && info.acked < c->tx; i++) {
        REQUIRE_EQ(getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
        sleep_ms(10);
    }
    REQUIRE_EQ(info.received, c->rx);
    // The SYN counts as one.
    REQUIRE(info.acked == c->tx || info.acked == c->tx + 1);
}

static void tcp_info_takes_any_length(struct conn *c)
{
    char buf[1000];
    socklen_t len = 1;
    REQUIRE_EQ(getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, buf, &len), 0);
    REQUIRE_EQ(len, 1);
    REQUIRE_EQ(buf[0], TCP_ESTABLISHED);
    len = sizeof(buf);
    REQUIRE_EQ(getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, buf, &len), 0);
    REQUIRE(len > 100 && len < sizeof(buf));
}

static void cork_and_uncork(struct conn *c)
{
    set_int(c->fd, IPPROTO_TCP, TCP_CORK, 1);
    conn_write(c, 100);
    conn_write(c, 200);
    set_int(c->fd, IPPROTO_TCP, TCP_CORK, 0);
    REQUIRE_EQ(peer_do(c, op_read, 300), 300);
}

static void fionread_is_exact(struct conn *c)
{
    int n = -1;
    REQUIRE_EQ(ioctl(c->fd, FIONREAD, &n), 0);
    REQUIRE_EQ(n, 0);
    peer_do(c, op_write, 1234);
    conn_await(c, 1234);
    REQUIRE_EQ(ioctl(c->fd, FIONREAD, &n), 0);
    REQUIRE_EQ(n, 1234);
    conn_read(c, 234);
    REQUIRE_EQ(ioctl(c->fd, SIOCINQ, &n), 0);
    REQUIRE_EQ(n, 1000);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE(sock_poll(c->fd, POLLRDHUP, 2000) == POLLRDHUP);
    REQUIRE_EQ(ioctl(c->fd, FIONREAD, &n), 0);
    REQUIRE_EQ(n, 1000);
}

// tcp(7): SIOCOUTQ is what the peer's host has not acknowledged: nothing, after a moment.
static void outq_empties(struct conn *c)
{
    int n = -1;
    conn_write(c, 5000);
    for (int i = 0; i < 200 && n != 0; i++) {
        REQUIRE_EQ(ioctl(c->fd, SIOCOUTQ, &n), 0);
        sleep_ms(10);
    }
    REQUIRE_EQ(n, 0);
    peer_do(c, op_read, 5000);
}

static void outq_when_full(struct conn *c)
{
    int n = 0, unsent = -1;
    int64_t filled = (int64_t)conn_fill_up(c);
    REQUIRE_EQ(ioctl(c->fd, SIOCOUTQ, &n), 0);
    REQUIRE_EQ(ioctl(c->fd, SIOCOUTQNSD, &unsent), 0);
    REQUIRE(n > 0 && n <= filled && unsent <= n);
    peer_do(c, op_read, filled);
}

static void cookie_is_stable(struct conn *c)
{
    uint64_t a = 0, b = 1;
    socklen_t len = sizeof(a);
    REQUIRE_EQ(getsockopt(c->fd, SOL_SOCKET, SO_COOKIE, &a, &len), 0);
    int copy = dup(c->fd);
    REQUIRE_EQ(getsockopt(copy, SOL_SOCKET, SO_COOKIE, &b, &len), 0);
    REQUIRE(a == b && a != 0);
    close(copy);
}

// What only the kernel can do, a connection on Shunt's own TCP says no to.
static bool refused(int fd, int name, const void *val, socklen_t len)
{
    if (sock_mode != SOCK_TCP) {
        REQUIRE_EQ(setsockopt(fd, SOL_SOCKET, name, val, len), 0);
        return false;
    }
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, name, val, len), EOPNOTSUPP);
    return true;
}

// A filter works on packets; here it lets all through. The connection must still work.
static void attached_filter(struct conn *c)
{
    struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    struct sock_fprog prog = {.len = 1, .filter = &pass};
    if (refused(c->fd, SO_ATTACH_FILTER, &prog, sizeof(prog)))
        return;
    peer_start(c, op_echo, 64 * 100);
    for (int i = 0; i < 100; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
}

static void completion(int fd)
{
    char control[200];
    struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};
    REQUIRE(sock_poll(fd, 0, 2000) & POLLERR);
    REQUIRE_EQ(recvmsg(fd, &msg, MSG_ERRQUEUE), 0);
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    REQUIRE(cmsg != NULL);
    struct sock_extended_err *err = (void *)CMSG_DATA(cmsg);
    REQUIRE_EQ(err->ee_origin, SO_EE_ORIGIN_ZEROCOPY);
}

// The kernel's msg_zerocopy page: the program may use its buffer again when it has been told.
static void zero_copy(struct conn *c)
{
    static char buf[128 * KIB];
    if (refused(c->fd, SO_ZEROCOPY, &(int){1}, sizeof(int)))
        return;
    conn_next(c, buf, sizeof(buf));
    peer_start(c, op_read, sizeof(buf));
    ssize_t n = send(c->fd, buf, sizeof(buf), MSG_ZEROCOPY);
    REQUIRE(n > 0);
    c->tx += (size_t)n;
    conn_write(c, sizeof(buf) - (size_t)n);
    peer_finish(c);
    completion(c->fd);
}

// Reads one byte: did the time at which it came, come with it?
static bool read_stamped(int fd)
{
    char byte, control[256];
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    REQUIRE_EQ(recvmsg(fd, &msg, 0), 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
    return h != NULL && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMP;
}

// What is accepted has the options of the listener, and has to do what they say.
static void options_of_the_listener(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    set_int(listener, SOL_SOCKET, SO_TIMESTAMP, 1);
    int client = sock_connect(&addr), server = accept(listener, NULL, NULL);
    REQUIRE(server >= 0);
    for (int i = 0; i < 200; i++) {
        char byte = 0;
        REQUIRE_EQ(write(client, "x", 1), 1);
        // the kernel begins to take the times some time after it was told to
        REQUIRE(read_stamped(server) || i < 100);
        REQUIRE_EQ(write(server, "y", 1), 1);
        REQUIRE_EQ(read(client, &byte, 1), 1);
        sleep_ms(i % 20 == 0 ? 10 : 0);
    }
}

// TCP_ULP "tls" is set up but has no keys: bytes still go through as they are.
static void tls_ulp(struct conn *c)
{
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_ULP, "tls", 4) < 0)
        sock_skip("the kernel has no tls module here");
    peer_start(c, op_echo, 640);
    for (int i = 0; i < 10; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
}

static void repair_mode(struct conn *c)
{
    int on = 1, off = TCP_REPAIR_OFF;
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
        sock_skip("TCP_REPAIR needs CAP_NET_ADMIN");
    REQUIRE_EQ(setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)), 0);
    peer_start(c, op_echo, 640);
    for (int i = 0; i < 10; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
}

// Options set before connecting, and on the listener, which accepted sockets inherit.
static void inherited_by_accept(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    set_int(listener, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
    sock_set_timeout(listener, SO_RCVTIMEO, 50);
    int client = sock_connect(&addr), server = accept(listener, NULL, NULL);
    REQUIRE_EQ(get_int(server, IPPROTO_TCP, TCP_NODELAY), 1);
    REQUIRE_EQ(get_int(server, SOL_SOCKET, SO_KEEPALIVE), 1);
    sock_warm(client, server);
    REQUIRE_ERRNO(read(server, &(char){0}, 1), EAGAIN);
}

static void bound_to_lo(struct conn *c)
{
    if (setsockopt(c->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
        sock_skip("SO_BINDTODEVICE is not allowed here");
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(what_it_is),
    CASE(values_are_kept),
    CASE(buffer_sizes_are_doubled),
    CASE(sndbuf_limits_what_is_under_way),
    CASE(errors),
    CASE(tcp_info_state),
    CASE(tcp_info_counts_bytes),
    CASE(tcp_info_takes_any_length),
    CASE(cork_and_uncork),
    CASE(fionread_is_exact),
    CASE(outq_empties),
    CASE(outq_when_full),
    CASE(cookie_is_stable),
    CASE(attached_filter),
    CASE(zero_copy),
    CASE(options_of_the_listener, .flags = SOCK_BARE),
    CASE(tls_ulp),
    CASE(repair_mode),
    CASE(inherited_by_accept, .flags = SOCK_BARE),
    CASE(bound_to_lo),
};
SOCK_TOPIC(options);
