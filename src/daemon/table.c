// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/table.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BUCKETS 256

static struct list *new_buckets(size_t n)
{
    struct list *bucket = calloc(n, sizeof *bucket);

    for (size_t i = 0; bucket && i < n; i++)
        list_init(&bucket[i]);
    return bucket;
}

int table_init(struct table *t)
{
    *t = (struct table){.bucket = new_buckets(FIRST_BUCKETS), .buckets = FIRST_BUCKETS};
    return t->bucket ? 0 : -ENOMEM;
}

void table_fini(struct table *t)
{
    free(t->bucket);
    *t = (struct table){0};
}

static void grow(struct table *t)
{
    struct table bigger = {new_buckets(2 * t->buckets), 2 * t->buckets, t->used};

    if (!bigger.bucket)
        return;
    for (size_t i = 0; i < t->buckets; i++)
        list_for_each_safe (it, &t->bucket[i]) {
            list_del(it);
            list_add_tail(table_chain(&bigger, list_entry(it, struct table_node, link)->hash), it);
        }
    free(t->bucket);
    *t = bigger;
}

void table_add(struct table *t, struct table_node *node, uint64_t hash)
{
    if (t->used >= t->buckets)
        grow(t);
    node->hash = hash;
    list_add_tail(table_chain(t, hash), &node->link);
    t->used++;
}

void table_del(struct table *t, struct table_node *node)
{
    list_del(&node->link);
    t->used--;
}
