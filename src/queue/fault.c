// SPDX-License-Identifier: BSD-2-Clause
#include "queue/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "queue/csum.h"
#include "queue/wrap.h"

#define HELD_DEFAULT 512
#define HELD_MAX     16384
#define REORDER_NS   NS_PER_MS
#define PPM          1000000
#define ETHER_BYTES  14
#define RX_BATCH     16

// A frame that is held back.
struct held {
    uint64_t due_ns;
    uint32_t len_bytes;
    uint16_t head_bytes, csum_start, csum_offset; // to send
    uint16_t gso_size;
    uint8_t gso, flags; // flags: received
    uint8_t data[QUEUE_SUPER_MAX];
};

// One way. order[] has all slot numbers: the first `count` are held, soonest first, the others
// free.
struct way {
    struct fault_rates rates;
    struct fault_counts counts;
    uint64_t line_free_ns; // when the rate lets the next frame begin
    uint32_t count;
    uint16_t order[HELD_MAX];
};

struct state {
    uint64_t random;
    struct way way[FAULT_WAYS];
    struct held held[]; // desc.ring[0] of each way
};

struct fault {
    struct wrap w;
    struct state *state;
    uint32_t held_max;
};

static struct fault *door_of(struct queue *q)
{
    return (struct fault *)(void *)q;
}

static uint64_t state_bytes(uint32_t held_max)
{
    return sizeof(struct state) + (uint64_t)FAULT_WAYS * held_max * sizeof(struct held);
}

static int fault_attach(struct queue **q, const struct queue_grant *grant)
{
    uint32_t held_max = grant->desc.ring[0];
    struct fault *f;
    int err;

    if (!held_max || held_max > HELD_MAX)
        return -EPROTO;
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    err = wrap_attach(&f->w, &queue_fault, grant, 1, state_bytes(held_max));
    if (err) {
        free(f);
        return err;
    }
    f->held_max = held_max;
    f->state = (struct state *)(void *)queue_shared_at(f->w.shared, WRAP_STATE_AT);
    *q = &f->w.q;
    return 0;
}

static void fault_detach(struct queue *q)
{
    wrap_detach(wrap_of(q));
    free(q);
}

// ---- chance ----

// xorshift64* (Vigna 2016)
static uint64_t roll(struct fault *f)
{
    uint64_t x = f->state->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    f->state->random = x;
    return x * UINT64_C(2685821657736338717) >> 32;
}

static bool chance(struct fault *f, uint32_t ppm)
{
    return ppm && roll(f) % PPM < ppm;
}

// ---- what is held ----

static struct held *held_at(const struct fault *f, enum fault_way way, uint32_t i)
{
    uint32_t slot = f->state->way[way].order[i] % f->held_max;

    return &f->state->held[way * f->held_max + slot];
}

static uint32_t held_count(const struct fault *f, enum fault_way way)
{
    return MIN(f->state->way[way].count, f->held_max);
}

// A slot to fill, which is not held before keep(); NULL: all are.
static struct held *slot_free(struct fault *f, enum fault_way way)
{
    uint32_t count = held_count(f, way);

    if (count < f->held_max)
        return held_at(f, way, count);
    f->state->way[way].counts.overflowed++;
    return NULL;
}

// Holds what slot_free() gave until its time, after all that are due before or then.
static void keep(struct fault *f, enum fault_way way, uint64_t due_ns)
{
    struct way *w = &f->state->way[way];
    uint32_t i = held_count(f, way);
    uint16_t slot = w->order[i];

    held_at(f, way, i)->due_ns = due_ns;
    for (; i > 0 && held_at(f, way, i - 1)->due_ns > due_ns; i--)
        w->order[i] = w->order[i - 1];
    w->order[i] = slot;
    w->count++;
}

// The n soonest are done with; their slots go to the end, where the free ones are.
static void forget(struct fault *f, enum fault_way way, uint32_t n)
{
    struct way *w = &f->state->way[way];
    uint32_t count = held_count(f, way);

    for (n = MIN(n, count); n; n--) {
        uint16_t slot = w->order[0];

        memmove(w->order, w->order + 1, (count - 1) * sizeof(w->order[0]));
        w->order[--count] = slot;
    }
    w->count = count;
}

static uint32_t held_due(const struct fault *f, enum fault_way way, uint32_t max, uint64_t now_ns)
{
    uint32_t n = 0, count = held_count(f, way);

    while (n < max && n < count && held_at(f, way, n)->due_ns <= now_ns)
        n++;
    return n;
}

