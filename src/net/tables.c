// SPDX-License-Identifier: BSD-2-Clause
#include "net/tables.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"

#define PATIENCE 10000 // looks at a table that is being written: some 100 us

void net_tables_publish(struct net_tables *t, const struct net_image *image, bool paths)
{
    struct net_image *to = &t->image;
    uint32_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed) | 1;

    atomic_store(&t->seq, seq);
    atomic_thread_fence(memory_order_seq_cst);
    to->rules = image->rules;
    to->links = image->links;
    to->addrs = image->addrs;
    to->routes = image->routes;
    to->neighs = image->neighs;
    memcpy(to->link, image->link, image->links * sizeof to->link[0]);
    memcpy(to->addr, image->addr, image->addrs * sizeof to->addr[0]);
    memcpy(to->route, image->route, image->routes * sizeof to->route[0]);
    memcpy(to->neigh, image->neigh, image->neighs * sizeof to->neigh[0]);
    memset((void *)t->used, 0, sizeof t->used); // by place, and the places have changed
    if (paths)
        atomic_fetch_add(&t->paths_seq, 1);
    atomic_store(&t->seq, seq + 1);
}

static int by_route(const void *a, const void *b)
{
    const struct net_route *x = a, *y = b;

    if (x->table != y->table)
        return x->table - y->table;
    if (x->prefix != y->prefix)
        return y->prefix - x->prefix;
    return (x->metric > y->metric) - (x->metric < y->metric);
}

static int neigh_order(const struct net_neigh *n, const struct ip_addr *addr, uint8_t link)
{
    int order = memcmp(n->addr.b, addr->b, sizeof addr->b);

    return order ? order : n->link - link;
}

static int by_neigh(const void *a, const void *b)
{
    const struct net_neigh *y = b;

    return neigh_order(a, &y->addr, y->link);
}

void net_image_sort(struct net_image *image)
{
    qsort(image->route, image->routes, sizeof image->route[0], by_route);
    qsort(image->neigh, image->neighs, sizeof image->neigh[0], by_neigh);
}

static uint32_t common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    uint32_t i = 0;

    while (i < 16 && a->b[i] == b->b[i])
        i++;
    return i == 16 ? 128 : i * 8 + (uint32_t)__builtin_clz((uint32_t)(a->b[i] ^ b->b[i]) << 24);
}

static bool is_link_local6(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static const struct net_route *find_route(const struct net_image *im, const struct ip_addr *remote)
{
    bool near =
        is_link_local6(remote); // every interface has a route to its neighbours: ours counts

    for (uint32_t i = 0; i < u64_min(im->routes, NET_ROUTES); i++) {
        const struct net_route *r = &im->route[i];

        if (common_bits(&r->dst, remote) >= r->prefix &&
            (!near || r->link < NET_LINKS || r->kind != NET_ROUTE_UNICAST))
            return r;
    }
    return NULL;
}

static uint32_t addr_count(const struct net_image *im)
{
    return u64_min(im->addrs, NET_ADDRS);
}

static bool owns(const struct net_image *im, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < addr_count(im); i++)
        if (ip_addr_equal(&im->addr[i].addr, addr))
            return true;
    return false;
}

// RFC 6724, 5 with the rules that decide in practice: 2 (scope), 3 (deprecated), 8 (longest
// prefix). For IPv4 the kernel takes the first primary address in the next hop's network, else the
// first.
static uint32_t source_rank(const struct net_addr *a, const struct ip_addr *next_hop,
                            const struct ip_addr *remote)
{
    if (ip_addr_is_v4(remote))
        return 1 + (common_bits(&a->addr, next_hop) >= a->prefix) * 2 +
               !(a->flags & NET_ADDR_SECONDARY);
    return 1 + (is_link_local6(&a->addr) == is_link_local6(remote)) * 1024 +
           !(a->flags & NET_ADDR_DEPRECATED) * 512 + common_bits(&a->addr, remote);
}

