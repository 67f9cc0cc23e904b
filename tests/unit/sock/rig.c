// SPDX-License-Identifier: BSD-2-Clause
#include "rig.h"

#include "sock/real.h"
#include "sock/self.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void rig_init(void)
{
    setenv("SHUNT_SOCKET", "/nonexistent/shunt", 1);
    sock_real_init();
    self_start(policy_default());
}

static void connect_pair(struct rig_pair *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(l, (void *)&at, len) | listen(l, 1), 0);
    assert_int_equal(getsockname(l, (void *)&at, &len), 0);
    p->a.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(p->a.fd, (void *)&at, len), 0);
    p->b.fd = accept(l, NULL, NULL);
    assert_true(p->b.fd >= 0);
    close(l);
    conn_made(p->a.fd, 0);
    p->a.c = conn_get(p->a.fd);
    conn_connected(p->a.c, p->a.fd);
    conn_accepted(p->b.fd, 0, NULL);
    p->b.c = conn_get(p->b.fd);
}

static void map(struct rig_end *e, int memfd, int side, const int bells[2], uint32_t spin_us)
{
    conn_decide(e->c, e->fd);
    assert_non_null(e->c->end);
    assert_int_equal(chan_map(&e->c->chan, memfd, side, dup(bells[side]), dup(bells[!side])), 0);
    e->c->rule.spin_us = spin_us;
    e->c->stage = CONN_MAPPED;
    end_set(e->c->end, END_ATTACHED);
}

void rig_open(struct rig_pair *p, uint32_t spin_us)
{
    int memfd = chan_create(RIG_RING_BYTES);
    int bells[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};

    connect_pair(p);
    map(&p->a, memfd, 0, bells, spin_us);
    map(&p->b, memfd, 1, bells, spin_us);
    close(bells[0]);
    close(bells[1]);
    close(memfd);
}

static void advance(struct rig_end *e)
{
    sock_enter();
    conn_advance(e->c, e->fd);
    sock_leave();
}

void rig_switch(struct rig_pair *p)
{
    rig_write(&p->a, 1); // something by the carrier before
    rig_read(&p->b, 1);
    for (int i = 0; i < 3; i++) {
        advance(&p->a);
        advance(&p->b);
    }
    assert_true(conn_ready(p->a.c) && conn_ready(p->b.c));
    rig_write(&p->a, 1);
    rig_read(&p->b, 1);
    rig_write(&p->b, 1);
    rig_read(&p->a, 1);
    assert_true(conn_tx_ring(p->a.c) && conn_rx_ring(p->a.c));
    assert_true(conn_tx_ring(p->b.c) && conn_rx_ring(p->b.c));
}

void rig_close_end(struct rig_end *e)
{
    if (e->fd < 0)
        return;
    conn_put(e->c);
    conn_close(e->fd);
    e->fd = -1;
}

void rig_close(struct rig_pair *p)
{
    rig_close_end(&p->a);
    rig_close_end(&p->b);
}

void rig_write(struct rig_end *e, size_t n)
{
    static char zeros[RIG_RING_BYTES];

    while (n > 0) {
        struct iovec v = {zeros, MIN(n, sizeof zeros)};
        ssize_t done = conn_send(e->c, e->fd, &v, 1, MSG_NOSIGNAL);

        assert_true(done > 0);
        n -= (size_t)done;
    }
}

void rig_read(struct rig_end *e, size_t n)
{
    char buf[4096];

    while (n > 0) {
        struct iovec v = {buf, MIN(n, sizeof buf)};
        ssize_t done = conn_recv(e->c, e->fd, &v, 1, 0);

        assert_true(done > 0);
        n -= (size_t)done;
    }
}

size_t rig_fill(struct rig_end *e)
{
    char some[1000] = {0};
    struct iovec v = {some, sizeof some};
    size_t all = 0;
    ssize_t n;

    while ((n = conn_send(e->c, e->fd, &v, 1, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        all += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    return all;
}
