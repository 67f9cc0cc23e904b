// SPDX-License-Identifier: BSD-2-Clause
// The tcp carrier inside a program: the stacks that it is attached to (net/net.h), and the channels
// of its connections, which they pump.
//
// The lane of a channel is chan.pump, its socket chan.pumped. Not thread-safe but where said; the
// caller holds its own lock. Errors are 0 or a negative errno.
#ifndef SHUNT_LANE_TCP_H
#define SHUNT_LANE_TCP_H

#include "chan/chan.h"
#include "net/net.h"

struct tcp_lane;

// What shuntd gives. The fds are the lane's when tcp_lane_attach() succeeds.
struct tcp_lane_parts {
    uint64_t id;
    int arena, owner_bell;
    struct queue_grant queue;
};

int tcp_lane_attach(const struct tcp_lane_parts *parts);

struct tcp_lane *tcp_lane_of(uint64_t id); // NULL: not attached, or dead

// The ids of the stacks that are attached, at most max.
size_t tcp_lane_ids(uint64_t *ids, size_t max);

// In a forked child, before anything else.
void tcp_lane_forked(void);

// Is fd one of a lane's? Such numbers cannot be moved.
bool tcp_lane_owns_fd(int fd);

// Maps the channel of sock into *c, which stays where it is until tcp_lane_leave(). The bell stays
// the caller's.
int tcp_lane_join(struct tcp_lane *lane, uint32_t sock, int bell, struct chan *c);

// The channel lives at to from now on.
void tcp_lane_move(struct chan *from, struct chan *to);

// What happens to its socket does not ring its bell any more: the socket's number may be another's
// once this process has closed its last copy of the lifeline.
void tcp_lane_deaf(const struct chan *c);

// Forgets the channel; the caller unmaps it then.
void tcp_lane_leave(struct chan *c);

// Of a channel that was joined; by any thread.
struct net *tcp_lane_net(const struct chan *c);
static inline uint32_t tcp_lane_sock(const struct chan *c)
{
    return (uint32_t)c->pumped;
}

#endif
