// SPDX-License-Identifier: BSD-2-Clause
// Sockets: their table, what the engine asks of its host, what programs ask of the engine.
#include <errno.h>
#include <sys/mman.h>

#include "net/lock.h"

// Rings that carried no more keep their pages for the next socket, as many as these.
#define KEEP_BYTES 65536
#define KEEP_SOCKS 64

// ---- the table ----

static struct tcp_conn *conn_of(const struct net *n, uint32_t sock)
{
    const struct net_sock *s = net_sock_at(n, sock);
    uint32_t index = s ? s->conn : TCP_NONE;
    struct tcp_conn *c = index < net_conn_count(n) ? tcp_conn_at(&n->ctx, index) : NULL;

    return c && c->user == (uint64_t)sock + 1 ? c : NULL;
}

static void channel_init(struct net *n, uint32_t sock)
{
    struct chan_shared *ch = net_chan(n, sock);

    memset(ch, 0, sizeof *ch);
    ch->magic = CHAN_MAGIC;
    ch->version = CHAN_VERSION;
    ch->ring_bytes = n->ring_bytes;
    for (int i = 0; i < 2; i++) {
        atomic_store(&ch->dir[i].epoch, 1);
        atomic_store(&ch->dir[i].ack, 1);
        atomic_store(&ch->dir[i].ready, 1);
    }
}

static uint32_t sock_new(struct net *n)
{
    struct net_arena *a = n->arena;
    uint32_t i = a->free_sock;
    struct net_sock *s = net_sock_at(n, i);

    if (unlikely(atomic_load_explicit(&a->full, memory_order_relaxed)))
        return NET_NONE;
    if (s && s->use == NET_FREE) {
        a->free_sock = s->next_free;
        a->kept_count -= s->kept != 0;
        s->kept = 0;
    } else {
        i = a->fresh_sock;
        s = net_sock_at(n, i);
        if (!s)
            return NET_NONE;
        a->fresh_sock++;
    }
    atomic_store(&s->status, 0);
    atomic_store(&s->wait, 0);
    atomic_store(&s->requests, 0);
    atomic_store(&s->error, 0);
    s->conn = TCP_NONE;
    channel_init(n, i);
    atomic_store(&s->use, NET_USED);
    return i;
}

static void sock_free(struct net *n, uint32_t sock)
{
    struct net_sock *s = &n->socks[sock];
    struct chan_shared *ch = net_chan(n, sock);

    if (s->use == NET_FREE)
        return;
    s->kept = ch->dir[0].tail <= KEEP_BYTES && ch->dir[1].tail <= KEEP_BYTES &&
              n->arena->kept_count < KEEP_SOCKS;
    n->arena->kept_count += s->kept;
    if (!s->kept)
        madvise(ch, n->channel_bytes, MADV_REMOVE);
    s->conn = TCP_NONE;
    atomic_store(&s->status, NET_CLOSED);
    atomic_store(&s->use, NET_FREE);
    s->next_free = n->arena->free_sock;
    n->arena->free_sock = sock;
}

static void sock_released(struct net *n, uint32_t sock)
{
    struct net_sock *s = &n->socks[sock];

    if (s->use == NET_ENDED)
        atomic_store(&s->use, NET_OVER);
    else
        sock_free(n, sock);
}

// ---- what the engine asks for ----

// Rings: the channel's tail is what a ring of base/ring.h calls head, and the reverse.
static int host_ring(void *self, const struct tcp_conn *c, enum tcp_dir dir, struct ring *view)
{
    struct net *n = self;
    uint64_t sock = c->user - 1;
    struct chan_shared *ch;
    struct chan_dir *d;

    if (sock >= n->sock_count)
        return -ENOBUFS;
    ch = net_chan(n, (uint32_t)sock);
    d = &ch->dir[dir == TCP_RX];
    view->base = (uint8_t *)ch + CHAN_HDR_BYTES + (dir == TCP_RX ? n->ring_bytes : 0);
    view->mask = n->ring_bytes - 1;
    view->head = &d->tail;
    view->tail = &d->head;
    return 0;
}

