// SPDX-License-Identifier: BSD-2-Clause
// A hierarchical timer wheel: arm and cancel are O(1), times are 64-bit nanoseconds of one
// monotonic clock, and a timer fires at its deadline or up to one tick later, never before it.
//
// Nodes are addressed by 32-bit indexes into an array that the caller owns (they may be embedded in
// larger structs: `stride` bytes apart), so wheel and nodes can lie in shared memory. Whatever
// others write there, nothing outside of both is touched, and each call ends.
//
// Nine levels of 64 slots, a tick of 2^10 ns: together they reach to the end of 64-bit time.
#ifndef SHUNT_BASE_WHEEL_H
#define SHUNT_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define WHEEL_TICK_SHIFT 10 // 1,024 ns
#define WHEEL_LEVELS     9
#define WHEEL_SLOT_BITS  6
#define WHEEL_SLOTS      (1 << WHEEL_SLOT_BITS)
#define WHEEL_NONE       UINT32_MAX

struct wheel_node {
    uint64_t deadline_ns;              // valid while armed
    uint32_t next, prev;               // indexes in the slot's list; WHEEL_NONE ends it
    uint32_t slot;                     // level * WHEEL_SLOTS + slot, or WHEEL_IDLE
} __attribute__((packed, aligned(4))); // 20 bytes: a connection counts them

#define WHEEL_IDLE UINT32_MAX

struct wheel {
    uint64_t now_tick;           // every slot before it has been emptied
    uint64_t busy[WHEEL_LEVELS]; // bit s: slot s of the level holds nodes
    uint32_t heads[WHEEL_LEVELS][WHEEL_SLOTS];
    uint32_t armed; // nodes in the wheel
};

// Where the nodes lie, in this process.
struct wheel_nodes {
    void *base; // the node with index 0
    size_t stride;
    uint32_t count; // not 0
};

static inline struct wheel_node *wheel_node_at(struct wheel_nodes n, uint32_t i)
{
    return (struct wheel_node *)(void *)((char *)n.base + n.stride * index_within(i, n.count));
}

void wheel_init(struct wheel *w, uint64_t now_ns);
void wheel_node_init(struct wheel_node *node);

static inline bool wheel_is_armed(const struct wheel_node *node)
{
    return node->slot != WHEEL_IDLE;
}

// Arms node i for deadline_ns (a deadline in the past fires at the next wheel_advance), moving it
// if it is armed already. CLOCK_NEVER cancels.
void wheel_arm(struct wheel *w, struct wheel_nodes n, uint32_t i, uint64_t deadline_ns);

// Takes node i out; nothing where it is not armed.
void wheel_cancel(struct wheel *w, struct wheel_nodes n, uint32_t i);

// The index of one node whose deadline is at or before now_ns, disarmed; WHEEL_NONE when there is
// none left. Call it in a loop; nodes may be armed and cancelled between the calls. now_ns never
// goes back.
uint32_t wheel_expire(struct wheel *w, struct wheel_nodes n, uint64_t now_ns);

// When wheel_expire has to be called next: CLOCK_NEVER when nothing is armed. Exact to the tick
// when the earliest deadline is less than 64 ticks off; else it may be earlier than any deadline,
// because far timers wait in coarse slots that are sorted when their time comes (at most once a
// level).
uint64_t wheel_next_ns(const struct wheel *w);

#endif