static const struct ip_addr *choose_source(const struct net_image *im, uint8_t link,
                                           const struct net_hop *hop)
{
    const struct ip_addr *best = NULL;
    uint32_t best_rank = 0;

    for (uint32_t i = 0; i < addr_count(im); i++) {
        const struct net_addr *a = &im->addr[i];
        uint32_t rank;

        if (a->link != link || a->flags & NET_ADDR_TENTATIVE ||
            ip_addr_is_v4(&a->addr) != ip_addr_is_v4(&hop->remote))
            continue;
        rank = source_rank(a, &hop->next_hop, &hop->remote);
        if (rank > best_rank) {
            best_rank = rank;
            best = &a->addr;
        }
    }
    return best;
}

static int set_source(const struct net_image *im, const struct net_route *r,
                      const struct ip_addr *local, struct net_hop *hop)
{
    const struct ip_addr *chosen = &r->source;

    if (!ip_addr_is_any(local)) {
        hop->source = *local;
        return owns(im, local) ? 0 : -EADDRNOTAVAIL;
    }
    if (ip_addr_is_any(chosen))
        chosen = choose_source(im, r->link, hop);
    if (!chosen)
        return -EADDRNOTAVAIL;
    hop->source = *chosen;
    return 0;
}

static void set_neigh(const struct net_image *im, uint8_t link, struct net_hop *hop)
{
    uint32_t first = 0, end = u64_min(im->neighs, NET_NEIGHS);

    hop->neigh = -1;
    while (first < end) {
        uint32_t mid = (first + end) / 2;
        const struct net_neigh *n = &im->neigh[mid];
        int order = neigh_order(n, &hop->next_hop, link);

        if (!order) {
            hop->neigh = (int16_t)mid;
            hop->to = n->mac;
            hop->known = n->state == NET_NEIGH_KNOWN;
            hop->failed = n->state == NET_NEIGH_FAILED;
            return;
        }
        if (order < 0)
            first = mid + 1;
        else
            end = mid;
    }
}

static int look(const struct net_image *im, const struct ip_addr *local, struct net_hop *hop)
{
    const struct net_route *r = im->rules ? NULL : find_route(im, &hop->remote);
    const struct net_link *link;

    if (!r)
        return im->rules ? -EXDEV : -ENETUNREACH;
    if (r->kind == NET_ROUTE_ERROR)
        return r->error < 0 ? r->error : -ENETUNREACH;
    if (r->kind != NET_ROUTE_UNICAST || r->link >= u64_min(im->links, NET_LINKS))
        return -EXDEV;
    link = &im->link[r->link];
    hop->ifindex = link->ifindex;
    hop->vlan = link->vlan;
    hop->from = link->mac;
    hop->mtu = r->mtu ? u64_min(r->mtu, link->mtu) : link->mtu;
    hop->next_hop = ip_addr_is_any(&r->gateway) ? hop->remote : r->gateway;
    set_neigh(im, r->link, hop);
    if (!link->up)
        return -ENETDOWN;
    return set_source(im, r, local, hop);
}

// Reads under the owner's feet: begins again where the owner wrote meanwhile. What was read then
// may be torn; nothing in it leads outside of the image.
int net_tables_hop(const struct net_tables *t, const struct ip_addr *remote,
                   const struct ip_addr *local, struct net_hop *hop)
{
    for (int i = 0; i < PATIENCE; i++) {
        uint32_t seq = atomic_load_explicit(&t->seq, memory_order_acquire);
        int err;

        if (seq & 1) {
            clock_pause();
            continue;
        }
        *hop = (struct net_hop){.remote = *remote, .neigh = -1};
        err = look(&t->image, local, hop);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&t->seq, memory_order_relaxed) == seq)
            return err;
    }
    return -EAGAIN;
}

int net_tables_link(const struct net_tables *t, uint16_t vlan, const struct eth_addr *to)
{
    const struct net_image *im = &t->image;

    for (uint32_t i = 0; i < u64_min(im->links, NET_LINKS); i++)
        if ((im->link[i].vlan & 0xfff) == (vlan & 0xfff) &&
            !memcmp(&im->link[i].mac, to, sizeof *to))
            return (int)i;
    return -1;
}

bool net_tables_is_local(const struct net_tables *t, const struct ip_addr *addr)
{
    return owns(&t->image, addr);
}
