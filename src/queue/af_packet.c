// SPDX-License-Identifier: BSD-2-Clause
// The driving side of AF_PACKET. No privilege, no library.
#include "queue/af_packet.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/space.h"
#include "base/sys.h"
#include "base/util.h"

// A frame between tx() and kick(): the head is ours, the payload still the caller's.
struct pending {
    struct virtio_net_hdr vnet;
    uint8_t head[QUEUE_HEAD_MAX];
    struct iovec iov[2 + QUEUE_OUT_MAX]; // vnet, head, payload
};

struct af_packet {
    struct queue q;
    struct queue_shared *shared;
    struct af_packet_shared *own;
    uint8_t *ring;
    uint32_t slots, slots_per_block;
    unsigned waiting; // of pending[]
    struct queue_grant grant;
    struct mmsghdr messages[AF_PACKET_BATCH];
    struct pending pending[AF_PACKET_BATCH];
};

static struct af_packet *door_of(struct queue *q)
{
    return (struct af_packet *)(void *)q;
}

static size_t ring_bytes(const struct queue_desc *desc)
{
    return (size_t)desc->ring[AF_PACKET_BLOCK_BYTES] * desc->ring[AF_PACKET_BLOCKS];
}

static bool desc_fits(const struct queue_desc *desc)
{
    uint32_t slot = desc->ring[AF_PACKET_SLOT_BYTES], block = desc->ring[AF_PACKET_BLOCK_BYTES];

    return desc->fd_count == AF_PACKET_FDS && slot >= 2048 && block >= slot &&
           block <= (UINT32_C(1) << 24) && desc->ring[AF_PACKET_BLOCKS] &&
           desc->ring[AF_PACKET_BLOCKS] <= (UINT32_C(1) << 16);
}

// Anything else could be mapped, too, and end in SIGBUS.
static bool is_packet_socket(int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);

    return sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_PACKET;
}

static int af_packet_map(struct af_packet *p)
{
    void *ring;
    int err = queue_shared_map(&p->shared, p->grant.fd[AF_PACKET_MEMORY], &p->grant.desc,
                               AF_PACKET_SHARED_BYTES);

    if (err)
        return err;
    // the kernel refuses any length but the ring's own
    ring = space_map(ring_bytes(&p->grant.desc), PROT_READ | PROT_WRITE, MAP_SHARED,
                     p->grant.fd[AF_PACKET_SOCKET], 0);
    if (!ring) {
        queue_shared_unmap(p->shared, AF_PACKET_SHARED_BYTES);
        return errno == EINVAL ? -EPROTO : -ENOMEM;
    }
    p->ring = ring;
    return 0;
}

static void messages_init(struct af_packet *p)
{
    for (unsigned i = 0; i < AF_PACKET_BATCH; i++) {
        p->messages[i].msg_hdr.msg_iov = p->pending[i].iov;
        p->pending[i].iov[0] = (struct iovec){&p->pending[i].vnet, sizeof(struct virtio_net_hdr)};
    }
}

static int af_packet_attach(struct queue **q, const struct queue_grant *grant)
{
    const struct queue_desc *desc = &grant->desc;
    struct af_packet *p;
    int err;

    if (!desc_fits(desc) || !is_packet_socket(grant->fd[AF_PACKET_SOCKET]))
        return -EPROTO;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->grant = *grant;
    err = af_packet_map(p);
    if (err) {
        free(p);
        return err;
    }
    p->own = (struct af_packet_shared *)(void *)queue_shared_at(p->shared, QUEUE_PAGE);
    p->slots_per_block = desc->ring[AF_PACKET_BLOCK_BYTES] / desc->ring[AF_PACKET_SLOT_BYTES];
    p->slots = p->slots_per_block * desc->ring[AF_PACKET_BLOCKS];
    messages_init(p);
    p->q = (struct queue){&queue_af_packet, &p->shared->caps, &p->shared->counters};
    *q = &p->q;
    return 0;
}

static void af_packet_detach(struct queue *q)
{
    struct af_packet *p = door_of(q);

    space_unmap(p->ring, ring_bytes(&p->grant.desc));
    queue_shared_unmap(p->shared, AF_PACKET_SHARED_BYTES);
    queue_grant_close(&p->grant);
    free(p);
}

// ---- receive ----

static struct tpacket2_hdr *slot_at(const struct af_packet *p, uint32_t i)
{
    const uint32_t *ring = p->grant.desc.ring;

    return (struct tpacket2_hdr *)(void *)(p->ring +
                                           (size_t)(i / p->slots_per_block) *
                                               ring[AF_PACKET_BLOCK_BYTES] +
                                           i % p->slots_per_block * ring[AF_PACKET_SLOT_BYTES]);
}

