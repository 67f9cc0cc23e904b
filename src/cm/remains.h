// SPDX-License-Identifier: BSD-2-Clause
// What a program that has died leaves in its half of a mirrored channel. Its device may not have
// delivered the last of it, so shuntd, which has the memory, says it in the program's name, by the
// messages that src/lane/rdma/PROTOCOL.md calls REST and LINES.
#ifndef SHUNT_CM_REMAINS_H
#define SHUNT_CM_REMAINS_H

#include <stddef.h>
#include <stdint.h>

struct cm_remains {
    int memfd; // the caller's
    int side;
    uint32_t ring_bytes;
    uint64_t at, tail; // what is still to be said, by ring position
    uint8_t last[128]; // the message that ends it; 0 bytes: said
    size_t last_bytes;
};

// Nobody writes to memfd any more as that side. 0; -EPROTO: it died while it sent bytes by the
// twin a second time, and nobody knows how far it came.
int cm_remains_begin(struct cm_remains *rem, int memfd, int side, uint32_t ring_bytes);

// The next message, at most CM_RELAY_MAX_BYTES. Its length; 0: there is none.
size_t cm_remains_next(struct cm_remains *rem, uint8_t *to);

#endif
