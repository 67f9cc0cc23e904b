// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/tcp.h"

#include <errno.h>

#include "base/util.h"
#include "tcp/arena.h"
#include "tcp/cc.h"
#include "tcp/demux.h"
#include "tcp/machine.h"
#include "tcp/span.h"
#include "tcp/timers.h"

#define EXPIRE_MAX 4 // timers of one connection that one call runs, at most

void tcp_config_init(struct tcp_config *cfg)
{
    *cfg = (struct tcp_config){
        .max_conns = 1024,
        .max_spans = 16384,
        .cc = CC_CUBIC,
        .ecn = TCP_ECN_PASSIVE,
        .timestamps = true,
        .window_scaling = true,
        .sack = true,
        .tlp = true,
        .mtu_probing = true,
        .autotune = true,
        .syn_cookies = true,
        .initial_window = 10,
        .rcv_initial = 65536,
        .rcv_max = 16 << 20,
        .rto_initial_ns = NS_PER_S,
        .rto_min_ns = 200 * NS_PER_MS,
        .rto_max_ns = 120 * NS_PER_S,
        .delack_ns = 40 * NS_PER_MS,
        .time_wait_ns = 60 * NS_PER_S,
        .fin_timeout_ns = 60 * NS_PER_S,
        .syn_retries = 7,
        .synack_retries = 5,
        .data_retries = 15,
        .orphan_retries = 8,
        .keep_idle_ms = 7200 * 1000,
        .keep_interval_ms = 75 * 1000,
        .keep_count = 9,
        .port_first = 32768,
        .port_last = 60999,
        .challenge_rate = 2,
    };
}

static size_t align64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

// A power of two, so that a chain holds one connection or two.
static uint32_t bucket_count(const struct tcp_config *cfg)
{
    uint32_t n = 16;

    while (n < cfg->max_conns)
        n *= 2;
    return n;
}

// Where the parts of an engine in mem lie.
static void lay_out(struct tcp_ctx *ctx, void *mem, const struct tcp_config *cfg)
{
    char *at = (char *)mem + align64(sizeof(struct tcp_arena));

    ctx->arena = mem;
    ctx->conns = (struct tcp_conn *)(void *)at;
    at += align64((size_t)cfg->max_conns * sizeof(struct tcp_conn));
    ctx->spans = (struct tcp_span *)(void *)at;
    at += align64((size_t)cfg->max_spans * sizeof(struct tcp_span));
    ctx->buckets = (uint32_t *)(void *)at;
    ctx->bucket_mask = bucket_count(cfg) - 1;
}

size_t tcp_arena_size(const struct tcp_config *cfg)
{
    return align64(sizeof(struct tcp_arena)) +
           align64((size_t)cfg->max_conns * sizeof(struct tcp_conn)) +
           align64((size_t)cfg->max_spans * sizeof(struct tcp_span)) +
           align64(bucket_count(cfg) * sizeof(uint32_t));
}

static bool config_is_sane(const struct tcp_config *cfg)
{
    return cfg->max_conns && cfg->max_conns < TCP_NONE / 4 && cfg->max_spans &&
           cfg->max_spans < TCP_NONE && cfg->port_first && cfg->port_first <= cfg->port_last &&
           cfg->cc < CC_COUNT && cfg->initial_window && cfg->rto_min_ns &&
           cfg->rto_min_ns <= cfg->rto_max_ns && cfg->rcv_initial >= 2048;
}

// Every key is its own hash of the secret, so that none tells anything of another.
static void derive_keys(struct tcp_arena *a)
{
    struct siphash_key *keys = (struct siphash_key *)&a->keys, half[2];

    memcpy(half, a->cfg.secret, sizeof half);
    for (size_t i = 0; i < sizeof a->keys / sizeof *keys; i++) {
        uint8_t label[2] = {i, 0};

        keys[i].k0 = siphash24(&half[0], label, 2) ^ siphash24(&half[1], label, 2);
        label[1] = 1;
        keys[i].k1 = siphash24(&half[0], label, 2) ^ siphash24(&half[1], label, 2);
    }
}

int tcp_format(void *mem, const struct tcp_config *cfg, uint64_t now_ns)
{
    struct tcp_arena *a = mem;
    struct tcp_ctx ctx = {0};

    if (!config_is_sane(cfg))
        return -EINVAL;
    memset(a, 0, sizeof *a);
    a->version = ARENA_VERSION;
    a->cfg = *cfg;
    a->conn_free = TCP_NONE;
    a->ready = a->time_wait = (struct tcp_link){TCP_NONE, TCP_NONE};
    derive_keys(a);
    wheel_init(&a->wheel, now_ns);
    a->magic = ARENA_MAGIC;
    tcp_attach(&ctx, mem, tcp_arena_size(cfg), NULL, NULL);
    a->port_step = (uint32_t)arena_random(&ctx);
    memset(ctx.buckets, 0xff, ((size_t)ctx.bucket_mask + 1) * sizeof *ctx.buckets);
    a->span_free = TCP_NONE;
    a->counters.spans = cfg->max_spans;
    for (uint32_t i = cfg->max_spans; i-- > 0;)
        span_free(&ctx, i);
    return 0;
}

int tcp_attach(struct tcp_ctx *ctx, void *mem, size_t size, const struct tcp_host *host, void *self)
{
    const struct tcp_arena *a = mem;

    if (size < sizeof *a || a->magic != ARENA_MAGIC || a->version != ARENA_VERSION)
        return -EPROTO;
    *ctx = (struct tcp_ctx){.host = host, .self = self};
    memcpy(&ctx->cfg, &a->cfg, sizeof ctx->cfg);
    if (!config_is_sane(&ctx->cfg) || tcp_arena_size(&ctx->cfg) > size)
        return -EPROTO;
    lay_out(ctx, mem, &ctx->cfg);
    return 0;
}

int tcp_output(struct tcp_ctx *ctx, uint64_t now_ns, struct tcp_sink *sink)
{
    uint32_t left = 2 * ctx->cfg.max_conns;
    struct tcp_conn *c;

    while (left-- && (c = conn_next_ready(ctx)) != NULL) {
        int err = tcp_conn_output(ctx, c, now_ns, sink);

        if (err)
            return err;
    }
    return 0;
}

void tcp_expire(struct tcp_ctx *ctx, uint64_t now_ns)
{
    struct wheel_nodes nodes = arena_wheel_nodes(ctx);
    uint32_t left = EXPIRE_MAX * ctx->cfg.max_conns, i;

    while (left-- && (i = wheel_expire(&ctx->arena->wheel, nodes, now_ns)) != WHEEL_NONE)
        timer_fire(ctx, conn_at(ctx, i), now_ns);
}

uint64_t tcp_deadline(const struct tcp_ctx *ctx)
{
    return wheel_next_ns(&ctx->arena->wheel);
}

const struct tcp_counters *tcp_counters(const struct tcp_ctx *ctx)
{
    return &ctx->arena->counters;
}

struct tcp_conn *tcp_conn_at(const struct tcp_ctx *ctx, uint32_t index)
{
    return index < ctx->cfg.max_conns && index < ctx->arena->conn_fresh && ctx->conns[index].in_use
               ? &ctx->conns[index]
               : NULL;
}

uint32_t tcp_conn_index(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    return conn_index(ctx, c);
}

struct tcp_conn *tcp_find(struct tcp_ctx *ctx, const struct tcp_tuple *t)
{
    return demux_find(ctx, t);
}
