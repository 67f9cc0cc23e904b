// SPDX-License-Identifier: BSD-2-Clause
// BBR version 1 (Cardwell et al., "BBR: congestion-based congestion control", 2016; the IETF draft
// draft-cardwell-iccrg-bbr-congestion-control-00): sends at the bandwidth that was delivered, keeps
// twice the bandwidth-delay product in flight, and looks for more bandwidth and for the true round
// trip in turns.
#include "base/util.h"
#include "tcp/cc.h"

enum bbr_mode { BBR_STARTUP, BBR_DRAIN, BBR_PROBE_BW, BBR_PROBE_RTT };

#define GAIN_UNIT         256
#define STARTUP_GAIN      739 // 2 / ln 2: fills the pipe as fast as slow start
#define DRAIN_GAIN        88  // its inverse
#define CWND_GAIN         512
#define BW_ROUNDS         5 // half of the filter's ten round trips
#define PROBE_RTT_MS      200
#define MIN_RTT_EXPIRY_MS 10000
#define FULL_ROUNDS       3
#define MIN_SEGMENTS      4

// The gains of the eight phases of PROBE_BW: one up, one down, six level.
static const uint16_t cycle_gain[8] = {320, 192, 256, 256, 256, 256, 256, 256};

static uint64_t bandwidth(const struct cc_bbr *b)
{
    return u64_max(b->bw[0], b->bw[1]);
}

static void bbr_init(struct tcp_conn *c, uint64_t now_ns)
{
    c->bbr = (struct cc_bbr){.round_delivered = c->delivered, .cycle_us = now_ns / NS_PER_US};
    c->ssthresh = UINT32_MAX;
    // until there is a sample: the initial window a millisecond, or a round trip
    c->pacing_rate = (uint64_t)c->cwnd * NS_PER_S / (c->srtt_ns ? c->srtt_ns : NS_PER_MS) *
                     STARTUP_GAIN / GAIN_UNIT;
}

static void count_round(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;

    b->round_start = ack->prior_ns && seq_le(b->round_delivered, ack->prior_delivered);
    if (!b->round_start)
        return;
    b->round_delivered = c->delivered;
    b->round++;
}

// The maximum of the last ten rounds, kept as that of two halves.
static void update_bandwidth(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;

    if (b->round - b->half_round >= BW_ROUNDS) {
        b->bw[1] = b->bw[0];
        b->bw[0] = 0;
        b->half_round = b->round;
    }
    if (ack->rate && (!ack->limited || ack->rate >= bandwidth(b)))
        b->bw[0] = u64_max(b->bw[0], ack->rate);
}

// STARTUP has filled the pipe when three rounds brought less than a quarter more.
static void check_full(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;

    if (b->full || !b->round_start || ack->limited)
        return;
    if (bandwidth(b) >= b->full_bw + b->full_bw / 4) {
        b->full_bw = bandwidth(b);
        b->full_count = 0;
        return;
    }
    b->full = ++b->full_count >= FULL_ROUNDS;
}

static uint64_t window_for(const struct tcp_conn *c, uint32_t gain)
{
    uint64_t rtt_ns = c->min_rtt_ns == UINT32_MAX ? NS_PER_MS : c->min_rtt_ns;
    // bytes a second times ns would overflow at 18 GB/s and one second: divide first by a
    // microsecond
    uint64_t bdp = bandwidth(&c->bbr) / 1000 * (rtt_ns / 1000) / 1000;

    return bdp * gain / GAIN_UNIT + 3ull * c->super_max;
}

static void enter_probe_bw(struct tcp_conn *c, uint64_t now_ns)
{
    c->bbr.mode = BBR_PROBE_BW;
    c->bbr.cycle = 2 + c->delivered % 6; // anywhere but in the phase that drains
    c->bbr.cycle_us = now_ns / NS_PER_US;
}

static void advance_cycle(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;
    uint16_t gain = cycle_gain[b->cycle % 8];
    uint32_t now_us = ack->now_ns / NS_PER_US;
    bool elapsed = now_us - b->cycle_us > c->min_rtt_ns / NS_PER_US;

    if (gain > GAIN_UNIT)
        elapsed =
            elapsed && (c->lost > ack->lost_before || ack->flight_before >= window_for(c, gain));
    if (gain < GAIN_UNIT)
        elapsed = elapsed || ack->flight_before <= window_for(c, GAIN_UNIT);
    if (!elapsed)
        return;
    b->cycle = (b->cycle + 1) % 8;
    b->cycle_us = ack->now_ns / NS_PER_US;
}

static void leave_probe_rtt(struct tcp_conn *c, uint64_t now_ns)
{
    c->min_rtt_at_ms = now_ns / NS_PER_MS;
    c->cwnd = u64_max(c->cwnd, c->bbr.prior_cwnd);
    if (c->bbr.full)
        enter_probe_bw(c, now_ns);
    else
        c->bbr.mode = BBR_STARTUP;
}

