// SPDX-License-Identifier: BSD-2-Clause
#include "net/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/siphash.h"
#include "base/sys.h"
#include "net/arena.h"
#include "wire/icmp.h"

#define BUCKETS    16384
#define REST_NS    (3 * NS_PER_S / 2) // longer than from one net_ports_run() to the next
#define REST_MANY  1024               // idle ports: from here on, who has rested is taken again
#define REST_LOOKS 16                 // at so many of them
#define RUN_OUT_NS NS_PER_S           // that the kernel has no port left is good for so long

// A port, or with a remote side a single connection that outlived its listener.
struct port {
    struct list idle; // in the list of those without a holder, else alone
    struct port *next;
    struct queue_flow flow;
    int fd; // the bound socket; -1: none is ours
    uint32_t holders;
    uint32_t seen;    // the pass in which the engine had a connection on it
    uint64_t rest_ns; // without a holder, and a connection that cannot give way, since then
};

struct net_ports {
    struct net *net;
    struct queue_owner *owner;
    struct list idle; // that rest longest first
    uint32_t pass, count, idle_count;
    uint64_t run_out_ns; // till then
    struct siphash_key key;
    struct port *bucket[BUCKETS];
};

static struct queue_flow flow_of(const struct tcp_tuple *t)
{
    struct queue_flow f = {.local_port = htons(t->local_port),
                           .remote_port = htons(t->remote_port)};

    memcpy(&f.local, t->local.b, 16);
    memcpy(&f.remote, t->remote.b, 16);
    return f;
}

static struct queue_flow flow_of_port(const struct ip_addr *addr, uint16_t port)
{
    struct tcp_tuple t = {.local = *addr, .local_port = port};

    return flow_of(&t);
}

static struct port **place_of(struct net_ports *p, const struct queue_flow *flow)
{
    struct port **at = &p->bucket[siphash13(&p->key, flow, sizeof *flow) % BUCKETS];

    while (*at && memcmp(&(*at)->flow, flow, sizeof *flow))
        at = &(*at)->next;
    return at;
}

static struct port *find(struct net_ports *p, const struct ip_addr *addr, uint16_t port)
{
    struct queue_flow flow = flow_of_port(addr, port);

    return *place_of(p, &flow);
}

static int steer(struct net_ports *p, const struct queue_flow *flow)
{
    int err = p->owner ? queue_flow_add(p->owner, flow) : 0;

    return err == -EEXIST ? 0 : err;
}

// Begins to rest, or does so anew.
static void rest(struct net_ports *p, struct port *e)
{
    p->idle_count += list_empty(&e->idle);
    list_del(&e->idle);
    list_add_tail(&p->idle, &e->idle);
    e->rest_ns = clock_now_ns();
}

static void wake(struct net_ports *p, struct port *e)
{
    p->idle_count -= !list_empty(&e->idle);
    list_del(&e->idle);
}

// The fd is taken over on success. holders 0: begins idle.
static int add(struct net_ports *p, const struct queue_flow *flow, int fd, uint32_t holders)
{
    struct port **at = place_of(p, flow), *e;

    if (*at)
        return -EADDRINUSE;
    e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    *e = (struct port){.flow = *flow, .fd = fd, .holders = holders, .seen = p->pass};
    list_init(&e->idle);
    if (!holders)
        rest(p, e);
    *at = e;
    p->count++;
    return 0;
}

static void drop(struct net_ports *p, struct port *e)
{
    struct port **at = place_of(p, &e->flow);

    *at = e->next;
    wake(p, e);
    if (p->owner)
        queue_flow_del(p->owner, &e->flow);
    if (e->fd >= 0)
        sys_close(e->fd);
    free(e);
    p->count--;
}

static int add_steered(struct net_ports *p, const struct queue_flow *flow, int fd, uint32_t holders)
{
    int err = add(p, flow, fd, holders);
    struct port *e = *place_of(p, flow);

    if (!err)
        err = steer(p, flow);
    else
        return err;
    if (err) {
        e->fd = -1; // stays the caller's
        drop(p, e);
    }
    return err;
}

static void hold(struct net_ports *p, struct port *e)
{
    wake(p, e);
    e->holders++;
}

// ---- the kernel's side ----

