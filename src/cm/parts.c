// SPDX-License-Identifier: BSD-2-Clause
#include "cm/parts.h"

#include "chan/chan.h"

#include <sys/eventfd.h>
#include <unistd.h>

// Makes the memfd, and the bells of the sides that are bits of sides.
static int open_some(struct cm_parts *parts, uint32_t ring_bytes, unsigned sides)
{
    int err = 0;

    *parts = CM_PARTS_NONE;
    parts->memfd = chan_create(ring_bytes);
    if (parts->memfd < 0)
        err = parts->memfd;
    for (int side = 0; side < 2 && !err; side++) {
        if (!(sides & 1u << side))
            continue;
        parts->bell[side] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (parts->bell[side] < 0)
            err = -errno;
    }
    if (err)
        cm_parts_close(parts);
    return err;
}

int cm_parts_open(struct cm_parts *parts, uint32_t ring_bytes)
{
    return open_some(parts, ring_bytes, 3);
}

int cm_parts_open_mirror(struct cm_parts *parts, uint32_t ring_bytes, int side)
{
    return open_some(parts, ring_bytes, 1u << side);
}

void cm_parts_close(struct cm_parts *parts)
{
    for (int side = 0; side < 2; side++)
        if (parts->bell[side] >= 0)
            close(parts->bell[side]);
    if (parts->memfd >= 0)
        close(parts->memfd);
    *parts = CM_PARTS_NONE;
}

uint32_t cm_ring_size(uint32_t bytes)
{
    if (bytes < CHAN_RING_MIN_BYTES)
        return 0;
    if (bytes >= CHAN_RING_MAX_BYTES)
        return CHAN_RING_MAX_BYTES;
    return UINT32_C(1) << (31 - __builtin_clz(bytes));
}
