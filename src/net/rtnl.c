// SPDX-License-Identifier: BSD-2-Clause
#include "net/rtnl.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>

#include "base/clock.h"
#include "base/util.h"

#define ATTRS 64 // attributes of a higher number are not ours

static const struct ip_addr no_addr;

// The attributes of a message or a nest, by number.
struct attrs {
    const struct nlattr *at[ATTRS];
};

static int note_attr(const struct nlattr *attr, void *data)
{
    struct attrs *a = data;

    if (mnl_attr_get_type(attr) < ATTRS)
        a->at[mnl_attr_get_type(attr)] = attr;
    return MNL_CB_OK;
}

static struct attrs attrs_of(const struct nlmsghdr *msg, unsigned header_bytes)
{
    struct attrs a = {{NULL}};

    mnl_attr_parse(msg, header_bytes, note_attr, &a);
    return a;
}

static struct attrs nest_of(const struct nlattr *nest)
{
    struct attrs a = {{NULL}};

    if (nest)
        mnl_attr_parse_nested(nest, note_attr, &a);
    return a;
}

static uint32_t u32_of(const struct nlattr *attr, uint32_t otherwise)
{
    return attr && mnl_attr_get_payload_len(attr) >= 4 ? mnl_attr_get_u32(attr) : otherwise;
}

static bool is_kind(const struct nlattr *attr, const char *kind)
{
    return attr && !strcmp(mnl_attr_get_str(attr), kind);
}

static struct ip_addr addr_of_bytes(const void *bytes, uint32_t len)
{
    uint32_t v4;

    if (len == 16)
        return ip_addr_v6(bytes);
    if (len != 4)
        return no_addr;
    memcpy(&v4, bytes, 4);
    return ip_addr_v4(v4);
}

static struct ip_addr addr_of(const struct nlattr *attr)
{
    if (!attr)
        return no_addr;
    return addr_of_bytes(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
}

static bool mac_of(const struct nlattr *attr, struct eth_addr *mac)
{
    if (!attr || mnl_attr_get_payload_len(attr) != sizeof *mac)
        return false;
    memcpy(mac, mnl_attr_get_payload(attr), sizeof *mac);
    return true;
}

static uint8_t link_of(const struct net_image *im, uint32_t ifindex)
{
    for (uint32_t i = 0; i < im->links; i++)
        if (im->link[i].ifindex == ifindex)
            return (uint8_t)i;
    return NET_NO_LINK;
}

static int receive_dump(struct mnl_socket *s, uint32_t seq, mnl_cb_t each, void *data)
{
    char buf[32768];

    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, buf, sizeof buf);
        int more;

        if (n < 0)
            return -errno;
        more = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), each, data);
        if (more == MNL_CB_ERROR)
            return -errno;
        if (more == MNL_CB_STOP)
            return 0;
    }
}

int rtnl_dump(struct mnl_socket *s, uint16_t type, uint8_t family, mnl_cb_t each, void *data)
{
    char buf[MNL_NLMSG_HDRLEN + 64];
    struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
    struct rtmsg *body; // the longest of the headers; all begin with the family

    msg->nlmsg_type = type;
    msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    msg->nlmsg_seq = (uint32_t)clock_now_ns();
    body = mnl_nlmsg_put_extra_header(msg, sizeof(struct ifinfomsg));
    body->rtm_family = family;
    if (mnl_socket_sendto(s, msg, msg->nlmsg_len) < 0)
        return -errno;
    return receive_dump(s, msg->nlmsg_seq, each, data);
}

bool rtnl_read_link(const struct nlmsghdr *msg, struct rtnl_link *out)
{
    const struct ifinfomsg *body = mnl_nlmsg_get_payload(msg);
    struct attrs a = attrs_of(msg, sizeof *body), info = nest_of(a.at[IFLA_LINKINFO]);
    struct attrs data = nest_of(info.at[IFLA_INFO_DATA]);

    *out = (struct rtnl_link){
        .ifindex = (uint32_t)body->ifi_index,
        .master = u32_of(a.at[IFLA_MASTER], 0),
        .mtu = u64_min(u32_of(a.at[IFLA_MTU], 0), UINT16_MAX),
        // not IFF_RUNNING, which the kernel may bring up to date a second late
        .up = (body->ifi_flags & IFF_UP) && (body->ifi_flags & IFF_LOWER_UP),
        .is_vlan = is_kind(info.at[IFLA_INFO_KIND], "vlan"),
        .is_bond = is_kind(info.at[IFLA_INFO_KIND], "bond"),
    };
    if (out->is_vlan && data.at[IFLA_VLAN_ID])
        out->vlan_id = mnl_attr_get_u16(data.at[IFLA_VLAN_ID]);
    if (out->is_vlan && !a.at[IFLA_LINK_NETNSID]) // else `lower` is another namespace's number
        out->lower = u32_of(a.at[IFLA_LINK], 0);
    return mac_of(a.at[IFLA_ADDRESS], &out->mac);
}