static int host_accept(void *self, const struct tcp_conn *listener, struct tcp_conn *c)
{
    struct net *n = self;
    uint32_t sock = sock_new(n);

    if (sock == NET_NONE)
        return -ENOBUFS;
    c->user = (uint64_t)sock + 1;
    n->socks[sock].conn = tcp_conn_index(&n->ctx, c);
    n->socks[sock].path_mtu = c->pmtu;
    atomic_store(&n->socks[sock].status, NET_CONNECTED);
    return 0;
}

static uint32_t status_of_events(uint32_t events)
{
    return (events & TCP_EV_CONNECTED ? NET_CONNECTED : 0) | (events & TCP_EV_FIN ? NET_FIN : 0) |
           (events & TCP_EV_CLOSED ? NET_CLOSED : 0) | (events & TCP_EV_ACCEPT ? NET_ACCEPT : 0) |
           (events & TCP_EV_URGENT ? NET_URGENT : 0);
}

static void host_event(void *self, struct tcp_conn *c, uint32_t events)
{
    struct net *n = self;
    uint64_t sock = c->user - 1;
    uint32_t status = status_of_events(events);

    if (sock >= n->sock_count)
        return;
    if (events & TCP_EV_RELEASED) {
        sock_released(n, (uint32_t)sock);
        return;
    }
    if (events & TCP_EV_CLOSED)
        atomic_store(&n->socks[sock].error, c->error);
    if (status)
        atomic_fetch_or(&n->socks[sock].status, status);
    if (status & (NET_FIN | NET_CLOSED | NET_URGENT)) // news that the rings do not tell: chanmem.h
        atomic_fetch_add(&net_chan(n, (uint32_t)sock)->dir[1].hint, 1);
    net_touch(n, (uint32_t)sock, events);
}

// What the queue offers on a path with that MTU.
static struct tcp_path tcp_path_of(const struct net *n, uint16_t mtu)
{
    const uint32_t heads = 18 + IP6_HEADER_BYTES + 60; // Ethernet with a tag, IP, TCP with options
    uint32_t super = u64_min(n->queue->caps->super_tx_bytes, UINT16_MAX);

    return (struct tcp_path){.mtu = mtu, .super_max = super > heads ? super - heads : 0};
}

static void host_path(void *self, const struct tcp_conn *c, struct tcp_path *path)
{
    struct net *n = self;
    const struct net_hop *hop;

    *path = tcp_path_of(n, net_hop_to(n, &c->tuple.remote, &hop) ? 1280 : hop->mtu);
}

const struct tcp_host net_host = {
    .ring = host_ring, .accept = host_accept, .event = host_event, .path = host_path};

// ---- what programs ask for ----

static int refusal(int err)
{
    return err == -EAGAIN ? -ETIMEDOUT : err; // the owner stopped while it wrote the tables
}

static int set_options(struct net *n, struct tcp_conn *c, const struct net_open *o)
{
    for (uint32_t i = 0; i < o->option_count; i++) {
        int err = tcp_set(&n->ctx, n->now_ns, c, o->options[i].option, o->options[i].value);

        if (err)
            return err;
    }
    return 0;
}

static int open_conn(struct net *n, const struct net_open *o, uint32_t sock)
{
    struct tcp_tuple t = {o->local, o->remote, o->local_port, o->remote_port};
    struct tcp_path path;
    struct tcp_conn *c;
    struct net_hop hop;
    int err = refusal(net_tables_hop(&n->arena->tables, &o->remote, &o->local, &hop));

    if (err)
        return err;
    t.local = hop.source;
    path = tcp_path_of(n, hop.mtu);
    err = tcp_create(&n->ctx, n->now_ns, &t, &path, (uint64_t)sock + 1, &c);
    if (err)
        return err;
    n->socks[sock].conn = tcp_conn_index(&n->ctx, c);
    n->socks[sock].path_mtu = hop.mtu;
    err = set_options(n, c, o);
    if (!err)
        err = tcp_connect(&n->ctx, n->now_ns, c);
    if (err)
        tcp_abort(&n->ctx, n->now_ns, c); // releases sock
    return err;
}

