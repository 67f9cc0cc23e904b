// SPDX-License-Identifier: BSD-2-Clause
// The kernel's tables as the stack needs them: an image that the owner writes into the arena as a
// whole, and look-ups in it. IPv4 lies in it as ::ffff:a.b.c.d with prefixes of 96 and more, so
// that one code serves both families.
#ifndef SHUNT_NET_TABLES_H
#define SHUNT_NET_TABLES_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "wire/addr.h"
#include "wire/eth.h"

#define NET_LINKS  16
#define NET_ADDRS  256
#define NET_ROUTES 4096
#define NET_NEIGHS 4096
#define NET_WANTS  64

#define NET_NO_LINK 0xff // another interface than ours

// What lies in shared memory has no bool: any byte may be there.
struct net_link {
    uint32_t ifindex;
    uint16_t mtu, vlan; // vlan: the tag of its frames on the queue's device; 0: none
    struct eth_addr mac;
    uint8_t up; // administratively, and with a carrier
};

enum net_addr_flag { NET_ADDR_DEPRECATED = 1, NET_ADDR_TENTATIVE = 2, NET_ADDR_SECONDARY = 4 };

struct net_addr {
    struct ip_addr addr;
    uint8_t prefix, link, scope, flags; // scope: rtnetlink's; flags: enum net_addr_flag
};

enum net_route_kind { NET_ROUTE_UNICAST, NET_ROUTE_LOCAL, NET_ROUTE_ERROR };

// In the order in which they are tried: table, longest prefix, lowest metric.
struct net_route {
    struct ip_addr dst, gateway, source; // any: none
    uint32_t metric;
    uint16_t mtu;               // 0: the link's
    int16_t error;              // NET_ROUTE_ERROR: why not, a negative errno
    uint8_t prefix, link, kind; // link: index, or NET_NO_LINK
    uint8_t table;              // rank: local, main, default
};

enum net_neigh_state { NET_NEIGH_UNKNOWN, NET_NEIGH_KNOWN, NET_NEIGH_FAILED };

// Sorted by address, then link.
struct net_neigh {
    struct ip_addr addr;
    struct eth_addr mac;
    uint8_t link, state;
    uint8_t stale; // the kernel has not proved it lately
};

struct net_image {
    uint32_t links, addrs, routes, neighs; // how many
    uint8_t rules; // there is policy routing, or more routes than fit: nobody here can tell the way
    struct net_link link[NET_LINKS];
    struct net_addr addr[NET_ADDRS];
    struct net_route route[NET_ROUTES];
    struct net_neigh neigh[NET_NEIGHS];
};

// A next hop that a driver has no address for.
struct net_want {
    struct ip_addr addr;
    uint32_t ifindex;
};

struct net_tables {
    alignas(64) _Atomic uint32_t seq; // odd while the owner writes; grows with each change
    _Atomic uint32_t paths_seq;       // grows with each change of more than neighbours
    alignas(64) _Atomic uint32_t want_head, want_tail; // the driver's, and the owner's
    struct net_want want[NET_WANTS];
    alignas(64) _Atomic uint8_t used[NET_NEIGHS]; // drivers set it: in use, keep it fresh
    struct net_image image;
};

// The way to a remote address.
struct net_hop {
    struct ip_addr remote, source, next_hop;
    uint32_t ifindex;
    uint16_t mtu, vlan;
    struct eth_addr from, to; // `to` counts where known
    bool known;               // the next hop's link-layer address
    bool failed;              // and the kernel has given up looking for it
    int16_t neigh;            // its place in the table, -1 where it has none
};

// Owner: writes the image. Only the used parts are copied. paths: more than neighbours has changed.
void net_tables_publish(struct net_tables *t, const struct net_image *image, bool paths);

// Sorts routes and neighbours as the look-ups want them.
void net_image_sort(struct net_image *image);

// The way to remote, from local (any: chosen by the kernel's rules). 0, also where the neighbour is
// not known, or an error as net_open() has; -EAGAIN where the owner has been writing for too long.
int net_tables_hop(const struct net_tables *t, const struct ip_addr *remote,
                   const struct ip_addr *local, struct net_hop *hop);

// The link that owns frames with that tag and destination; -1 where none does.
int net_tables_link(const struct net_tables *t, uint16_t vlan, const struct eth_addr *to);

// Is it an address of one of our links?
bool net_tables_is_local(const struct net_tables *t, const struct ip_addr *addr);

#endif