bool rtnl_read_addr(const struct nlmsghdr *msg, const struct net_image *im, struct net_addr *out)
{
    const struct ifaddrmsg *body = mnl_nlmsg_get_payload(msg);
    struct attrs a = attrs_of(msg, sizeof *body);
    uint32_t flags = u32_of(a.at[IFA_FLAGS], body->ifa_flags);

    *out = (struct net_addr){
        .addr = addr_of(a.at[a.at[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS]), // a peer's address aside
        .prefix = (uint8_t)(body->ifa_prefixlen + (body->ifa_family == AF_INET ? 96 : 0)),
        .link = link_of(im, body->ifa_index),
        .scope = body->ifa_scope,
        .flags = (flags & IFA_F_DEPRECATED ? NET_ADDR_DEPRECATED : 0) |
                 (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) ? NET_ADDR_TENTATIVE : 0) |
                 (flags & IFA_F_SECONDARY && body->ifa_family == AF_INET ? NET_ADDR_SECONDARY : 0),
    };
    return out->link != NET_NO_LINK && !ip_addr_is_any(&out->addr);
}

// Tables in the order of the kernel's own rules.
static int table_rank(uint32_t table)
{
    static const uint32_t order[] = {RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT};

    for (int i = 0; i < (int)ARRAY_LEN(order); i++)
        if (order[i] == table)
            return i;
    return -1;
}

static void set_kind(struct net_route *r, uint8_t type)
{
    r->kind = NET_ROUTE_ERROR;
    switch (type) {
    case RTN_UNICAST:
        r->kind = NET_ROUTE_UNICAST;
        break;
    case RTN_LOCAL:
    case RTN_ANYCAST:
        r->kind = NET_ROUTE_LOCAL;
        break;
    case RTN_BROADCAST:
    case RTN_PROHIBIT:
        r->error = -EACCES;
        break;
    case RTN_UNREACHABLE:
        r->error = -EHOSTUNREACH;
        break;
    case RTN_BLACKHOLE:
        r->error = -EINVAL;
        break;
    default:
        r->error = -ENETUNREACH;
    }
}

// rtnetlink(7) RTA_VIA: a gateway of another family than the destination.
static struct ip_addr via_of(const struct nlattr *attr)
{
    const struct rtvia *via;

    if (!attr || mnl_attr_get_payload_len(attr) < sizeof *via)
        return no_addr;
    via = mnl_attr_get_payload(attr);
    return addr_of_bytes(via->rtvia_addr, mnl_attr_get_payload_len(attr) -
                                              (uint32_t)offsetof(struct rtvia, rtvia_addr));
}

static void set_hop(const struct net_image *im, struct net_route *r, const struct attrs *a,
                    uint32_t ifindex)
{
    r->link = link_of(im, ifindex);
    r->gateway = a->at[RTA_GATEWAY] ? addr_of(a->at[RTA_GATEWAY]) : via_of(a->at[RTA_VIA]);
}

// RTNH_NEXT() without its cast: the lengths keep hops aligned.
static const struct rtnexthop *next_hop(const struct rtnexthop *hop)
{
    return (const void *)((const char *)hop + RTNH_ALIGN(hop->rtnh_len));
}

// Of several next hops the first living one of ours; flows need not be spread to be right.
static void set_multipath(const struct net_image *im, struct net_route *r,
                          const struct nlattr *nest)
{
    const struct rtnexthop *hop = mnl_attr_get_payload(nest);
    int left = mnl_attr_get_payload_len(nest);

    for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = next_hop(hop)) {
        struct attrs a = {{NULL}};

        mnl_attr_parse_payload((const char *)hop + RTNH_LENGTH(0), hop->rtnh_len - RTNH_LENGTH(0),
                               note_attr, &a);
        if (hop->rtnh_flags & RTNH_F_DEAD)
            continue;
        set_hop(im, r, &a, (uint32_t)hop->rtnh_ifindex);
        if (r->link != NET_NO_LINK)
            return;
    }
}

