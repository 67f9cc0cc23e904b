// SPDX-License-Identifier: BSD-2-Clause
// Congestion control: one ops table an algorithm. Its state is the union in struct tcp_conn.
// Functions are called with the scoreboard up to date and may change cwnd, ssthresh, pacing_rate
// and their own state, nothing else.
#ifndef SHUNT_TCP_CC_H
#define SHUNT_TCP_CC_H

#include "tcp/ack.h"

enum cc_index { CC_CUBIC, CC_NEWRENO, CC_BBR, CC_COUNT };

struct tcp_cc {
    const char *name;
    // It follows a model of the path: recovery leaves cwnd to control(), and loss does not cut it.
    bool model;
    // Fresh state; cwnd is set already. Also called when a program changes the algorithm.
    void (*init)(struct tcp_conn *c, uint64_t now_ns);
    // Window-based: new bytes were delivered while the window was in use, outside recovery: grow.
    void (*grow)(struct tcp_conn *c, const struct tcp_ack *ack);
    // Window-based: congestion was seen. Returns the new ssthresh; at least two segments.
    uint32_t (*ssthresh)(struct tcp_conn *c, uint64_t now_ns);
    // Model-based: every ACK, after recovery; sets cwnd and pacing_rate.
    void (*control)(struct tcp_conn *c, const struct tcp_ack *ack);
    // The connection sends again after idle_ns without anything in flight. May be NULL.
    void (*resume)(struct tcp_conn *c, uint64_t now_ns, uint64_t idle_ns);
    // The last reduction was a mistake; cwnd and ssthresh are restored already. May be NULL.
    void (*undo)(struct tcp_conn *c);
};

extern const struct tcp_cc cc_cubic, cc_newreno, cc_bbr;

extern const struct tcp_cc *const cc_table[CC_COUNT];

static inline const struct tcp_cc *cc_of(const struct tcp_conn *c)
{
    return cc_table[index_within(c->cc, CC_COUNT)];
}

// Picks an algorithm and starts it. Returns 0 or -EINVAL.
int cc_select(struct tcp_conn *c, uint32_t index, uint64_t now_ns);

// The initial window of RFC 6928, in bytes.
uint32_t cc_initial_window(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// Slow start for all window-based algorithms (RFC 9438, 4.10; RFC 9406): grows cwnd by at most
// acked bytes. Returns the bytes that were not used because ssthresh was reached.
uint32_t cc_slow_start(struct tcp_conn *c, const struct tcp_ack *ack);

// HyStart++ (RFC 9406): feeds a round-trip sample; may end slow start by setting ssthresh.
void hystart_init(struct tcp_conn *c);
void hystart_ack(struct tcp_conn *c, const struct tcp_ack *ack);

// Where a window-based connection is paced: twice cwnd a round trip in slow start, 1.2 times after.
void cc_pace_by_window(const struct tcp_ctx *ctx, struct tcp_conn *c);

#endif
