// SPDX-License-Identifier: BSD-2-Clause
// The owner's side of AF_XDP: packet memory, sockets, rings, and the program that fills them.
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memfd.h"
#include "base/sys.h"
#include "base/util.h"
#include "queue/af_xdp.h"
#include "queue/xdp_attach.h"
#include "queue/xsk.h"

#define RX_CHUNKS_DEFAULT 4096
#define TX_CHUNKS_DEFAULT 2048
#define CHUNKS_MAX        (UINT32_C(1) << 18)
#define TX_BUDGET         256
#define BUSY_POLL_BUDGET  64
// A chunk without the room that the kernel leaves before a frame (XDP_PACKET_HEADROOM).
#define AF_XDP_RX_BYTES (AF_XDP_CHUNK_BYTES - 256)
#define HUGE_PAGE       (UINT64_C(2) << 20)
// A predecessor's socket lives until its rings are unmapped and its work is done.
#define BIND_WAIT_NS  NS_PER_S
#define BIND_PAUSE_NS (2 * NS_PER_MS)

struct xdp_owner {
    struct queue_owner owner;
    struct queue_shared *shared;
    uint8_t *packets;
    size_t packets_bytes;
    struct steer steer;
    struct xdp_attachment attachment;
    int alive_fd;
    uint16_t hw_first, sockets;
    uint16_t bind_flags; // of the first socket, as the kernel took them
    bool huge, busy_poll;
};

static struct xdp_owner *owner_of(struct queue_owner *owner)
{
    return (struct xdp_owner *)(void *)owner;
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 64;

    while (p < n && p < CHUNKS_MAX)
        p *= 2;
    return p;
}

static int desc_init(struct xdp_owner *x, const struct queue_options *o,
                     const struct device *device)
{
    struct queue_desc *desc = &x->owner.grant.desc;
    uint32_t left = device->rx_queues > o->hw_first ? device->rx_queues - o->hw_first : 0;
    uint32_t queues = o->hw_queues ? o->hw_queues : MIN(left, AF_XDP_QUEUES_MAX);

    *desc =
        (struct queue_desc){.magic = QUEUE_MAGIC, .door = QUEUE_AF_XDP, .ifindex = device->ifindex};
    x->hw_first = o->hw_first;
    desc->ring[AF_XDP_QUEUES] = queues;
    desc->ring[AF_XDP_RX_CHUNKS] = power_of_two(o->rx_slots ? o->rx_slots : RX_CHUNKS_DEFAULT);
    desc->ring[AF_XDP_TX_CHUNKS] = power_of_two(o->tx_slots ? o->tx_slots : TX_CHUNKS_DEFAULT);
    return queues && queues <= left && queues <= AF_XDP_QUEUES_MAX ? 0 : -EINVAL;
}

static int own_fd(struct xdp_owner *x, int fd)
{
    struct queue_grant *grant = &x->owner.grant;

    if (fd < 0)
        return -errno;
    grant->fd[grant->desc.fd_count++] = fd;
    return 0;
}

// ---- packet memory ----

// A memfd of n bytes, mapped; NULL where the flags or the machine's huge pages do not allow it.
static uint8_t *packets_map(unsigned flags, size_t bytes, int *fd)
{
    void *map = MAP_FAILED;

    *fd = memfd_create("shunt-packets", MFD_CLOEXEC | flags);
    if (*fd < 0)
        return NULL;
    if (!memfd_resize(*fd, bytes))
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (map == MAP_FAILED) {
        close(*fd);
        return NULL;
    }
    return map;
}

static int packets_init(struct xdp_owner *x)
{
    const struct queue_desc *desc = &x->owner.grant.desc;
    size_t bytes = desc->ring[AF_XDP_QUEUES] * af_xdp_packets_bytes(desc);
    int fd;

    x->packets_bytes = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    x->packets = packets_map(MFD_HUGETLB, x->packets_bytes, &fd);
    x->huge = x->packets != NULL;
    if (!x->packets) {
        x->packets_bytes = bytes;
        x->packets = packets_map(0, bytes, &fd);
    }
    return x->packets ? own_fd(x, fd) : -ENOMEM;
}

// ---- sockets ----

