// SPDX-License-Identifier: BSD-2-Clause
// CUBIC (RFC 9438) with HyStart++.
#include "base/util.h"
#include "tcp/cc.h"

// C = 0.4 segments a second cubed; beta = 0.7
#define BETA_NUM 7
#define BETA_DEN 10

static void cubic_init(struct tcp_conn *c, uint64_t now_ns)
{
    c->cubic = (struct cc_cubic){0};
    hystart_init(c);
}

static uint64_t cube_root(uint64_t x)
{
    uint64_t low = 0, high = 1 << 21;

    while (low < high) {
        uint64_t mid = (low + high + 1) / 2;

        if (mid * mid * mid <= x)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

// 4.2: K = cbrt((W_max - cwnd_epoch) / C), here in ms: 1 / 0.4 * 10^9 = 2.5 * 10^9.
static void start_epoch(struct tcp_conn *c, uint64_t now_ns)
{
    struct cc_cubic *q = &c->cubic;
    uint64_t gap = q->w_max > c->cwnd ? q->w_max - c->cwnd : 0;

    q->epoch_ns = now_ns;
    q->w_start = c->cwnd;
    q->w_est = c->cwnd;
    q->w_max = u64_max(q->w_max, c->cwnd);
    q->k_ns = cube_root(gap * 2500000 / c->mss * 1000) * NS_PER_MS;
}

// 4.2, figure 1: W_cubic(t) = C * (t - K)^3 + W_max, in bytes.
static uint64_t window_at(const struct tcp_conn *c, uint64_t t_ns)
{
    const struct cc_cubic *q = &c->cubic;
    bool before = t_ns < q->k_ns;
    uint64_t off_ms = (before ? q->k_ns - t_ns : t_ns - q->k_ns) / NS_PER_MS, delta;

    off_ms = u64_min(off_ms, UINT64_C(1) << 20);
    delta = off_ms * off_ms * off_ms / 1000000 * c->mss / 2500;
    if (before)
        return q->w_max > delta ? q->w_max - delta : 0;
    return q->w_max + delta;
}

// 4.3: what Reno would have: alpha = 3 * (1 - beta) / (1 + beta) = 9/17 until W_max is reached,
// then 1.
static void grow_reno_estimate(struct tcp_conn *c, uint32_t acked)
{
    struct cc_cubic *q = &c->cubic;
    uint64_t add = (uint64_t)c->mss * acked / nonzero(c->cwnd);

    q->w_est += q->w_est < q->w_max ? add * 9 / 17 : add;
}

// 4.4 and 4.5: each ACK moves cwnd towards the window one round trip ahead, at most by half.
static void cubic_grow(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_cubic *q = &c->cubic;
    uint32_t acked = ack->delivered;
    uint64_t target;

    if (c->cwnd < c->ssthresh)
        acked = cc_slow_start(c, ack);
    if (!acked || c->cwnd < c->ssthresh)
        return;
    if (!q->epoch_ns)
        start_epoch(c, ack->now_ns);
    grow_reno_estimate(c, acked);
    target = window_at(c, ack->now_ns - q->epoch_ns + c->srtt_ns);
    target = u64_min(target, (uint64_t)c->cwnd * 3 / 2);
    if (target > c->cwnd)
        c->cwnd += (target - c->cwnd) * acked / nonzero(c->cwnd);
    c->cwnd = u64_max(c->cwnd, q->w_est);
}

// 4.6 and 4.7 (fast convergence).
static uint32_t cubic_ssthresh(struct tcp_conn *c, uint64_t now_ns)
{
    struct cc_cubic *q = &c->cubic;
    uint32_t cwnd = c->cwnd;

    q->epoch_ns = 0;
    q->w_max = cwnd < q->w_max ? (uint64_t)cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN) : cwnd;
    return u64_max((uint64_t)cwnd * BETA_NUM / BETA_DEN, 2u * c->mss);
}

// 4.2: time in which the program sent nothing does not count: the epoch moves with it.
static void cubic_resume(struct tcp_conn *c, uint64_t now_ns, uint64_t idle_ns)
{
    if (c->cubic.epoch_ns)
        c->cubic.epoch_ns = u64_min(c->cubic.epoch_ns + idle_ns, now_ns);
}

static void cubic_undo(struct tcp_conn *c)
{
    c->cubic.epoch_ns = 0;
    c->cubic.w_max = u64_max(c->cubic.w_max, c->cwnd);
}

const struct tcp_cc cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .grow = cubic_grow,
    .ssthresh = cubic_ssthresh,
    .resume = cubic_resume,
    .undo = cubic_undo,
};
