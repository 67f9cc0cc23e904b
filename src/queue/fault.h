// SPDX-License-Identifier: BSD-2-Clause
// A bad link: a queue whose frames get lost, held back, overtaken, doubled, damaged or squeezed
// through a rate. For tests. It works for all drivers of the queue: what is held back lies in
// shared memory, and one driver gives what another took in.
#ifndef SHUNT_QUEUE_FAULT_H
#define SHUNT_QUEUE_FAULT_H

#include "queue/queue.h"

extern const struct queue_ops queue_fault;

enum fault_way { FAULT_RX, FAULT_TX, FAULT_WAYS };

// What happens to frames of one way; each frame is judged by itself, in this order.
struct fault_rates {
    uint32_t drop_ppm;
    uint32_t duplicate_ppm; // comes twice
    // One bit is turned over, in a frame whose checksum is finished first, so that who looks can
    // see it. A super-frame is cut up and summed only later: it is dropped instead.
    uint32_t corrupt_ppm;
    uint32_t reorder_ppm;      // held back by reorder_ns more than others
    uint64_t reorder_ns;       // 0: 1 ms
    uint64_t delay_ns;         // for all
    uint64_t rate_bytes_per_s; // 0: no limit
};

struct fault_options {
    struct fault_rates way[FAULT_WAYS];
    uint64_t seed;     // of the chances; the same seed and frames give the same faults
    uint32_t held_max; // frames that are held back each way, beyond which they are lost; 0: 512
};

struct fault_counts {
    uint64_t dropped, duplicated, corrupted, reordered;
    uint64_t overflowed; // lost because held_max were held
};

// A grant for the queue of `inner` (which stays the caller's) with those faults. 0, -EINVAL,
// -ENOMEM, -EMFILE.
int fault_grant(struct queue_grant *outer, const struct queue_grant *inner,
                const struct fault_options *options);

// What has been done so far, by all drivers; q is of this door.
void fault_counts(const struct queue *q, enum fault_way way, struct fault_counts *counts);

#endif