// Where the kernel can finish checksums, it must know how much lies before a frame. It refuses
// flags that it does not know.
static int umem_init(struct xdp_owner *x, int fd, unsigned lane)
{
    struct queue_desc *desc = &x->owner.grant.desc;
    struct xsk_umem umem = {
        .addr = (uintptr_t)(x->packets + lane * af_xdp_packets_bytes(desc)),
        .len = af_xdp_packets_bytes(desc),
        .chunk_size = AF_XDP_CHUNK_BYTES,
        .flags = XSK_UMEM_TX_META_LEN,
        .tx_metadata_len = AF_XDP_TX_META_BYTES,
    };

    if (!sys_setsockopt(fd, XSK_SOL, XDP_UMEM_REG, &umem, sizeof(umem))) {
        desc->ring[AF_XDP_FEATURES] |= AF_XDP_TX_META;
        return 0;
    }
    desc->ring[AF_XDP_FEATURES] &= ~(uint32_t)AF_XDP_TX_META;
    umem.flags = umem.tx_metadata_len = 0;
    // what Debian 12's kernel takes ends before tx_metadata_len
    return sys_setsockopt(fd, XSK_SOL, XDP_UMEM_REG, &umem,
                          offsetof(struct xsk_umem, tx_metadata_len));
}

static int rings_init(struct xdp_owner *x, int fd)
{
    const uint32_t *ring = x->owner.grant.desc.ring;
    int err;

    if ((err = sys_setsockopt_int(fd, XSK_SOL, XDP_UMEM_FILL_RING, (int)ring[AF_XDP_RX_CHUNKS])) ||
        (err = sys_setsockopt_int(fd, XSK_SOL, XDP_UMEM_COMPLETION_RING,
                                  (int)ring[AF_XDP_TX_CHUNKS])) ||
        (err = sys_setsockopt_int(fd, XSK_SOL, XDP_RX_RING, (int)ring[AF_XDP_RX_CHUNKS])))
        return err;
    return sys_setsockopt_int(fd, XSK_SOL, XDP_TX_RING, (int)ring[AF_XDP_TX_CHUNKS]);
}

static int bind_patiently(int fd, uint32_t ifindex, unsigned hw_queue, uint16_t flags)
{
    struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
                                   .sxdp_ifindex = ifindex,
                                   .sxdp_queue_id = hw_queue,
                                   .sxdp_flags = flags};
    uint64_t until = clock_now_ns() + BIND_WAIT_NS;

    while (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        if (errno != EBUSY || clock_now_ns() >= until)
            return -errno;
        nanosleep(&(struct timespec){.tv_nsec = BIND_PAUSE_NS}, NULL);
    }
    return 0;
}

// The best that driver and kernel take, tried in turn.
static int socket_bind(struct xdp_owner *x, int fd, unsigned lane, bool zero_copy)
{
    static const uint16_t kinds[] = {XDP_ZEROCOPY | XSK_USE_SG, XDP_ZEROCOPY, XDP_COPY | XSK_USE_SG,
                                     XDP_COPY};
    uint32_t ifindex = x->owner.grant.desc.ifindex;
    int err = -EOPNOTSUPP;

    for (unsigned i = zero_copy && !x->attachment.generic ? 0 : 2; err && i < ARRAY_LEN(kinds);
         i++) {
        x->bind_flags = kinds[i];
        err = bind_patiently(fd, ifindex, x->hw_first + lane, kinds[i] | XDP_USE_NEED_WAKEUP);
        if (err == -EBUSY || err == -ENODEV)
            break;
    }
    return err;
}

static void busy_poll_init(struct xdp_owner *x, int fd, uint32_t us)
{
    x->busy_poll = us && !sys_setsockopt_int(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, 1) &&
                   !sys_setsockopt_int(fd, SOL_SOCKET, SO_BUSY_POLL, (int)us) &&
                   !sys_setsockopt_int(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, BUSY_POLL_BUDGET);
}

// The kernel may have all chunks to receive into; the others are free to send from.
static int chunks_init(struct xdp_owner *x, int fd, unsigned lane)
{
    const struct queue_desc *desc = &x->owner.grant.desc;
    uint32_t rx = desc->ring[AF_XDP_RX_CHUNKS], tx = desc->ring[AF_XDP_TX_CHUNKS];
    struct af_xdp_lane *own =
        (struct af_xdp_lane *)(void *)queue_shared_at(x->shared, af_xdp_lane_at(desc, lane));
    struct xsk_rings rings;
    int err = xsk_map(&rings, fd, rx, tx);

    if (err)
        return err;
    for (uint32_t i = 0; i < rx; i++)
        rings.fill.addr[i] = (uint64_t)i * AF_XDP_CHUNK_BYTES;
    __atomic_store_n(rings.fill.producer, rx, __ATOMIC_RELEASE);
    xsk_unmap(&rings);
    for (uint32_t i = 0; i < tx; i++)
        own->free[i] = tx - 1 - i;
    own->free_count = tx;
    return 0;
}

