// SPDX-License-Identifier: BSD-2-Clause
// Both ends of a connection in this process, joined by a channel without a daemon.
#ifndef RIG_H
#define RIG_H

#include "sock/conn.h"

#define RIG_RING_BYTES (64 << 10)

struct rig_end {
    int fd;
    struct conn *c; // held
};

// a connected, b accepted; on plain TCP, with a channel mapped at both ends that nobody uses yet.
struct rig_pair {
    struct rig_end a, b;
};

void rig_init(void); // once a process
void rig_open(struct rig_pair *p, uint32_t spin_us);
void rig_switch(struct rig_pair *p); // both directions to the ring
void rig_close(struct rig_pair *p);  // ends that are open
void rig_close_end(struct rig_end *e);

// All n bytes, or the test fails. The ring must have room, or the peer be read by another thread.
void rig_write(struct rig_end *e, size_t n);
void rig_read(struct rig_end *e, size_t n);
// Writes without waiting until there is no room; the bytes written.
size_t rig_fill(struct rig_end *e);

#endif
