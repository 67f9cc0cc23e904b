// SPDX-License-Identifier: BSD-2-Clause
// Every change of links, addresses, routes or rules has the tables read anew as a whole: they
// change seldom, and the kernel's messages about single routes cannot be applied without its own
// code. Neighbours change often and are followed one by one.
#include "net/mirror.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "net/arena.h"
#include "net/rtnl.h"

#define REREAD_NS (10 * NS_PER_MS) // at least between two readings of everything
#define FRESH_NS  (5 * NS_PER_S)   // neighbours in use that have grown stale are proved so often
#define TRIES     5                // to read a table that changes meanwhile
#define SEEN_MAX  1024             // links of the namespace

struct net_mirror {
    struct net *net;
    uint32_t ifindex;
    struct mnl_socket *news, *ask;
    bool stale; // read everything anew
    bool gone;  // the interface is no more
    uint64_t read_ns, fresh_ns;
    uint32_t seen_count;
    struct rtnl_link seen[SEEN_MAX];
    struct net_image image;
};

// ---- reading everything ----

static int see_link(const struct nlmsghdr *msg, void *data)
{
    struct net_mirror *m = data;

    if (m->seen_count < SEEN_MAX && rtnl_read_link(msg, &m->seen[m->seen_count]))
        m->seen_count++;
    return MNL_CB_OK;
}

static int index_of(const struct net_image *im, uint32_t ifindex)
{
    for (uint32_t i = 0; i < im->links; i++)
        if (im->link[i].ifindex == ifindex)
            return (int)i;
    return -1;
}

static const struct rtnl_link *seen_link(const struct net_mirror *m, uint32_t ifindex)
{
    for (uint32_t i = 0; i < m->seen_count; i++)
        if (m->seen[i].ifindex == ifindex)
            return &m->seen[i];
    return NULL;
}

static bool add_link(struct net_image *im, const struct rtnl_link *l, uint16_t vlan)
{
    if (im->links == NET_LINKS || index_of(im, l->ifindex) >= 0)
        return false;
    im->link[im->links++] = (struct net_link){l->ifindex, l->mtu, vlan, l->mac, l->up};
    return true;
}

// Is l a bond over one of our links, or a VLAN on one? A VLAN within a VLAN is not ours: frames
// have one tag.
static bool belongs(const struct net_mirror *m, const struct rtnl_link *l, uint16_t *vlan)
{
    int lower = l->is_vlan && l->lower ? index_of(&m->image, l->lower) : -1;

    *vlan = l->vlan_id;
    if (lower >= 0)
        return !m->image.link[lower].vlan && l->vlan_id;
    *vlan = 0;
    if (!l->is_bond)
        return false;
    for (uint32_t i = 0; i < m->image.links; i++) {
        const struct rtnl_link *member = seen_link(m, m->image.link[i].ifindex);

        if (member && member->master == l->ifindex && !m->image.link[i].vlan)
            return true;
    }
    return false;
}

static int read_links(struct net_mirror *m)
{
    const struct rtnl_link *own;
    bool grew = true;
    uint16_t vlan;
    int err;

    m->seen_count = 0;
    err = rtnl_dump(m->ask, RTM_GETLINK, AF_UNSPEC, see_link, m);
    if (err)
        return err;
    own = seen_link(m, m->ifindex);
    m->image.links = 0;
    if (!own)
        return -ENODEV;
    add_link(&m->image, own, 0);
    while (grew) {
        grew = false;
        for (uint32_t i = 0; i < m->seen_count; i++)
            if (belongs(m, &m->seen[i], &vlan))
                grew |= add_link(&m->image, &m->seen[i], vlan);
    }
    return 0;
}

static int see_addr(const struct nlmsghdr *msg, void *data)
{
    struct net_image *im = data;

    if (im->addrs < NET_ADDRS && rtnl_read_addr(msg, im, &im->addr[im->addrs]))
        im->addrs++;
    return MNL_CB_OK;
}

static int see_route(const struct nlmsghdr *msg, void *data)
{
    struct net_image *im = data;
    struct net_route r;

    if (!rtnl_read_route(msg, im, &r))
        return MNL_CB_OK;
    if (im->routes == NET_ROUTES)
        im->rules = true;
    else
        im->route[im->routes++] = r;
    return MNL_CB_OK;
}

static int see_rule(const struct nlmsghdr *msg, void *data)
{
    struct net_image *im = data;

    im->rules |= rtnl_rule_is_foreign(msg);
    return MNL_CB_OK;
}

