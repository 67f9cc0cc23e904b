// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/relay.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TURN_BYTES (512 << 10)       // a direction; others want to be served as well
#define URGENT_NS  (100 * NS_PER_MS) // whoever drives has let go of the stack by then

// One ring, as side 0 of the channel has it.
struct side {
    struct chan_dir *dir;
    uint8_t *base;
    uint64_t head, tail;
    uint32_t bytes;
};

// -EPROTO: the program has left nonsense there.
static int look(const struct relay *r, bool tx, struct side *s)
{
    struct chan_shared *ch = net_channel_at(r->net, r->sock);
    uint64_t offset;

    if (!ch || net_channel(r->net, r->sock, &offset, &s->bytes))
        return -EPROTO;
    s->dir = &ch->dir[!tx];
    s->base = (uint8_t *)ch + CHAN_HDR_BYTES + (tx ? 0 : s->bytes);
    s->head = atomic_load_explicit(&s->dir->head, memory_order_acquire);
    s->tail = atomic_load_explicit(&s->dir->tail, memory_order_acquire);
    return s->tail - s->head > s->bytes ? -EPROTO : 0;
}

// Contiguous bytes at position at of a ring.
static size_t run(const struct side *s, uint64_t at, uint64_t n)
{
    return MIN((size_t)n, s->bytes - (at & (s->bytes - 1)));
}

// ---- from the program ----

static bool at_mark(int fd)
{
    int yes = 0;

    return !ioctl(fd, SIOCATMARK, &yes) && yes;
}

// The program's direction is over: by shutdown() or its last close(). One that has not read all
// makes it a reset, as TCP does.
static void end_tx(struct relay *r, ssize_t got)
{
    if (got < 0)
        r->reset = true;
    r->tx_ended = true;
    net_request(r->net, clock_now_ns(), r->sock, NET_SHUT_TX);
}

// One piece. Bytes; 0: no more for now; -EPROTO.
static ssize_t take_in(struct relay *r)
{
    struct side s;
    bool urgent;
    ssize_t n;

    if (look(r, true, &s))
        return -EPROTO;
    if (s.tail - s.head == s.bytes)
        return 0;
    urgent = at_mark(r->fd);
    n = recv(r->fd, s.base + (s.tail & (s.bytes - 1)),
             run(&s, s.tail, urgent ? 1 : s.bytes - (s.tail - s.head)), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        end_tx(r, n);
        return 0;
    }
    if (urgent)
        net_urgent(r->net, clock_now_ns() + URGENT_NS, r->sock, 1);
    atomic_exchange(&s.dir->tail, s.tail + (uint64_t)n);
    return n;
}

// ---- to the program ----

// How much of n bytes from head on goes before the urgent byte; 0: the urgent byte is next.
static uint64_t before_urgent(const struct relay *r, uint64_t head, uint64_t n)
{
    struct net_info info;
    uint64_t ahead;

    if (!(net_status(r->net, r->sock) & NET_URGENT) || net_info(r->net, r->sock, &info) ||
        !info.urgent_pos)
        return n;
    ahead = info.urgent_pos - 1 - head;
    return ahead < n ? ahead : n;
}

static ssize_t send_urgent(int fd, const void *byte)
{
    ssize_t n = send(fd, byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB);

    return n < 0 && errno == EOPNOTSUPP ? send(fd, byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) : n;
}

// What nobody will read any more is taken from the peer all the same (shutdown(SHUT_RD) on Linux).
static ssize_t put_out(struct relay *r, const struct side *s)
{
    const uint8_t *at = s->base + (s->head & (s->bytes - 1));
    uint64_t stored = s->tail - s->head, n = before_urgent(r, s->head, stored);
    ssize_t put = n ? send(r->fd, at, run(s, s->head, n), MSG_DONTWAIT | MSG_NOSIGNAL)
                    : send_urgent(r->fd, at);

    return put < 0 && errno == EPIPE ? (ssize_t)stored : put;
}

static bool is_over(const struct relay *r)
{
    return net_status(r->net, r->sock) & (NET_FIN | NET_CLOSED);
}

// One piece. Bytes; 0: no more for now; -EAGAIN: the lifeline is full; -EPROTO.
static ssize_t give_out(struct relay *r)
{
    bool over = is_over(r); // before the look: what came until then is seen
    struct side s;
    ssize_t n;

    if (look(r, false, &s))
        return -EPROTO;
    if (s.head == s.tail) {
        if (over && !r->rx_ended)
            shutdown(r->fd, SHUT_WR);
        r->rx_ended |= over;
        return 0;
    }
    n = put_out(r, &s);
    if (n < 0)
        return -EAGAIN;
    atomic_store_explicit(&s.dir->head, s.head + (uint64_t)n, memory_order_release);
    return n;
}

// ---- both ----

static ssize_t carry(struct relay *r, ssize_t (*piece)(struct relay *r))
{
    ssize_t n = 0, sum = 0;

    while (sum < TURN_BYTES && (n = piece(r)) > 0)
        sum += n;
    if (sum)
        net_poke(r->net, clock_now_ns(), r->sock);
    return n;
}

// The bell rings from now on when something changes (chan.h, "Sleep"). True: something has, look
// again.
static bool arm(const struct relay *r)
{
    struct chan_shared *ch = net_channel_at(r->net, r->sock);
    struct side tx, rx;

    if (!ch)
        return false;
    atomic_store(&ch->dir[1].rx_wait, 1);
    atomic_store(&ch->dir[0].tx_wait, 1);
    net_arm(r->net, r->sock);
    atomic_thread_fence(memory_order_seq_cst);
    if (look(r, true, &tx) || look(r, false, &rx))
        return true;
    return (is_over(r) && !r->rx_ended) || rx.head != rx.tail;
}

static bool has_room(const struct relay *r)
{
    struct side s;

    return !look(r, true, &s) && s.tail - s.head < s.bytes;
}

static bool is_broken(const struct relay *r)
{
    return net_status(r->net, r->sock) & NET_CLOSED && net_error(r->net, r->sock);
}

void relay_begin(struct relay *r, struct net *net, uint32_t sock, int fd)
{
    const int on = 1;

    *r = (struct relay){.net = net, .sock = sock, .fd = fd};
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

unsigned relay_turn(struct relay *r, bool gone)
{
    ssize_t in = 0, out = 0;
    bool full, again;

    do {
        if (!r->tx_ended)
            in = carry(r, take_in);
        if (!gone && in != -EPROTO)
            out = carry(r, give_out);
        if (in == -EPROTO || out == -EPROTO || is_broken(r)) {
            r->reset = true;
            return RELAY_OVER;
        }
        if (gone && r->tx_ended)
            return RELAY_OVER;
        full = out == -EAGAIN;
        again = arm(r);
    } while (again && !full && !gone && out == 0);
    return (has_room(r) && !r->tx_ended ? RELAY_IN : 0) | (full || out > 0 ? RELAY_OUT : 0);
}
