// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/demux.h"

#include <errno.h>

#include "base/util.h"

#define CHAIN_MAX   1024 // where a walk gives up: keyed hashes make no chain of that length
#define TUPLE_BYTES (offsetof(struct tcp_tuple, remote_port) + sizeof(uint16_t)) // no padding

// IPv4 needs a third of the bytes: most segments hash one block less.
static uint64_t hash_tuple(const struct siphash_key *key, const struct tcp_tuple *t)
{
    uint32_t v4[3] = {t->local.w[3], t->remote.w[3],
                      (uint32_t)t->local_port << 16 | t->remote_port};

    if (ip_addr_is_v4(&t->remote) && ip_addr_is_v4(&t->local))
        return siphash13(key, v4, sizeof v4);
    return siphash13(key, t, TUPLE_BYTES);
}

static uint32_t *bucket_of(const struct tcp_ctx *ctx, const struct tcp_tuple *t)
{
    return &ctx->buckets[hash_tuple(&ctx->arena->keys.hash, t) & ctx->bucket_mask];
}

void demux_add(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t *bucket = bucket_of(ctx, &c->tuple);

    c->hash_next = *bucket;
    *bucket = conn_index(ctx, c);
    c->in_table = 1;
}

void demux_remove(struct tcp_ctx *ctx, struct tcp_conn *c)
{
    uint32_t *at = bucket_of(ctx, &c->tuple), i = conn_index(ctx, c), left = CHAIN_MAX;

    if (!c->in_table)
        return;
    while (*at != TCP_NONE && *at != i && left--)
        at = &conn_at(ctx, *at)->hash_next;
    if (*at == i)
        *at = c->hash_next;
    c->in_table = 0;
    if (ctx->last == c)
        ctx->last = NULL;
}

struct tcp_conn *demux_find(const struct tcp_ctx *ctx, const struct tcp_tuple *t)
{
    uint32_t i = *bucket_of(ctx, t), left = CHAIN_MAX;
    struct tcp_conn *c;

    for (; i != TCP_NONE && left--; i = c->hash_next) {
        c = conn_at(ctx, i);
        if (tuple_equal(&c->tuple, t))
            return c;
    }
    return NULL;
}

struct tcp_conn *demux_listener(const struct tcp_ctx *ctx, const struct ip_addr *local,
                                uint16_t local_port)
{
    struct tcp_tuple t = {.local = *local, .local_port = local_port};
    struct tcp_conn *c = demux_find(ctx, &t);

    if (c)
        return c;
    if (ip_addr_is_v4(local)) { // 0.0.0.0, then ::, which takes both families
        t.local = ip_addr_v4(0);
        c = demux_find(ctx, &t);
    }
    if (!c) {
        t.local = (struct ip_addr){0};
        c = demux_find(ctx, &t);
    }
    return c;
}

// RFC 6056, 3.3.4: an offset that is fixed for the peer, and a counter that moves with each use.
// One counter serves all peers here: it is seeded at random, and a peer sees it through its own
// offset.
int demux_pick_port(struct tcp_ctx *ctx, const struct tcp_tuple *t, uint16_t *port)
{
    const struct tcp_config *cfg = &ctx->cfg;
    uint32_t range = (uint32_t)cfg->port_last - cfg->port_first + 1;
    struct tcp_tuple try = *t;
    uint64_t offset;

    try.local_port = 0;
    offset = siphash24(&ctx->arena->keys.port, &try, TUPLE_BYTES);
    for (uint32_t i = 0; i < range; i++) {
        try.local_port = cfg->port_first + (offset + ctx->arena->port_step + i) % range;
        if (demux_find(ctx, &try) || demux_listener(ctx, &try.local, try.local_port))
            continue;
        ctx->arena->port_step += i + 1 + arena_random(ctx) % 4;
        *port = try.local_port;
        return 0;
    }
    return -EADDRINUSE;
}
