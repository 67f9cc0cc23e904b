// SPDX-License-Identifier: BSD-2-Clause
// From the engine's segments to frames.
#include <errno.h>

#include "net/arena.h"
#include "wire/bytes.h"
#include "wire/packet.h"

#define TTL         64
#define WANT_NS     NS_PER_S       // the owner is asked again for an address after that
#define USED_NS     NS_PER_S       // a neighbour in use is marked as such so often
#define HELD_NS     (3 * NS_PER_S) // how long a segment waits for an address, as the kernel's ARP
#define CSUM_OFFSET 16             // of the checksum in the TCP header

static uint32_t slot_of(const struct ip_addr *a)
{
    uint32_t h = (a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * UINT32_C(0x9e3779b1);

    return h >> 24 & (NET_HOPS - 1);
}

static void want(struct net *n, const struct net_hop *hop)
{
    struct net_tables *t = &n->arena->tables;
    uint32_t head = atomic_load_explicit(&t->want_head, memory_order_relaxed);

    if (head - atomic_load_explicit(&t->want_tail, memory_order_acquire) >= NET_WANTS)
        return; // the owner is behind: a later segment asks again
    t->want[head % NET_WANTS] = (struct net_want){hop->next_hop, hop->ifindex};
    atomic_store_explicit(&t->want_head, head + 1, memory_order_release);
    net_bell_owner(n);
}

int net_hop_to(struct net *n, const struct ip_addr *remote, const struct net_hop **out)
{
    static const struct ip_addr any;
    typeof(&n->hops[0]) e = &n->hops[slot_of(remote)];

    if (unlikely(e->seq != n->tables_seq || !ip_addr_equal(&e->hop.remote, remote))) {
        if (!ip_addr_equal(&e->hop.remote, remote))
            e->wanted_ns = e->used_ns = 0;
        e->err = net_tables_hop(&n->arena->tables, remote, &any, &e->hop);
        if (e->err == -ENETDOWN) // the news of a link may be late: the kernel drops what cannot go
            e->err = 0;
        e->seq = n->tables_seq;
    }
    if (!e->err && unlikely(!e->hop.known) && n->now_ns - e->wanted_ns >= WANT_NS) {
        e->wanted_ns = n->now_ns;
        want(n, &e->hop);
    }
    if (!e->err && e->hop.neigh >= 0 && n->now_ns - e->used_ns >= USED_NS) {
        e->used_ns = n->now_ns;
        atomic_store_explicit(&n->arena->tables.used[e->hop.neigh], 1, memory_order_relaxed);
    }
    *out = &e->hop;
    return e->err;
}

static void hold(struct net *n, const struct net_hop *hop, const struct segment *seg)
{
    struct net_arena *a = n->arena;

    for (int i = 0; i < NET_HELD; i++) {
        if (a->held[i].since_ns)
            continue;
        a->held[i] = (struct net_held){n->now_ns, hop->failed, *seg};
        a->held_count++;
        a->held_seen = n->tables_seq;
        net_count(n, held);
        return;
    }
    net_count(n, unresolved);
}

// Ethernet and tag, IP, TCP; returns their length. *transport: where the TCP header begins.
static uint16_t emit_head(const struct net_hop *hop, const struct segment *seg, uint8_t *out,
                          uint16_t *transport)
{
    const struct eth_header eth = {
        .dst = hop->to,
        .src = hop->from,
        .type = ip_addr_is_v4(&seg->dst) ? ETH_TYPE_IP4 : ETH_TYPE_IP6,
        .vlan = hop->vlan,
    };
    const struct packet_ip ip = {.ttl = TTL, .dont_fragment = true};
    size_t link = eth_emit(out, &eth);

    *transport = (uint16_t)(link + ip_header_bytes(&seg->dst));
    return (uint16_t)(link + packet_emit_header(seg, &ip, out + link, CSUM_PARTIAL));
}

static int send_frame(struct net *n, const struct net_hop *hop, const struct segment *seg)
{
    uint8_t head[QUEUE_HEAD_MAX];
    struct iovec payload[2];
    struct queue_out out = {.head = head, .payload = payload, .csum_offset = CSUM_OFFSET};
    int err;

    out.head_bytes = emit_head(hop, seg, head, &out.csum_start);
    for (int i = 0; i < 2; i++)
        if (seg->data.piece_len[i])
            payload[out.payload_count++] =
                (struct iovec){(void *)(uintptr_t)seg->data.piece[i], seg->data.piece_len[i]};
    if (seg->gso_size && seg->len > seg->gso_size) {
        out.gso_size = seg->gso_size;
        out.gso = ip_addr_is_v4(&seg->dst) ? QUEUE_GSO_TCP4 : QUEUE_GSO_TCP6;
    }
    err = queue_tx(n->queue, &out, n->now_ns);
    if (err == -EAGAIN) {
        net_count(n, queue_full);
        return err;
    }
    net_count(n, frames_out);
    n->arena->counters.super_out += out.gso != 0;
    return 0; // what the queue finds too long is lost: the path's MTU has changed
}

int net_put(struct tcp_sink *sink, const struct segment *seg)
{
    struct net *n = (struct net *)(void *)((char *)sink - offsetof(struct net, sink));
    const struct net_hop *hop;

    if (unlikely(net_hop_to(n, &seg->dst, &hop))) {
        net_count(n, no_route);
        return 0;
    }
    if (likely(hop->known))
        return send_frame(n, hop, seg);
    if (seg->len)
        net_count(n, unresolved);
    else
        hold(n, hop, seg);
    return 0;
}

// The kernel has given up looking for the next hop: as an ICMP host unreachable would say it.
static void give_up(struct net *n, const struct segment *seg)
{
    struct tcp_tuple t = {seg->src, seg->dst, seg->src_port, seg->dst_port};

    tcp_icmp(&n->ctx, n->now_ns, &t, seg->seq, TCP_ICMP_HARD, -EHOSTUNREACH, 0);
}

static void drop_held(struct net *n, struct net_held *h)
{
    h->since_ns = 0;
    n->arena->held_count--;
}

// True where it is settled.
static bool try_held(struct net *n, struct net_held *h)
{
    const struct net_hop *hop;
    int err = net_hop_to(n, &h->seg.dst, &hop);

    if (!err && hop->known) {
        if (send_frame(n, hop, &h->seg))
            return false;
        net_count(n, held_sent);
        return true;
    }
    h->failed &= !err && hop->failed;
    if (n->now_ns - h->since_ns < HELD_NS && !(!err && hop->failed && !h->failed))
        return false;
    net_count(n, held_expired);
    give_up(n, &h->seg);
    return true;
}

// The arena is others' memory, too: a segment from it has to be one that emit_head() has room for.
static bool is_sane(const struct segment *seg)
{
    return !seg->len && !seg->data.piece_len[0] && !seg->data.piece_len[1] &&
           seg->sack_count <= SEG_SACK_MAX && seg->tfo_len <= SEG_TFO_MAX;
}

void net_held_run(struct net *n)
{
    struct net_arena *a = n->arena;

    for (int i = 0; i < NET_HELD; i++) {
        struct net_held *h = &a->held[i];

        if (h->since_ns && (!is_sane(&h->seg) || try_held(n, h)))
            drop_held(n, h);
    }
    a->held_seen = n->tables_seq;
}
