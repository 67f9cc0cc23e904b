// SPDX-License-Identifier: BSD-2-Clause
// The channel of a matched connection: its lane, its kernel objects, and who pays for them.
//
// On lane shm both sides share one memfd. On lane rdma the channel is mirrored: each side on this
// host has a memfd and a bell of its own, and the other side may be on another host.
#ifndef SHUNT_DAEMON_CHANNEL_H
#define SHUNT_DAEMON_CHANNEL_H

#include "daemon/registry.h"

// The first lane of side 0's that side 1 has, too; SHUNT_LANE_KERNEL: none.
uint8_t channel_lane(const struct conn *conn);

// Makes the channel of conn on lane, with an id. NULL, or why it cannot be had, a static text, with
// *why.
const char *channel_open(struct registry *r, struct conn *conn, uint8_t lane, uint64_t id,
                         enum counter *why);

// Legal on a conn without a channel.
void channel_close(struct registry *r, struct conn *conn);

bool channel_is_mirrored(const struct conn *conn);

// What the client of side is given: memfd, its bell, the bell to ring. They stay the channel's.
void channel_fds(const struct side *side, int fds[static 3]);

// Wakes who sleeps on the bell of side.
void channel_ring(const struct side *side);

#endif
