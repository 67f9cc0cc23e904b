// SPDX-License-Identifier: BSD-2-Clause
// Connections on Shunt's own TCP for those who know nothing of rings: stdio, programs that are not
// under Shunt, several processes at one epoll set, signals, the urgent byte. As a connection of the
// kernel's would go back to its twin, such a one goes over to its lifeline: shuntd, which holds the
// other end, carries the bytes from then on (daemon/relay.h).
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "sock/carrier.h"
#include "sock/epoll.h"
#include "sock/move.h"
#include "sock/self.h"
#include "sock/wire.h"

#include <sys/time.h>

#define RELAY_NS (1 * NS_PER_S)

// What the kernel is to do for the lifeline as it would for a TCP socket.
static void dress(const struct conn *c, int fd)
{
    const struct sock_end *e = c->end;
    const int64_t ns[] = {e->rcvtimeo_ns, e->sndtimeo_ns};
    int low = (int)e->rcvlowat, in_line = 0;
    socklen_t n = sizeof in_line;

    for (int i = 0; i < 2; i++) {
        struct timeval tv = {ns[i] / (int64_t)NS_PER_S,
                             ns[i] % (int64_t)NS_PER_S / (int64_t)NS_PER_US};

        sys_setsockopt(fd, SOL_SOCKET, i ? SO_SNDTIMEO : SO_RCVTIMEO, &tv, sizeof tv);
    }
    sys_setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
    if (c->shadow >= 0 && !sys_getsockopt(c->shadow, SOL_SOCKET, SO_OOBINLINE, &in_line, &n))
        sys_setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof in_line);
    if (end_has(e, END_TX_SHUT))
        sys_call(SYS_shutdown, fd, SHUT_WR);
    if (end_has(e, END_RX_SHUT))
        sys_call(SYS_shutdown, fd, SHUT_RD);
}

// Nobody of the family touches the rings any more. False: so it was.
static bool let_go(struct conn *c)
{
    struct sock_end *e = c->end;
    bool alone = end_alone(e), first;

    sock_lock(&e->rx_lock, alone);
    sock_lock(&e->tx_lock, alone);
    first = !end_has(e, END_RELAYED);
    if (first) {
        end_set(e, END_RELAYED | END_FROZEN);
        end_clear(e, END_READY);
        atomic_store(&e->tx.epoch, 2);
        atomic_store(&e->rx.epoch, 2);
    }
    sock_unlock(&e->tx_lock, alone);
    sock_unlock(&e->rx_lock, alone);
    return first;
}

int wire_relay_ask(const struct conn *c, int fd)
{
    int err;

    sock_lock(&self.lock, false);
    err = cm_wire_relay(fd, end_has(c->end, END_HARD), clock_now_ns() + RELAY_NS);
    sock_unlock(&self.lock, false);
    return err;
}

int wire_relay(struct conn *c, int fd, const char *reason)
{
    int err = 0;

    sock_enter();
    if (let_go(c)) {
        conn_reason(c, reason);
        dress(c, fd);
        err = wire_relay_ask(c, fd);
        if (err)
            log_warn("fd %d cannot be relayed: %s", fd, err_text(err));
        conn_counted(c);
    }
    epoll_conn_down(c);
    sock_leave();
    return err;
}

bool wire_is_urgent(const struct conn *c)
{
    return unlikely(cm_wire_status(&c->chan) & CM_WIRE_URGENT) && !end_has(c->end, END_RELAYED);
}

void wire_mind_urgent(struct conn *c, int fd)
{
    if (unlikely(wire_is_urgent(c)))
        wire_relay(c, fd, "the peer sent urgent data");
}