bool rtnl_read_route(const struct nlmsghdr *msg, const struct net_image *im, struct net_route *out)
{
    const struct rtmsg *body = mnl_nlmsg_get_payload(msg);
    struct attrs a = attrs_of(msg, sizeof *body), metrics = nest_of(a.at[RTA_METRICS]);
    int rank = table_rank(u32_of(a.at[RTA_TABLE], body->rtm_table));
    bool v4 = body->rtm_family == AF_INET;

    if (rank < 0 || body->rtm_type == RTN_THROW || body->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD))
        return false;
    *out = (struct net_route){
        .dst = a.at[RTA_DST] ? addr_of(a.at[RTA_DST]) : (v4 ? ip_addr_v4(0) : no_addr),
        .source = addr_of(a.at[RTA_PREFSRC]),
        .metric = u32_of(a.at[RTA_PRIORITY], 0),
        .mtu = u64_min(u32_of(metrics.at[RTAX_MTU], 0), UINT16_MAX),
        .prefix = (uint8_t)(body->rtm_dst_len + (v4 ? 96 : 0)),
        .link = NET_NO_LINK,
        .table = (uint8_t)rank,
    };
    set_kind(out, body->rtm_type);
    if (a.at[RTA_MULTIPATH])
        set_multipath(im, out, a.at[RTA_MULTIPATH]);
    else
        set_hop(im, out, &a, u32_of(a.at[RTA_OIF], 0));
    return true;
}

bool rtnl_read_neigh(const struct nlmsghdr *msg, const struct net_image *im, struct net_neigh *out)
{
    const uint16_t valid =
        NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
    const struct ndmsg *body = mnl_nlmsg_get_payload(msg);
    struct attrs a = attrs_of(msg, sizeof *body);

    *out = (struct net_neigh){
        .addr = addr_of(a.at[NDA_DST]),
        .link = link_of(im, (uint32_t)body->ndm_ifindex),
        .state = NET_NEIGH_UNKNOWN,
        .stale = !!(body->ndm_state & NUD_STALE),
    };
    if (out->link == NET_NO_LINK || body->ndm_flags & NTF_PROXY || ip_addr_is_any(&out->addr))
        return false;
    if (msg->nlmsg_type == RTM_DELNEIGH)
        return true;
    if (body->ndm_state & valid && mac_of(a.at[NDA_LLADDR], &out->mac))
        out->state = NET_NEIGH_KNOWN;
    else if (body->ndm_state & NUD_FAILED)
        out->state = NET_NEIGH_FAILED;
    return true;
}

// A rule for packets with a mark does not concern ours, which have none.
bool rtnl_rule_is_foreign(const struct nlmsghdr *msg)
{
    const struct fib_rule_hdr *body = mnl_nlmsg_get_payload(msg);
    struct attrs a = attrs_of(msg, sizeof *body);

    if (u32_of(a.at[FRA_FWMARK], 0) && !(body->flags & FIB_RULE_INVERT))
        return false;
    return body->action != FR_ACT_TO_TBL || a.at[FRA_L3MDEV] || body->flags & FIB_RULE_INVERT ||
           table_rank(u32_of(a.at[FRA_TABLE], body->table)) < 0;
}

int rtnl_use_neigh(struct mnl_socket *s, uint32_t ifindex, const struct ip_addr *addr)
{
    char buf[256];
    struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
    bool v4 = ip_addr_is_v4(addr);
    struct ndmsg *body;
    ssize_t n;

    msg->nlmsg_type = RTM_NEWNEIGH;
    msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
    msg->nlmsg_seq = (uint32_t)clock_now_ns();
    body = mnl_nlmsg_put_extra_header(msg, sizeof *body);
    body->ndm_family = v4 ? AF_INET : AF_INET6;
    body->ndm_ifindex = (int)ifindex;
    body->ndm_flags = NTF_USE;
    mnl_attr_put(msg, NDA_DST, v4 ? 4 : 16, addr->b + (v4 ? 12 : 0));
    if (mnl_socket_sendto(s, msg, msg->nlmsg_len) < 0)
        return -errno;
    n = mnl_socket_recvfrom(s, buf, sizeof buf);
    if (n < 0 ||
        mnl_cb_run(buf, (size_t)n, msg->nlmsg_seq, mnl_socket_get_portid(s), NULL, NULL) < 0)
        return -errno;
    return 0;
}
