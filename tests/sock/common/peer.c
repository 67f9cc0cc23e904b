// SPDX-License-Identifier: BSD-2-Clause
// The peer: a process or thread that holds the other end and does what it is told over a socket
// pair.
#include "sock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

// The peer was forked from us or is us, so a function's address means the same on both sides.
struct command {
    peer_fn fn;
    int64_t arg;
    unsigned delay_ms;
};

struct start {
    struct conn self;
    int listener; // accept from here ...
    struct sockaddr_in addr;
    bool connects; // ... or connect to there
};

static void serve(struct conn *self)
{
    struct command cmd;
    while (recv(self->ctl, &cmd, sizeof(cmd), 0) == sizeof(cmd) && cmd.fn != NULL) {
        if (cmd.delay_ms > 0)
            sleep_ms(cmd.delay_ms);
        int64_t ret = cmd.fn(self, cmd.arg);
        if (send(self->ctl, &ret, sizeof(ret), MSG_NOSIGNAL) != sizeof(ret))
            break;
    }
    if (self->fd >= 0)
        close(self->fd);
    close(self->ctl);
}

// A listener of Shunt's is made where it listens.
static int accept_there(struct conn *self)
{
    struct sockaddr_in addr;
    int listener = sock_listen_there(&addr);
    REQUIRE_EQ(send(self->ctl, &addr, sizeof(addr), MSG_NOSIGNAL), sizeof(addr));
    int fd = accept(listener, NULL, NULL);
    close(listener);
    return fd;
}

static void *peer_main(void *arg)
{
    struct start *start = arg;
    struct conn self = start->self;
    if (sock_both())
        sock_move_there();
    if (start->connects)
        self.fd = sock_connect(&start->addr);
    else if (sock_both())
        self.fd = accept_there(&self);
    else
        self.fd = accept(start->listener, NULL, NULL);
    REQUIRE(self.fd >= 0);
    free(start);
    serve(&self);
    return NULL;
}

static void open_process(struct conn *c, struct start *start, int ctl[2])
{
    fflush(NULL);
    c->peer_pid = fork();
    REQUIRE(c->peer_pid >= 0);
    if (c->peer_pid == 0) {
        close(ctl[0]);
        peer_main(start);
        _exit(0);
    }
    close(ctl[1]);
    free(start);
}

void conn_open(struct conn *c, enum sock_variant variant)
{
    int ctl[2];
    struct start *start = calloc(1, sizeof(*start));
    REQUIRE(start != NULL);
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl), 0);
    start->connects = variant == SOCK_THREAD;
    start->listener = start->connects ? sock_listen(&start->addr) : sock_listen_there(&start->addr);
    start->self = (struct conn){.fd = -1, .ctl = ctl[1], .salt = !start->connects};
    *c = (struct conn){.fd = -1, .ctl = ctl[0], .salt = start->connects};
    int listener = start->listener;
    struct sockaddr_in addr = start->addr;
    if (variant == SOCK_PROC) {
        open_process(c, start, ctl);
        if (sock_both())
            REQUIRE_EQ(recv(c->ctl, &addr, sizeof(addr), 0), sizeof(addr));
        c->fd = sock_connect(&addr);
    } else if (sock_both()) {
        open_process(c, start, ctl);
        c->fd = accept(listener, NULL, NULL);
        REQUIRE(c->fd >= 0);
    } else {
        REQUIRE_EQ(pthread_create(&c->peer_thread, NULL, peer_main, start), 0);
        c->fd = accept(listener, NULL, NULL);
        REQUIRE(c->fd >= 0);
    }
    // The first command's answer says that the peer has its end, so the listener can go.
    peer_do(c, op_nothing, 0);
    close(listener);
}

void conn_end(struct conn *c)
{
    int status = 0;
    struct command dismiss = {0};
    if (c->fd >= 0)
        conn_close(c);
    // Told, since a peer that was forked later may hold a copy of our end and keep it from closing.
    send(c->ctl, &dismiss, sizeof(dismiss), MSG_NOSIGNAL);
    close(c->ctl);
    if (c->peer_pid > 0) {
        REQUIRE_EQ(waitpid(c->peer_pid, &status, 0), c->peer_pid);
        REQUIRE_EQ(status, 0);
    } else if (c->peer_pid == 0) {
        REQUIRE_EQ(pthread_join(c->peer_thread, NULL), 0);
    }
}

