// SPDX-License-Identifier: BSD-2-Clause
// The owner's side of AF_PACKET: the socket with its ring and filter, and the program on the
// device's ingress that keeps our frames from the kernel.
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/util.h"
#include "queue/af_packet.h"
#include "queue/device.h"
#include "queue/steer.h"
#include "queue/tc.h"

// Blocks are what the kernel allocates in one go, and fall back to vmalloc; a slot must lie in one.
#define BLOCK_BYTES   (UINT32_C(1) << 20)
#define SLOT_OVERHEAD 512 // tpacket2_hdr, sockaddr_ll, virtio-net header and their alignment
#define SLOTS_DEFAULT 240
// From this on (gso_max_size) the kernel would cut a super-frame up again.
#define SUPER_TX_BYTES 65535
#define SEND_BUF_BYTES (8 << 20)

struct packet_owner {
    struct queue_owner owner;
    struct queue_shared *shared;
    struct steer steer;
    struct tc tc;
    uint64_t overflow;
};

static struct packet_owner *owner_of(struct queue_owner *owner)
{
    return (struct packet_owner *)(void *)owner;
}

static void desc_init(struct queue_desc *desc, const struct queue_options *o,
                      const struct device *device)
{
    uint32_t slots = o->rx_slots ? o->rx_slots : SLOTS_DEFAULT;
    uint32_t frame = o->no_super ? device->mtu_bytes + ETH_HLEN : QUEUE_SUPER_MAX;
    uint32_t slot = TPACKET_ALIGN(MAX(frame, 2048u - SLOT_OVERHEAD) + SLOT_OVERHEAD);
    uint32_t per_block = BLOCK_BYTES / slot;

    *desc = (struct queue_desc){
        .magic = QUEUE_MAGIC, .door = QUEUE_AF_PACKET, .ifindex = device->ifindex};
    desc->ring[AF_PACKET_SLOT_BYTES] = slot;
    desc->ring[AF_PACKET_BLOCK_BYTES] = BLOCK_BYTES;
    desc->ring[AF_PACKET_BLOCKS] = (slots + per_block - 1) / per_block;
}

static int ring_init(int fd, const struct queue_desc *desc)
{
    uint32_t slot = desc->ring[AF_PACKET_SLOT_BYTES];
    struct tpacket_req req = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = desc->ring[AF_PACKET_BLOCKS],
        .tp_frame_size = slot,
        .tp_frame_nr = BLOCK_BYTES / slot * desc->ring[AF_PACKET_BLOCKS],
    };

    return sys_setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
}

// The filter is locked: an unprivileged driver cannot take it off and listen to others' frames.
static int filter_init(int fd, int program_fd)
{
    int err = sys_setsockopt_int(fd, SOL_SOCKET, SO_ATTACH_BPF, program_fd);

    return err ? err : sys_setsockopt_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

// A socket that is bound to ETH_P_IP sits behind tc and would see nothing; ETH_P_ALL sits before.
static int socket_bind(int fd, uint32_t ifindex)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)ifindex,
    };

    return bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
}

static int socket_init(struct packet_owner *p, int fd)
{
    const struct queue_desc *desc = &p->owner.grant.desc;
    int err;

    if ((err = sys_setsockopt_int(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2)) ||
        (err = sys_setsockopt_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) ||
        (err = sys_setsockopt_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) ||
        (err = ring_init(fd, desc)) ||
        (err = filter_init(fd, steer_program(&p->steer, "shunt_filter"))))
        return err;
    sys_setsockopt_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUF_BYTES);
    return socket_bind(fd, desc->ifindex);
}

