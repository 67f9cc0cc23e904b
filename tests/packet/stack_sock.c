// SPDX-License-Identifier: BSD-2-Clause
// The socket calls.
#include "stack_in.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "tcp/fastopen.h"

struct sock *sock_new(struct stack *st, int domain)
{
    struct sock *s = st->socks;

    while (s < st->socks + STACK_SOCKS && s->used)
        s++;
    if (s == st->socks + STACK_SOCKS)
        return NULL;
    *s = (struct sock){.used = true, .domain = domain};
    for (int dir = 0; dir < 2; dir++)
        s->ring[dir].base = malloc(st->cfg.ring_bytes);
    if (s->ring[0].base && s->ring[1].base)
        return s;
    sock_free(s);
    return NULL;
}

void sock_free(struct sock *s)
{
    free(s->ring[0].base);
    free(s->ring[1].base);
    *s = (struct sock){0};
}

struct sock *sock_of(struct stack *st, int fd)
{
    for (struct sock *s = st->socks; s < st->socks + STACK_SOCKS; s++)
        if (s->open && s->fd == fd)
            return s;
    return NULL;
}

static int open_fd(struct stack *st, struct sock *s)
{
    int fd = STACK_FIRST_FD;

    while (sock_of(st, fd))
        fd++;
    s->open = true;
    s->fd = fd;
    return fd;
}

int stack_socket(struct stack *st, int domain, int type, int protocol)
{
    struct sock *s;

    if ((type & 0xf) != SOCK_STREAM || (protocol && protocol != IPPROTO_TCP))
        return -EPROTONOSUPPORT;
    s = sock_new(st, domain);
    if (!s)
        return -ENFILE;
    s->nonblock = type & SOCK_NONBLOCK;
    return open_fd(st, s);
}

static int addr_in(const struct sockaddr *addr, socklen_t len, struct ip_addr *ip, uint16_t *port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (addr->sa_family == AF_INET && len >= sizeof(v4)) {
        memcpy(&v4, addr, sizeof(v4));
        *ip = ip_addr_v4(v4.sin_addr.s_addr);
        *port = ntohs(v4.sin_port);
    } else if (addr->sa_family == AF_INET6 && len >= sizeof(v6)) {
        memcpy(&v6, addr, sizeof(v6));
        *ip = ip_addr_v6(&v6.sin6_addr);
        *port = ntohs(v6.sin6_port);
    } else {
        return -EINVAL;
    }
    return 0;
}

static void addr_out(const struct sock *s, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(s->tuple.remote_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->tuple.remote_port)};
    socklen_t want = s->domain == AF_INET ? sizeof(v4) : sizeof(v6);

    if (!addr || !len)
        return;
    v4.sin_addr.s_addr = s->tuple.remote.w[3];
    memcpy(&v6.sin6_addr, s->tuple.remote.b, 16);
    memcpy(addr, s->domain == AF_INET ? (void *)&v4 : (void *)&v6, MIN(*len, want));
    *len = want;
}

int stack_bind(struct stack *st, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = sock_of(st, fd);
    int err;

    if (!s)
        return -EBADF;
    if (s->conn || s->bound)
        return -EINVAL;
    err = addr_in(addr, len, &s->tuple.local, &s->tuple.local_port);
    s->bound = !err;
    return err;
}

int stack_listen(struct stack *st, int fd, int backlog)
{
    struct sock *s = sock_of(st, fd);
    int err;

    if (!s)
        return -EBADF;
    if (s->conn)
        return s->listening ? 0 : -EINVAL;
    err = tcp_listen(&st->ctx, st->now_ns, &s->tuple.local, s->tuple.local_port,
                     (uint32_t)MAX(backlog, 1), sock_user(st, s), &s->conn);
    if (err)
        return err;
    s->listening = true;
    sock_apply_opts(st, s);
    return 0;
}

int stack_accept(struct stack *st, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = sock_of(st, fd), *child;
    struct tcp_conn *c;

    if (!s)
        return -EBADF;
    if (!s->listening)
        return -EINVAL;
    c = tcp_accept(&st->ctx, s->conn);
    child = c ? sock_of_conn(st, c) : NULL;
    if (!child)
        return -EAGAIN;
    addr_out(child, addr, len);
    return open_fd(st, child);
}

// The local address that goes with that remote one, for a socket that was not bound to one.
static struct ip_addr local_for(const struct stack *st, const struct ip_addr *remote)
{
    return ip_addr_is_v4(remote) ? st->cfg.local4 : st->cfg.local6;
}

