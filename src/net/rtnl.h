// SPDX-License-Identifier: BSD-2-Clause
// rtnetlink(7) messages to the entries of tables.h, by libmnl.
#ifndef SHUNT_NET_RTNL_H
#define SHUNT_NET_RTNL_H

#include <libmnl/libmnl.h>

#include "net/tables.h"

// A link as the kernel tells it.
struct rtnl_link {
    uint32_t ifindex;
    uint32_t lower;  // of a VLAN: the interface under it, in the same namespace; else 0
    uint32_t master; // 0: none
    uint16_t mtu, vlan_id;
    struct eth_addr mac;
    bool up, is_vlan, is_bond;
};

// Asks for all objects of a kind (RTM_GETLINK...) and gives each message to each(). 0 or a negative
// errno; -EINTR: the kernel's tables changed meanwhile, ask again.
int rtnl_dump(struct mnl_socket *s, uint16_t type, uint8_t family, mnl_cb_t each, void *data);

// Each fills *out and returns true, or false for what does not matter to a stack. The image's links
// say which interfaces are ours.
bool rtnl_read_link(const struct nlmsghdr *msg, struct rtnl_link *out);
bool rtnl_read_addr(const struct nlmsghdr *msg, const struct net_image *im, struct net_addr *out);
bool rtnl_read_route(const struct nlmsghdr *msg, const struct net_image *im, struct net_route *out);
bool rtnl_read_neigh(const struct nlmsghdr *msg, const struct net_image *im, struct net_neigh *out);

// May this rule of policy routing send packets without a mark another way than local, main,
// default?
bool rtnl_rule_is_foreign(const struct nlmsghdr *msg);

// As if a packet were to be sent there: the kernel looks for the address, or proves it anew. Waits
// for the kernel's answer, which does not wait. 0 or a negative errno.
int rtnl_use_neigh(struct mnl_socket *s, uint32_t ifindex, const struct ip_addr *addr);

#endif