static void take_neigh(struct net_image *im, const struct net_neigh *n)
{
    struct net_neigh *at = im->neigh, *end = im->neigh + im->neighs;

    while (at < end && (at->link != n->link || !ip_addr_equal(&at->addr, &n->addr)))
        at++;
    if (n->state == NET_NEIGH_UNKNOWN) {
        if (at < end)
            *at = im->neigh[--im->neighs];
    } else if (at < end) {
        *at = *n;
    } else if (im->neighs < NET_NEIGHS) {
        im->neigh[im->neighs++] = *n;
    }
}

static int see_neigh(const struct nlmsghdr *msg, void *data)
{
    struct net_image *im = data;
    struct net_neigh n;

    if (rtnl_read_neigh(msg, im, &n))
        take_neigh(im, &n);
    return MNL_CB_OK;
}

static int read_rest(struct net_mirror *m)
{
    static const struct {
        uint16_t type;
        mnl_cb_t each;
    } rows[] = {{RTM_GETADDR, see_addr},
                {RTM_GETROUTE, see_route},
                {RTM_GETRULE, see_rule},
                {RTM_GETNEIGH, see_neigh}};
    static const uint8_t family[] = {AF_INET, AF_INET6};
    struct net_image *im = &m->image;
    int err = 0;

    im->addrs = im->routes = im->neighs = 0;
    im->rules = false;
    for (size_t i = 0; i < ARRAY_LEN(rows) && !err; i++)
        for (size_t f = 0; f < ARRAY_LEN(family) && !err; f++) {
            err = rtnl_dump(m->ask, rows[i].type, family[f], rows[i].each, im);
            if (err == -EOPNOTSUPP || err == -EAFNOSUPPORT) // no IPv6, no rules in this kernel
                err = 0;
        }
    return err;
}

static void publish(struct net_mirror *m, bool paths)
{
    net_image_sort(&m->image);
    net_tables_publish(&m->net->arena->tables, &m->image, paths);
    net_drive(m->net, clock_now_ns()); // what waits for an address can go now
}

static int read_all(struct net_mirror *m)
{
    int err = -EINTR;

    m->stale = false;
    for (int i = 0; i < TRIES && err == -EINTR; i++) {
        err = read_links(m);
        if (!err)
            err = read_rest(m);
    }
    m->read_ns = clock_now_ns();
    m->gone = err == -ENODEV;
    if (m->gone)
        m->image.links = m->image.addrs = m->image.routes = m->image.neighs = 0;
    if (err == -EINTR)
        m->stale = true;
    publish(m, true);
    return err;
}

// ---- following ----

// One of the kernel's messages. Returns true where the neighbours in the image have changed.
static bool follow(struct net_mirror *m, const struct nlmsghdr *msg)
{
    struct net_neigh n;

    if (msg->nlmsg_type != RTM_NEWNEIGH && msg->nlmsg_type != RTM_DELNEIGH) {
        m->stale = true;
        return false;
    }
    if (!rtnl_read_neigh(msg, &m->image, &n))
        return false;
    take_neigh(&m->image, &n);
    return true;
}

static void read_news(struct net_mirror *m)
{
    bool neighs = false;
    char buf[32768];
    ssize_t n;

    while ((n = mnl_socket_recvfrom(m->news, buf, sizeof buf)) > 0) {
        const struct nlmsghdr *msg = (const struct nlmsghdr *)(const void *)buf;
        int left = (int)n;

        for (; mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left))
            neighs |= follow(m, msg);
    }
    if (n < 0 && errno == ENOBUFS) // some were lost
        m->stale = true;
    if (neighs && !m->stale)
        publish(m, false);
}

// A neighbour that the kernel gave up on is asked for anew: until it fails again, it is unknown.
static void forget_failure(struct net_mirror *m, const struct net_want *w)
{
    struct net_image *im = &m->image;

    for (uint32_t i = 0; i < im->neighs; i++)
        if (im->neigh[i].state == NET_NEIGH_FAILED && ip_addr_equal(&im->neigh[i].addr, &w->addr)) {
            im->neigh[i] = im->neigh[--im->neighs];
            publish(m, false);
            return;
        }
}

static void serve_wants(struct net_mirror *m)
{
    struct net_tables *t = &m->net->arena->tables;
    uint32_t tail = atomic_load_explicit(&t->want_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&t->want_head, memory_order_acquire);

    if (head - tail > NET_WANTS)
        tail = head; // nonsense
    for (; tail != head; tail++) {
        struct net_want w = t->want[tail % NET_WANTS];

        if (index_of(&m->image, w.ifindex) < 0)
            continue;
        forget_failure(m, &w);
        rtnl_use_neigh(m->ask, w.ifindex, &w.addr);
    }
    atomic_store_explicit(&t->want_tail, tail, memory_order_release);
}