static int socket_open(struct xdp_owner *x, unsigned lane)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), err = own_fd(x, fd);

    if (err)
        return err;
    x->sockets++;
    if ((err = umem_init(x, fd, lane)) || (err = rings_init(x, fd)))
        return err;
    sys_setsockopt_int(fd, XSK_SOL, XSK_MAX_TX_SKB_BUDGET, TX_BUDGET);
    return chunks_init(x, fd, lane);
}

static int sockets_open(struct xdp_owner *x)
{
    unsigned lanes = x->owner.grant.desc.ring[AF_XDP_QUEUES];
    int err = 0;

    if (lanes > 1)
        err = own_fd(x, epoll_create1(EPOLL_CLOEXEC));
    for (unsigned lane = 0; !err && lane < lanes; lane++)
        err = socket_open(x, lane);
    return err;
}

static const int *sockets_of(const struct xdp_owner *x)
{
    const struct queue_grant *grant = &x->owner.grant;

    return &grant->fd[grant->desc.fd_count - x->sockets];
}

static int map_set(const struct xdp_owner *x, const char *name, uint32_t key, int fd)
{
    uint32_t value = (uint32_t)fd;
    int map = bpf_object__find_map_fd_by_name(x->steer.object, name);

    return map < 0 ? -ENOENT : bpf_map_update_elem(map, &key, &value, BPF_ANY);
}

// A socket that is bound to nothing and passed to nobody: while it lives, the program takes frames.
static int alive_init(struct xdp_owner *x)
{
    int err;

    x->alive_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (x->alive_fd < 0)
        return -errno;
    err = sys_setsockopt_int(x->alive_fd, XSK_SOL, XDP_RX_RING, 64);
    return err ? err : map_set(x, "alive", 0, x->alive_fd);
}

static int sockets_bind(struct xdp_owner *x, const struct queue_options *o,
                        const struct device *device)
{
    const int *fds = sockets_of(x);
    int err = 0;

    for (unsigned i = 0; !err && i < x->sockets; i++) {
        struct epoll_event event = {.events = EPOLLIN};

        busy_poll_init(x, fds[i], o->busy_poll_us);
        err = socket_bind(x, fds[i], i, device->zero_copy);
        if (!err && x->sockets > 1 && epoll_ctl(fds[-1], EPOLL_CTL_ADD, fds[i], &event))
            err = -errno;
        if (!err)
            err = map_set(x, "sockets", x->hw_first + i, fds[i]);
    }
    return err ? err : alive_init(x);
}

// ---- all of it ----

static void caps_init(struct xdp_owner *x, const struct device *device)
{
    bool sg = x->bind_flags & XSK_USE_SG, zero_copy = x->bind_flags & XDP_ZEROCOPY;
    uint32_t mtu_frame = device->mtu_bytes + ETH_HLEN;
    struct queue_caps *caps = &x->shared->caps;

    *caps = (struct queue_caps){
        .mtu_bytes = device->mtu_bytes,
        .frame_max_bytes =
            sg ? MIN(AF_XDP_FRAME_CHUNKS * AF_XDP_TX_BYTES, QUEUE_SUPER_MAX) : AF_XDP_TX_BYTES,
        // a peer's TSO is off while we are in native mode
        .super_rx_bytes = !sg                     ? AF_XDP_RX_BYTES
                          : x->attachment.generic ? QUEUE_SUPER_MAX
                                                  : mtu_frame,
        .batch = 32,
        .hw_queues = x->sockets,
        .tx_csum = x->owner.grant.desc.ring[AF_XDP_FEATURES] & AF_XDP_TX_META,
        .zero_copy = zero_copy,
        .shareable = true,
    };
    snprintf(caps->why, sizeof(caps->why), "AF_XDP on %s (%s), %s mode, %s%s, %s%s, program %s",
             device->name, device->driver, x->attachment.generic ? "generic" : "native",
             zero_copy ? "zero copy" : "copied", sg ? ", multi-buffer" : "",
             x->huge ? "huge pages" : "4 KB pages", x->busy_poll ? ", busy poll" : "",
             x->attachment.how);
}

