// SPDX-License-Identifier: BSD-2-Clause
// What the wrappers have in common: a grant that holds another queue's grant, and memory of their
// own behind it. The inner queue's descriptors come first, the wrapper's after them.
#ifndef SHUNT_QUEUE_WRAP_H
#define SHUNT_QUEUE_WRAP_H

#include "queue/shared.h"

// Where a wrapper's own state begins; the page before it has the inner queue's description.
#define WRAP_STATE_AT (2 * QUEUE_PAGE)

// One process's view of a wrapped queue; the first member of a wrapper's struct.
struct wrap {
    struct queue q;
    struct queue_shared *shared;
    uint64_t bytes;
    struct queue *inner;
    struct queue_grant grant; // ours: only the descriptors after the inner queue's are closed by us
};

// Makes outer: inner's descriptors duplicated, and a memfd of state_bytes after the pages above,
// mapped at *shared until queue_shared_unmap(*shared, WRAP_STATE_AT + state_bytes). desc.ring is
// *outer's as given, its door, too. 0, -EINVAL (no more descriptors fit), -ENOMEM, -EMFILE.
int wrap_grant(struct queue_grant *outer, const struct queue_grant *inner, uint64_t state_bytes,
               struct queue_shared **shared);

// The part of attach() that all wrappers share. w is zeroed; `own_fds` of the grant's descriptors
// are the wrapper's. 0, or what queue_attach() says of the inner queue.
int wrap_attach(struct wrap *w, const struct queue_ops *ops, const struct queue_grant *grant,
                unsigned own_fds, uint64_t state_bytes);

// Ends it all but for w itself.
void wrap_detach(struct wrap *w);

static inline struct wrap *wrap_of(struct queue *q)
{
    return (struct wrap *)(void *)q;
}

static inline const struct wrap *wrap_of_const(const struct queue *q)
{
    return (const struct wrap *)(const void *)q;
}

#endif
