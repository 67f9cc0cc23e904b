// SPDX-License-Identifier: BSD-2-Clause
// Two of our engines over an in-memory link, for tcp_bench.c.
#ifndef SHUNT_TESTS_BENCH_TCP_SHUNT_H
#define SHUNT_TESTS_BENCH_TCP_SHUNT_H

#include "base/clock.h"
#include "tcp/arena.h"
#include "tcp_engine.h"
#include "wire/packet.h"

// Of each ring: twice what is written at a time, so that it stays in the caches as lwIP's buffers
// do.
#define BENCH_RING (1u << 17)

struct bench_rings {
    uint8_t *tx, *rx;
    _Atomic uint64_t tx_head, tx_tail, rx_head, rx_tail;
};

struct bench_side {
    struct tcp_sink sink;
    uint32_t index;
};

struct bench_pair {
    struct tcp_conn *conn[2]; // the client's end, the server's end
};

// The time stamp counter, where there is one; else nanoseconds.
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return clock_now_ns();
#endif
}

extern const struct tcp_engine bench_shunt;

// Fresh engines; super_max 0: segments of 1,460 bytes.
void bench_shunt_start(uint32_t super_max, enum csum_mode csum, uint32_t conns);
void bench_shunt_open(struct bench_pair *pair);
void bench_shunt_bulk(struct bench_pair *pair, uint64_t bytes);

// Ticks that each end's engine took for that, with its packets' headers and checksums: without the
// program's writes and reads.
struct bench_parts {
    uint64_t send, receive;
};
void bench_send_part(void);
void bench_receive_part(void);
void bench_shunt_bulk_parts(struct bench_pair *pair, uint64_t bytes, struct bench_parts *parts);

void bench_shunt_ping(struct bench_pair *pair);
struct tcp_ctx *bench_shunt_ctx(int end);
uint64_t bench_shunt_now(void);

#endif