// When a frame of that length comes out of a link that it enters now.
static uint64_t due_ns(struct fault *f, enum fault_way way, uint32_t len, uint64_t now_ns)
{
    struct way *w = &f->state->way[way];
    uint64_t due = now_ns;

    if (w->rates.rate_bytes_per_s) {
        due = u64_max(now_ns, w->line_free_ns) + len * NS_PER_S / w->rates.rate_bytes_per_s;
        w->line_free_ns = due;
    }
    due += w->rates.delay_ns;
    if (chance(f, w->rates.reorder_ppm)) {
        due += w->rates.reorder_ns ? w->rates.reorder_ns : REORDER_NS;
        w->counts.reordered++;
    }
    return due;
}

static bool dropped(struct fault *f, enum fault_way way)
{
    bool drop = chance(f, f->state->way[way].rates.drop_ppm);

    f->state->way[way].counts.dropped += drop;
    return drop;
}

// How often a frame comes: once or twice.
static int copies(struct fault *f, enum fault_way way)
{
    bool twice = chance(f, f->state->way[way].rates.duplicate_ppm);

    f->state->way[way].counts.duplicated += twice;
    return 1 + twice;
}

static bool damaged(struct fault *f, enum fault_way way)
{
    bool damage = chance(f, f->state->way[way].rates.corrupt_ppm);

    f->state->way[way].counts.corrupted += damage;
    return damage;
}

static void turn_a_bit(struct fault *f, struct held *h)
{
    if (h->len_bytes > ETHER_BYTES)
        h->data[ETHER_BYTES + roll(f) % (h->len_bytes - ETHER_BYTES)] ^= 1u << roll(f) % 8;
}

// ---- receive ----

static void take_in(struct fault *f, const struct queue_frame *frame, uint64_t now_ns)
{
    bool damage;
    struct held *h;

    if (dropped(f, FAULT_RX))
        return;
    damage = damaged(f, FAULT_RX);
    // nobody here knows where its sum is, to finish it: judged as a finished one, 1 damaged frame
    // in 65,536 would pass
    if (damage && frame->flags & QUEUE_CSUM_UNFINISHED)
        return;
    for (int n = copies(f, FAULT_RX); n > 0 && (h = slot_free(f, FAULT_RX)); n--) {
        h->len_bytes = queue_frame_copy(f->w.inner, frame, 0, h->data, sizeof(h->data));
        h->gso_size = frame->gso_size;
        h->gso = frame->gso;
        h->flags = damage ? 0 : frame->flags;
        if (damage)
            turn_a_bit(f, h);
        keep(f, FAULT_RX, due_ns(f, FAULT_RX, h->len_bytes, now_ns));
    }
}

static int fault_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    struct fault *f = door_of(q);
    struct queue_frame inner[RX_BATCH];
    uint32_t ready;
    int n;

    while ((n = queue_rx(f->w.inner, inner, RX_BATCH, now_ns)) > 0) {
        for (int i = 0; i < n; i++)
            take_in(f, &inner[i], now_ns);
        queue_release(f->w.inner, n);
    }
    ready = held_due(f, FAULT_RX, (uint32_t)max, now_ns);
    for (uint32_t i = 0; i < ready; i++) {
        const struct held *h = held_at(f, FAULT_RX, i);
        uint32_t len = MIN(h->len_bytes, (uint32_t)sizeof(h->data));

        frames[i] = (struct queue_frame){.head = {h->data, len},
                                         .len_bytes = len,
                                         .pieces = 1,
                                         .gso_size = h->gso_size,
                                         .gso = h->gso,
                                         .flags = h->flags};
    }
    return ready || n == 0 ? (int)ready : n;
}

static struct queue_piece fault_piece(const struct queue *q, const struct queue_frame *frame,
                                      unsigned i)
{
    return (struct queue_piece){frame->head.data, 0};
}

static void fault_release(struct queue *q, int n)
{
    struct fault *f = door_of(q);

    for (int i = 0; i < n; i++)
        q->counters->rx_bytes += held_at(f, FAULT_RX, (uint32_t)i)->len_bytes;
    q->counters->rx_frames += (uint64_t)n;
    forget(f, FAULT_RX, (uint32_t)n);
}

// ---- send ----

static void fill(struct fault *f, struct held *h, const struct queue_out *out, int len, bool damage)
{
    *h = (struct held){.len_bytes = (uint32_t)len,
                       .head_bytes = out->head_bytes,
                       .csum_start = out->csum_start,
                       .csum_offset = out->csum_offset,
                       .gso_size = out->gso_size,
                       .gso = out->gso};
    queue_out_copy(out, h->data);
    if (!damage)
        return;
    if (out->csum_start)
        csum_finish(out, h->data);
    h->csum_start = h->csum_offset = 0;
    turn_a_bit(f, h);
}

