// SPDX-License-Identifier: BSD-2-Clause
// One direction of a link: a queue before a wire of some rate and delay, which loses, reorders,
// doubles and corrupts packets as the dice say.
#ifndef SHUNT_TESTS_SIM_LINK_H
#define SHUNT_TESTS_SIM_LINK_H

#include <stddef.h>

#include "base/list.h"
#include "rng.h"

struct link_config {
    uint64_t delay_ns;
    uint64_t rate;        // bytes a second; 0: no limit
    uint32_t queue_bytes; // what waits for the wire beyond that is lost; 0: no limit
    uint32_t mark_bytes;  // ECN-capable packets are marked CE when more than that waits; 0: never
    uint32_t loss_ppm, reorder_ppm, duplicate_ppm, corrupt_ppm;
    uint64_t reorder_ns; // a packet that is reordered comes up to that much later
};

struct link_packet {
    struct list node;
    uint64_t arrival_ns;
    size_t len;
    uint8_t bytes[];
};

struct link {
    struct link_config cfg;
    struct rng *rng;
    struct list flight;  // by arrival time
    uint64_t free_at_ns; // when the wire has sent what waits
    uint64_t sent, lost, delivered;
};

void link_init(struct link *l, const struct link_config *cfg, struct rng *rng);
void link_fini(struct link *l);

// Sends an IP packet; its bytes are copied.
void link_send(struct link *l, uint64_t now_ns, const void *packet, size_t len);

// When the next packet arrives; CLOCK_NEVER for none.
uint64_t link_next(const struct link *l);

// Takes the next packet out, if it has arrived by now: the caller frees it. Or NULL.
struct link_packet *link_receive(struct link *l, uint64_t now_ns);

#endif
