// SPDX-License-Identifier: BSD-2-Clause
// The stack's lock: a word that says who holds it, so that a holder that died can be told from one
// that works.
#ifndef SHUNT_NET_LOCK_H
#define SHUNT_NET_LOCK_H

#include "net/arena.h"

// The calling thread's word: member + 1 in the upper half, its thread id in the lower.
uint64_t net_lock_word(const struct net *n);

// Never waits. False also on a dead stack.
// The holder begins to change what others rely on, and has done so. If it dies outside, others go
// on.
static inline void net_changes(struct net *n)
{
    if (!atomic_load_explicit(&n->arena->harmless, memory_order_relaxed))
        return;
    atomic_store_explicit(&n->arena->harmless, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}
static inline void net_settled(struct net *n)
{
    atomic_store_explicit(&n->arena->harmless, 1, memory_order_release);
}

bool net_lock_try(struct net *n);

void net_lock_release(struct net *n);

// Tries until deadline_ns; declares the stack dead where the holder is gone. 0, -ETIMEDOUT,
// -ECONNRESET (dead).
int net_lock_until(struct net *n, uint64_t deadline_ns);

// Joins the members. 0 or -EUSERS.
int net_member_join(struct net *n);
void net_member_leave(struct net *n);

// Is the thread that `word` names no more? False where it cannot be known: another pid namespace.
bool net_holder_gone(const struct net *n, uint64_t word);

// Is the process of that place no more?
bool net_member_gone(const struct net *n, uint32_t member);

// death.c. The holder is gone: the stack dies with it, unless it was harmless; then the lock is
// free, and all who sleep are woken in its place.
void net_holder_died(struct net *n, uint64_t holder);

// Declares the stack dead unless it is, takes the lock from holder (0: nobody had it; it
// is ours when it is our own word) and resets the peers.
void net_declare_dead(struct net *n, uint64_t holder, enum net_death why);

#endif