// Ten seconds without a smaller round trip: drain the queue for 200 ms to see the path itself.
static void check_probe_rtt(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;
    uint32_t now_ms = ack->now_ns / NS_PER_MS;

    if (b->mode != BBR_PROBE_RTT && !b->idle && now_ms - c->min_rtt_at_ms > MIN_RTT_EXPIRY_MS) {
        b->mode = BBR_PROBE_RTT;
        b->prior_cwnd = c->cwnd;
        b->probe_rtt_done_ms = 0;
        c->min_rtt_ns = UINT32_MAX; // the next samples count anew
    }
    if (b->mode != BBR_PROBE_RTT)
        return;
    if (!b->probe_rtt_done_ms) {
        if (conn_pipe(c) <= MIN_SEGMENTS * (uint32_t)c->mss) {
            b->probe_rtt_done_ms = (now_ms + PROBE_RTT_MS) | 1;
            b->probe_rtt_round = 0;
            b->round_delivered = c->delivered;
        }
        return;
    }
    b->probe_rtt_round |= b->round_start;
    if (b->probe_rtt_round && (int32_t)(now_ms - b->probe_rtt_done_ms) >= 0)
        leave_probe_rtt(c, ack->now_ns);
}

static void step_mode(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;

    check_full(c, ack);
    if (b->mode == BBR_STARTUP && b->full)
        b->mode = BBR_DRAIN;
    if (b->mode == BBR_DRAIN && conn_pipe(c) <= window_for(c, GAIN_UNIT))
        enter_probe_bw(c, ack->now_ns);
    if (b->mode == BBR_PROBE_BW)
        advance_cycle(c, ack);
    check_probe_rtt(c, ack);
}

static uint32_t pacing_gain(const struct cc_bbr *b)
{
    static const uint16_t gain[] = {STARTUP_GAIN, DRAIN_GAIN, 0, GAIN_UNIT};

    return b->mode == BBR_PROBE_BW ? cycle_gain[b->cycle % 8] : gain[b->mode % 4];
}

// The rate falls only once the pipe was full: before, a slow program would teach it too little.
static void set_pacing(struct tcp_conn *c)
{
    uint64_t rate = bandwidth(&c->bbr) * pacing_gain(&c->bbr) / GAIN_UNIT;

    if (rate && (c->bbr.full || rate > c->pacing_rate))
        c->pacing_rate = rate;
}

// Loss: what is lost leaves the window. A recovery's first round sends one packet for each that
// left; its end restores the window of before. Returns true while that rules the window.
static bool conserve_packets(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;
    bool recovering = c->ca_state >= TCP_CA_RECOVERY;
    uint32_t lost = c->lost > ack->lost_before ? c->lost - ack->lost_before : 0;

    if (lost)
        c->cwnd = u64_max(c->cwnd - u64_min(lost, c->cwnd), c->mss);
    if (recovering && !b->recovering) {
        b->conserve = 1;
        b->round_delivered = c->delivered;
        c->cwnd = conn_pipe(c) + ack->delivered;
    } else if (!recovering && b->recovering) {
        b->conserve = 0;
        c->cwnd = u64_max(c->cwnd, c->prior_cwnd);
    } else if (b->round_start) {
        b->conserve = 0;
    }
    b->recovering = recovering;
    if (b->conserve)
        c->cwnd = u64_max(c->cwnd, conn_pipe(c) + ack->delivered);
    return b->conserve;
}

static void set_window(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct cc_bbr *b = &c->bbr;
    uint32_t floor = MIN_SEGMENTS * (uint32_t)c->mss;
    uint64_t target = window_for(c, b->mode == BBR_PROBE_BW ? CWND_GAIN : STARTUP_GAIN);

    if (!conserve_packets(c, ack)) {
        if (b->full)
            c->cwnd = u64_min((uint64_t)c->cwnd + ack->delivered, target);
        else if (c->cwnd < target || c->delivered < 10u * c->mss)
            c->cwnd += ack->delivered;
    }
    c->cwnd = u64_max(c->cwnd, floor);
    if (b->mode == BBR_PROBE_RTT)
        c->cwnd = u64_min(c->cwnd, floor);
}

static void bbr_control(struct tcp_conn *c, const struct tcp_ack *ack)
{
    count_round(c, ack);
    update_bandwidth(c, ack);
    step_mode(c, ack);
    set_pacing(c);
    set_window(c, ack);
    c->bbr.idle = 0;
}

static void bbr_resume(struct tcp_conn *c, uint64_t now_ns, uint64_t idle_ns)
{
    c->bbr.idle = 1;
    if (c->bbr.mode == BBR_PROBE_BW && bandwidth(&c->bbr))
        c->pacing_rate = bandwidth(&c->bbr);
}

const struct tcp_cc cc_bbr = {
    .name = "bbr",
    .model = true,
    .init = bbr_init,
    .control = bbr_control,
    .resume = bbr_resume,
};
