// SPDX-License-Identifier: BSD-2-Clause
// The driving side of AF_XDP. No privilege, no library.
#include "queue/af_xdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/space.h"
#include "base/sys.h"
#include "base/util.h"
#include "queue/csum.h"
#include "queue/xsk.h"

struct lane {
    struct xsk_rings rings;
    struct af_xdp_lane *own; // in shared memory
    uint8_t *packets;
    int fd;
};

struct af_xdp {
    struct queue q;
    struct queue_shared *shared;
    struct af_xdp_shared *own;
    uint8_t *packets; // of all lanes
    size_t packets_map_bytes;
    unsigned lanes;
    uint32_t queued; // descriptors in the first lane's TX ring that the kernel was not told of
    struct queue_grant grant;
    struct lane lane[AF_XDP_QUEUES_MAX];
};

static struct af_xdp *door_of(struct queue *q)
{
    return (struct af_xdp *)(void *)q;
}

static bool power_of_two(uint32_t n)
{
    return n && !(n & (n - 1));
}

static unsigned sockets_at(const struct queue_desc *desc)
{
    return desc->ring[AF_XDP_QUEUES] > 1 ? AF_XDP_SOCKET : AF_XDP_EPOLL;
}

static bool desc_fits(const struct queue_desc *desc)
{
    const uint32_t *ring = desc->ring;

    return ring[AF_XDP_QUEUES] && ring[AF_XDP_QUEUES] <= AF_XDP_QUEUES_MAX &&
           desc->fd_count == sockets_at(desc) + ring[AF_XDP_QUEUES] &&
           power_of_two(ring[AF_XDP_RX_CHUNKS]) && power_of_two(ring[AF_XDP_TX_CHUNKS]) &&
           ring[AF_XDP_RX_CHUNKS] <= (UINT32_C(1) << 20) &&
           ring[AF_XDP_TX_CHUNKS] <= (UINT32_C(1) << 20);
}

static uint64_t packets_bytes(const struct queue_desc *desc)
{
    return desc->ring[AF_XDP_QUEUES] * af_xdp_packets_bytes(desc);
}

