// SPDX-License-Identifier: BSD-2-Clause
// The memory that all drivers of a queue share: a memfd with this at its start. The doors put their
// cursors behind it, at offsets that the description tells.
#ifndef SHUNT_QUEUE_SHARED_H
#define SHUNT_QUEUE_SHARED_H

#include <stdalign.h>
#include <stdatomic.h>

#include "queue/queue.h"

#define QUEUE_PAGE 4096

struct queue_shared {
    uint32_t magic; // QUEUE_MAGIC
    uint32_t door;
    uint32_t ring[6];      // as in the description, which must agree
    _Atomic uint32_t down; // the owner has ended the queue
    struct queue_caps caps;
    alignas(64) struct queue_counters counters;
};

_Static_assert(sizeof(struct queue_shared) <= QUEUE_PAGE, "the doors begin on the second page");

// Makes and maps a memfd of `bytes`, all zero but for the head. On success *fd is the caller's
// (close-on-exec, sealed against resizing). 0, -ENOMEM, -EMFILE.
int queue_shared_create(struct queue_shared **s, int *fd, const struct queue_desc *desc,
                        uint64_t bytes);

// Maps `bytes` of a memfd that must be at least as long, and made for that door and ring. 0,
// -EPROTO, -ENOMEM.
int queue_shared_map(struct queue_shared **s, int fd, const struct queue_desc *desc,
                     uint64_t bytes);

void queue_shared_unmap(struct queue_shared *s, uint64_t bytes);

static inline uint8_t *queue_shared_at(struct queue_shared *s, uint64_t offset)
{
    return (uint8_t *)s + offset;
}

static inline bool queue_shared_down(const struct queue_shared *s)
{
    return atomic_load_explicit(&s->down, memory_order_relaxed);
}

// The length of out's frame, or -EMSGSIZE where out breaks the limits of queue.h or caps.
int queue_out_bytes(const struct queue_out *out, const struct queue_caps *caps);

// Copies out's frame to dst, which has room for it.
void queue_out_copy(const struct queue_out *out, uint8_t *dst);

#endif
