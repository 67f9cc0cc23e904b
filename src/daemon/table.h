// SPDX-License-Identifier: BSD-2-Clause
// An intrusive hash table. It owns its buckets and nothing else.
#ifndef SHUNT_DAEMON_TABLE_H
#define SHUNT_DAEMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct table_node {
    struct list link;
    uint64_t hash;
};

struct table {
    struct list *bucket;
    size_t buckets, used; // buckets is a power of two
};

int table_init(struct table *t); // 0 or -ENOMEM
void table_fini(struct table *t);

// Never fails: without memory to grow, chains get longer. hash must be one that clients cannot
// foresee.
void table_add(struct table *t, struct table_node *node, uint64_t hash);
void table_del(struct table *t, struct table_node *node); // a node that is in t

// The chain that nodes of this hash are in, mixed with others.
static inline struct list *table_chain(const struct table *t, uint64_t hash)
{
    return &t->bucket[hash & (t->buckets - 1)];
}

#endif