// The kernel does not see our packets, and so would never prove a neighbour that only we use.
static void keep_fresh(struct net_mirror *m)
{
    struct net_tables *t = &m->net->arena->tables;
    const struct net_image *im = &m->image;

    for (uint32_t i = 0; i < im->neighs; i++)
        if (atomic_exchange(&t->used[i], 0) && im->neigh[i].stale)
            rtnl_use_neigh(m->ask, im->link[im->neigh[i].link].ifindex, &im->neigh[i].addr);
}

void net_mirror_run(struct net_mirror *m, uint64_t now_ns)
{
    read_news(m);
    serve_wants(m);
    if (m->stale && now_ns - m->read_ns >= REREAD_NS)
        read_all(m);
    if (now_ns >= m->fresh_ns) {
        m->fresh_ns = now_ns + FRESH_NS;
        keep_fresh(m);
    }
}

uint64_t net_mirror_deadline(const struct net_mirror *m)
{
    return m->stale ? u64_min(m->fresh_ns, m->read_ns + REREAD_NS) : m->fresh_ns;
}

bool net_mirror_gone(const struct net_mirror *m)
{
    return m->gone;
}

int net_mirror_fd(const struct net_mirror *m)
{
    return mnl_socket_get_fd(m->news);
}

// ---- life ----

static int open_news(struct net_mirror *m)
{
    static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                 RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
                                 RTNLGRP_IPV6_RULE,  RTNLGRP_NEIGH};

    m->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!m->news || mnl_socket_bind(m->news, 0, MNL_SOCKET_AUTOPID))
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (mnl_socket_setsockopt(m->news, NETLINK_ADD_MEMBERSHIP, (void *)(uintptr_t)&groups[i],
                                  sizeof groups[i]))
            return -errno;
    return 0;
}

static int open_ask(struct net_mirror *m)
{
    const struct timeval patience = {.tv_sec = 1};

    m->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!m->ask || mnl_socket_bind(m->ask, 0, MNL_SOCKET_AUTOPID) ||
        setsockopt(mnl_socket_get_fd(m->ask), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        return -errno;
    return 0;
}

bool net_mirror_is_built(void)
{
    return true;
}

int net_mirror_open(struct net_mirror **out, struct net *n, uint32_t ifindex)
{
    struct net_mirror *m = ifindex ? calloc(1, sizeof *m) : NULL;
    int err;

    if (!m)
        return ifindex ? -ENOMEM : -ENODEV;
    m->net = n;
    m->ifindex = ifindex;
    err = open_news(m); // first: nothing may happen between reading and following
    if (!err)
        err = open_ask(m);
    if (!err)
        err = read_all(m);
    if (err && err != -EINTR) {
        net_mirror_close(m);
        return err;
    }
    *out = m;
    return 0;
}

void net_mirror_close(struct net_mirror *m)
{
    if (m->news)
        mnl_socket_close(m->news);
    if (m->ask)
        mnl_socket_close(m->ask);
    free(m);
}

static bool look_up(struct net_mirror *m, const struct ip_addr *remote, struct net_hop *hop,
                    int *err)
{
    static const struct ip_addr any;

    *err = net_tables_hop(&m->net->arena->tables, remote, &any, hop);
    return *err || hop->known;
}

int net_mirror_resolve(struct net_mirror *m, const struct ip_addr *remote, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = net_mirror_fd(m), .events = POLLIN};
    struct net_hop hop;
    uint64_t now_ns;
    int err;

    net_mirror_run(m, clock_now_ns());
    if (look_up(m, remote, &hop, &err))
        return err;
    forget_failure(m, &(struct net_want){hop.next_hop, hop.ifindex});
    err = rtnl_use_neigh(m->ask, hop.ifindex, &hop.next_hop);
    while (!err && (now_ns = clock_now_ns()) < deadline_ns) {
        poll(&p, 1, (int)u64_min((deadline_ns - now_ns) / NS_PER_MS + 1, INT32_MAX));
        net_mirror_run(m, clock_now_ns());
        if (look_up(m, remote, &hop, &err))
            return err;
        if (hop.failed)
            break;
    }
    return err ? err : -EHOSTUNREACH;
}