// Makes the connection of s to addr, and sends its SYN.
static int start(struct stack *st, struct sock *s, const struct sockaddr *addr, socklen_t len)
{
    int err = addr_in(addr, len, &s->tuple.remote, &s->tuple.remote_port);

    if (err)
        return err;
    if (!s->bound || ip_addr_is_any(&s->tuple.local))
        s->tuple.local = local_for(st, &s->tuple.remote);
    err = tcp_create(&st->ctx, st->now_ns, &s->tuple, &st->cfg.path, sock_user(st, s), &s->conn);
    if (err)
        return err;
    s->tuple = s->conn->tuple;
    sock_apply_opts(st, s);
    err = tcp_connect(&st->ctx, st->now_ns, s->conn);
    stack_pump(st);
    return err;
}

// The error of a socket is told once.
static int take_error(struct sock *s)
{
    int err = s->error;

    s->error = 0;
    return err;
}

static int connect_now(struct stack *st, struct sock *s, const struct sockaddr *addr, socklen_t len)
{
    int err = start(st, s, addr, len);

    return err ? err : -EINPROGRESS;
}

// TCP_FASTOPEN_CONNECT: remembers where to, and waits for the first write, where a cookie is known.
static int connect_lazily(struct stack *st, struct sock *s, const struct sockaddr *addr,
                          socklen_t len)
{
    int err = addr_in(addr, len, &s->tuple.remote, &s->tuple.remote_port);

    if (err)
        return err;
    s->opts[TCP_SET_FASTOPEN] = (struct sock_opt){true, 1};
    if (!fastopen_has_cookie(&st->ctx, st->now_ns, &s->tuple.remote))
        return connect_now(st, s, addr, len);
    s->tfo_pending = true;
    return 0;
}

int stack_connect(struct stack *st, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = sock_of(st, fd);

    if (!s)
        return -EBADF;
    if (s->tfo_pending)
        return -EALREADY;
    if (!s->conn)
        return s->tfo_connect ? connect_lazily(st, s, addr, len) : connect_now(st, s, addr, len);
    if (s->error)
        return take_error(s);
    if (s->conn->state == TCP_SYN_SENT || s->conn->state == TCP_SYN_RECEIVED)
        return -EALREADY;
    return s->connected ? -EISCONN : -ECONNABORTED;
}

static uint64_t rx_ready(const struct sock *s)
{
    return s->ring[TCP_RX].head - s->ring[TCP_RX].tail;
}

static uint64_t tx_space(const struct stack *st, const struct sock *s)
{
    uint64_t limit = s->tx_limit ? s->tx_limit : st->cfg.ring_bytes;
    uint64_t used = s->ring[TCP_TX].head - s->ring[TCP_TX].tail;

    return used < limit ? limit - used : 0;
}

static struct ring view_of(const struct stack *st, struct sock *s, enum tcp_dir dir)
{
    return (struct ring){s->ring[dir].base, st->cfg.ring_bytes - 1, &s->ring[dir].head,
                         &s->ring[dir].tail};
}

static ptrdiff_t recv_urgent(struct stack *st, struct sock *s, void *buf, size_t len)
{
    struct ring r = view_of(st, s, TCP_RX);
    uint64_t pos;

    if (tcp_urgent_pos(s->conn, &pos))
        return -EINVAL;
    if (!len || s->ring[TCP_RX].head < pos)
        return -EAGAIN;
    ring_read(&r, pos - 1, buf, 1);
    return 1;
}

// What recv() says where there are no bytes.
static ptrdiff_t no_bytes(struct sock *s)
{
    if (s->error)
        return take_error(s);
    if (s->fin || s->shut_rx || s->conn->state == TCP_CLOSED)
        return 0;
    return -EAGAIN;
}

ptrdiff_t stack_recv(struct stack *st, int fd, void *buf, size_t len, int flags)
{
    struct sock *s = sock_of(st, fd);
    struct ring r;
    uint32_t n;

    if (!s)
        return -EBADF;
    if (!s->conn || s->listening || (!s->connected && !s->error))
        return -ENOTCONN;
    if (flags & MSG_OOB)
        return recv_urgent(st, s, buf, len);
    n = (uint32_t)MIN((uint64_t)len, rx_ready(s));
    if (!n)
        return len ? no_bytes(s) : 0;
    r = view_of(st, s, TCP_RX);
    ring_read(&r, s->ring[TCP_RX].tail, buf, n);
    if (flags & MSG_PEEK)
        return n;
    ring_publish_tail(&r, s->ring[TCP_RX].tail + n);
    tcp_rx_notify(&st->ctx, st->now_ns, s->conn);
    stack_pump(st);
    return n;
}

