// SPDX-License-Identifier: BSD-2-Clause
#include "queue/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "base/util.h"
#include "queue/shared.h"

#define SLOTS_DEFAULT 256
#define SLOTS_MAX     65536
#define MTU_DEFAULT   1500
#define ETHER_BYTES   14

// One direction. Cursors count frames since the beginning.
struct loop_dir {
    alignas(64) _Atomic uint64_t head; // sender: kicked
    uint64_t queued;                   // sender: taken by tx(); >= head
    alignas(64) _Atomic uint64_t tail; // receiver: released; <= head
};

struct slot {
    uint32_t len_bytes;
    uint16_t gso_size;
    uint8_t gso, flags;
    uint8_t data[];
};

// The first page is side 0's struct queue_shared, the second side 1's, the third this, then come
// the slots that side 0 sends and those that side 1 sends.
struct loop_shared {
    struct loop_dir dir[2]; // [side]: what that side sends
};

#define CURSORS_AT (2 * QUEUE_PAGE)
#define SLOTS_AT   (3 * QUEUE_PAGE)

// desc: ring[0] slots, ring[1] bytes of a slot, ring[2] bytes of a piece. fds: memory, own bell,
// peer's bell.
struct loop {
    struct queue q;
    struct queue_shared *shared; // of side 0, where the mapping begins
    struct queue_shared *own;    // of this side
    struct loop_dir *tx, *rx;
    uint8_t *tx_slots, *rx_slots;
    struct queue_grant grant;
};

enum { FD_MEMORY, FD_BELL, FD_PEER, FDS };

static struct loop *loop_of(struct queue *q)
{
    return (struct loop *)(void *)q;
}

static uint64_t slots_at(const struct queue_desc *desc, int side)
{
    return SLOTS_AT + (uint64_t)side * desc->ring[0] * desc->ring[1];
}

static struct slot *slot_of(const struct loop *l, uint8_t *slots, uint64_t cursor)
{
    const struct queue_desc *desc = &l->grant.desc;

    return (struct slot *)(void *)(slots + (cursor & (desc->ring[0] - 1)) * desc->ring[1]);
}

static bool desc_fits(const struct queue_desc *desc)
{
    uint32_t slots = desc->ring[0];

    return desc->fd_count == FDS && slots && slots <= SLOTS_MAX && !(slots & (slots - 1)) &&
           desc->ring[1] > sizeof(struct slot) && desc->ring[1] <= 2 * QUEUE_SUPER_MAX &&
           desc->side < 2;
}

static int loop_attach(struct queue **q, const struct queue_grant *grant)
{
    const struct queue_desc *desc = &grant->desc;
    struct loop_shared *cursors;
    struct loop *l;
    int err;

    if (!desc_fits(desc))
        return -EPROTO;
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    err = queue_shared_map(&l->shared, grant->fd[FD_MEMORY], desc, slots_at(desc, 2));
    if (err) {
        free(l);
        return err;
    }
    cursors = (struct loop_shared *)(void *)queue_shared_at(l->shared, CURSORS_AT);
    l->grant = *grant;
    l->tx = &cursors->dir[desc->side];
    l->rx = &cursors->dir[!desc->side];
    l->tx_slots = queue_shared_at(l->shared, slots_at(desc, desc->side));
    l->rx_slots = queue_shared_at(l->shared, slots_at(desc, !desc->side));
    l->own = (struct queue_shared *)(void *)queue_shared_at(l->shared, desc->side * QUEUE_PAGE);
    l->q = (struct queue){&queue_loop, &l->own->caps, &l->own->counters};
    *q = &l->q;
    return 0;
}

static void loop_detach(struct queue *q)
{
    struct loop *l = loop_of(q);

    queue_shared_unmap(l->shared, slots_at(&l->grant.desc, 2));
    queue_grant_close(&l->grant);
    free(l);
}

static uint32_t piece_bytes(const struct loop *l, uint32_t frame_bytes)
{
    return l->grant.desc.ring[2] ? l->grant.desc.ring[2] : frame_bytes;
}