static uint32_t slot_after(const struct af_packet *p, uint32_t i)
{
    return i + 1 < p->slots ? i + 1 : 0;
}

// The slot to look at first, whatever the memory says.
static uint32_t rx_next(const struct af_packet *p)
{
    return p->own->rx_next < p->slots ? p->own->rx_next : 0;
}

static uint8_t flags_of(uint32_t status, const struct virtio_net_hdr *vnet)
{
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || status & TP_STATUS_CSUMNOTREADY)
        return QUEUE_CSUM_UNFINISHED;
    if (vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID || status & TP_STATUS_CSUM_VALID)
        return QUEUE_CSUM_GOOD;
    return 0;
}

static uint8_t gso_of(uint8_t type)
{
    switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return QUEUE_GSO_TCP4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return QUEUE_GSO_TCP6;
    default:
        return QUEUE_GSO_NONE;
    }
}

// A frame that did not fit its slot, or a slot with nonsense in it, is seen as an empty frame.
static void view(struct af_packet *p, struct queue_frame *frame, uint32_t i, uint32_t status)
{
    struct tpacket2_hdr *slot = slot_at(p, i);
    uint32_t mac = slot->tp_mac, len = slot->tp_snaplen;
    const struct virtio_net_hdr *vnet;

    if (len < slot->tp_len || mac < sizeof(*slot) + sizeof(*vnet) ||
        (uint64_t)mac + len > p->grant.desc.ring[AF_PACKET_SLOT_BYTES]) {
        *frame = (struct queue_frame){.head = {p->ring, 0}, .pieces = 1, .at = i};
        p->q.counters->rx_bad++;
        return;
    }
    vnet =
        (const struct virtio_net_hdr *)(const void *)((const uint8_t *)slot + mac - sizeof(*vnet));
    *frame = (struct queue_frame){
        .head = {(const uint8_t *)slot + mac, len},
        .len_bytes = len,
        .pieces = 1,
        .gso_size = vnet->gso_size,
        .gso = gso_of(vnet->gso_type),
        .flags = flags_of(status, vnet),
        .at = i,
    };
}

static uint32_t status_of(struct tpacket2_hdr *slot)
{
    return __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
}

static int af_packet_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    struct af_packet *p = door_of(q);
    uint32_t i = rx_next(p), status;
    int n;

    for (n = 0; n < max; n++, i = slot_after(p, i)) {
        status = status_of(slot_at(p, i));
        if (!(status & TP_STATUS_USER) || (n && (uint32_t)n >= p->slots))
            break;
        view(p, &frames[n], i, status);
    }
    return n || !queue_shared_down(p->shared) ? n : -ENETDOWN;
}

static struct queue_piece af_packet_piece(const struct queue *q, const struct queue_frame *frame,
                                          unsigned i)
{
    return (struct queue_piece){frame->head.data, 0};
}

static void af_packet_release(struct queue *q, int n)
{
    struct af_packet *p = door_of(q);
    uint32_t i = rx_next(p);

    q->counters->rx_frames += (uint64_t)n;
    for (; n > 0; n--, i = slot_after(p, i)) {
        struct tpacket2_hdr *slot = slot_at(p, i);

        q->counters->rx_bytes += slot->tp_snaplen;
        __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
    p->own->rx_next = i;
}

// ---- send ----

static void vnet_init(struct virtio_net_hdr *vnet, const struct queue_out *out)
{
    *vnet = (struct virtio_net_hdr){.hdr_len = out->head_bytes};
    if (out->csum_start) {
        vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        vnet->csum_start = out->csum_start;
        vnet->csum_offset = out->csum_offset;
    }
    if (out->gso) {
        vnet->gso_type =
            out->gso == QUEUE_GSO_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
        vnet->gso_size = out->gso_size;
    }
}

static int af_packet_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct af_packet *p = door_of(q);
    int len = queue_out_bytes(out, q->caps);
    struct pending *frame;

    if (len < 0)
        return len;
    if (p->waiting == AF_PACKET_BATCH)
        q->ops->kick(q, now_ns);
    if (p->waiting == AF_PACKET_BATCH || p->own->kept_end) {
        q->counters->tx_full++;
        return -EAGAIN;
    }
    frame = &p->pending[p->waiting];
    vnet_init(&frame->vnet, out);
    memcpy(frame->head, out->head, out->head_bytes);
    frame->iov[1] = (struct iovec){frame->head, out->head_bytes};
    memcpy(&frame->iov[2], out->payload, out->payload_count * sizeof(struct iovec));
    p->messages[p->waiting++].msg_hdr.msg_iovlen = 2u + out->payload_count;
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    return 0;
}