static int map_packets(struct af_xdp *x)
{
    uint64_t bytes = packets_bytes(&x->grant.desc);
    struct stat st;
    void *map;

    if (fstat(x->grant.fd[AF_XDP_PACKETS], &st) || (uint64_t)st.st_size < bytes)
        return -EPROTO;
    map = space_map((size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                    x->grant.fd[AF_XDP_PACKETS], 0);
    if (!map)
        return -ENOMEM;
    x->packets = map;
    x->packets_map_bytes = (size_t)st.st_size;
    return 0;
}

static int lane_init(struct af_xdp *x, unsigned i)
{
    const struct queue_desc *desc = &x->grant.desc;
    struct lane *lane = &x->lane[i];

    lane->fd = x->grant.fd[sockets_at(desc) + i];
    lane->packets = x->packets + i * af_xdp_packets_bytes(desc);
    lane->own = (struct af_xdp_lane *)(void *)queue_shared_at(x->shared, af_xdp_lane_at(desc, i));
    return xsk_map(&lane->rings, lane->fd, desc->ring[AF_XDP_RX_CHUNKS],
                   desc->ring[AF_XDP_TX_CHUNKS]);
}

// All but the descriptors; legal on whatever part was mapped.
static void unmap(struct af_xdp *x)
{
    for (unsigned i = 0; i < x->lanes; i++)
        xsk_unmap(&x->lane[i].rings);
    if (x->packets)
        space_unmap(x->packets, x->packets_map_bytes);
    if (x->shared)
        queue_shared_unmap(x->shared, af_xdp_shared_bytes(&x->grant.desc));
}

static int map(struct af_xdp *x)
{
    const struct queue_desc *desc = &x->grant.desc;
    int err =
        queue_shared_map(&x->shared, x->grant.fd[AF_XDP_MEMORY], desc, af_xdp_shared_bytes(desc));

    if (!err)
        err = map_packets(x);
    for (; !err && x->lanes < desc->ring[AF_XDP_QUEUES]; x->lanes++)
        err = lane_init(x, x->lanes);
    return err;
}

static int af_xdp_attach(struct queue **q, const struct queue_grant *grant)
{
    struct af_xdp *x;
    int err;

    if (!desc_fits(&grant->desc))
        return -EPROTO;
    x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->grant = *grant;
    err = map(x);
    if (err) {
        unmap(x);
        free(x);
        return err;
    }
    x->own = (struct af_xdp_shared *)(void *)queue_shared_at(x->shared, QUEUE_PAGE);
    x->q = (struct queue){&queue_af_xdp, &x->shared->caps, &x->shared->counters};
    *q = &x->q;
    return 0;
}

static void af_xdp_detach(struct queue *q)
{
    struct af_xdp *x = door_of(q);

    q->ops->kick(q, 0); // chunks that only we know of would be lost to all
    unmap(x);
    queue_grant_close(&x->grant);
    free(x);
}

// ---- receive ----

static struct lane *rx_lane(struct af_xdp *x)
{
    return &x->lane[x->own->rx_lane < x->lanes ? x->own->rx_lane : 0];
}

// The bytes of descriptor i of a lane's RX ring; empty where it points out of the packet memory.
static struct queue_piece piece_at(const struct af_xdp *x, const struct lane *lane, uint32_t i)
{
    const struct xdp_desc *desc = &lane->rings.rx.desc[i & lane->rings.rx.mask];
    uint64_t limit = af_xdp_packets_bytes(&x->grant.desc);

    if (desc->addr >= limit || desc->len > limit - desc->addr)
        return (struct queue_piece){lane->packets, 0};
    return (struct queue_piece){lane->packets + desc->addr, desc->len};
}

// The frame that begins at descriptor `at`, with `ready` descriptors from there on. False: its end
// has not come.
static bool view(const struct af_xdp *x, const struct lane *lane, uint32_t at, uint32_t ready,
                 struct queue_frame *frame)
{
    *frame =
        (struct queue_frame){.head = piece_at(x, lane, at), .flags = QUEUE_CSUM_EITHER, .at = at};
    for (uint32_t i = at; i != at + ready; i++) {
        frame->len_bytes += piece_at(x, lane, i).len_bytes;
        frame->pieces++;
        if (!(lane->rings.rx.desc[i & lane->rings.rx.mask].options & XSK_DESC_CONTINUED))
            return true;
    }
    return false;
}

static int lane_rx(const struct af_xdp *x, const struct lane *lane, struct queue_frame *frames,
                   int max)
{
    uint32_t ready = xsk_filled(&lane->rings.rx);
    uint32_t at = __atomic_load_n(lane->rings.rx.consumer, __ATOMIC_RELAXED);
    int n;

    for (n = 0; n < max && ready && view(x, lane, at, ready, &frames[n]); n++) {
        at += frames[n].pieces;
        ready -= frames[n].pieces;
    }
    return n;
}

// One lane's frames at a time: release() gives back the oldest of that lane, and goes to the next.
static int af_xdp_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    struct af_xdp *x = door_of(q);
    int n = lane_rx(x, rx_lane(x), frames, max);

    for (unsigned i = 1; !n && i < x->lanes; i++) {
        x->own->rx_lane = (x->own->rx_lane + 1) % x->lanes;
        n = lane_rx(x, rx_lane(x), frames, max);
    }
    return n || !queue_shared_down(x->shared) ? n : -ENETDOWN;
}

static struct queue_piece af_xdp_piece(const struct queue *q, const struct queue_frame *frame,
                                       unsigned i)
{
    struct af_xdp *x = (struct af_xdp *)(uintptr_t)q;

    return piece_at(x, rx_lane(x), frame->at + i);
}

