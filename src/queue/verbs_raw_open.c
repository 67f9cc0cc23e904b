// SPDX-License-Identifier: BSD-2-Clause
// The owner's side of raw packets by verbs: device, queue pair, memory, and a rule in the NIC a
// flow.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "queue/device.h"
#include "queue/shared.h"
#include "queue/verbs_raw.h"

#define FRAME_MOST 9216 // what NICs take
#define FLOWS_MAX  65536
#define BUCKETS    4096 // a power of two

// A rule that the NIC has.
struct rule {
    struct rule *next;
    struct queue_flow flow;
    struct ibv_flow *handle;
};

struct verbs_owner {
    struct queue_owner owner;
    struct verbs_port *port;
    struct rule *rules[BUCKETS];
    uint32_t rule_count, flows_max;
    uint8_t device_port;
};

// Ethernet, IP, TCP: the specifications of a rule follow its head.
struct rule_attr {
    struct ibv_flow_attr head;
    struct ibv_flow_spec_eth ether;
    union {
        struct {
            struct ibv_flow_spec_ipv4 ip;
            struct ibv_flow_spec_tcp_udp tcp;
        } v4;
        struct {
            struct ibv_flow_spec_ipv6 ip;
            struct ibv_flow_spec_tcp_udp tcp;
        } v6;
    };
};

_Static_assert(offsetof(struct rule_attr, v6.tcp) == sizeof(struct ibv_flow_attr) +
                                                         sizeof(struct ibv_flow_spec_eth) +
                                                         sizeof(struct ibv_flow_spec_ipv6),
               "no holes between the specifications");

static struct verbs_owner *owner_of(struct queue_owner *owner)
{
    return (struct verbs_owner *)(void *)owner;
}

// ---- rules ----

static struct ibv_flow_spec_tcp_udp tcp_spec(const struct queue_flow *flow)
{
    return (struct ibv_flow_spec_tcp_udp){
        .type = IBV_FLOW_SPEC_TCP,
        .size = sizeof(struct ibv_flow_spec_tcp_udp),
        .val = {.dst_port = flow->local_port, .src_port = flow->remote_port},
        .mask = {.dst_port = 0xffff, .src_port = flow->remote_port ? 0xffff : 0},
    };
}

static uint32_t v4_of(const struct in6_addr *address)
{
    uint32_t v4;

    memcpy(&v4, &address->s6_addr[12], sizeof(v4));
    return v4;
}

static void v4_spec(struct rule_attr *a, const struct queue_flow *flow)
{
    uint32_t local = v4_of(&flow->local), remote = v4_of(&flow->remote);

    a->v4.ip = (struct ibv_flow_spec_ipv4){
        .type = IBV_FLOW_SPEC_IPV4,
        .size = sizeof(a->v4.ip),
        .val = {.dst_ip = local, .src_ip = remote},
        .mask = {.dst_ip = local ? UINT32_MAX : 0, .src_ip = remote ? UINT32_MAX : 0},
    };
    a->v4.tcp = tcp_spec(flow);
}

static void v6_spec(struct rule_attr *a, const struct queue_flow *flow)
{
    struct ibv_flow_spec_ipv6 ip = {.type = IBV_FLOW_SPEC_IPV6, .size = sizeof(ip)};

    memcpy(ip.val.dst_ip, &flow->local, 16);
    memcpy(ip.val.src_ip, &flow->remote, 16);
    if (!IN6_IS_ADDR_UNSPECIFIED(&flow->local))
        memset(ip.mask.dst_ip, 0xff, 16);
    if (!IN6_IS_ADDR_UNSPECIFIED(&flow->remote))
        memset(ip.mask.src_ip, 0xff, 16);
    a->v6.ip = ip;
    a->v6.tcp = tcp_spec(flow);
}

// An exact flow goes before a listening port, and that before one on any address.
static uint16_t priority_of(const struct queue_flow *flow, bool any_local)
{
    return flow->remote_port ? 0 : any_local ? 2 : 1;
}

