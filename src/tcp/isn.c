// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/isn.h"

// A copy without padding, so that all of it is hashed and nothing else.
struct tuple_bytes {
    uint8_t addrs[32];
    uint16_t ports[2];
};

uint32_t isn_make(const struct tcp_ctx *ctx, const struct tcp_tuple *t, uint64_t now_ns)
{
    struct tuple_bytes b = {.ports = {t->local_port, t->remote_port}};

    memcpy(b.addrs, &t->local, 16);
    memcpy(b.addrs + 16, &t->remote, 16);
    return (uint32_t)(now_ns / 4000) + (uint32_t)siphash24(&ctx->arena->keys.isn, &b, sizeof b);
}

uint32_t isn_ts_offset(const struct tcp_ctx *ctx, const struct tcp_tuple *t)
{
    uint8_t addrs[32];

    memcpy(addrs, &t->local, 16);
    memcpy(addrs + 16, &t->remote, 16);
    return siphash24(&ctx->arena->keys.ts, addrs, sizeof addrs);
}
