// SPDX-License-Identifier: BSD-2-Clause
#include "base/pool.h"

#include <string.h>
#include <sys/mman.h>

#define SLAB_BYTES (size_t)(256 << 10)

static int grow(struct pool *p)
{
    char *slab = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (slab == MAP_FAILED)
        return -1;
    for (size_t at = SLAB_BYTES / p->object_bytes; at-- > 0;)
        pool_give(p, slab + at * p->object_bytes);
    return 0;
}

void *pool_take(struct pool *p)
{
    void *object;

    if (!p->free && grow(p))
        return NULL;
    object = p->free;
    p->free = *(void **)object;
    memset(object, 0, p->object_bytes);
    return object;
}

void pool_give(struct pool *p, void *object)
{
    *(void **)object = p->free;
    p->free = object;
}