static int fault_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct fault *f = door_of(q);
    int len = queue_out_bytes(out, q->caps);
    struct held *h;
    bool damage;

    if (len < 0)
        return len;
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    if (dropped(f, FAULT_TX))
        return 0;
    damage = damaged(f, FAULT_TX);
    if (damage && out->gso)
        return 0;
    for (int n = copies(f, FAULT_TX); n > 0 && (h = slot_free(f, FAULT_TX)); n--) {
        fill(f, h, out, len, damage);
        keep(f, FAULT_TX, due_ns(f, FAULT_TX, h->len_bytes, now_ns));
    }
    return 0;
}

static int send_held(struct fault *f, const struct held *h, uint64_t now_ns)
{
    uint32_t head = MIN(h->head_bytes, (uint32_t)QUEUE_HEAD_MAX);
    uint32_t len = MAX(MIN(h->len_bytes, (uint32_t)sizeof(h->data)), head);
    struct iovec payload = {(void *)(uintptr_t)(h->data + head), len - head};
    struct queue_out out = {.head = h->data,
                            .head_bytes = (uint16_t)head,
                            .payload = &payload,
                            .payload_count = 1,
                            .csum_start = h->csum_start,
                            .csum_offset = h->csum_offset,
                            .gso_size = h->gso_size,
                            .gso = h->gso};

    return queue_tx(f->w.inner, &out, now_ns);
}

// What is due goes; what the inner queue has no room for stays, and is due still.
static int fault_kick(struct queue *q, uint64_t now_ns)
{
    struct fault *f = door_of(q);
    uint32_t n = 0, due = held_due(f, FAULT_TX, UINT32_MAX, now_ns);
    int err;

    while (n < due && send_held(f, held_at(f, FAULT_TX, n), now_ns) != -EAGAIN)
        n++;
    q->counters->tx_kicks++;
    err = queue_kick(f->w.inner, now_ns);
    forget(f, FAULT_TX, n);
    return err;
}

// ---- waiting ----

static int fault_wait_fd(const struct queue *q)
{
    return queue_wait_fd(wrap_of_const(q)->inner);
}

static int fault_arm(struct queue *q)
{
    return queue_arm(wrap_of(q)->inner);
}

static uint64_t fault_deadline(const struct queue *q)
{
    const struct fault *f = (const struct fault *)(const void *)q;
    uint64_t soonest = queue_deadline(f->w.inner);

    for (enum fault_way way = FAULT_RX; way < FAULT_WAYS; way++)
        if (held_count(f, way))
            soonest = u64_min(soonest, held_at(f, way, 0)->due_ns);
    return soonest;
}

const struct queue_ops queue_fault = {
    .name = "fault",
    .attach = fault_attach,
    .detach = fault_detach,
    .rx = fault_rx,
    .piece = fault_piece,
    .release = fault_release,
    .tx = fault_tx,
    .kick = fault_kick,
    .wait_fd = fault_wait_fd,
    .arm = fault_arm,
    .deadline = fault_deadline,
};

// ---- the owner's side ----

int fault_grant(struct queue_grant *outer, const struct queue_grant *inner,
                const struct fault_options *options)
{
    uint32_t held_max = options->held_max ? options->held_max : HELD_DEFAULT;
    struct queue_shared *shared;
    struct state *state;
    int err;

    if (held_max > HELD_MAX)
        return -EINVAL;
    *outer = (struct queue_grant){.desc = {.door = QUEUE_FAULT, .ring = {held_max}}};
    err = wrap_grant(outer, inner, state_bytes(held_max), &shared);
    if (err)
        return err;
    state = (struct state *)(void *)queue_shared_at(shared, WRAP_STATE_AT);
    state->random = options->seed ? options->seed : 1;
    for (enum fault_way way = FAULT_RX; way < FAULT_WAYS; way++) {
        state->way[way].rates = options->way[way];
        for (uint32_t i = 0; i < held_max; i++)
            state->way[way].order[i] = (uint16_t)i;
    }
    queue_shared_unmap(shared, WRAP_STATE_AT + state_bytes(held_max));
    return 0;
}

void fault_counts(const struct queue *q, enum fault_way way, struct fault_counts *counts)
{
    *counts = ((const struct fault *)(const void *)q)->state->way[way].counts;
}