void peer_start_later(struct conn *c, unsigned delay_ms, peer_fn fn, int64_t arg)
{
    struct command cmd = {.fn = fn, .arg = arg, .delay_ms = delay_ms};
    REQUIRE_EQ(send(c->ctl, &cmd, sizeof(cmd), MSG_NOSIGNAL), sizeof(cmd));
}

void peer_start(struct conn *c, peer_fn fn, int64_t arg)
{
    peer_start_later(c, 0, fn, arg);
}

int64_t peer_finish(struct conn *c)
{
    int64_t ret;
    ssize_t n;
    do
        n = recv(c->ctl, &ret, sizeof(ret), 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof(ret))
        sock_fail(__FILE__, __LINE__, "the peer has gone");
    return ret;
}

int64_t peer_do(struct conn *c, peer_fn fn, int64_t arg)
{
    peer_start(c, fn, arg);
    return peer_finish(c);
}

void peer_kill(struct conn *c, int sig)
{
    REQUIRE(c->peer_pid > 0);
    REQUIRE_EQ(kill(c->peer_pid, sig), 0);
    if (sig != SIGKILL)
        return;
    REQUIRE_EQ(waitpid(c->peer_pid, NULL, 0), c->peer_pid);
    c->peer_pid = -1;
}

int64_t op_write(struct conn *self, int64_t n)
{
    conn_write(self, (size_t)n);
    return n;
}

int64_t op_read(struct conn *self, int64_t n)
{
    conn_read(self, (size_t)n);
    return n;
}

int64_t op_drain(struct conn *self, int64_t unused)
{
    uint8_t buf[16 * KIB];
    int64_t total = 0;
    ssize_t n;
    while ((n = read(self->fd, buf, sizeof(buf))) > 0) {
        conn_check(self, buf, (size_t)n);
        total += n;
    }
    return n < 0 ? -errno : total;
}

int64_t op_echo(struct conn *self, int64_t n)
{
    uint8_t buf[16 * KIB];
    for (int64_t left = n; left > 0;) {
        ssize_t got = read(self->fd, buf, left < (int64_t)sizeof(buf) ? (size_t)left : sizeof(buf));
        if (got <= 0)
            sock_fail(__FILE__, __LINE__, "echo: read returned %zd with %lld bytes to come", got,
                      (long long)left);
        conn_check(self, buf, (size_t)got);
        conn_write(self, (size_t)got);
        left -= got;
    }
    return n;
}

// Moves what the socket can take now; out and in are the bytes still to go.
static void move_both_ways(struct conn *self, int64_t *out, int64_t *in)
{
    uint8_t buf[16 * KIB];
    short events = (short)((*out > 0 ? POLLOUT : 0) | (*in > 0 ? POLLIN : 0));
    int ready = sock_poll(self->fd, events, -1);
    if (*out > 0 && ready & POLLOUT) {
        size_t len = *out < (int64_t)sizeof(buf) ? (size_t)*out : sizeof(buf);
        conn_next(self, buf, len);
        ssize_t n = send(self->fd, buf, len, MSG_DONTWAIT);
        REQUIRE(n > 0 || errno == EAGAIN);
        self->tx += n > 0 ? (size_t)n : 0;
        *out -= n > 0 ? n : 0;
    }
    if (*in > 0 && ready & POLLIN) {
        ssize_t n = recv(self->fd, buf, sizeof(buf) < (size_t)*in ? sizeof(buf) : (size_t)*in, 0);
        REQUIRE(n > 0);
        conn_check(self, buf, (size_t)n);
        *in -= n;
    }
}

int64_t op_write_echo(struct conn *self, int64_t n)
{
    int64_t out = n, in = n;
    while (out > 0 || in > 0)
        move_both_ways(self, &out, &in);
    return n;
}

int64_t op_shutdown(struct conn *self, int64_t how)
{
    return shutdown(self->fd, (int)how) == 0 ? 0 : -errno;
}

int64_t op_close(struct conn *self, int64_t unused)
{
    conn_close(self);
    return 0;
}

int64_t op_reset(struct conn *self, int64_t unused)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    REQUIRE_EQ(setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    conn_close(self);
    return 0;
}

int64_t op_exit(struct conn *self, int64_t status)
{
    _exit((int)status);
}

int64_t op_nothing(struct conn *self, int64_t unused)
{
    return 0;
}