static void rule_attr_init(struct rule_attr *a, const struct queue_flow *flow, uint8_t port)
{
    bool v4 = IN6_IS_ADDR_V4MAPPED(&flow->local);
    bool any = v4 ? !v4_of(&flow->local) : IN6_IS_ADDR_UNSPECIFIED(&flow->local);

    *a = (struct rule_attr){
        .head = {.type = IBV_FLOW_ATTR_NORMAL,
                 .priority = priority_of(flow, any),
                 .num_of_specs = 3,
                 .port = port},
        .ether = {.type = IBV_FLOW_SPEC_ETH,
                  .size = sizeof(a->ether),
                  .val.ether_type = htons(v4 ? ETH_P_IP : ETH_P_IPV6),
                  .mask.ether_type = 0xffff},
    };
    a->head.size =
        (uint16_t)(offsetof(struct rule_attr, v4) + (v4 ? sizeof(a->v4) : sizeof(a->v6)));
    if (v4)
        v4_spec(a, flow);
    else
        v6_spec(a, flow);
}

static struct rule **rule_find(struct verbs_owner *o, const struct queue_flow *flow)
{
    uint32_t hash = v4_of(&flow->remote) ^ v4_of(&flow->local);
    struct rule **at;

    hash = (hash ^ (uint32_t)flow->remote_port << 16 ^ flow->local_port) * UINT32_C(2654435761);
    at = &o->rules[hash >> 16 & (BUCKETS - 1)];
    while (*at && memcmp(&(*at)->flow, flow, sizeof(*flow)))
        at = &(*at)->next;
    return at;
}

static int verbs_flow_add(struct queue_owner *owner, const struct queue_flow *flow)
{
    struct verbs_owner *o = owner_of(owner);
    struct rule_attr attr;
    struct rule *rule, **at;

    if (!flow->local_port || (!flow->remote_port && !IN6_IS_ADDR_UNSPECIFIED(&flow->remote)))
        return -EINVAL;
    at = rule_find(o, flow); // the end of its bucket
    if (*at)
        return -EEXIST;
    if (o->rule_count >= o->flows_max)
        return -ENOSPC;
    rule = calloc(1, sizeof(*rule));
    if (!rule)
        return -ENOMEM;
    rule_attr_init(&attr, flow, o->device_port);
    rule->flow = *flow;
    rule->handle = o->port->calls->create_flow(o->port->qp, &attr.head);
    if (!rule->handle) {
        int err = errno;

        free(rule);
        return err == ENOMEM ? -ENOSPC : -err;
    }
    *at = rule;
    o->rule_count++;
    return 0;
}

static void rule_drop(struct verbs_owner *o, struct rule **at)
{
    struct rule *rule = *at;

    *at = rule->next;
    o->rule_count--;
    o->port->calls->destroy_flow(rule->handle);
    free(rule);
}

static int verbs_flow_del(struct queue_owner *owner, const struct queue_flow *flow)
{
    struct verbs_owner *o = owner_of(owner);
    struct rule **at = rule_find(o, flow);

    if (!*at)
        return -ENOENT;
    rule_drop(o, at);
    return 0;
}

// ---- open ----

static struct ibv_qp *qp_create(struct verbs_port *p)
{
    struct ibv_qp_init_attr attr = {
        .send_cq = p->tx_cq,
        .recv_cq = p->rx_cq,
        .cap = {.max_send_wr = VERBS_TX_SLOTS,
                .max_recv_wr = VERBS_RX_SLOTS,
                .max_send_sge = 1,
                .max_recv_sge = 1},
        .qp_type = IBV_QPT_RAW_PACKET,
    };

    return p->calls->create_qp(p->pd, &attr);
}

static int qp_start(struct verbs_port *p, uint8_t port)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = port};
    int err = p->calls->modify_qp(p->qp, &attr, IBV_QP_STATE | IBV_QP_PORT);

    for (enum ibv_qp_state state = IBV_QPS_RTR; !err && state <= IBV_QPS_RTS; state++) {
        attr.qp_state = state;
        err = p->calls->modify_qp(p->qp, &attr, IBV_QP_STATE);
    }
    return -err;
}