static ptrdiff_t put_bytes(struct stack *st, struct sock *s, const void *buf, size_t len)
{
    struct ring r = view_of(st, s, TCP_TX);
    uint32_t n = (uint32_t)MIN((uint64_t)len, tx_space(st, s));

    if (!n)
        return len ? -EAGAIN : 0;
    ring_write(&r, s->ring[TCP_TX].head, buf, n);
    ring_publish_head(&r, s->ring[TCP_TX].head + n);
    return n;
}

// May s send now? 0 or why not.
static int may_send(struct sock *s)
{
    if (!s->conn || s->listening)
        return s->shut_tx ? -EPIPE : -ENOTCONN;
    if (s->error)
        return take_error(s);
    if (s->shut_tx || s->conn->state == TCP_CLOSED)
        return -EPIPE;
    return s->connected ? 0 : -EAGAIN;
}

// Opens with the first bytes already in the ring, so that they can go in the SYN. A non-blocking
// socket has written what went there, and a blocking one waits for the handshake.
static ptrdiff_t send_opening(struct stack *st, struct sock *s, const void *buf, size_t len,
                              const struct sockaddr *addr, socklen_t addr_len)
{
    uint32_t in_syn;
    ptrdiff_t n;
    int err = addr_in(addr, addr_len, &s->tuple.remote, &s->tuple.remote_port);

    if (err)
        return err;
    s->opts[TCP_SET_FASTOPEN] = (struct sock_opt){true, 1};
    if (!fastopen_has_cookie(&st->ctx, st->now_ns, &s->tuple.remote)) {
        err = start(st, s, addr, addr_len);
        return err ? err : s->nonblock ? -EINPROGRESS : -EAGAIN;
    }
    n = put_bytes(st, s, buf, len);
    if (n < 0)
        return n;
    err = start(st, s, addr, addr_len);
    if (err)
        return err;
    in_syn = s->conn->snd_nxt - s->conn->snd_una - 1;
    if (s->nonblock) {
        s->ring[TCP_TX].head = s->ring[TCP_TX].tail + in_syn;
        return in_syn;
    }
    s->tfo_bytes = (size_t)n;
    return -EAGAIN;
}

// The write that send_opening() began waits for its handshake, or for the peer's refusal.
static ptrdiff_t finish_opening(struct sock *s)
{
    size_t n = s->tfo_bytes;

    if (s->error)
        return take_error(s);
    if (!s->connected)
        return -EAGAIN;
    s->tfo_bytes = 0;
    return (ptrdiff_t)n;
}

ptrdiff_t stack_sendto(struct stack *st, int fd, const void *buf, size_t len, int flags,
                       const struct sockaddr *addr, socklen_t addr_len)
{
    struct sock *s = sock_of(st, fd);

    if (!s)
        return -EBADF;
    if (flags & MSG_FASTOPEN && !s->conn)
        return send_opening(st, s, buf, len, addr, addr_len);
    return stack_send(st, fd, buf, len, flags);
}

// The first write after a connect() that waited for it.
static ptrdiff_t send_pending(struct stack *st, struct sock *s, const void *buf, size_t len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(s->tuple.remote_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->tuple.remote_port)};

    s->tfo_pending = false;
    v4.sin_addr.s_addr = s->tuple.remote.w[3];
    memcpy(&v6.sin6_addr, s->tuple.remote.b, 16);
    if (ip_addr_is_v4(&s->tuple.remote))
        return send_opening(st, s, buf, len, (struct sockaddr *)&v4, sizeof(v4));
    return send_opening(st, s, buf, len, (struct sockaddr *)&v6, sizeof(v6));
}

ptrdiff_t stack_send(struct stack *st, int fd, const void *buf, size_t len, int flags)
{
    struct sock *s = sock_of(st, fd);
    ptrdiff_t n;
    int err;

    if (!s)
        return -EBADF;
    if (s->tfo_pending)
        return send_pending(st, s, buf, len);
    if (s->tfo_bytes)
        return finish_opening(s);
    err = may_send(s);
    if (err)
        return err;
    n = put_bytes(st, s, buf, len);
    if (n < 0)
        return n;
    if (flags & MSG_OOB)
        tcp_send_urgent(&st->ctx, st->now_ns, s->conn, 0);
    if (flags & MSG_MORE)
        tcp_tx_more(&st->ctx, st->now_ns, s->conn);
    else
        tcp_tx_notify(&st->ctx, st->now_ns, s->conn);
    stack_pump(st);
    return n;
}

