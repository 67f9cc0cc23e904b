// SPDX-License-Identifier: BSD-2-Clause
// A set of sockets in shared memory: anybody adds without a lock, and members are taken out one by
// one. A member that is added while others are taken is found then, or is there afterwards.
#ifndef SHUNT_NET_BITS_H
#define SHUNT_NET_BITS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NET_BITS (64 * 64 * 64)

struct net_bits {
    alignas(64) _Atomic uint32_t any;         // something may be in the set
    alignas(64) _Atomic uint64_t summary[64]; // a bit a word
    _Atomic uint64_t words[64 * 64];
};

// i < NET_BITS. Ordered before whatever the caller does next (sequentially consistent).
void net_bits_add(struct net_bits *b, uint32_t i);

// Takes out the first member at or behind `from`; UINT32_MAX when there is none.
uint32_t net_bits_take(struct net_bits *b, uint32_t from);

// True, once, where something was added since the last call that gave true.
static inline bool net_bits_news(struct net_bits *b)
{
    return atomic_load_explicit(&b->any, memory_order_seq_cst) && atomic_exchange(&b->any, 0);
}

static inline bool net_bits_has_news(const struct net_bits *b)
{
    return atomic_load_explicit(&b->any, memory_order_seq_cst);
}

#endif