static void view(const struct loop *l, struct queue_frame *frame, uint64_t cursor)
{
    const struct slot *slot = slot_of(l, l->rx_slots, cursor);
    uint32_t len = MIN(slot->len_bytes, l->grant.desc.ring[1] - (uint32_t)sizeof(*slot));
    uint32_t piece = piece_bytes(l, len);

    *frame = (struct queue_frame){
        .head = {slot->data, MIN(len, piece)},
        .len_bytes = len,
        .pieces = len ? (uint16_t)((len + piece - 1) / piece) : 1,
        .gso_size = slot->gso_size,
        .gso = slot->gso,
        .flags = slot->flags,
        .at = (uint32_t)cursor,
    };
}

static uint64_t ready(const struct loop *l)
{
    uint64_t tail = atomic_load_explicit(&l->rx->tail, memory_order_relaxed);
    uint64_t n = atomic_load_explicit(&l->rx->head, memory_order_acquire) - tail;

    return n <= l->grant.desc.ring[0] ? n : 0;
}

static int loop_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    struct loop *l = loop_of(q);
    uint64_t tail = atomic_load_explicit(&l->rx->tail, memory_order_relaxed);
    uint64_t n = u64_min(ready(l), (uint64_t)max);

    if (queue_shared_down(l->shared))
        return -ENETDOWN;
    for (uint64_t i = 0; i < n; i++)
        view(l, &frames[i], tail + i);
    return (int)n;
}

static struct queue_piece loop_piece(const struct queue *q, const struct queue_frame *frame,
                                     unsigned i)
{
    const struct loop *l = (const struct loop *)(const void *)q;
    uint32_t piece = piece_bytes(l, frame->len_bytes), from = i * piece;

    if (from >= frame->len_bytes)
        return (struct queue_piece){frame->head.data, 0};
    return (struct queue_piece){frame->head.data + from, MIN(piece, frame->len_bytes - from)};
}

static void loop_release(struct queue *q, int n)
{
    struct loop *l = loop_of(q);
    uint64_t tail = atomic_load_explicit(&l->rx->tail, memory_order_relaxed);

    for (int i = 0; i < n; i++)
        q->counters->rx_bytes += slot_of(l, l->rx_slots, tail + (uint64_t)i)->len_bytes;
    q->counters->rx_frames += (uint64_t)n;
    atomic_store_explicit(&l->rx->tail, tail + (uint64_t)n, memory_order_release);
}

// What the receiver is told about the checksum.
static uint8_t csum_flag(const struct queue_out *out)
{
    return out->csum_start ? QUEUE_CSUM_UNFINISHED : QUEUE_CSUM_GOOD;
}

static int loop_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct loop *l = loop_of(q);
    int len = queue_out_bytes(out, q->caps);
    struct slot *slot;

    if (len < 0)
        return len;
    if (l->tx->queued - atomic_load_explicit(&l->tx->tail, memory_order_acquire) >=
        l->grant.desc.ring[0]) {
        q->counters->tx_full++;
        return -EAGAIN;
    }
    slot = slot_of(l, l->tx_slots, l->tx->queued);
    slot->len_bytes = (uint32_t)len;
    slot->gso_size = out->gso_size;
    slot->gso = out->gso;
    slot->flags = csum_flag(out);
    queue_out_copy(out, slot->data);
    l->tx->queued++;
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    return 0;
}

static int loop_kick(struct queue *q, uint64_t now_ns)
{
    struct loop *l = loop_of(q);
    uint64_t one = 1;

    if (queue_shared_down(l->shared))
        return -ENETDOWN;
    if (l->tx->queued == atomic_load_explicit(&l->tx->head, memory_order_relaxed))
        return 0;
    atomic_store_explicit(&l->tx->head, l->tx->queued, memory_order_release);
    sys_write(l->grant.fd[FD_PEER], &one, sizeof(one));
    q->counters->tx_kicks++;
    return 0;
}

static int loop_wait_fd(const struct queue *q)
{
    return ((const struct loop *)(const void *)q)->grant.fd[FD_BELL];
}

static int loop_arm(struct queue *q)
{
    struct loop *l = loop_of(q);
    uint64_t rung;

    if (queue_shared_down(l->shared))
        return -ENETDOWN;
    sys_read(l->grant.fd[FD_BELL], &rung, sizeof(rung));
    return 0;
}

