// SPDX-License-Identifier: BSD-2-Clause
// Looks at sockets and paths that take no lock.
#include <errno.h>

#include "net/arena.h"

uint32_t net_status(const struct net *n, uint32_t sock)
{
    const struct net_sock *s = net_sock_at(n, sock);

    if (!s)
        return NET_CLOSED;
    return atomic_load_explicit(&s->status, memory_order_acquire) |
           (unlikely(net_dead(n)) ? NET_CLOSED : 0);
}

int net_error(const struct net *n, uint32_t sock)
{
    const struct net_sock *s = net_sock_at(n, sock);

    if (!s)
        return -EBADF;
    if (net_dead(n) && !(atomic_load(&s->status) & NET_CLOSED))
        return -ECONNRESET;
    return atomic_load(&s->error);
}

static void fill_tcp(struct net_info *info, const struct tcp_conn *c)
{
    info->tuple = c->tuple;
    info->state = c->state;
    info->srtt_ns = c->srtt_ns;
    info->rttvar_ns = c->rttvar_ns;
    info->min_rtt_ns = c->min_rtt_ns == UINT32_MAX ? 0 : c->min_rtt_ns;
    info->cwnd_bytes = c->cwnd;
    info->ssthresh_bytes = c->ssthresh;
    info->mss = c->mss;
    info->mss_peer = c->mss_peer;
    info->pmtu = c->pmtu;
    info->rcv_limit_bytes = c->rcv_limit;
    info->unacked_bytes = c->snd_nxt - c->snd_una;
    info->retransmits = c->retries;
    info->keep_idle_ms = c->keep_idle_ms;
    info->keep_interval_ms = c->keep_interval_ms;
    info->user_timeout_ms = c->user_timeout_ms;
    info->pacing_rate = c->pacing_rate;
    info->keep_count = c->keep_count;
    info->tos = c->tos;
    info->cc = c->cc;
    info->nodelay = c->nodelay;
    info->cork = c->cork;
    info->keepalive = c->keepalive;
    info->quickack = c->quickack;
    info->timestamps = c->ts_ok;
    info->sack = c->sack_ok;
    info->wscale = c->wscale_ok;
    info->snd_wscale = c->snd_wscale;
    info->rcv_wscale = c->rcv_wscale;
    if (tcp_urgent_pos(c, &info->urgent_pos))
        info->urgent_pos = 0;
}

static uint32_t ring_used(const struct chan_dir *d, uint32_t ring_bytes)
{
    uint64_t head = atomic_load_explicit(&d->head, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&d->tail, memory_order_acquire) - head;

    return used <= ring_bytes ? (uint32_t)used : 0;
}

int net_info(const struct net *n, uint32_t sock, struct net_info *info)
{
    const struct net_sock *s = net_sock_at(n, sock);
    struct tcp_conn *live, c;
    struct chan_shared *ch;
    uint32_t queued, index;

    if (!s || atomic_load(&s->use) != NET_USED)
        return -EBADF;
    *info = (struct net_info){.status = net_status(n, sock)};
    index = s->conn;
    live = index < net_conn_count(n) ? tcp_conn_at(&n->ctx, index) : NULL;
    if (!live)
        return 0;
    c = *live;
    fill_tcp(info, &c);
    if (c.state == TCP_LISTEN) {
        info->unacked_bytes = 0;
        info->backlog = c.listen.backlog;
        info->waiting = c.listen.waiting;
        return 0;
    }
    ch = net_chan(n, sock);
    queued = ring_used(&ch->dir[0], n->ring_bytes);
    info->unacked_bytes = u64_min(info->unacked_bytes, queued);
    info->unsent_bytes = queued - info->unacked_bytes;
    info->unread_bytes = ring_used(&ch->dir[1], n->ring_bytes);
    return 0;
}

int net_channel(const struct net *n, uint32_t sock, uint64_t *offset, uint32_t *ring_bytes)
{
    if (sock >= n->sock_count)
        return -EBADF;
    *offset = n->channels_at + sock * n->channel_bytes;
    *ring_bytes = n->ring_bytes;
    return 0;
}

struct chan_shared *net_channel_at(const struct net *n, uint32_t sock)
{
    return sock < n->sock_count ? net_chan(n, sock) : NULL;
}

void net_arm(struct net *n, uint32_t sock)
{
    struct net_sock *s = net_sock_at(n, sock);

    if (s)
        atomic_store(&s->wait, 1);
}

int net_path(const struct net *n, const struct ip_addr *remote, const struct ip_addr *local,
             struct net_path *path)
{
    struct net_hop hop;
    int err = net_tables_hop(&n->arena->tables, remote, local, &hop);

    if (err)
        return err == -EAGAIN ? -ETIMEDOUT : err;
    *path = (struct net_path){hop.source, hop.next_hop, hop.ifindex, hop.mtu, hop.known};
    return 0;
}