static int listen_conn(struct net *n, const struct net_open *o, uint32_t backlog, uint32_t sock)
{
    struct tcp_conn *c;
    int err;

    if (!ip_addr_is_any(&o->local) && !net_tables_is_local(&n->arena->tables, &o->local))
        return -EADDRNOTAVAIL;
    err = tcp_listen(&n->ctx, n->now_ns, &o->local, o->local_port, backlog, (uint64_t)sock + 1, &c);
    if (err)
        return err;
    n->socks[sock].conn = tcp_conn_index(&n->ctx, c);
    err = set_options(n, c, o);
    if (err)
        tcp_abort(&n->ctx, n->now_ns, c);
    return err;
}

// With the lock, to the end of the turn. backlog 0: a connection.
static int create(struct net *n, uint64_t deadline_ns, const struct net_open *o, uint32_t backlog,
                  uint32_t *out)
{
    int err = net_lock_until(n, deadline_ns);
    uint32_t sock;

    if (err)
        return err;
    n->now_ns = clock_now_ns();
    n->work = true;
    sock = sock_new(n);
    if (sock == NET_NONE)
        err = -ENOBUFS;
    else
        err = backlog ? listen_conn(n, o, backlog, sock) : open_conn(n, o, sock);
    if (err && sock != NET_NONE)
        sock_free(n, sock);
    net_turn(n, n->now_ns);
    net_leave(n);
    if (!err)
        *out = sock;
    return err;
}

int net_open(struct net *n, uint64_t deadline_ns, const struct net_open *o, uint32_t *sock)
{
    return create(n, deadline_ns, o, 0, sock);
}

int net_listen(struct net *n, uint64_t deadline_ns, const struct net_open *o, uint32_t backlog,
               uint32_t *sock)
{
    return create(n, deadline_ns, o, (uint32_t)u64_max(backlog, 1), sock);
}

static int accept_one(struct net *n, uint32_t listener, uint32_t *sock)
{
    struct tcp_conn *l = conn_of(n, listener), *c;

    if (!l || l->state != TCP_LISTEN)
        return -EINVAL;
    c = tcp_accept(&n->ctx, l);
    if (!l->listen.waiting)
        atomic_fetch_and(&n->socks[listener].status, ~(uint32_t)NET_ACCEPT);
    if (!c)
        return -EAGAIN;
    *sock = (uint32_t)(c->user - 1);
    return *sock < n->sock_count ? 0 : -EAGAIN;
}

int net_accept(struct net *n, uint64_t deadline_ns, uint32_t listener, uint32_t *sock)
{
    int err;

    if (!(net_status(n, listener) & (NET_ACCEPT | NET_CLOSED)))
        return -EAGAIN;
    err = net_lock_until(n, deadline_ns);
    if (err)
        return err;
    err = accept_one(n, listener, sock);
    net_leave(n);
    return err;
}

int net_set(struct net *n, uint64_t deadline_ns, uint32_t sock, enum tcp_option option,
            uint64_t value)
{
    struct tcp_conn *c;
    int err = net_lock_until(n, deadline_ns);

    if (err)
        return err;
    n->now_ns = clock_now_ns();
    n->work = true;
    c = conn_of(n, sock);
    err = c ? tcp_set(&n->ctx, n->now_ns, c, option, value) : -EBADF;
    net_turn(n, n->now_ns); // what a cork held goes now
    net_leave(n);
    return err;
}