static uint64_t loop_deadline(const struct queue *q)
{
    return CLOCK_NEVER;
}

const struct queue_ops queue_loop = {
    .name = "loop",
    .attach = loop_attach,
    .detach = loop_detach,
    .rx = loop_rx,
    .piece = loop_piece,
    .release = loop_release,
    .tx = loop_tx,
    .kick = loop_kick,
    .wait_fd = loop_wait_fd,
    .arm = loop_arm,
    .deadline = loop_deadline,
};

static void caps_init(struct queue_caps *caps, const struct loop_options *o)
{
    *caps = (struct queue_caps){
        .mtu_bytes = o->mtu_bytes,
        .frame_max_bytes = o->mtu_bytes + ETHER_BYTES,
        .super_tx_bytes = o->no_super ? 0 : QUEUE_SUPER_MAX,
        .super_rx_bytes = o->no_super ? o->mtu_bytes + ETHER_BYTES : QUEUE_SUPER_MAX,
        .batch = 64,
        .hw_queues = 1,
        .tx_csum = true,
        .rx_csum = true,
        .shareable = true,
        .why = "frames in memory, for tests",
    };
}

static struct queue_desc desc_of(const struct loop_options *o, const struct queue_caps *caps)
{
    uint32_t slot = (uint32_t)sizeof(struct slot) + caps->super_rx_bytes;

    return (struct queue_desc){
        .magic = QUEUE_MAGIC,
        .door = QUEUE_LOOP,
        .ring = {o->slots, (slot + 63) & ~UINT32_C(63), o->piece_bytes},
    };
}

// Side 0 gets memfd and bells themselves, side 1 duplicates with the bells crossed.
static int grants_init(struct queue_grant ends[2], int memfd, const int bell[2])
{
    struct queue_grant crossed = ends[0];

    ends[0].fd[FD_MEMORY] = crossed.fd[FD_MEMORY] = memfd;
    ends[0].fd[FD_BELL] = crossed.fd[FD_PEER] = bell[0];
    ends[0].fd[FD_PEER] = crossed.fd[FD_BELL] = bell[1];
    ends[0].desc.fd_count = crossed.desc.fd_count = FDS;
    crossed.desc.side = 1;
    return queue_grant_dup(&ends[1], &crossed);
}

int loop_open(struct queue_grant ends[2], const struct loop_options *options)
{
    struct loop_options o = *options;
    struct queue_shared *shared;
    struct queue_caps caps;
    int memfd, bell[2], err;

    o.mtu_bytes = o.mtu_bytes ? o.mtu_bytes : MTU_DEFAULT;
    o.slots = o.slots ? o.slots : SLOTS_DEFAULT;
    caps_init(&caps, &o);
    ends[0] = (struct queue_grant){.desc = desc_of(&o, &caps)};
    ends[0].desc.fd_count = FDS;
    if (!desc_fits(&ends[0].desc) || caps.frame_max_bytes > QUEUE_SUPER_MAX)
        return -EINVAL;
    err = queue_shared_create(&shared, &memfd, &ends[0].desc, slots_at(&ends[0].desc, 2));
    if (err)
        return err;
    shared->caps = caps;
    ((struct queue_shared *)(void *)queue_shared_at(shared, QUEUE_PAGE))->caps = caps;
    queue_shared_unmap(shared, slots_at(&ends[0].desc, 2));
    bell[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bell[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    err = bell[0] < 0 || bell[1] < 0 ? -EMFILE : grants_init(ends, memfd, bell);
    if (err) {
        int fds[] = {memfd, bell[0], bell[1]};

        for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
            if (fds[i] >= 0)
                sys_close(fds[i]);
    }
    return err;
}

void loop_down(struct queue *q)
{
    struct loop *l = loop_of(q);
    uint64_t one = 1;

    atomic_store(&l->shared->down, 1);
    sys_write(l->grant.fd[FD_BELL], &one, sizeof(one));
    sys_write(l->grant.fd[FD_PEER], &one, sizeof(one));
}