static void caps_init(struct queue_caps *caps, const struct queue_options *o,
                      const struct device *device, bool tcx)
{
    uint32_t frame = device->mtu_bytes + ETH_HLEN;

    *caps = (struct queue_caps){
        .mtu_bytes = device->mtu_bytes,
        .frame_max_bytes = QUEUE_SUPER_MAX, // what the MTU allows is the kernel's to say
        .super_tx_bytes = o->no_super ? 0 : SUPER_TX_BYTES,
        .super_rx_bytes = o->no_super ? frame : QUEUE_SUPER_MAX,
        .batch = 16,
        .hw_queues = 1,
        .tx_csum = true,
        .rx_csum = true,
        .shareable = true,
    };
    snprintf(caps->why, sizeof(caps->why),
             "packet socket on %s (%s), %s, kept from the kernel by %s", device->name,
             device->driver, o->no_super ? "single segments" : "super-frames",
             tcx ? "tcx" : "clsact");
}

static int packet_init(struct packet_owner *p, const struct queue_options *o,
                       const struct device *device, const char **step)
{
    struct queue_grant *grant = &p->owner.grant;
    int err, fd;

    desc_init(&grant->desc, o, device);
    *step = "make the shared memory";
    err = queue_shared_create(&p->shared, &fd, &grant->desc, AF_PACKET_SHARED_BYTES);
    if (err)
        return err;
    grant->fd[grant->desc.fd_count++] = fd;
    p->owner.caps = &p->shared->caps;
    *step = "load the steering programs";
    err = steer_init(&p->steer, steer_packet(), o->flows_max);
    if (err || (err = bpf_object__load(p->steer.object)) || (err = steer_ready(&p->steer)))
        return err;
    *step = "open a packet socket";
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    grant->fd[grant->desc.fd_count++] = fd;
    *step = "set up the packet socket";
    err = socket_init(p, fd);
    if (err)
        return err;
    *step = "attach to the device's ingress";
    err = tc_attach(&p->tc, device->ifindex, &p->steer, o->direct);
    if (!err)
        caps_init(&p->shared->caps, o, device, p->tc.link_fd >= 0);
    return err;
}

static void packet_close(struct queue_owner *owner)
{
    struct packet_owner *p = owner_of(owner);

    tc_detach(&p->tc);
    if (p->shared) {
        atomic_store(&p->shared->down, 1);
        queue_shared_unmap(p->shared, AF_PACKET_SHARED_BYTES);
    }
    steer_fini(&p->steer);
    queue_grant_close(&owner->grant);
    free(p);
}

static int packet_open(struct queue_owner **owner, const struct queue_options *options, char *why,
                       size_t why_size)
{
    struct packet_owner *p = calloc(1, sizeof(*p));
    const char *step = "find the device";
    struct device device;
    int err;

    if (!p)
        return -ENOMEM;
    p->owner.ops = &queue_af_packet_owner;
    p->tc.link_fd = -1;
    err = device_find(&device, options->device);
    if (!err)
        err = packet_init(p, options, &device, &step);
    if (err) {
        snprintf(why, why_size, "af_packet on %s: cannot %s: %s", options->device, step,
                 strerror(-err));
        packet_close(&p->owner);
        return err;
    }
    *owner = &p->owner;
    return 0;
}

static int packet_flow_add(struct queue_owner *owner, const struct queue_flow *flow)
{
    return steer_flow_add(&owner_of(owner)->steer, flow);
}

static int packet_flow_del(struct queue_owner *owner, const struct queue_flow *flow)
{
    return steer_flow_del(&owner_of(owner)->steer, flow);
}

// The kernel's count of what the ring had no room for starts anew whenever it is read.
static void packet_verdicts(struct queue_owner *owner, struct queue_verdicts *v)
{
    struct packet_owner *p = owner_of(owner);
    struct tpacket_stats stats = {0};
    socklen_t len = sizeof(stats);

    steer_verdicts(&p->steer, v);
    getsockopt(owner->grant.fd[AF_PACKET_SOCKET], SOL_PACKET, PACKET_STATISTICS, &stats, &len);
    v->overflow = p->overflow += stats.tp_drops;
}

const struct queue_owner_ops queue_af_packet_owner = {
    .door = QUEUE_AF_PACKET,
    .open = packet_open,
    .flow_add = packet_flow_add,
    .flow_del = packet_flow_del,
    .verdicts = packet_verdicts,
    .close = packet_close,
};