int stack_shutdown(struct stack *st, int fd, int how)
{
    struct sock *s = sock_of(st, fd);
    int err = 0;

    if (!s)
        return -EBADF;
    if (!s->conn || s->conn->state == TCP_CLOSED)
        return -ENOTCONN;
    if (how != SHUT_RD && !s->shut_tx) {
        err = tcp_shutdown_tx(&st->ctx, st->now_ns, s->conn);
        s->shut_tx = !err;
    }
    if (how != SHUT_WR) {
        s->shut_rx = true;
        tcp_shutdown_rx(&st->ctx, st->now_ns, s->conn);
    }
    stack_pump(st);
    return err;
}

int stack_close(struct stack *st, int fd)
{
    struct sock *s = sock_of(st, fd);
    struct tcp_conn *c;

    if (!s)
        return -EBADF;
    c = s->conn;
    s->open = false;
    s->conn = NULL;
    if (!c) {
        sock_free(s);
        return 0;
    }
    if (s->linger_on && !s->linger_s)
        tcp_abort(&st->ctx, st->now_ns, c);
    else
        tcp_close(&st->ctx, st->now_ns, c);
    stack_pump(st);
    return 0;
}

int stack_fcntl(struct stack *st, int fd, int cmd, long arg)
{
    struct sock *s = sock_of(st, fd);

    if (!s)
        return -EBADF;
    if (cmd == F_GETFL)
        return O_RDWR | (s->nonblock ? O_NONBLOCK : 0);
    if (cmd == F_SETFL)
        s->nonblock = arg & O_NONBLOCK;
    return cmd == F_SETFL ? 0 : -EINVAL;
}

bool stack_nonblocking(struct stack *st, int fd)
{
    struct sock *s = sock_of(st, fd);

    return s && s->nonblock;
}

static int at_mark(const struct sock *s)
{
    uint64_t pos;

    return s->conn && !tcp_urgent_pos(s->conn, &pos) && s->ring[TCP_RX].tail == pos - 1;
}

int stack_ioctl(struct stack *st, int fd, unsigned long request, int *value)
{
    struct sock *s = sock_of(st, fd);

    if (!s)
        return -EBADF;
    switch (request) {
    case SIOCINQ: // FIONREAD
        *value = (int)rx_ready(s);
        return 0;
    case SIOCOUTQ: // TIOCOUTQ
        *value = (int)(s->ring[TCP_TX].head - s->ring[TCP_TX].tail);
        return 0;
    case SIOCATMARK:
        *value = at_mark(s);
        return 0;
    case FIONBIO:
        s->nonblock = *value;
        return 0;
    default:
        return -ENOTTY;
    }
}

static short ready_events(struct stack *st, struct sock *s)
{
    struct tcp_conn *c = s->conn;
    short ev = 0;
    uint64_t pos;

    if (s->listening)
        return c->listen.waiting ? POLLIN | POLLRDNORM : 0;
    if (!c)
        return POLLOUT | POLLHUP;
    if (rx_ready(s) || s->fin || s->shut_rx || s->error || c->state == TCP_CLOSED)
        ev |= POLLIN | POLLRDNORM;
    if ((s->connected && tx_space(st, s)) || s->error || c->state == TCP_CLOSED)
        ev |= POLLOUT | POLLWRNORM;
    if (s->fin || s->shut_rx || c->state == TCP_CLOSED)
        ev |= POLLRDHUP;
    if (c->state == TCP_CLOSED || (s->fin && s->shut_tx))
        ev |= POLLHUP;
    if (s->error)
        ev |= POLLERR;
    if (!tcp_urgent_pos(c, &pos) && s->ring[TCP_RX].tail < pos)
        ev |= POLLPRI;
    return ev;
}

int stack_poll(struct stack *st, struct pollfd *fds, nfds_t count)
{
    int ready = 0;

    for (nfds_t i = 0; i < count; i++) {
        struct sock *s = sock_of(st, fds[i].fd);
        short wanted = (short)(fds[i].events | POLLERR | POLLHUP);

        fds[i].revents = s ? (short)(ready_events(st, s) & wanted) : POLLNVAL;
        ready += fds[i].revents != 0;
    }
    return ready;
}
