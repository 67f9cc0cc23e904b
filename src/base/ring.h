// SPDX-License-Identifier: BSD-2-Clause
// A view of a byte ring whose cursors are 64-bit stream positions that only grow. Position p lies
// at base[p & mask]. The producer alone writes *head, the consumer alone writes *tail; either may
// be another process, so a cursor that was read from the ring is clamped before it is used. A view
// holds pointers: it lives on a stack, never in shared memory.
#ifndef SHUNT_BASE_RING_H
#define SHUNT_BASE_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ring {
    uint8_t *base;          // mask + 1 bytes
    uint64_t mask;          // size - 1; size is a power of two
    _Atomic uint64_t *head; // bytes ever put in
    _Atomic uint64_t *tail; // bytes ever taken out
};

// A stretch of ring bytes, in two pieces where it wraps; data[1] is NULL where it does not.
struct ring_span {
    const uint8_t *data[2];
    uint32_t len[2];
};

static inline uint64_t ring_size(const struct ring *r)
{
    return r->mask + 1;
}

// Bytes that the producer has put beyond position `from`; 0 to size whatever the memory says.
static inline uint64_t ring_ready(const struct ring *r, uint64_t from)
{
    uint64_t n = atomic_load_explicit(r->head, memory_order_acquire) - from;

    return n <= ring_size(r) ? n : 0;
}

// Bytes that fit between position `at` (the producer's own) and the consumer's tail plus size.
static inline uint64_t ring_space(const struct ring *r, uint64_t at)
{
    uint64_t used = at - atomic_load_explicit(r->tail, memory_order_acquire);

    return used <= ring_size(r) ? ring_size(r) - used : 0;
}

// The len bytes (<= size) at position pos, in place.
static inline struct ring_span ring_span(const struct ring *r, uint64_t pos, uint32_t len)
{
    uint64_t at = pos & r->mask, room = ring_size(r) - at;

    if (len <= room)
        return (struct ring_span){{r->base + at, NULL}, {len, 0}};
    return (struct ring_span){{r->base + at, r->base}, {(uint32_t)room, len - (uint32_t)room}};
}

// Copies len bytes (<= size) into the ring at position pos; publishes nothing.
static inline void ring_write(const struct ring *r, uint64_t pos, const void *src, uint32_t len)
{
    uint64_t at = pos & r->mask, room = ring_size(r) - at;
    uint32_t first = len <= room ? len : (uint32_t)room;

    memcpy(r->base + at, src, first);
    if (first < len)
        memcpy(r->base, (const uint8_t *)src + first, len - first);
}

// Copies len bytes (<= size) at position pos out of the ring; moves no cursor.
static inline void ring_read(const struct ring *r, uint64_t pos, void *dst, uint32_t len)
{
    struct ring_span s = ring_span(r, pos, len);

    memcpy(dst, s.data[0], s.len[0]);
    if (s.len[1])
        memcpy((uint8_t *)dst + s.len[0], s.data[1], s.len[1]);
}

static inline void ring_publish_head(const struct ring *r, uint64_t head)
{
    atomic_store_explicit(r->head, head, memory_order_release);
}

static inline void ring_publish_tail(const struct ring *r, uint64_t tail)
{
    atomic_store_explicit(r->tail, tail, memory_order_release);
}

#endif