// The chunks go back to the kernel, which puts frames into them again. The fill ring has room for
// all there are.
static void af_xdp_release(struct queue *q, int n)
{
    struct af_xdp *x = door_of(q);
    struct lane *lane = rx_lane(x);
    struct xsk_ring *rx = &lane->rings.rx, *fill = &lane->rings.fill;
    uint32_t at = *rx->consumer, to = *fill->producer, left = xsk_filled(rx);

    q->counters->rx_frames += (uint64_t)n;
    for (; n > 0 && left; left--, at++) {
        const struct xdp_desc *desc = &rx->desc[at & rx->mask];

        fill->addr[to++ & fill->mask] = desc->addr;
        q->counters->rx_bytes += desc->len;
        n -= !(desc->options & XSK_DESC_CONTINUED);
    }
    __atomic_store_n(fill->producer, to, __ATOMIC_RELEASE);
    __atomic_store_n(rx->consumer, at, __ATOMIC_RELEASE);
    if (x->lanes > 1)
        x->own->rx_lane = (x->own->rx_lane + 1) % x->lanes;
}

// ---- send: by the first lane ----

// Takes back what has gone out.
static void reap(const struct af_xdp *x)
{
    const struct lane *lane = &x->lane[0];
    const struct xsk_ring *done = &lane->rings.completion;
    uint32_t n = xsk_filled(done), at = *done->consumer;
    uint32_t first = x->grant.desc.ring[AF_XDP_RX_CHUNKS];
    uint32_t chunks = x->grant.desc.ring[AF_XDP_TX_CHUNKS];

    for (; n; n--, at++) {
        uint32_t chunk = (uint32_t)(done->addr[at & done->mask] / AF_XDP_CHUNK_BYTES) - first;

        if (chunk < chunks && lane->own->free_count < chunks)
            lane->own->free[lane->own->free_count++] = chunk;
    }
    __atomic_store_n(done->consumer, at, __ATOMIC_RELEASE);
}

static uint32_t chunks_for(int frame_bytes)
{
    return ((uint32_t)frame_bytes + AF_XDP_TX_BYTES - 1) / AF_XDP_TX_BYTES;
}

static bool has_room(struct af_xdp *x, uint32_t chunks)
{
    struct lane *lane = &x->lane[0];

    if (lane->own->free_count < chunks)
        reap(x);
    return lane->own->free_count >= chunks && xsk_space(&lane->rings.tx) >= x->queued + chunks;
}

// Where the next byte of a frame goes.
struct writer {
    struct af_xdp *x;
    struct xdp_desc *desc; // the chunk that is being written
    uint8_t *to;
    uint32_t room;
};

static void next_chunk(struct writer *w)
{
    struct af_xdp *x = w->x;
    struct lane *lane = &x->lane[0];
    uint32_t chunk = lane->own->free[--lane->own->free_count];
    uint64_t at;

    // whatever the memory says, within the part to send from
    chunk &= x->grant.desc.ring[AF_XDP_TX_CHUNKS] - 1;
    at = ((uint64_t)x->grant.desc.ring[AF_XDP_RX_CHUNKS] + chunk) * AF_XDP_CHUNK_BYTES +
         AF_XDP_TX_HEADROOM;
    if (w->desc)
        w->desc->options |= XSK_DESC_CONTINUED;
    w->desc = &lane->rings.tx.desc[(*lane->rings.tx.producer + x->queued++) & lane->rings.tx.mask];
    *w->desc = (struct xdp_desc){.addr = at};
    w->to = lane->packets + at;
    w->room = AF_XDP_TX_BYTES;
}

static void put(struct writer *w, const void *from, size_t bytes)
{
    while (bytes) {
        size_t n;

        if (!w->room)
            next_chunk(w);
        n = MIN(bytes, w->room);
        memcpy(w->to, from, n);
        from = (const uint8_t *)from + n;
        bytes -= n;
        w->to += n;
        w->room -= (uint32_t)n;
        w->desc->len += (uint32_t)n;
    }
}