static int memory_init(struct xdp_owner *x)
{
    struct queue_grant *grant = &x->owner.grant;
    int fd,
        err = queue_shared_create(&x->shared, &fd, &grant->desc, af_xdp_shared_bytes(&grant->desc));

    if (err)
        return err;
    grant->fd[grant->desc.fd_count++] = fd;
    x->owner.caps = &x->shared->caps;
    err = packets_init(x);
    if (!err)
        err = sockets_open(x);
    // the features were not known when the memory was made
    memcpy(x->shared->ring, grant->desc.ring, sizeof(grant->desc.ring));
    return err;
}

static int xdp_init(struct xdp_owner *x, const struct queue_options *o, const struct device *device,
                    const char **step)
{
    bool native = o->native || strcmp(device->driver, "veth") != 0;
    int err = desc_init(x, o, device);

    *step = "find that many hardware queues";
    if (err)
        return err;
    *step = "make packet memory and sockets";
    if ((err = memory_init(x)))
        return err;
    *step = "load and attach the XDP program";
    if ((err = steer_init(&x->steer, steer_xdp(), o->flows_max)) ||
        (err = xdp_attach(&x->attachment, &x->steer, device->ifindex, native, o->direct)) ||
        (err = steer_ready(&x->steer)))
        return err;
    *step = "bind the sockets";
    err = sockets_bind(x, o, device);
    if (!err)
        caps_init(x, device);
    return err;
}

static void xdp_close(struct queue_owner *owner)
{
    struct xdp_owner *x = owner_of(owner);

    xdp_detach(&x->attachment);
    if (x->alive_fd >= 0)
        close(x->alive_fd);
    if (x->shared) {
        atomic_store(&x->shared->down, 1);
        queue_shared_unmap(x->shared, af_xdp_shared_bytes(&owner->grant.desc));
    }
    if (x->packets)
        munmap(x->packets, x->packets_bytes);
    steer_fini(&x->steer);
    queue_grant_close(&owner->grant);
    free(x);
}

static int xdp_open(struct queue_owner **owner, const struct queue_options *options, char *why,
                    size_t why_size)
{
    struct xdp_owner *x = calloc(1, sizeof(*x));
    const char *step = "find the device";
    struct device device;
    int err;

    if (!x)
        return -ENOMEM;
    x->owner.ops = &queue_af_xdp_owner;
    x->attachment.link_fd = x->attachment.lock_fd = x->alive_fd = -1;
    err = device_find(&device, options->device);
    if (!err)
        err = xdp_init(x, options, &device, &step);
    if (err) {
        snprintf(why, why_size, "af_xdp on %s: cannot %s: %s", options->device, step,
                 strerror(-err));
        xdp_close(&x->owner);
        return err;
    }
    *owner = &x->owner;
    return 0;
}

static int xdp_flow_add(struct queue_owner *owner, const struct queue_flow *flow)
{
    return steer_flow_add(&owner_of(owner)->steer, flow);
}

static int xdp_flow_del(struct queue_owner *owner, const struct queue_flow *flow)
{
    return steer_flow_del(&owner_of(owner)->steer, flow);
}

static void xdp_verdicts(struct queue_owner *owner, struct queue_verdicts *v)
{
    struct xdp_owner *x = owner_of(owner);
    const int *fds = sockets_of(x);

    steer_verdicts(&x->steer, v);
    for (unsigned i = 0; i < x->sockets; i++) {
        struct xdp_statistics stats = {0};
        socklen_t len = sizeof(stats);

        getsockopt(fds[i], XSK_SOL, XDP_STATISTICS, &stats, &len);
        v->overflow += stats.rx_dropped + stats.rx_ring_full + stats.rx_fill_ring_empty_descs;
    }
}

const struct queue_owner_ops queue_af_xdp_owner = {
    .door = QUEUE_AF_XDP,
    .open = xdp_open,
    .flow_add = xdp_flow_add,
    .flow_del = xdp_flow_del,
    .verdicts = xdp_verdicts,
    .close = xdp_close,
};