static int objects_init(struct verbs_port *p)
{
    const struct verbs_calls *calls = p->calls;
    void *memory = mmap(NULL, verbs_memory_bytes(p), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    p->memory = memory;
    if (!(p->pd = calls->alloc_pd(p->context)) ||
        !(p->mr = calls->reg_mr(p->pd, memory, verbs_memory_bytes(p), IBV_ACCESS_LOCAL_WRITE)) ||
        !(p->channel = calls->create_comp_channel(p->context)) ||
        !(p->rx_cq = calls->create_cq(p->context, VERBS_RX_SLOTS, NULL, p->channel, 0)) ||
        !(p->tx_cq = calls->create_cq(p->context, VERBS_TX_SLOTS, NULL, NULL, 0)) ||
        !(p->qp = qp_create(p)))
        return errno ? -errno : -ENOMEM;
    // for arm(), which takes what events there are
    return fcntl(p->channel->fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

static int slots_post(struct verbs_port *p)
{
    int err = 0;

    for (uint32_t slot = 0; !err && slot < VERBS_RX_SLOTS; slot++)
        err = verbs_post_slots(p, &slot, 1);
    return err;
}

static void caps_init(struct queue_caps *caps, const struct device *device, bool csum)
{
    uint32_t frame = MIN(device->mtu_bytes, FRAME_MOST) + ETH_HLEN;

    *caps = (struct queue_caps){
        .mtu_bytes = device->mtu_bytes,
        .frame_max_bytes = frame,
        .super_rx_bytes = frame,
        .batch = 32,
        .hw_queues = 1,
        .tx_csum = csum,
        .rx_csum = csum,
        .zero_copy = true,
    };
    snprintf(caps->why, sizeof(caps->why),
             "raw packets by verbs on %s (%s), rules in the NIC, checksums by %s", device->name,
             device->driver, csum ? "the NIC" : "us");
}

static int port_init(struct verbs_owner *o, const struct device *device, const char **step)
{
    struct verbs_port *p = o->port;
    struct queue_grant *grant = &o->owner.grant;
    int fd, err;

    grant->desc = (struct queue_desc){.magic = QUEUE_MAGIC,
                                      .door = QUEUE_VERBS_RAW,
                                      .ifindex = device->ifindex,
                                      .own = {(uintptr_t)p, (uint64_t)getpid()}};
    err = queue_shared_create(&p->shared, &fd, &grant->desc, QUEUE_PAGE);
    if (err)
        return err;
    grant->fd[grant->desc.fd_count++] = fd;
    o->owner.caps = &p->shared->caps;
    *step = "find a verbs device behind it";
    err = p->calls->open(device->name, &p->context, &o->device_port);
    if (err)
        return err;
    caps_init(&p->shared->caps, device, p->calls->has_csum(p->context));
    p->slot_bytes = (p->shared->caps.frame_max_bytes + 63) & ~UINT32_C(63);
    *step = "make a raw packet queue pair";
    if ((err = objects_init(p)) || (err = qp_start(p, o->device_port)))
        return err;
    return slots_post(p);
}

static void verbs_close(struct queue_owner *owner)
{
    struct verbs_owner *o = owner_of(owner);

    for (unsigned i = 0; i < BUCKETS; i++)
        while (o->rules[i])
            rule_drop(o, &o->rules[i]);
    if (o->port->shared)
        atomic_store(&o->port->shared->down, 1);
    verbs_port_put(o->port);
    queue_grant_close(&owner->grant);
    free(o);
}

static int verbs_open(struct queue_owner **owner, const struct queue_options *options, char *why,
                      size_t why_size)
{
    struct verbs_owner *o = calloc(1, sizeof(*o));
    struct verbs_port *p = calloc(1, sizeof(*p));
    const char *step = "find the device";
    struct device device;
    int err;

    if (!o || !p) {
        free(o);
        free(p);
        return -ENOMEM;
    }
    o->owner.ops = &queue_verbs_raw_owner;
    o->port = p;
    o->flows_max = options->flows_max ? options->flows_max : FLOWS_MAX;
    p->calls = verbs_raw_calls;
    p->users = 1;
    verbs_port_add(p);
    err = device_find(&device, options->device);
    if (!err)
        err = port_init(o, &device, &step);
    if (err) {
        snprintf(why, why_size, "verbs_raw on %s: cannot %s: %s", options->device, step,
                 strerror(-err));
        verbs_close(&o->owner);
        return err;
    }
    *owner = &o->owner;
    return 0;
}

// The NIC does not tell what it left to the kernel.
static void verbs_verdicts(struct queue_owner *owner, struct queue_verdicts *v)
{
    *v = (struct queue_verdicts){.taken = owner_of(owner)->port->came_head};
}

const struct queue_owner_ops queue_verbs_raw_owner = {
    .door = QUEUE_VERBS_RAW,
    .open = verbs_open,
    .flow_add = verbs_flow_add,
    .flow_del = verbs_flow_del,
    .verdicts = verbs_verdicts,
    .close = verbs_close,
};
