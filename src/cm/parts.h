// SPDX-License-Identifier: BSD-2-Clause
// The kernel objects of a channel, as shuntd makes and keeps them.
#ifndef SHUNT_CM_PARTS_H
#define SHUNT_CM_PARTS_H

#include <stdint.h>

struct cm_parts {
    int memfd;
    int bell[2]; // eventfds, by side
};

#define CM_PARTS_NONE                                                                              \
    (struct cm_parts)                                                                              \
    {                                                                                              \
        -1,                                                                                        \
        {                                                                                          \
            -1, -1                                                                                 \
        }                                                                                          \
    }

// Makes memfd and bells, all close-on-exec and non-blocking. ring_bytes as in chan_create().
// 0 or -errno; then *parts is CM_PARTS_NONE.
int cm_parts_open(struct cm_parts *parts, uint32_t ring_bytes);

// The same for one side of a mirrored channel: the memfd, and the bell of that side.
int cm_parts_open_mirror(struct cm_parts *parts, uint32_t ring_bytes, int side);

// Legal on CM_PARTS_NONE.
void cm_parts_close(struct cm_parts *parts);

// The greatest ring size that a channel can have and that is not above bytes; 0: none is so small.
uint32_t cm_ring_size(uint32_t bytes);

#endif