static socklen_t fill_sockaddr(struct sockaddr_storage *ss, const struct ip_addr *addr,
                               uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ss;

    memset(ss, 0, sizeof *ss);
    if (ip_addr_is_v4(addr)) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        v4->sin_addr.s_addr = addr->w[3];
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    memcpy(&v6->sin6_addr, addr->b, 16);
    return sizeof *v6;
}

static int bound_socket(struct net *n, const struct ip_addr *addr, uint16_t *port)
{
    struct sockaddr_storage ss;
    socklen_t len = fill_sockaddr(&ss, addr, *port);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), err;
    struct net_path path;

    if (fd < 0)
        return -errno;
    if (ss.ss_family == AF_INET6 && addr->b[0] == 0xfe && !net_path(n, addr, addr, &path))
        ((struct sockaddr_in6 *)(void *)&ss)->sin6_scope_id = path.ifindex; // link-local
    if (bind(fd, (struct sockaddr *)&ss, len) || getsockname(fd, (struct sockaddr *)&ss, &len)) {
        err = -errno;
        sys_close(fd);
        return err;
    }
    *port = ntohs(((struct sockaddr_in *)(void *)&ss)->sin_port); // the same place in both families
    return fd;
}

static int take_new(struct net_ports *p, const struct ip_addr *addr, uint16_t *port)
{
    uint16_t got = *port;
    int fd = bound_socket(p->net, addr, &got), err;
    struct queue_flow flow;

    if (fd < 0)
        return fd;
    flow = flow_of_port(addr, got);
    err = add_steered(p, &flow, fd, 1);
    if (err)
        sys_close(fd);
    else
        *port = got;
    return err;
}

static bool is_of(const struct port *e, const struct ip_addr *addr)
{
    return e->fd >= 0 && !memcmp(&e->flow.local, addr->b, 16);
}

// One that nobody holds, and that rests since then, looked for among the first ones.
static int take_idle(struct net_ports *p, const struct ip_addr *addr, uint64_t since_ns,
                     uint32_t looks, uint16_t *port)
{
    list_for_each (it, &p->idle) {
        struct port *e = list_entry(it, struct port, idle);

        if (!looks-- || e->rest_ns > since_ns)
            break;
        if (!is_of(e, addr))
            continue;
        hold(p, e);
        *port = ntohs(e->flow.local_port);
        return 0;
    }
    return -EADDRINUSE;
}

static int take_named(struct net_ports *p, const struct ip_addr *addr, uint16_t port)
{
    struct port *e = find(p, addr, port);

    if (!e)
        return take_new(p, addr, &port);
    if (e->holders || e->fd < 0)
        return -EADDRINUSE;
    hold(p, e);
    return 0;
}

// The kernel looks for a free port one by one: where half of them are taken that is milliseconds.
// So ports are few, and it is not asked again for a while when it has none.
static int take_any(struct net_ports *p, const struct ip_addr *addr, uint16_t *port)
{
    uint64_t now = clock_now_ns();
    int err = -EADDRINUSE;

    if (p->idle_count >= REST_MANY && !take_idle(p, addr, now - REST_NS, REST_LOOKS, port))
        return 0;
    if (now >= p->run_out_ns) {
        err = take_new(p, addr, port);
        if (err == -EADDRINUSE)
            p->run_out_ns = now + RUN_OUT_NS;
    }
    if ((err == -EADDRINUSE || err == -EMFILE || err == -ENOSPC) &&
        !take_idle(p, addr, CLOCK_NEVER, UINT32_MAX, port))
        return 0;
    return err;
}

int net_ports_take(struct net_ports *p, const struct ip_addr *addr, uint16_t *port)
{
    return *port ? take_named(p, addr, *port) : take_any(p, addr, port);
}

int net_ports_share(struct net_ports *p, const struct ip_addr *addr, uint16_t port)
{
    struct queue_flow flow = flow_of_port(addr, port);
    struct port *e = find(p, addr, port);

    if (!e)
        return add(p, &flow, -1, 1);
    if (e->fd >= 0)
        return -EADDRINUSE;
    hold(p, e);
    return 0;
}

int net_ports_steer(struct net_ports *p, const struct ip_addr *addr, uint16_t port)
{
    const struct port *e = find(p, addr, port);

    return e ? steer(p, &e->flow) : -ENOENT;
}