// What is left when the kernel wanted no more is copied, since its payload is not ours for longer.
static void keep(struct af_packet *p, unsigned from)
{
    for (unsigned i = from; i < p->waiting; i++) {
        struct af_packet_kept *kept = &p->own->kept[i - from];
        const struct msghdr *message = &p->messages[i].msg_hdr;

        kept->bytes = 0;
        for (size_t k = 0; k < message->msg_iovlen; k++) {
            memcpy(kept->data + kept->bytes, message->msg_iov[k].iov_base,
                   message->msg_iov[k].iov_len);
            kept->bytes += (uint32_t)message->msg_iov[k].iov_len;
        }
    }
    p->own->kept_end = p->waiting - from;
}

// What sending says: more to be done (1), nothing goes now (-EAGAIN), the device is away
// (-ENETDOWN, -ENXIO). Anything else is about one frame, which is lost as it might be on a wire.
static int send_error(struct af_packet *p, long err)
{
    if (err == -EAGAIN || err == -ENETDOWN || err == -ENXIO)
        return (int)err;
    if (err != -EINTR)
        p->q.counters->tx_dropped++;
    return err != -EINTR;
}

// Sends kept frames from kept_from on. 0: none is left.
static int send_kept(struct af_packet *p)
{
    struct af_packet_shared *own = p->own;
    int err;

    for (; own->kept_from < own->kept_end && own->kept_from < AF_PACKET_BATCH;) {
        const struct af_packet_kept *kept = &own->kept[own->kept_from];
        long sent =
            sys_call(SYS_sendto, p->grant.fd[AF_PACKET_SOCKET], kept->data,
                     MIN(kept->bytes, sizeof(kept->data)), MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);

        err = sent >= 0 ? 1 : send_error(p, sent);
        if (err < 0)
            return err;
        own->kept_from += (uint32_t)err;
        p->q.counters->tx_kicks++;
    }
    own->kept_from = own->kept_end = 0;
    return 0;
}

// Sends pending frames; *from counts those that are done with.
static int send_pending(struct af_packet *p, unsigned *from)
{
    int fd = p->grant.fd[AF_PACKET_SOCKET], err;

    while (*from < p->waiting) {
        unsigned left = p->waiting - *from;
        long sent = left == 1 ? sys_call(SYS_sendmsg, fd, &p->messages[*from].msg_hdr,
                                         MSG_DONTWAIT | MSG_NOSIGNAL)
                              : sys_call(SYS_sendmmsg, fd, &p->messages[*from], left,
                                         MSG_DONTWAIT | MSG_NOSIGNAL);

        p->q.counters->tx_kicks++;
        err = sent < 0 ? send_error(p, sent) : left == 1 ? 1 : (int)sent;
        if (err < 0)
            return err;
        *from += (unsigned)err;
    }
    return 0;
}

static int af_packet_kick(struct queue *q, uint64_t now_ns)
{
    struct af_packet *p = door_of(q);
    unsigned from = 0;
    int err;

    if (likely(!p->waiting && !p->own->kept_end))
        return queue_shared_down(p->shared) ? -ENETDOWN : 0;
    err = p->own->kept_end ? send_kept(p) : 0;
    if (!err)
        err = send_pending(p, &from);
    if (err == -EAGAIN && p->waiting > from && !p->own->kept_end)
        keep(p, from);
    else
        q->counters->tx_dropped += p->waiting - from;
    p->waiting = 0;
    return err == -EAGAIN ? 0 : err;
}

// ---- waiting ----

static int af_packet_wait_fd(const struct queue *q)
{
    return ((const struct af_packet *)(const void *)q)->grant.fd[AF_PACKET_SOCKET];
}

// A link that went down leaves an error on the socket, which poll() shows until it is read.
static int af_packet_arm(struct queue *q)
{
    struct af_packet *p = door_of(q);
    int err = 0;
    socklen_t len = sizeof(err);

    sys_getsockopt(p->grant.fd[AF_PACKET_SOCKET], SOL_SOCKET, SO_ERROR, &err, &len);
    return queue_shared_down(p->shared) ? -ENETDOWN : 0;
}

static uint64_t af_packet_deadline(const struct queue *q)
{
    return CLOCK_NEVER;
}

const struct queue_ops queue_af_packet = {
    .name = "af_packet",
    .attach = af_packet_attach,
    .detach = af_packet_detach,
    .rx = af_packet_rx,
    .piece = af_packet_piece,
    .release = af_packet_release,
    .tx = af_packet_tx,
    .kick = af_packet_kick,
    .wait_fd = af_packet_wait_fd,
    .arm = af_packet_arm,
    .deadline = af_packet_deadline,
};
