// SPDX-License-Identifier: BSD-2-Clause
// An engine's memory, inside: the shared header, the index-linked lists, randomness. The block
// holds the header, the connections, the spans and the hash buckets, in this order, each aligned
// to 64.
#ifndef SHUNT_TCP_ARENA_H
#define SHUNT_TCP_ARENA_H

#include "base/clock.h"
#include "base/siphash.h"
#include "tcp/tcp.h"

#define ARENA_MAGIC   UINT64_C(0x31706374746e6873) // "shnttcp1"
#define ARENA_VERSION 1

// Fast Open cookies that servers gave us (RFC 7413, 4.1.3), by a hash of the address; newest wins.
struct tfo_entry {
    struct ip_addr server;
    uint64_t blocked_until_ns; // a SYN with data was lost there: leave it for a while
    uint16_t mss;
    uint8_t len; // 0: free
    uint8_t cookie[SEG_TFO_MAX];
};

#define TFO_ENTRIES 64

struct tcp_keys {
    struct siphash_key isn, port, hash, random, tfo, ts;
    struct siphash_key cookie[2];
};

struct tcp_arena {
    uint64_t magic;
    uint32_t version;
    struct tcp_config cfg;
    struct tcp_keys keys;
    uint64_t random_count;
    uint32_t port_step;            // RFC 6056, 3.3.4: advances with every port given out
    uint32_t conn_free, span_free; // first of the free lists
    uint32_t conn_fresh;           // connections from here on were never used
    struct tcp_link ready;         // next: first, prev: last
    struct tcp_link time_wait;     // oldest first
    uint64_t cookie_until_ns;      // bare ACKs may carry cookies until then
    uint64_t challenge_second;
    uint64_t ooo_stamp; // counts insertions into out-of-order lists
    struct tcp_counters counters;
    struct tfo_entry tfo[TFO_ENTRIES];
    struct wheel wheel;
};

#define tcp_count(ctx, what) ((ctx)->arena->counters.what++)

// 64 bits that nobody outside can predict.
static inline uint64_t arena_random(struct tcp_ctx *ctx)
{
    uint64_t n = ctx->arena->random_count++;

    return siphash24(&ctx->arena->keys.random, &n, sizeof n);
}

static inline struct wheel_nodes arena_wheel_nodes(const struct tcp_ctx *ctx)
{
    return (struct wheel_nodes){&ctx->conns->wheel, sizeof ctx->conns[0], ctx->cfg.max_conns};
}

// An index that was read from the arena. One that is too large leads to the last connection: memory
// that somebody has scribbled on breaks connections, and nothing else.
static inline struct tcp_conn *conn_at(const struct tcp_ctx *ctx, uint32_t i)
{
    return &ctx->conns[index_within(i, ctx->cfg.max_conns)];
}

// A number of the arena to divide by.
static inline uint32_t nonzero(uint32_t n)
{
    n = value_once(n);
    return n ? n : 1;
}

static inline uint32_t conn_index(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    return (uint32_t)(c - ctx->conns);
}

// The scale that lets a window of rcv_max be told (RFC 7323, 2.2).
static inline uint8_t tcp_rcv_wscale(const struct tcp_config *cfg)
{
    uint8_t scale = 0;

    while (scale < 14 && cfg->rcv_max >> scale > UINT16_MAX)
        scale++;
    return scale;
}

// Lists through the `side` member.
void side_list_append(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c);
void side_list_remove(struct tcp_ctx *ctx, struct tcp_link *list, struct tcp_conn *c);

#endif