// The kernel finishes the checksum where it can; else we have.
static void finish_csum(const struct af_xdp *x, const struct queue_out *out, struct xdp_desc *desc,
                        uint8_t *frame)
{
    if (!out->csum_start)
        return;
    if (x->grant.desc.ring[AF_XDP_FEATURES] & AF_XDP_TX_META) {
        struct xsk_meta meta = {.flags = XSK_META_CHECKSUM,
                                .csum_start = out->csum_start,
                                .csum_offset = out->csum_offset};

        memcpy(frame - AF_XDP_TX_META_BYTES, &meta, sizeof(meta));
        desc->options |= XSK_DESC_META;
    } else {
        csum_finish(out, frame);
    }
}

static int af_xdp_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct af_xdp *x = door_of(q);
    int len = queue_out_bytes(out, q->caps);
    struct writer w = {.x = x};
    struct xdp_desc *first;
    uint8_t *frame;

    if (len < 0)
        return len;
    if (!has_room(x, chunks_for(len))) {
        q->counters->tx_full++;
        return -EAGAIN;
    }
    next_chunk(&w);
    first = w.desc;
    frame = w.to;
    put(&w, out->head, out->head_bytes);
    for (unsigned i = 0; i < out->payload_count; i++)
        put(&w, out->payload[i].iov_base, out->payload[i].iov_len);
    finish_csum(x, out, first, frame);
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    return 0;
}

// Tells the kernel until it has taken all, or takes no more. EAGAIN: it takes only so many a call.
// EBUSY and ENOBUFS: a frame was taken and dropped.
static int tell(struct af_xdp *x)
{
    const struct lane *lane = &x->lane[0];
    uint32_t before, after = xsk_space(&lane->rings.tx);
    long err;

    do {
        before = after;
        err = sys_call(SYS_sendto, lane->fd, 0, 0, MSG_DONTWAIT, 0, 0);
        x->q.counters->tx_kicks++;
        if (err == -EBUSY || err == -ENOBUFS)
            x->q.counters->tx_dropped++;
        reap(x);
        after = xsk_space(&lane->rings.tx);
    } while (err < 0 && after > before);
    return err == -ENETDOWN || err == -ENXIO ? (int)err : 0;
}

static int af_xdp_kick(struct queue *q, uint64_t now_ns)
{
    struct af_xdp *x = door_of(q);
    struct xsk_ring *tx = &x->lane[0].rings.tx;

    if (queue_shared_down(x->shared))
        return -ENETDOWN;
    for (unsigned i = 0; i < x->lanes; i++)
        if (xsk_wants_wakeup(&x->lane[i].rings.fill))
            sys_call(SYS_recvfrom, x->lane[i].fd, 0, 0, MSG_DONTWAIT, 0, 0);
    if (x->queued) {
        __atomic_store_n(tx->producer, *tx->producer + x->queued, __ATOMIC_RELEASE);
        x->queued = 0;
    } else if (xsk_space(tx) == tx->mask + 1) {
        return 0; // nothing of an earlier kick is left either
    }
    return xsk_wants_wakeup(tx) ? tell(x) : 0;
}

// ---- waiting ----

static int af_xdp_wait_fd(const struct queue *q)
{
    return ((const struct af_xdp *)(const void *)q)->grant.fd[AF_XDP_EPOLL];
}

static int af_xdp_arm(struct queue *q)
{
    struct af_xdp *x = door_of(q);
    int err = 0;
    socklen_t len = sizeof(err);

    for (unsigned i = 0; i < x->lanes; i++)
        sys_getsockopt(x->lane[i].fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return queue_shared_down(x->shared) ? -ENETDOWN : 0;
}

static uint64_t af_xdp_deadline(const struct queue *q)
{
    return CLOCK_NEVER;
}

const struct queue_ops queue_af_xdp = {
    .name = "af_xdp",
    .attach = af_xdp_attach,
    .detach = af_xdp_detach,
    .rx = af_xdp_rx,
    .piece = af_xdp_piece,
    .release = af_xdp_release,
    .tx = af_xdp_tx,
    .kick = af_xdp_kick,
    .wait_fd = af_xdp_wait_fd,
    .arm = af_xdp_arm,
    .deadline = af_xdp_deadline,
};
