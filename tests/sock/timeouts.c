// SPDX-License-Identifier: BSD-2-Clause
// SO_RCVTIMEO and SO_SNDTIMEO, and what is left of the stream after they ran out.
#include "common/sock.h"

#include <sys/time.h>

static void rcvtimeo_runs_out(struct conn *c)
{
    char byte;
    uint64_t before = now_ms();
    sock_set_timeout(c->fd, SO_RCVTIMEO, 120);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
    REQUIRE(now_ms() - before >= 115);
    REQUIRE(now_ms() - before < 2000);
}

static void rcvtimeo_runs_out_again_and_again(struct conn *c)
{
    char byte;
    sock_set_timeout(c->fd, SO_RCVTIMEO, 10);
    for (int i = 0; i < 10; i++)
        REQUIRE_ERRNO(recv(c->fd, &byte, 1, 0), EAGAIN);
    peer_do(c, op_write, 100);
    conn_read(c, 100);
}

static void data_beats_rcvtimeo(struct conn *c)
{
    sock_set_timeout(c->fd, SO_RCVTIMEO, 3000);
    peer_start_later(c, 50, op_write, 10);
    conn_read(c, 10);
    peer_finish(c);
}

static void rcvtimeo_zero_is_forever(struct conn *c)
{
    sock_set_timeout(c->fd, SO_RCVTIMEO, 20);
    sock_set_timeout(c->fd, SO_RCVTIMEO, 0);
    peer_start_later(c, 120, op_write, 10);
    conn_read(c, 10);
    peer_finish(c);
}

static void sndtimeo_runs_out(struct conn *c)
{
    char buf[1000] = {0};
    int64_t filled = (int64_t)conn_fill_up(c);
    sock_set_timeout(c->fd, SO_SNDTIMEO, 120);
    uint64_t before = now_ms();
    REQUIRE_ERRNO(write(c->fd, buf, sizeof(buf)), EAGAIN);
    REQUIRE(now_ms() - before >= 115);
    REQUIRE_EQ(peer_do(c, op_read, filled), filled);
}

// What was taken before the timeout is reported, as with any partial write.
static void sndtimeo_returns_the_part(struct conn *c)
{
    static char buf[32 * MIB];
    sock_set_timeout(c->fd, SO_SNDTIMEO, 100);
    conn_next(c, buf, sizeof(buf));
    ssize_t n = write(c->fd, buf, sizeof(buf));
    REQUIRE(n > 0 && n < (ssize_t)sizeof(buf));
    c->tx += (size_t)n;
    REQUIRE_EQ(peer_do(c, op_read, n), n);
    conn_write(c, 100);
    REQUIRE_EQ(peer_do(c, op_read, 100), 100);
}

static void room_beats_sndtimeo(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    sock_set_timeout(c->fd, SO_SNDTIMEO, 5000);
    peer_start_later(c, 50, op_read, filled + 1000);
    conn_write(c, 1000);
    peer_finish(c);
}

static void timeouts_read_back(struct conn *c)
{
    struct timeval tv = {0};
    socklen_t len = sizeof(tv);
    sock_set_timeout(c->fd, SO_RCVTIMEO, 2500);
    REQUIRE_EQ(getsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len), 0);
    REQUIRE_EQ(tv.tv_sec, 2);
    REQUIRE_EQ(tv.tv_usec, 500000);
    tv.tv_usec = 2000000;
    REQUIRE_ERRNO(setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), EDOM);
}

static void timeout_is_the_sockets(struct conn *c)
{
    char byte;
    int copy = dup(c->fd);
    sock_set_timeout(copy, SO_RCVTIMEO, 30);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
    close(copy);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EAGAIN);
}

static const struct sock_case cases[] = {
    CASE(rcvtimeo_runs_out),      CASE(rcvtimeo_runs_out_again_and_again),
    CASE(data_beats_rcvtimeo),    CASE(rcvtimeo_zero_is_forever),
    CASE(sndtimeo_runs_out),      CASE(sndtimeo_returns_the_part),
    CASE(room_beats_sndtimeo),    CASE(timeouts_read_back),
    CASE(timeout_is_the_sockets),
};
SOCK_TOPIC(timeouts);
