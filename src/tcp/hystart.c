// SPDX-License-Identifier: BSD-2-Clause
// HyStart++ (RFC 9406): leaves slow start when the round trips grow, before the queue overflows.
#include "base/util.h"
#include "tcp/cc.h"

#define MIN_RTT_THRESH_NS (4 * NS_PER_MS)
#define MAX_RTT_THRESH_NS (16 * NS_PER_MS)
#define RTT_DIVISOR       8
#define RTT_SAMPLES       8
#define CSS_ROUNDS        5

void hystart_init(struct tcp_conn *c)
{
    c->hystart = (struct hystart){
        .round_min_ns = UINT32_MAX,
        .last_min_ns = UINT32_MAX,
        .css_base_ns = UINT32_MAX,
        .round_end = c->snd_nxt,
    };
}

static void start_round(struct tcp_conn *c)
{
    struct hystart *h = &c->hystart;

    h->last_min_ns = h->round_min_ns;
    h->round_min_ns = UINT32_MAX;
    h->samples = 0;
    h->round_end = c->snd_nxt;
    if (h->css && ++h->css_rounds >= CSS_ROUNDS) { // 4.2: "enter congestion avoidance"
        h->done = true;
        c->ssthresh = c->cwnd;
    }
}

static bool rtt_has_grown(const struct hystart *h)
{
    uint64_t thresh =
        u64_max(MIN_RTT_THRESH_NS, u64_min(h->last_min_ns / RTT_DIVISOR, MAX_RTT_THRESH_NS));

    return h->samples >= RTT_SAMPLES && h->round_min_ns != UINT32_MAX &&
           h->last_min_ns != UINT32_MAX && h->round_min_ns >= h->last_min_ns + thresh;
}

void hystart_ack(struct tcp_conn *c, const struct tcp_ack *ack)
{
    struct hystart *h = &c->hystart;

    if (h->done)
        return;
    if (ack->rtt_min_ns) {
        h->round_min_ns = u64_min(h->round_min_ns, u64_min(ack->rtt_min_ns, UINT32_MAX - 1));
        h->samples = u64_min(h->samples + 1, 254);
    }
    if (!h->css && rtt_has_grown(h)) {
        h->css = true;
        h->css_rounds = 0;
        h->css_base_ns = h->round_min_ns;
    } else if (h->css && h->samples >= RTT_SAMPLES && h->round_min_ns < h->css_base_ns) {
        h->css = false; // "spurious": resume slow start
        h->css_base_ns = UINT32_MAX;
    }
    if (seq_lt(h->round_end, c->snd_una))
        start_round(c);
}
