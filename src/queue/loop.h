// SPDX-License-Identifier: BSD-2-Clause
// Two queues joined back to back in memory, for tests: what one sends the other receives. Frames,
// super-frames and checksum states pass unchanged. Needs no privileges.
#ifndef SHUNT_QUEUE_LOOP_H
#define SHUNT_QUEUE_LOOP_H

#include "queue/queue.h"

extern const struct queue_ops queue_loop;

struct loop_options {
    uint32_t mtu_bytes;   // as caps say; 0: 1500
    uint32_t slots;       // frames in each direction; a power of two; 0: 256
    uint32_t piece_bytes; // longer frames come in several pieces, as AF_XDP's do; 0: in one
    bool no_super;        // frames up to the MTU only
};

// Makes the pair. The grants' fds are the caller's: attach them or queue_grant_close() them. 0,
// -EINVAL, -ENOMEM, -EMFILE.
int loop_open(struct queue_grant ends[2], const struct loop_options *options);

// Ends both queues of the pair, as when a device goes away: rx and kick say -ENETDOWN from now on,
// and both wait fds become readable.
void loop_down(struct queue *q);

#endif
