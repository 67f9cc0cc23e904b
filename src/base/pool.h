// SPDX-License-Identifier: BSD-2-Clause
// Objects of one size from memory that is never given back, so a stale pointer to one can always be
// looked at. No malloc: fit for a library that lives inside other programs' allocators. The caller
// locks.
#ifndef SHUNT_BASE_POOL_H
#define SHUNT_BASE_POOL_H

#include <stddef.h>

struct pool {
    size_t object_bytes; // a multiple of 16, at least 16
    void *free;          // a chain through the first word of each
};

// A zeroed object, aligned to 64 where its size is a multiple of 64; NULL when there is no memory.
void *pool_take(struct pool *p);
void pool_give(struct pool *p, void *object);

#endif