int net_urgent(struct net *n, uint64_t deadline_ns, uint32_t sock, uint32_t ahead)
{
    struct tcp_conn *c;
    int err = net_lock_until(n, deadline_ns);

    if (err)
        return err;
    n->now_ns = clock_now_ns();
    c = conn_of(n, sock);
    if (c)
        tcp_send_urgent(&n->ctx, n->now_ns, c, ahead);
    net_leave(n);
    return c ? 0 : -EBADF;
}

void net_request(struct net *n, uint64_t now_ns, uint32_t sock, uint32_t requests)
{
    struct net_sock *s = net_sock_at(n, sock);

    if (!s)
        return;
    atomic_fetch_or(&s->requests, requests);
    net_poke(n, now_ns, sock);
}

static void end_conn(struct net *n, uint32_t sock, struct tcp_conn *c, enum net_sock_use use,
                     bool abort)
{
    struct net_sock *s = &n->socks[sock];

    atomic_store(&s->use, use);
    s->conn = TCP_NONE;
    if (abort)
        tcp_abort(&n->ctx, n->now_ns, c);
    else
        tcp_close(&n->ctx, n->now_ns, c);
}

static void let_go(struct net *n, uint32_t sock, struct tcp_conn *c, bool abort)
{
    struct net_sock *s = &n->socks[sock];
    bool listens = c && c->state == TCP_LISTEN;

    if (s->use == NET_ENDED)
        atomic_store(&s->use, NET_LETGO);
    else if (c)
        end_conn(n, sock, c, NET_LETGO, abort);
    if (s->use != NET_LETGO || listens) // nothing is left that would be released
        sock_free(n, sock);
}

static void serve_asked(struct net *n, uint32_t sock, struct tcp_conn *c, uint32_t requests)
{
    if (c && requests & NET_SHUT_RX)
        tcp_shutdown_rx(&n->ctx, n->now_ns, c);
    if (c && requests & NET_SHUT_TX)
        tcp_shutdown_tx(&n->ctx, n->now_ns, c);
    if (c && requests & (NET_END | NET_RESET) && c->state != TCP_LISTEN) {
        end_conn(n, sock, c, NET_ENDED, requests & NET_RESET);
        c = NULL;
    }
    if (requests & (NET_CLOSE | NET_ABORT))
        let_go(n, sock, c, requests & NET_ABORT);
}

void net_sock_serve(struct net *n, uint32_t sock)
{
    struct net_sock *s = &n->socks[sock];
    struct tcp_conn *c = conn_of(n, sock);
    uint32_t requests;

    uint8_t use = atomic_load_explicit(&s->use, memory_order_relaxed);

    if (use == NET_FREE || use == NET_LETGO)
        return;
    n->work = true;
    if (c && c->state != TCP_LISTEN) {
        tcp_tx_notify(&n->ctx, n->now_ns, c);
        tcp_rx_notify(&n->ctx, n->now_ns, c);
    }
    requests = atomic_load_explicit(&s->requests, memory_order_relaxed);
    if (unlikely(requests))
        serve_asked(n, sock, c, atomic_exchange(&s->requests, 0));
}

void net_paths_changed(struct net *n)
{
    n->arena->paths_seen = atomic_load_explicit(&n->arena->tables.paths_seq, memory_order_relaxed);
    net_count(n, path_changes);
    n->work = true;
    for (uint32_t i = 0; i < u64_min(n->arena->fresh_sock, n->sock_count); i++) {
        struct tcp_conn *c = conn_of(n, i);
        const struct net_hop *hop;
        struct tcp_path path;

        if (!c || c->state == TCP_LISTEN || net_hop_to(n, &c->tuple.remote, &hop) ||
            hop->mtu == n->socks[i].path_mtu)
            continue;
        n->socks[i].path_mtu = hop->mtu;
        path = tcp_path_of(n, hop->mtu);
        tcp_path_changed(&n->ctx, n->now_ns, c, &path);
    }
}