// May the listener of e have connections to local? The arena only says so: packets that this host
// forwards are not to be had by it.
static bool may_have(const struct net_ports *p, const struct port *e, const struct ip_addr *local)
{
    struct ip_addr bound;
    uint16_t port = 0;
    int fd;

    memcpy(bound.b, &e->flow.local, 16);
    if (!ip_addr_is_any(&bound))
        return ip_addr_equal(&bound, local);
    fd = bound_socket(p->net, local, &port);
    if (fd >= 0)
        sys_close(fd);
    return fd >= 0;
}

// The listener is gone. What came through it is steered by itself from now on.
static void keep_connections(struct net_ports *p, const struct port *e)
{
    uint16_t port = ntohs(e->flow.local_port);
    struct ip_addr good = {0};

    for (uint32_t i = 0; i < net_conn_count(p->net); i++) {
        const struct tcp_conn *c = tcp_conn_at(&p->net->ctx, i);
        struct ip_addr local;
        struct queue_flow flow;

        if (!c || c->tuple.local_port != port || !c->tuple.remote_port)
            continue;
        flow = flow_of(&c->tuple);
        memcpy(local.b, &flow.local, 16);
        if (!ip_addr_equal(&local, &good) && !may_have(p, e, &local))
            continue;
        good = local;
        add_steered(p, &flow, -1, 0);
    }
}

void net_ports_release(struct net_ports *p, const struct ip_addr *addr, uint16_t port)
{
    struct port *e = find(p, addr, port);

    if (!e || !e->holders || --e->holders)
        return;
    if (e->fd >= 0) {
        e->seen = p->pass; // it has a second, at least
        rest(p, e);
        return;
    }
    keep_connections(p, e);
    drop(p, e);
}

// ---- what is needed still ----

// What is in TIME-WAIT gives way to another connection of its tuple: see tcp_create().
static void mark(struct net_ports *p, const struct tcp_conn *c)
{
    const struct tcp_tuple *t = &c->tuple;
    struct queue_flow whole = flow_of(t), port = flow_of_port(&t->local, t->local_port);
    struct port *e = *place_of(p, &port);

    if (e)
        e->seen = p->pass;
    if (e && !list_empty(&e->idle) && (c->state != TCP_TIME_WAIT || !c->ts_ok))
        rest(p, e);
    e = *place_of(p, &whole);
    if (e)
        e->seen = p->pass;
}

void net_ports_run(struct net_ports *p)
{
    p->pass++;
    if (list_empty(&p->idle))
        return;
    for (uint32_t i = 0; i < net_conn_count(p->net); i++) {
        const struct tcp_conn *c = tcp_conn_at(&p->net->ctx, i);

        if (c && c->tuple.remote_port)
            mark(p, c);
    }
    list_for_each_safe (it, &p->idle) {
        struct port *e = list_entry(it, struct port, idle);

        if (p->pass - e->seen > 1)
            drop(p, e);
    }
}

bool net_ports_concerned(struct net_ports *p, const void *packet, uint32_t len)
{
    static const struct ip_addr any6;
    struct ip_addr any4 = ip_addr_v4(0);
    struct ip_header ip;
    struct icmp icmp;
    struct queue_flow whole;
    int at = ip_parse(packet, len, &ip);

    if (at < 0 || ip.fragment ||
        icmp_parse(&ip, (const uint8_t *)packet + at, ip.payload_bytes, &icmp))
        return false;
    whole = flow_of(&(struct tcp_tuple){icmp.src, icmp.dst, icmp.src_port, icmp.dst_port});
    return find(p, &icmp.src, icmp.src_port) ||
           find(p, ip_addr_is_v4(&icmp.src) ? &any4 : &any6, icmp.src_port) || *place_of(p, &whole);
}

uint32_t net_ports_count(const struct net_ports *p)
{
    return p->count;
}

int net_ports_new(struct net_ports **out, struct net *n, struct queue_owner *owner)
{
    struct net_ports *p = calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    p->net = n;
    p->owner = owner;
    list_init(&p->idle);
    if (getrandom(&p->key, sizeof p->key, 0) != sizeof p->key) {
        free(p);
        return -EIO;
    }
    *out = p;
    return 0;
}

void net_ports_free(struct net_ports *p)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        while (p->bucket[i])
            drop(p, p->bucket[i]);
    free(p);
}
